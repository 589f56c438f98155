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
    "quadrillion": 10**15, "lakh": 10**5, "crore": 10**7, "bn": 10**9, "bln": 10**9, "mn": 10**6, "mln": 10**6,
    "mio": 10**6, "tn": 10**12,
}  # fmt: skip
"""Words that a number may be multiplied by."""
_PARTS = {
    "half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "twelfth": 12, "hundredth": 100, "thousandth": 1000,
}  # fmt: skip
_PART = rf"(?:{'|'.join(_PARTS)})s?|halves"
_NUMBER = rf"(?:{'|'.join(_SMALL)})"
_DIGIT = rf"(?:{'|'.join(_ONES.split()[:10])}|oh)"
_SCALE = rf"(?:{'|'.join(SCALES)})s?"
_WORDS = re.compile(
    rf"(?<![\w-])(?P<sign>(?:minus|negative)\s+)?(?:(?P<number>(?:{_NUMBER}|an?(?=\s+{_SCALE}\b))"
    rf"(?:(?:\s+and\s+|\s*-\s*|\s+)(?:{_NUMBER}|{_SCALE})\b)*)(?:(?:\s+|-)(?P<part>{_PART})"
    rf"|\s+and\s+(?P<more>an?|{_NUMBER})[\s-]+(?P<of>{_PART})"
    rf"|\s+point(?P<point>(?:\s+{_DIGIT}\b)+)(?:\s+(?P<times>{_SCALE}))?)?"
    rf"|half\s+an?\s+(?P<halved>{_SCALE})|(?:a\s+)?(?P<half>half)|(?<!\bin )an?\s+(?P<alone>third|quarter|fifth|tenth)"
    r"(?=\s*[.,;]?\s*$|\s+of\b))(?P<percent>\s+per\s?cent)?(?![\w-])",
    re.I,
)
_OF = re.compile(r"\s+of\b", re.I)
_JOINED = re.compile(
    rf"\s+(?:of|in|over|out\s+of|plus|minus|times|to|by|or|and)\s+(?:{_NUMBER}|{_SCALE})(?![\w-])|\s+(?:squared|cubed|factorial)\b"
    rf"|\s+[a-z]+,?\s+and\s+{_NUMBER}\b",
    re.I,
)

_PRONOUN = re.compile(r"\b(?:no|this|that|the|which|any|each|every|another)\s+$", re.I)


class Spelled(NamedTuple):
    """A number in words.

    Attributes:
        start: of its first character.
        end: one past its last.
        value: of it; None where it is reckoned with in words (`three over four`, `one in five`, `two plus two`).
        factor: 1/100 of `ten percent`, else 1.
    """

    start: int
    end: int
    value: Fraction | None
    factor: Fraction = Fraction(1)


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
        >>> [str(find_spelled(text).value) for text in ("three point five", "half a million", "a quarter")]
        ['7/2', '500000', '1/4']
        >>> find_spelled("one of them"), find_spelled("the one")
        (None, None)
    """
    for found in _WORDS.finditer(text, start, len(text) if end is None else end):
        if _JOINED.match(text, found.end()):
            return Spelled(found.start(), found.end(), None)
        value = None if _OF.match(text, found.end()) else _value(found)
        if value is not None and not (found["number"] == "one" and _PRONOUN.search(text[start : found.start()])):
            factor = Fraction(1, 100 if found["percent"] else 1)
            return Spelled(found.start(), found.end(), -value if found["sign"] else value, factor)
    return None


def _value(found: re.Match[str]) -> Fraction | None:
    if found["halved"]:
        return Fraction(SCALES[found["halved"].lower().removesuffix("s")], 2)
    if found["half"] or found["alone"]:
        return Fraction(1, _denominator(found["half"] or found["alone"]))
    words = re.findall(r"[a-z]+", found["number"].lower())
    if found["part"] and "and" in words:  # one and three quarters
        at = len(words) - 1 - words[::-1].index("and")
        whole, top = _whole(words[:at]), _whole(words[at + 1 :])
        return None if whole is None or top is None else whole + Fraction(top, _denominator(found["part"]))
    number = _whole(words)
    if number is None:
        return None
    if found["part"]:
        return Fraction(number, _denominator(found["part"]))
    if found["more"]:
        count = _SMALL.get(found["more"].lower(), 1)
        return number + Fraction(count, _denominator(found["of"]))
    if found["point"]:
        digits = "".join(str(_SMALL.get(word, 0)) for word in found["point"].lower().split())
        scale = SCALES[found["times"].lower().removesuffix("s")] if found["times"] else 1
        return (number + Fraction(int(digits), 10 ** len(digits))) * scale
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


def in_digits(text: str) -> str:
    """A text with its numbers in words as digits, where they are whole.

    Args:
        text: of `fold`.

    Returns:
        Another text.

    Example:
        >>> in_digits("three hours and thirty minutes")
        '3 hours and 30 minutes'
    """

    def digits(found: re.Match[str]) -> str:
        value = _value(found)
        return found[0] if value is None or value.denominator != 1 or found["percent"] else str(value)

    return _WORDS.sub(digits, text)
