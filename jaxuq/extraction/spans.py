"""Predicted spans: from located matches to one set of spans a text, by written rules for overlaps and conflicts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from jaxuq.extraction.locating import Match

CONFLICT_RULES = ("best", "last", "keep")


class Span(NamedTuple):
    """A typed piece of a text.

    Attributes:
        start: first token.
        end: one behind the last token.
        type: of entity.
        score: how well what the model wrote matches the text, 1 for exactly; 1 for gold.
        confidence: how sure the model is, in [0, 1]; NaN where that is not known.
    """

    start: int
    end: int
    type: str
    score: float = 1.0
    confidence: float = float("nan")


def overlap(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Whether two spans (end exclusive, not empty) share a token.

    Args:
        first: start and end.
        second: start and end.

    Returns:
        True if they do.

    Example:
        >>> overlap((0, 2), (1, 3)), overlap((0, 2), (2, 3))
        (True, False)
    """
    return first[0] < second[1] and second[0] < first[1]


def merge_overlaps(matches: Iterable[Match]) -> list[Match]:
    """Of overlapping matches of one type, keep the larger; of equally large ones, the first.

    Matches are taken by their first token; each is compared with the last one kept, as published. Equal matches become
    one.

    Args:
        matches: in any order; for ties the order counts.

    Returns:
        Matches that do not overlap, in the order of the text.

    Example:
        >>> merge_overlaps([Match(3, 4, 1.0), Match(0, 1, 1.0), Match(0, 2, 0.9)])
        [Match(start=0, end=2, score=0.9), Match(start=3, end=4, score=1.0)]
    """
    kept: list[Match] = []
    for match in sorted(matches, key=lambda match: match.start):
        if not kept or not overlap(kept[-1][:2], match[:2]):
            kept.append(match)
        elif match.end - match.start > kept[-1].end - kept[-1].start:
            kept[-1] = match
    return kept


def settle_types(spans: Mapping[str, Sequence[Span]], *, rule: str = "best") -> list[Span]:
    """Decide about spans that have two types.

    `"best"`: of equal or overlapping spans of different types only one stays: the one with the higher confidence if
    both have one, else the better match, else the longer, else the type listed last. `"last"`, as published:
    of equal spans the type listed last, and overlaps stay. `"keep"`: all stay.

    Args:
        spans: of each type, in the order of the types.
        rule: one of `CONFLICT_RULES`.

    Returns:
        Spans in the order of the text (`"last"`: in the order of the types).

    Raises:
        ValueError: an unknown rule.

    Example:
        >>> found = {"person": [Span(0, 2, "person", 0.8)], "place": [Span(1, 2, "place", 1.0)]}
        >>> [span.type for span in settle_types(found)], len(settle_types(found, rule="keep"))
        (['place'], 2)
    """
    if rule not in CONFLICT_RULES:
        raise ValueError(f"rule is {rule!r}; expected one of {', '.join(CONFLICT_RULES)}")
    if rule == "last":
        by_place: dict[tuple[int, int], Span] = {}
        for group in spans.values():
            by_place.update({span[:2]: span for span in group})
        return list(by_place.values())
    everything = [(number, span) for number, group in enumerate(spans.values()) for span in group]
    if rule == "keep":
        return sorted((span for _, span in everything), key=lambda span: (span.start, span.end))
    known = all(span.confidence == span.confidence for _, span in everything)
    everything.sort(key=lambda entry: _rank(*entry, known))
    kept: list[Span] = []
    taken: set[int] = set()
    for _, span in everything:
        places = range(span.start, span.end)
        if taken.isdisjoint(places):
            kept.append(span)
            taken.update(places)
    return sorted(kept)


def _rank(number: int, span: Span, known: bool) -> tuple[float | int, ...]:
    return (-span.confidence if known else 0.0, -span.score, span.start - span.end, -number, span.start)
