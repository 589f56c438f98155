"""From lines to scores: balanced AUROC and ECE, the same and more on all items, calibration on the other half."""

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxuq._digest import digest
from jaxuq._keys import named_key
from jaxuq.confidence.evaluation import balanced_scores
from jaxuq.confidence.measures import MeasureFacts, stored_facts
from jaxuq.confidence.study.learned import calibrated_halves, learned_measures
from jaxuq.metrics import (
    area_under_risk_coverage,
    area_under_roc,
    average_precision,
    bootstrap,
    brier_score,
    expected_calibration_error,
    prediction_rejection_ratio,
)
from jaxuq.study import write_table
from jaxuq.study.ranges import within_range
from jaxuq.study.resamples import Resamples

BALANCED_SEEDS = 5
ON_ALL = ("auroc_all", "auprc", "prr", "aurc")
"""Scores on all answers, which are resampled."""
_BINS = 20
_OFTEN = 0.9  # share of the answers on which a measure must be defined to be compared with the others
_RESAMPLES = 500


class Evaluated(NamedTuple):
    """The measures of a run as arrays over its answers.

    Attributes:
        lines: those with an answer.
        correct: 0 or 1 of each.
        scores: by measure; higher is more confident, NaN where undefined.
        common: answers on which every usual measure is defined: measures are compared on these; all of
            them, where no measure is usual.
        about: the measures, for tables and pages.
    """

    lines: list[dict[str, Any]]
    correct: np.ndarray
    scores: dict[str, np.ndarray]
    common: np.ndarray
    about: Mapping[str, MeasureFacts]


def evaluated(
    lines: Sequence[Mapping[str, Any]], seed: int, about: Mapping[str, MeasureFacts] | None = None
) -> Evaluated:
    """Collect measures, turn them so that higher is more confident, and fit the learned ones on halves.

    Args:
        lines: of the run.
        seed: of the halves.
        about: the measures; None: those of the table.
    """
    about = stored_facts({}) if about is None else about
    kept = [dict(line) for line in lines if line["correct"] is not None]
    correct = np.array([line["correct"] for line in kept], np.float32)
    scores = {}
    for name, one in about.items():
        values = [line["measures"].get(name) for line in kept]
        if any(value is not None for value in values):
            scores[name] = one.sign * np.array([np.nan if value is None else value for value in values], np.float32)
    usual = [values for values in scores.values() if np.isfinite(values).mean() >= _OFTEN]
    common = np.all([np.isfinite(values) for values in usual], axis=0) if usual else np.ones(len(kept), bool)
    scores |= learned_measures(kept, correct, scores, common, seed, about)
    return Evaluated(kept, correct, scores, common, about)


def confidence_of(about: MeasureFacts, scores: np.ndarray) -> np.ndarray | None:
    """A measure as a confidence in [0, 1], without any labels; None for unbounded ones."""
    bounded = about.bounded
    if bounded is False:
        return None
    return np.clip(1.0 + scores if bounded == "one minus" else scores, 0.0, 1.0)


@functools.partial(jax.jit, static_argnames=("resamples",))
def _on_all(key: Array, scores: Array, correct: Array, where: Array, resamples: int) -> Any:
    def metric(scores: Array, correct: Array, where: Array, weights: Array | None = None) -> Array:
        wrong, counted = 1.0 - correct, {"where": where, "weights": weights}
        return jnp.stack(
            [
                area_under_roc(scores, correct, **counted),
                average_precision(scores, correct, **counted),
                prediction_rejection_ratio(0.0 - scores, wrong, **counted),
                area_under_risk_coverage(0.0 - scores, wrong, **counted),
            ]
        )

    return bootstrap(key, metric, scores, correct, where=where, num_resamples=resamples, as_weights=True)


@functools.partial(jax.jit, static_argnames=("convention",))
def _balanced(key: Array, scores: Array, correct: Array, where: Array, convention: Any) -> Any:
    options = {"repeats": BALANCED_SEEDS, "bins": _BINS, "convention": convention}
    return balanced_scores(key, scores, correct, **options, where=where)


@jax.jit
def _errors(confidence: Array, correct: Array, where: Array) -> tuple[Array, Array]:
    return (
        expected_calibration_error(confidence, correct, bins=_BINS, where=where),
        brier_score(confidence, correct, where=where),
    )


