"""The letter of a choice in a text. What is said of one letter is said of all: no word that only some letters are."""

import re
import unicodedata
from typing import NamedTuple

from jaxuq.questions.characters import THIN
from jaxuq.questions.denials import denied
from jaxuq.questions.words import WORDS_AFTER, WORDS_OF_I

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_GAP = rf"[ \t{THIN}]"
_MARKED = re.compile(
    rf"(?<![\w}}])\(\s?(?P<round>[A-Za-z])\s?\)|(?<![\w}}])\[(?P<square>[A-Za-z])\]|\{{\s?(?P<curly>[A-Za-z])\s?\}}"
    rf"|<(?P<angle>[A-Za-z])>|(?<![\w'])['\"](?P<quoted>[A-Za-z])[.,]?['\"](?!\w)|(?<!\w)[*_]{{1,3}}(?P<strong>[A-Za-z])[.:)]?[*_]{{1,3}}(?!\w)"
    rf"|(?<![\w'().])(?P<half>[A-Za-z]){_GAP}?\)|(?<![A-Za-z])(?i:option|choice|letter|alternative|answer){_GAP}+"
    rf"(?P<named>[A-Za-z])(?![\w'-])"
)
_BARE = re.compile(r"(?<![\w'°\\./&-])(?P<bare>[A-Za-z])(?![\w'°])")
_EITHER = re.compile(f"{_MARKED.pattern}|{_BARE.pattern}")
_LEAD = re.compile(
    r"[\s:*_\"'({\[$\\#>→•=✅-]*(?:(?:text|mathrm|mathbf|textbf|boxed)\s*\{\s*)?"
    r"(?:(?:the|option|choice|letter|answer|alternative|therefore|thus|clearly|definitely|probably|indeed|likely|most)"
    r"\b[\s:*_\"'(]*)*",
    re.I,
)
_NAMES = r"(?:options?|choices?|letters?|alternatives?|answers?)"
_NAMED = re.compile(
    r"\bover\s+[(\[\"'*_$]*$|\b(?:vitamins?|hepatitis|influenza|plan|blood type|protein|schedule|appendix)\s+$", re.I
)  # no choice
_OPEN = r"(?:\\text\w*\s*\{\s*)?"
_JOIN = r"(?:[,;/&]|\\&|(?:and/or|and|or|nor|vs\.?|versus|as well as|plus|through|to)(?![a-z]))"
_ALSO = re.compile(
    rf"[)\]}}\"'*_$]*(?:\s*{_OPEN}\(?(?i:{_JOIN})\s*\}}?)+(?i:\s*(?:also|possibly|maybe|perhaps|else)(?![a-z]))?"
    rf"\s*(?i:(?:the\s+)?{_NAMES}\s+)?{_OPEN}[(\[{{\"'*_$]*(?P<letter>[A-Za-z])(?!\w|'\w|°|[-.]\w|\s?[=<>^])"
)
_MARKS = {"round": ")", "half": ")", "square": "]", "curly": "}", "angle": ">", "quoted": "'\"", "strong": "*_"}
_OF_SEVERAL = frozenset(("are", "aren't", "were", "both", "all", "together", "combined", "because", "since", "as"))
_AFTER = re.compile(rf"{_GAP}+([A-Za-z']+)")


_LOOK = dict(zip("АВСЕНІЈКМОРТХΑΒΕΖΗΙΚΜΝΟΡΤΧ", "ABCEHIJKMOPTXABEZHIKMNOPTX"))  # of Cyrillic and Greek
_OTHER_WORD = re.compile("[\u0370-\u052f]{2}")
_UNSPACED = re.compile("[\u3001-\u30ff\u3400-\u9fff\uac00-\ud7af]")


class Letter(NamedTuple):
    """A letter, or several in a row.

    Attributes:
        text: as written, `A` or `A and B`.
        start: where it is.
        letters: capitals, in rising order; one, or several, of which none is the answer.
    """

    text: str
    start: int
    letters: str


