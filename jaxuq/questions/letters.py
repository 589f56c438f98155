"""The letter of a choice in a text. What is said of one letter is said of all: no word that only some letters are."""

import re
import unicodedata
from typing import NamedTuple

from jaxuq.questions.characters import THIN
from jaxuq.questions.words import WORDS_AFTER, WORDS_OF_I

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_GAP = rf"[ \t{THIN}]"
_MARKED = re.compile(
    rf"(?<![\w}}])\(\s?(?P<round>[A-Za-z])\s?\)|(?<![\w}}])\[(?P<square>[A-Za-z])\]|\{{\s?(?P<curly>[A-Za-z])\s?\}}"
    rf"|(?<![\w'])['\"](?P<quoted>[A-Za-z])[.,]?['\"](?!\w)|(?<!\w)[*_]{{1,3}}(?P<strong>[A-Za-z])[.:)]?[*_]{{1,3}}(?!\w)"
    rf"|(?<![\w'().])(?P<half>[A-Za-z]){_GAP}?\)|(?<![A-Za-z])(?i:option|choice|letter|alternative|answer){_GAP}+"
    rf"(?P<named>[A-Za-z])(?![\w'-])"
)
_BARE = re.compile(r"(?<![\w'°\\./&-])(?P<bare>[A-Za-z])(?![\w'°])")
_EITHER = re.compile(f"{_MARKED.pattern}|{_BARE.pattern}")
_LEAD = re.compile(
    r"[\s:*_\"'({\[$\\]*(?:(?:text|mathrm|mathbf|textbf|boxed)\s*\{\s*)?"
    r"(?:(?:the|option|choice|letter|answer|alternative|therefore|thus|clearly|definitely|probably|indeed|likely|most)"
    r"\b[\s:*_\"'(]*)*",
    re.I,
)
_DENIED_BEFORE = re.compile(r"\b(?:not|none of|neither)\s+(?:option\s+|choice\s+)?[(\"']?$")
_DENIED_AFTER = re.compile(r"[)\]\"'*]*\s+(?:(?:is|was)\s+(?:not|wrong|incorrect|false)\b|(?:is|was)n't\b)")
_AFTER = re.compile(rf"{_GAP}+([A-Za-z']+)")


_LOOK = dict(zip("АВСЕНІЈКМОРТХΑΒΕΖΗΙΚΜΝΟΡΤΧ", "ABCEHIJKMOPTXABEZHIKMNOPTX"))  # of Cyrillic and Greek
_OTHER_WORD = re.compile("[\u0370-\u052f]{2}")
_UNSPACED = re.compile("[\u3001-\u30ff\u3400-\u9fff\uac00-\ud7af]")


class Letter(NamedTuple):
    """A letter, where it is, and whether it stands where one that is not marked counts too."""

    text: str
    start: int


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
    any other letter would be, and nowhere else. Right after a cue small ones count too.

    Args:
        text: of `fold`.
        start: where to look.
        end: one past it.
        letters: of the choices, capitals.
        cue: what is before `start`: `is` (as in "the answer is"), `colon` (as in "Answer:"), empty: any text.
        last: the last one, instead of the first.

    Returns:
        The letter; None if there is none.

    Example:
        >>> text = "The answer is A because it floats"
        >>> find_letter(text, 14, len(text), cue="is"), find_letter("I do not know", 0, 13)
        (Letter(text='A', start=14), None)
    """
    text, found = text[:end], None
    lead = _LEAD.match(text, start) if cue else None
    at = start
    while one := _EITHER.search(text, at):
        kind = str(one.lastgroup)
        place = one.start(kind)
        at = one.end(kind)
        if text[place].upper() not in letters or _denied(text, place):
            continue
        leading = lead is not None and place == lead.end()
        if kind != "bare" or _stands(text, place, leading, cue):
            found = Letter(text[place], place)
            if not last:
                return found
    return found


def _denied(text: str, place: int) -> bool:
    return bool(_DENIED_BEFORE.search(text[max(0, place - 24) : place]) or _DENIED_AFTER.match(text, place + 1))


def _stands(text: str, place: int, leading: bool, cue: str) -> bool:
    capital = text[place].isupper()
    if not capital and not leading:
        return False
    rest = text[place + 1 : place + 3]
    if (
        re.match(r"[-./&][\w]", rest)
        or re.match(r"\s?(?:[=<>^+]|[_*]\w)", rest)
        or re.search(r"\d\s?$", text[:place][-2:])
    ):
        return False
    word = _AFTER.match(text, place + 1)
    if word is None:
        return True
    if word[1].lower() in WORDS_AFTER and word[1][0].islower():
        return True
    if not leading or not capital:
        return False
    return word[1][0].isupper() or (cue == "is" and word[1] not in WORDS_OF_I)