def score_measures(
    found: Evaluated, seed: int, dataset: str, convention: str = "text"
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Resamples]:
    """Rows of `results.csv` (a measure and a balanced subsample each), of `summary.csv` (a measure each), resamples."""
    rows, summary, parts, resampled = [], [], [], []
    key = jax.random.key(seed)
    correct = jnp.asarray(found.correct)
    for name, values in found.scores.items():
        defined = np.isfinite(values)
        shared = found.common if not (found.common & ~defined).any() else defined
        scores = jnp.asarray(np.where(defined, values, 0.0).astype(np.float32))
        where = jnp.asarray(shared)
        confidence = confidence_of(found.about[name], np.asarray(scores))
        # The same subsamples for all measures: the key does not depend on the name.
        taken = _balanced(named_key(key, "balanced"), scores if confidence is None else jnp.asarray(confidence),
                          correct, where, convention)  # fmt: skip
        auroc = np.asarray(taken.auroc)
        ece = np.asarray(taken.calibration_error) if confidence is not None else np.full(BALANCED_SEEDS, np.nan)
        rows += [
            {"method": name, "dataset": dataset, "seed": number, "auroc": float(one), "ece": float(other)}
            for number, (one, other) in enumerate(zip(auroc, ece))
        ]
        whole = _on_all(named_key(key, "bootstrap"), scores, correct, where, _RESAMPLES)
        row: dict[str, Any] = {"method": name, "dataset": dataset, "n": int(shared.sum())}
        row |= {"undefined": int((~defined).sum()), "per_class": int(taken.per_class)}
        row |= {"auroc_mean": auroc.mean(), "auroc_std": auroc.std(), "ece_mean": ece.mean(), "ece_std": ece.std()}
        parts.append(digest(found.correct, shared))
        resampled.append(whole)
        for at, metric in enumerate(ON_ALL):
            estimate, *ends = (float(value[at]) for value in (whole.estimate, whole.lower, whole.upper))
            lower, upper = within_range(metric, estimate, (ends[0], ends[1]))
            row |= {metric: estimate, f"{metric}_lower": lower, f"{metric}_upper": upper}
        row |= {"ece_all": np.nan, "brier": np.nan}
        if confidence is not None:
            error, brier = _errors(jnp.asarray(confidence), correct, where)
            row |= {"ece_all": float(error), "brier": float(brier)}
        row |= calibrated_halves(np.asarray(scores), found.correct, shared, seed)
        seconds = [
            sum(line["seconds"].get(part, 0.0) for part in found.about[name].seconds) for line in found.lines
        ]  # fmt: skip
        row |= {"seconds": float(np.median(seconds))}  # the first batch compiles
        summary.append(row)
    cells = [{"dataset": dataset, "method": name} for name in found.scores]
    estimates, values = (
        np.stack([np.asarray(getattr(one, field), np.float32) for one in resampled]) if resampled else np.zeros(shape)
        for field, shape in (("estimate", (0, len(ON_ALL))), ("resamples", (0, _RESAMPLES, len(ON_ALL))))
    )
    return rows, summary, Resamples(cells, parts, list(ON_ALL), estimates, values)


def write_scores(
    path: Path,
    lines: Sequence[Mapping[str, Any]],
    dataset: str,
    seed: int,
    about: Mapping[str, MeasureFacts] | None = None,
    convention: str = "text",
) -> list[str]:
    """Write `results.csv` and `summary.csv`; returns what a reader must know, such as that all answers are wrong."""
    found = evaluated(lines, seed, about)
    notes = []
    without = [line.get("answer") is None for line in lines if line["correct"] is None]
    for count, said in (
        (sum(without), "No answer was found in {} of {} responses"),
        (len(without) - sum(without), "Nothing says whether the answers are right in {} of {} responses"),
    ):
        if count:
            notes.append(f"{said.format(count, len(lines))}; they are counted here and left out of scores.")
    right = int(found.correct.sum())
    if not found.lines:
        notes.append("No response has an answer: there is nothing to score.")
    elif right in (0, len(found.lines)):
        which = "wrong" if right == 0 else "right"
        notes.append(
            f"All {len(found.lines)} answers are {which}: AUROC and everything else that compares right with wrong "
            "answers is undefined, and left empty."
        )
    inside = sum(map(_holds_the_truth, lines))
    if inside * 4 >= len(lines) > 0:
        notes.append(
            f"In {inside} of {len(lines)} answers, which count as wrong, the right one stands in a longer text; a "
            "model that sees examples of short answers (--layout short) gives it alone."
        )
    if found.lines and not found.common.any():
        notes.append("On no answer all measures are defined: each is scored on its own answers.")
    rows, summary, resamples = score_measures(found, seed, dataset, convention) if found.lines else ([], [], None)
    if resamples is not None:
        resamples.write(path)
    write_table(path / "results.csv", rows, ("method", "dataset", "seed", "auroc", "ece"))
    write_table(path / "summary.csv", summary, ("method", "dataset", "n"))
    return notes


def _holds_the_truth(line: Mapping[str, Any]) -> bool:
    """Whether a wrong answer of words has the right one in it."""
    if line["correct"] is not False or line.get("kind") != "text" or not line["truth"] or not line["answer"]:
        return False
    return re.search(rf"(?<!\w){re.escape(line['truth'].casefold())}(?!\w)", line["answer"].casefold()) is not None


_ANSWER = ("id", "category", "question", "truth", "response", "answer", "correct", "tokens")


def write_answers(path: Path, lines: Sequence[Mapping[str, Any]], about: Mapping[str, MeasureFacts]) -> None:
    """Write `predictions.csv`: a question a row, with its answer and all measures, for a person to open."""
    rows = [{name: line[name] for name in _ANSWER} | {name: line["measures"].get(name) for name in about}
            for line in lines]  # fmt: skip
    write_table(path / "predictions.csv", rows, (*_ANSWER, *about))
