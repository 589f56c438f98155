r"""Formulas in a text: numbers that are only parts of something (`3\pi`, `2x + 1`, `\log_2 5`) are no answers alone."""

import re
from fractions import Fraction
from typing import NamedTuple

from jaxuq.questions.characters import THIN
from jaxuq.questions.measures import is_known
from jaxuq.questions.tokens import FUNCTIONS, GREEK
from jaxuq.questions.units import VARIABLES
from jaxuq.questions.values import rational_value

_CALLED = "|".join(sorted(FUNCTIONS, key=len, reverse=True))
_NAMED = rf"(?<![A-Za-z\\])(?:{_CALLED}|pi|choose|mod)(?![A-Za-z])"
_VARIABLE = r"(?<![A-Za-z\\])(?!(?<=\d)[xX]\s?\d)(?:[A-Za-z](?![A-Za-z'])|(?<=\d)(?!bn)[abnxyz]{2,3}(?![A-Za-z]))"
_COMMAND = (
    rf"\\(?:{_CALLED}|pi|{'|'.join(GREEK)}|[dt]?frac|binom|[bp]?mod|l?cdot|times|div|left|right|[lr]floor|[lr]ceil)"
    r"(?![A-Za-z])"
)
_SIGN = r"[{}()|√π]|(?<=[\d)}a-z])!(?=[)\s]*[-+*/^=.,;)!}$])|(?<=[\w)}])_(?=[\w{])"
_NUMBER = r"\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?"
_GAP = rf"[ {THIN}]*"
_BASE = r"_\s?(?:\{[^{}]{1,9}\}|\w)"
_ATOM = (
    rf"(?:\\?log{_BASE}{_GAP}|{_COMMAND}{_GAP}|{_NAMED}{_GAP}(?=[\\\w({{√|])|(?<![A-Za-z\\])pi(?![A-Za-z])|{_NUMBER}"
    rf"|{_VARIABLE}|{_SIGN})"
)
_CHUNK = re.compile(
    rf"[-+]?{_ATOM}++(?:{_GAP}(?:[-+*/^]|\*\*|(?:choose|mod)(?![A-Za-z])){_GAP}[-+]?{_ATOM}++"
    rf"|{_GAP}(?=\\?(?:pi|sqrt)(?![A-Za-z])|\\r(?:floor|ceil)|π|√){_ATOM}++)*+"
)
_VARYING = re.compile(
    rf"\\(?:{_CALLED}|pi|{'|'.join(GREEK)}|binom|[bp]?mod|lfloor|lceil)(?![A-Za-z])|{_NAMED}|[√π]|\d!|\)!|^\|-\d[\d.]*\|$|{_VARIABLE}"
)
_POWER_OF_TEN = re.compile(r"(?<=\d)[eE](?=[-+]?\d)")
_INDEX = re.compile(_BASE)
_LONGEST = 300


class Formula(NamedTuple):
    """A formula in a text.

    Attributes:
        start: of its first character.
        end: one past its last.
        value: exactly; None: it has variables, is no rational number, or cannot be read.
    """

    start: int
    end: int
    value: Fraction | None


def formulas(text: str, start: int = 0) -> list[Formula]:
    r"""The formulas of a text that hold numbers, and more than numbers, signs and units.

    Args:
        text: of `fold`.
        start: where to begin.

    Returns:
        In order.

    Example:
        >>> text = "It is 3 cups, 2x + 1 or $3\\pi$."
        >>> [text[one.start : one.end] for one in formulas(text)]
        ['2x + 1', '3\\pi']
    """
    found = []
    for chunk in _CHUNK.finditer(text, start):
        if chunk.end() - chunk.start() > _LONGEST or not any(map(str.isdigit, chunk[0])):
            continue
        begin, end = _balanced(text, *chunk.span())
        inside = text[begin:end]
        written = _INDEX.sub("", _POWER_OF_TEN.sub("0", inside))
        if not any(map(str.isdigit, written)) or not _VARYING.search(written) or re.match(r"[A-Z]-?\d", inside):
            continue
        unit = re.fullmatch(r"[^A-Za-z]*\d([A-Za-z](?:/[A-Za-z])?)", inside)
        if unit and ((unit[1] not in VARIABLES and is_known(unit[1])) or unit[1] in ("k", "K", "M", "B")):
            continue
        found.append(Formula(begin, end, rational_value(inside)))
    return found


def _balanced(text: str, start: int, end: int) -> tuple[int, int]:
    """A stretch up to a bracket that is closed before it, and from after one that is never."""
    opened: list[int] = []
    for place in range(start, end):
        if text[place] in "({":
            opened.append(place)
        elif text[place] in ")}":
            if not opened:
                end = place
                break
            opened.pop()
    start = opened[-1] + 1 if opened else start
    while end > start and text[end - 1] == " ":
        end -= 1
    return start, end
