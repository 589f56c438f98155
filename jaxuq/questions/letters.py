"""The letter of a choice in a text. What is said of one letter is said of all: no word that only some letters are."""

import re
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
_BARE = re.compile(r"(?<![\w'°\\.-])(?P<bare>[A-Za-z])(?![\w'°])")
_EITHER = re.compile(f"{_MARKED.pattern}|{_BARE.pattern}")
_LEAD = re.compile(
    r"[\s:*_\"'({\[$\\]*(?:(?:text|mathrm|mathbf|textbf|boxed)\s*\{\s*)?"
    r"(?:(?:the|option|choice|letter|answer|alternative|therefore|thus|clearly|definitely|probably|indeed|likely|most)"
    r"\b[\s:*_\"'(]*)*",
    re.I,
)
_AFTER = re.compile(rf"{_GAP}+([A-Za-z']+)")


class Letter(NamedTuple):
    """A letter, where it is, and whether it stands where one that is not marked counts too."""

    text: str
    start: int


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
    return re.search(r"\bnot\s+(?:option\s+|choice\s+)?[(\"']?$", text[max(0, place - 24) : place]) is not None


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
