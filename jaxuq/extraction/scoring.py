"""Precision, recall and F1 of spans and relations, in full and in part."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from jaxuq.extraction.spans import Span, overlap

Arguments = tuple[tuple[tuple[int, int], ...], ...]
COUNTS = ("predicted", "gold", "full_predicted", "full_gold", "partial_predicted", "partial_gold")


class SpanScores(NamedTuple):
    """Scores of a set of predictions.

    Attributes:
        precision: correct / predicted.
        recall: correct / gold; what counts as found: see `scores_from_counts`.
        f1: their harmonic mean.
        correct: predictions that are correct.
        predicted: number of predictions.
        gold: number of gold spans.
        missed: gold spans that no prediction finds.
    """

    precision: float
    recall: float
    f1: float
    correct: int
    predicted: int
    gold: int
    missed: int


def entity_counts(predicted: Sequence[Span], gold: Sequence[Span], types: Sequence[str]) -> Int[np.ndarray, "type 6"]:
    """Count the spans of one text.

    A prediction is correct in full if a gold span has its place and type, and in part if a gold span of its type shares
    a token with it; a gold span is found likewise.

    Args:
        predicted: spans; equal ones count once, and those of other types not at all.
        gold: spans.
        types: those that count.

    Returns:
        For each type the `COUNTS`: predicted, gold; of these correct and found in full; correct and found in part.

    Example:
        >>> entity_counts([Span(0, 2, "person")], [Span(1, 2, "person")], ["person"]).tolist()
        [[1, 1, 0, 0, 1, 1]]
    """
    counts = np.zeros((len(types), len(COUNTS)), np.int64)
    for row, kind in enumerate(types):
        ours = {span[:2] for span in predicted if span.type == kind}
        theirs = {span[:2] for span in gold if span.type == kind}
        counts[row] = (
            len(ours),
            len(theirs),
            len(ours & theirs),
            len(ours & theirs),
            sum(any(overlap(a, b) for b in theirs) for a in ours),
            sum(any(overlap(a, b) for a in ours) for b in theirs),
        )
    return counts


def relation_counts(
    predicted: Mapping[str, Sequence[Arguments]],
    gold: Mapping[str, Sequence[Arguments]],
    types: Sequence[str],
) -> Int[np.ndarray, "type 6"]:
    """Count the relations of one text.

    A relation has arguments (subject and object, or more), and an argument has one or several places, since a text may
    name it more than once. A prediction is correct in full if one gold relation has, for every argument, one of its
    places; in part if for every argument one of its places shares a token with one.

    Args:
        predicted: relations of each type; equal ones count once.
        gold: the same.
        types: those that count.

    Returns:
        For each type the `COUNTS`.

    Example:
        >>> ours, theirs = {"kills": [(((0, 1), (5, 6)), ((2, 3),))]}, {"kills": [(((5, 6),), ((2, 4),))]}
        >>> relation_counts(ours, theirs, ["kills"]).tolist()
        [[1, 1, 0, 0, 1, 1]]
    """
    counts = np.zeros((len(types), len(COUNTS)), np.int64)
    for row, kind in enumerate(types):
        ours, theirs = list(dict.fromkeys(predicted.get(kind, ()))), list(dict.fromkeys(gold.get(kind, ())))
        counts[row] = (
            len(ours),
            len(theirs),
            *(
                value
                for partial in (False, True)
                for value in (
                    sum(any(_same(a, b, partial=partial) for b in theirs) for a in ours),
                    sum(any(_same(a, b, partial=partial) for a in ours) for b in theirs),
                )
            ),
        )
    return counts


def _same(first: Arguments, second: Arguments, *, partial: bool) -> bool:
    return len(first) == len(second) and all(
        any(overlap(a, b) if partial else a == b for a in ours for b in theirs) for ours, theirs in zip(first, second)
    )


def scores_from_counts(
    counts: Int[np.ndarray, "*batch 6"], *, partial: bool, convention: str = "symmetric"
) -> SpanScores:
    r"""Precision, recall and F1, micro-averaged: counts are added before the division.

    Symmetric: $P = c_p / p$ with the predictions that are correct, $R = c_g / g$ with the gold spans that are found.
    As published: $R = c_p / (c_p + g - c_g)$, which mixes predictions and gold spans in one quotient: many predictions
    that touch one gold span raise it. For entities in full both are the same.

    Args:
        counts: of `entity_counts` or `relation_counts`, any number of them.
        partial: whether sharing a token is enough.
        convention: of the recall, `"symmetric"` or `"published"`.

    Returns:
        `SpanScores`; quotients without a denominator are 0.

    Raises:
        ValueError: an unknown convention.

    Example:
        >>> counts = np.array([[2, 1, 0, 0, 2, 1], [0, 1, 0, 0, 0, 0]])
        >>> scores_from_counts(counts, partial=True).recall
        0.5
        >>> round(scores_from_counts(counts, partial=True, convention="published").recall, 4)
        0.6667

    References:
        Li, Ramprasad, Zhang. A simple but effective approach to improve structured language model output for
        information extraction. Findings of EMNLP, 2024.
    """
    if convention not in ("symmetric", "published"):
        raise ValueError(f"convention is {convention!r}; expected 'symmetric' or 'published'")
    predicted, gold, *rest = (int(value) for value in counts.reshape(-1, len(COUNTS)).sum(axis=0))
    correct, reached = rest[2:] if partial else rest[:2]
    missed = gold - reached
    hits = correct if convention == "published" else reached
    precision, recall = _quotient(correct, predicted), _quotient(hits, hits + missed)
    f1 = _quotient(2 * precision * recall, precision + recall)
    return SpanScores(precision, recall, f1, correct, predicted, gold, missed)


def _quotient(part: float | int, whole: float | int) -> float:
    return part / whole if whole else 0.0
