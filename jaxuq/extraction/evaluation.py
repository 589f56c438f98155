"""Scores of a run with bootstrap intervals, over all types and for each."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxuq.extraction.passages import Passage
from jaxuq.extraction.pipeline import Extraction
from jaxuq.extraction.schema import Schema
from jaxuq.extraction.scoring import COUNTS, entity_counts, relation_counts, scores_from_counts
from jaxuq.study.ranges import within_range

METRICS = ("partial_f1", "full_f1", "partial_precision", "partial_recall", "full_precision", "full_recall")


class Evaluation(NamedTuple):
    """Scores of a run.

    Attributes:
        counts: `COUNTS` of each text and type.
        items: ids of the texts that count.
        types: names of the types.
        failed: of the texts that count, how many have a conversation without an answer.
        scores: the `METRICS` over all types.
        by_type: the same for each type.
        intervals: lower and upper end of each metric's bootstrap interval.
    """

    counts: Int[np.ndarray, "item type 6"]
    items: tuple[str, ...]
    types: tuple[str, ...]
    failed: int
    scores: dict[str, float]
    by_type: dict[str, dict[str, float]]
    intervals: dict[str, tuple[float, float]]


def evaluate(
    passages: Sequence[Passage],
    extractions: Sequence[Extraction],
    schema: Schema,
    *,
    convention: str = "corrected",
    num_resamples: int = 1000,
    seed: int = 0,
) -> Evaluation | None:
    """Score what was found against gold.

    Texts are resampled with all they hold, so that intervals respect that spans of one text go together.

    Args:
        passages: the texts; those without gold do not count.
        extractions: of each passage.
        schema: what was wanted.
        convention: `"corrected"` counts a text whose conversations failed with its gold missed, and recall by gold
            spans; `"published"` leaves texts without a reply out (not those whose reply cannot be read), and mixes
            predictions into the recall (`scores_from_counts`).
        num_resamples: of the bootstrap; 0 leaves intervals out.
        seed: of the bootstrap.

    Returns:
        `Evaluation`; None if no text has gold.

    Raises:
        ValueError: an unknown convention.
    """
    if convention not in ("corrected", "published"):
        raise ValueError(f"convention is {convention!r}; expected 'corrected' or 'published'")
    published = convention == "published"
    counts, items, failed = [], [], 0
    for passage, found in zip(passages, extractions, strict=True):
        if schema.entities and passage.gold is not None:
            row = entity_counts(found.spans, passage.gold, schema.names)
        elif schema.relations and passage.gold_relations is not None:
            row = relation_counts(found.relations, passage.gold_relations, schema.names)
        else:
            continue
        failed += found.failed
        if published and found.unanswered:
            continue
        counts.append(row)
        items.append(passage.id)
    if not counts and not failed:
        return None
    table = np.stack(counts) if counts else np.zeros((0, len(schema.names), len(COUNTS)), np.int64)
    form = "published" if published else "symmetric"
    by_type = {name: _metrics(table[:, column], form) for column, name in enumerate(schema.names)}
    intervals = _intervals(table.sum(axis=1), form, num_resamples, seed) if len(table) > 1 and num_resamples else {}
    return Evaluation(table, tuple(items), schema.names, failed, _metrics(table, form), by_type, intervals)


def _metrics(counts: Int[np.ndarray, "*batch 6"], form: str) -> dict[str, float]:
    partial, full = (scores_from_counts(counts, partial=partial, convention=form) for partial in (True, False))
    values = {
        f"{name}_{field}": getattr(scores, field)
        for name, scores in (("partial", partial), ("full", full))
        for field in ("precision", "recall", "f1")
    }
    return {name: values[name] for name in METRICS}


def _intervals(counts: Int[np.ndarray, "item 6"], form: str, num_resamples: int, seed: int) -> dict[str, Any]:
    import jax
    import jax.numpy as jnp

    from jaxuq.metrics import bootstrap

    result = bootstrap(
        jax.random.key(seed),
        _metric(form),
        jnp.asarray(counts, jnp.float32),
        num_resamples=num_resamples,
        batch_size=64,
    )
    rows = zip(METRICS, result.estimate.tolist(), zip(result.lower.tolist(), result.upper.tolist()))
    return {name: within_range(name, score, ends) for name, score, ends in rows}


@functools.cache  # one function, so that it is compiled once
def _metric(form: str) -> Any:
    import jax.numpy as jnp

    def metric(counts: Float[Array, "item 6"], where: Bool[Array, " item"]) -> Float[Array, " metric"]:
        predicted, gold, *rest = jnp.where(where[:, None], counts, 0.0).sum(axis=0)
        values = {}
        for name, correct, found in (("full", *rest[:2]), ("partial", *rest[2:])):
            hits = correct if form == "published" else found
            precision = correct / jnp.maximum(predicted, 1.0)
            recall = hits / jnp.maximum(hits + gold - found, 1.0)
            values[f"{name}_precision"], values[f"{name}_recall"] = precision, recall
            values[f"{name}_f1"] = 2.0 * precision * recall / jnp.maximum(precision + recall, 1e-9)
        return jnp.stack([values[name] for name in METRICS])

    return metric