def as_letters(text: str) -> str:
    """A text with the letters of choices as plain ones, each in its place.

    In circles, squares and the alphabets of mathematics; those of another script that look like ours, unless words of
    that script are there, too. What is written without spaces gives room to the letters in it.

    Args:
        text: of `fold`.

    Returns:
        A text of the same length.

    Example:
        >>> as_letters("Ⓑ 𝐁 答案是B")
        'B B    B'
    """
    if text.isascii():
        return text
    look = {} if _OTHER_WORD.search(text) else _LOOK
    plain = (unicodedata.normalize("NFKC", one).strip("()[]") if not one.isascii() else one for one in text)
    text = "".join(
        look.get(one, short if len(short) == 1 and short.isascii() and short.isalpha() else one)
        for one, short in zip(text, plain)
    )
    return _UNSPACED.sub(" ", text)


def find_letter(
    text: str, start: int, end: int, letters: str = ALPHABET, *, cue: str = "", last: bool = False
) -> Letter | None:
    r"""A letter that names a choice.

    A letter in brackets, quotes or emphasis, or after "option", counts in either case. One that stands alone counts as
    a capital, before a pause or a word that neither an article nor a pronoun has after it: `A` and `I` are read where
    any other letter would be, and nowhere else. Right after a cue small ones count too. Several in a row (`A and B`,
    `A, B or C`) are one answer, of no single letter, right after a cue, and none in other text; what is denied (`not
    B`, `C is wrong`, `none of A, B`) is none.

    Args:
        text: of `fold`.
        start: where to look.
        end: one past it.
        letters: of the choices, capitals.
        cue: what is before `start`: `is` (as in "the answer is"), `colon` (as in "Answer:"), empty: any text.
        last: the last one, instead of the first.

    Returns:
        The letter, or letters; None if there are none.

    Example:
        >>> text = "The answer is A because it floats"
        >>> find_letter(text, 14, len(text), cue="is"), find_letter("I do not know", 0, 13)
        (Letter(text='A', start=14, letters='A'), None)
        >>> find_letter("A and B", 0, 7, cue="colon").letters
        'AB'
    """
    text, found = text[:end], None
    lead = _LEAD.match(text, start) if cue else None
    at = start
    while one := _EITHER.search(text, at):
        kind = str(one.lastgroup)
        place = one.start(kind)
        at = one.end(kind)
        several = _several(text, one.start(), place, kind)
        leading = lead is not None and place == lead.end()
        if kind == "bare" and not _stands(text, place, leading, cue if several is None else "several"):
            continue
        at = at if several is None else several.start + len(several.text)
        if text[place].upper() not in letters or _denied(text, place, at):
            continue
        if several is None or not last:
            found = several or Letter(text[place], place, text[place].upper())
        if not last:
            return found
    return found


def _several(text: str, start: int, place: int, kind: str) -> Letter | None:
    """Letters in a row such as `A and B`, with their marks; `start` is that of the first one's. None: it is alone."""
    at, end, letters, found = place + 1, place, {text[place].upper()}, {text[place].upper()}
    while (more := _ALSO.match(text, at)) is not None and more["letter"].isupper() == text[place].isupper():
        at = more.end()
        letters = letters | {more["letter"].upper()}
        word = _AFTER.match(text, at)
        if word is None or word[1].lower() in _OF_SEVERAL or _ALSO.match(text, at):
            end, found = at, letters
    marks = _MARKS.get(kind, "")
    while end < len(text) and text[end] in marks:
        end += 1
    start = place if kind in ("bare", "named") else start
    return Letter(text[start:end], start, "".join(sorted(found))) if len(found) > 1 else None


def _denied(text: str, place: int, end: int) -> bool:
    before = text[max(0, place - 40) : place]
    return bool(_NAMED.search(before)) or denied(text, place, end)


def _stands(text: str, place: int, leading: bool, cue: str) -> bool:
    capital = text[place].isupper()
    if not capital and not leading:
        return False
    rest = text[place + 1 : place + 4]
    if (
        re.match(r"[-.&]\w|/\w(?!\w)", rest)
        or re.match(r"\s?(?:[=<>^+]|[_*]\w)", rest)
        or re.search(r"\d\s?$|(?<!\w)[A-Za-z]\s?[=<>^+]\s?$", text[max(0, place - 5) : place])
    ):
        return False
    word = _AFTER.match(text, place + 1)
    if word is None or cue == "several":
        return True
    if word[1].lower() in WORDS_AFTER and word[1][0].islower():
        return True
    if not leading or not capital:
        return False
    return word[1][0].isupper() or (cue == "is" and word[1] not in WORDS_OF_I)
