"""Precision, recall and F1 of whole entities in sequences of IOB2 tags."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jaxuq._errors import OptionError

Span = tuple[int, int, str]


class EntityScores(NamedTuple):
    """Counts of entities and what follows from them.

    Attributes:
        precision: correct / predicted; 0 where nothing is predicted.
        recall: correct / gold; 0 where there is nothing to find.
        f1: harmonic mean of the two; 0 where both are.
        correct: predicted entities with boundaries and type of a gold one.
        predicted: how many entities were predicted.
        gold: how many there are.
    """

    precision: float
    recall: float
    f1: float
    correct: int
    predicted: int
    gold: int


def entity_spans(tags: Sequence[str]) -> list[Span]:
    """The entities of one sequence of tags by the strict IOB2 scheme.

    An entity is a `B-type` with all directly following `I-type` of the same type. An `I-` that does not continue one is
    no entity, nor part of one: it is not repaired into a `B-`, as lenient readers of the scheme do.

    Args:
        tags: `O`, `B-type` or `I-type` for each token.

    Returns:
        `(start, end, type)` with `end` exclusive, in order.

    Raises:
        OptionError: if a tag is none of the three forms, with its position.

    Example:
        >>> entity_spans(["B-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-PER", "B-LOC"])
        [(0, 2, 'PER'), (4, 5, 'LOC'), (6, 7, 'LOC')]

    References:
        Ramshaw, Marcus. Text chunking using transformation-based learning. Workshop on Very Large Corpora, 1995.
    """
    spans: list[Span] = []
    start, kind = -1, ""
    for position, tag in enumerate([*tags, "O"]):
        prefix, dash, current = tag.partition("-")
        if tag != "O" and not (prefix in ("B", "I") and dash and current):
            raise OptionError(f"tag {position} is {tag!r}; expected 'O', 'B-<type>' or 'I-<type>'")
        if start >= 0 and not (prefix == "I" and current == kind):
            spans.append((start, position, kind))
            start = -1
        if prefix == "B":
            start, kind = position, current
    return spans


def _scores(correct: int, predicted: int, gold: int) -> EntityScores:
    precision, recall = correct / predicted if predicted else 0.0, correct / gold if gold else 0.0
    f1 = 2 * correct / (predicted + gold) if correct else 0.0
    return EntityScores(precision, recall, f1, correct, predicted, gold)


def _counts(predicted: Sequence[Sequence[str]], gold: Sequence[Sequence[str]]) -> Mapping[str, Counter[str]]:
    if len(predicted) != len(gold):
        raise OptionError(f"{len(predicted)} sequences are predicted and {len(gold)} gold; expected as many")
    counts: dict[str, Counter[str]] = {"correct": Counter(), "predicted": Counter(), "gold": Counter()}
    for number, (ours, theirs) in enumerate(zip(predicted, gold)):
        if len(ours) != len(theirs):
            raise OptionError(
                f"sequence {number} has {len(ours)} predicted and {len(theirs)} gold tags; expected as many"
            )
        found, true = set(entity_spans(ours)), set(entity_spans(theirs))
        for name, spans in (("correct", found & true), ("predicted", found), ("gold", true)):
            counts[name].update(kind for _, _, kind in spans)
    return counts


def entity_scores(predicted: Sequence[Sequence[str]], gold: Sequence[Sequence[str]]) -> EntityScores:
    r"""Micro-averaged precision, recall and F1 of entities, strict IOB2.

    $P = \frac{TP}{TP + FP}$, $R = \frac{TP}{TP + FN}$, $F_1 = \frac{2PR}{P + R}$

    An entity counts only if its boundaries and its type are right; counts are added over sequences and types before the
    division. The same numbers as seqeval with `mode="strict", scheme=IOB2`; its default mode takes an `I-` without a
    `B-` for an entity and gives others.

    Args:
        predicted: tags of each sequence.
        gold: the right ones.

    Returns:
        `EntityScores`; quotients without a denominator are 0, as seqeval has them.

    Raises:
        OptionError: if lengths differ (with the number of the sequence) or a tag is unknown.

    Example:
        >>> scores = entity_scores([["B-PER", "I-PER", "O", "B-LOC"]], [["B-PER", "I-PER", "O", "B-ORG"]])
        >>> scores.precision, scores.recall, scores.f1
        (0.5, 0.5, 0.5)

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, Eq. 4.15.
        Nakayama. seqeval: a Python framework for sequence labeling evaluation. 2018.
    """
    return _scores(*(sum(counter.values()) for counter in _counts(predicted, gold).values()))


def entity_scores_by_type(predicted: Sequence[Sequence[str]], gold: Sequence[Sequence[str]]) -> dict[str, EntityScores]:
    """`entity_scores` of each entity type by itself.

    Args:
        predicted: tags of each sequence.
        gold: the right ones.

    Returns:
        Scores of every type that is predicted or gold somewhere, sorted by name.

    Raises:
        OptionError: if lengths differ or a tag is unknown.

    Example:
        >>> by_type = entity_scores_by_type([["B-PER", "B-LOC"]], [["B-PER", "B-ORG"]])
        >>> {name: scores.f1 for name, scores in by_type.items()}
        {'LOC': 0.0, 'ORG': 0.0, 'PER': 1.0}

    References:
        Nakayama. seqeval: a Python framework for sequence labeling evaluation. 2018.
    """
    counts = _counts(predicted, gold)
    kinds = sorted(set(counts["predicted"]) | set(counts["gold"]))
    return {kind: _scores(*(counter[kind] for counter in counts.values())) for kind in kinds}
