"""Numbers in English words: `twenty-one`, `one hundred and five`, `two and a half`, `minus three`."""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {word: number for number, word in enumerate(_ONES.split())} | {
    word: 10 * number for number, word in enumerate(_TENS.split(), 2)
}
SCALES: Mapping[str, int] = {
    "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12,
    "lakh": 10**5, "crore": 10**7,
}  # fmt: skip
"""Words that a number may be multiplied by."""
_PARTS = {
    "half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "twelfth": 12, "hundredth": 100, "thousandth": 1000,
}  # fmt: skip
_PART = rf"(?:{'|'.join(_PARTS)})s?|halves"
_NUMBER = rf"(?:{'|'.join(_SMALL)})"
_SCALE = rf"(?:{'|'.join(SCALES)})s?"
_WORDS = re.compile(
    rf"(?<![\w-])(?P<sign>(?:minus|negative)\s+)?(?:(?P<number>(?:{_NUMBER}|an?(?=\s+{_SCALE}\b))"
    rf"(?:(?:\s+and\s+|\s*-\s*|\s+)(?:{_NUMBER}|{_SCALE})\b)*)(?:(?:\s+|-)(?P<part>{_PART})"
    rf"|\s+and\s+(?P<more>an?|one|two|three)[\s-]+(?P<of>{_PART}))?|(?:a\s+)?(?P<half>half))(?![\w-])(?!\s+of\b)",
    re.I,
)
_PRONOUN = re.compile(r"\b(?:no|this|that|the|which|any|each|every|another)\s+$", re.I)


class Spelled(NamedTuple):
    """A number in words.

    Attributes:
        start: of its first character.
        end: one past its last.
        value: of it.
    """

    start: int
    end: int
    value: Fraction


def find_spelled(text: str, start: int = 0, end: int | None = None) -> Spelled | None:
    """The first number in words; `one` is none after `no`, `the` and their like, nor before `of`.

    Args:
        text: of `fold`.
        start: where to look.
        end: one past it; None: the end.

    Returns:
        The number; None if there is none.

    Example:
        >>> [str(find_spelled(text).value) for text in ("twenty-one", "one hundred and five", "two and a half", "half")]
        ['21', '105', '5/2', '1/2']
        >>> find_spelled("one of them"), find_spelled("the one")
        (None, None)
    """
    for found in _WORDS.finditer(text, start, len(text) if end is None else end):
        value = _value(found)
        if value is not None and not (found["number"] == "one" and _PRONOUN.search(text[start : found.start()])):
            return Spelled(found.start(), found.end(), -value if found["sign"] else value)
    return None


def _value(found: re.Match[str]) -> Fraction | None:
    if found["half"]:
        return Fraction(1, 2)
    number = _whole(re.findall(r"[a-z]+", found["number"].lower()))
    if number is None:
        return None
    if found["part"]:
        return Fraction(number, _denominator(found["part"]))
    if found["more"]:
        count = _SMALL.get(found["more"].lower(), 1)
        return number + Fraction(count, _denominator(found["of"]))
    return Fraction(number)


def _denominator(word: str) -> int:
    return 2 if word.lower() == "halves" else _PARTS[word.lower().removesuffix("s")]


def _whole(words: list[str]) -> int | None:
    """None where the words are several numbers, as in `two three`."""
    total, group, least = 0, 0, 1000
    for word in words:
        if word in ("and", "a", "an"):
            continue
        scale = SCALES.get(word.removesuffix("s"))
        if scale is None:
            small = _SMALL[word]
            if small >= least:
                return None
            group, least = group + small, 1 if small < 20 else 10
        elif scale == 100:
            group, least = max(group, 1) * 100, 100
        else:
            total, group, least = total + max(group, 1) * scale, 0, 1000
    return total + group
