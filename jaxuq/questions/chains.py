"""Numbers in a row: chains of equalities and arithmetic, lists of several, and those that are denied."""

import re
from collections.abc import Iterable, Iterator
from fractions import Fraction

from jaxuq.questions.amounts import Quantity
from jaxuq.questions.denials import denied
from jaxuq.questions.units import GAP

_UNIT = (
    r"(?!\s(?:and|or|so|but|which|that|then|because|since|if)\b)(?:\s?(?:[A-Za-z°µ]+|\\(?:text|mathrm|mbox|textrm)\s*\{[^{}]*\}|\^?\\circ)(?:\s?\^\{?-?\d\}?|[²³])?)?"
    r"(?:\s?(?:dollars|cents))?(?:(?:\s|/)(?!(?:and|or|so|is|are|was|but|which|that|then|because|since|if)\b)[A-Za-z'-]+){0,5}"
)
_JOIN = re.compile(
    rf"(?P<unit>{_UNIT}){GAP}\\?[)$\]]?{GAP}(?:(?P<relation>=|≈|≡|\\approx|\\simeq|\\sim|\bequals\b)"
    rf"|(?P<operator>[-–+*/^x]|\\times|\\cdot|\\div)){GAP}\$?{GAP}\(?(?=[-+$€£¥\\\d.])"
)

_LIST_UNIT = r"(?P<unit>(?:\s?[A-Za-z°]+)?)"
_LIST = re.compile(
    rf"{_LIST_UNIT}(?:\.\.\.|…)?[\s$()*_]*"
    r"(?P<join>[,;]?\s*\b(?:and/or|or|and|to|through)\b|[,;&]|\\&|\\(?:text|mbox)\s*\{\s*(?:or|and)\s*\}|–)"
    r"(?:\s*(?:maybe|perhaps|possibly|even|else)\b)?[\s$(*_]*(?P<name>(?:[A-Za-z](?:_\{?\w{1,3}\}?)?\s*=\s*)?)",
    re.I,
)
_LIST_END = re.compile(rf"{_LIST_UNIT}(?:\\right)?[\])}}*_$\"'\s]*(?=[.,;:!?](?!\d)|\n|$)")


def asserted(text: str, found: Iterable[Quantity]) -> Iterator[Quantity]:
    """Those that are not denied: `not 5`, `rather than 5`, `x ≠ 5`.

    Args:
        text: of `fold`.
        found: quantities of it.

    Yields:
        The others.

    Example:
        >>> from jaxuq.questions.quantities import quantities
        >>> text = "It is 6, not 5."
        >>> [one.value for one in asserted(text, quantities(text))]
        [Fraction(6, 1)]
    """
    return (one for one in found if not denied(text, one.start, one.end))


def listed(text: str, found: list[list[list[Quantity]]], end: int) -> int | None:
    """Where a list of different numbers that begins with the first run ends: `3 or 4`, `3, 4 and 5`, `3 to 4 cups`.

    What is said otherwise in other units (`60 minutes or 1 hour`), and a number that begins a clause (`5, 2 of which`),
    is none.

    Args:
        text: of `fold`.
        found: of `runs`.
        end: of the stretch.

    Returns:
        One past its last number; None if there is none.

    Example:
        >>> from jaxuq.questions.quantities import quantities
        >>> text = "3 or 4 cups."
        >>> listed(text, runs(text, quantities(text)), len(text))
        6
    """
    if not found:
        return None
    last, reached, values = found[0], None, {_worth(text, found[0])}
    for one in found[1:]:
        join = _LIST.fullmatch(text, last[-1][-1].end, one[0][0].start)
        if join is None or len(last) > 1 or len(one) > 1:
            break
        after = _LIST_END.match(text, one[-1][-1].end, end)
        units = [join["unit"].strip(), after["unit"].strip() if after else ""]
        loose = join["join"].strip() in ("or", "to", "through")
        values = values | {_worth(text, one)}
        if after and len(values) > 1 and (units[0] == units[1] or (loose and not all(units))):
            reached = one[-1][-1].end
        last = one
    return reached


def _worth(text: str, run: list[list[Quantity]]) -> tuple[Fraction | str, ...]:
    return tuple(
        text[one.start : one.end] if one.value is None else one.value * one.factor for side in run for one in side
    )


def runs(text: str, found: Iterable[Quantity]) -> list[list[list[Quantity]]]:
    """Quantities that signs of equality and of arithmetic join: runs of sides of numbers.

    Args:
        text: of `fold`.
        found: quantities of it, in order.

    Returns:
        Runs in order.

    Example:
        >>> from jaxuq.questions.quantities import quantities
        >>> text = "5. Then 3 * 4 = 12"
        >>> [[len(side) for side in run] for run in runs(text, quantities(text))]
        [[1], [2, 1]]
    """
    made: list[list[list[Quantity]]] = []
    end = None
    for one in found:
        join = _JOIN.match(text, end) if end is not None else None
        if join is None or not one.start - 2 <= join.end() <= one.start + 2:
            made.append([[one]])
        elif join["relation"]:
            made[-1].append([one])
        else:
            made[-1][-1].append(one)
        end = one.end
    return made


def stated(run: list[list[Quantity]], *, last: bool = False) -> Quantity:
    """What a run states: of several sides the last that is one number, of one side its first or last number."""
    singles = [side[0] for side in run if len(side) == 1]
    if len(run) > 1 and singles:
        return singles[-1]
    return run[-1][-1] if last or len(run) > 1 else run[0][0]
