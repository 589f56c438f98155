"""Tables of a run that labels in rounds: learning curves with intervals, and what choosing gained over chance."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxuq.study import Examples, Resamples, Scored, digest, resample_cells, summarise, write_table
from jaxuq.study.comparison import paired_interval, paired_scores
from jaxuq.tuning.answers import answer_loss
from jaxuq.tuning.evaluation import SCORES, answer_scores
from jaxuq.tuning.summary import ANSWERS, part_rows

_AVERAGES = ("curve_accuracy", "curve_nll")  # of the rounds after the first, which has the same labels for all
_GAINS = ("accuracy_gain", "nll_gain")
_RESAMPLES = 500
Cells = Sequence[Mapping[str, np.ndarray]]
"""What the rounds of a curve have left, one after another."""


class Curve(NamedTuple):
    """The rounds of an acquisition with a seed; `base`, the model before tuning, has one without labels.

    Attributes:
        method: the acquisition.
        seed: its number.
        address: of what the last round follows from.
        cells: of every round.
    """

    method: str
    seed: int
    address: str
    cells: Cells


def round_file(path: Path, acquisition: str, seed: int, number: int) -> Path:
    """Where a round is kept; the first is the same for all acquisitions.

    Args:
        path: of the run.
        acquisition: by name; `base` is the model before tuning.
        seed: of the run.
        number: of the round.

    Returns:
        The file.
    """
    if acquisition == "base":
        return path / "rounds" / "base.npz"
    return path / "rounds" / f"{acquisition if number else 'start'}-{seed}-{number}.npz"


def active_rows(curve: Curve, parts: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of `active.csv` of a curve: one for each round and part.

    Args:
        curve: all of it.
        parts: the test, the shifted test.

    Returns:
        Rows.
    """
    rows = []
    for number, cell in enumerate(curve.cells):
        for row in part_rows(ANSWERS, cell, parts, curve.method, curve.seed):
            row = dict(row)
            place = {"dataset": row.pop("dataset"), "acquisition": row.pop("method"), "seed": row.pop("seed")}
            rows.append(place | {"round": number, "labels": _labels_of(cell)} | row)
    return rows


def label_rows(curve: Curve, ids: Sequence[str], start: int, batch_size: int) -> list[dict[str, Any]]:
    """The rows of `labels.csv` of a curve: which question was labelled in which round.

    Args:
        curve: all of it.
        ids: of the pool.
        start: labels to begin with.
        batch_size: of a round.

    Returns:
        Rows.
    """
    rows = []
    for at, number in enumerate(np.asarray(curve.cells[-1].get("labelled", ())).tolist()):
        late = max(0, at - start) // batch_size + (at >= start)
        rows.append({"acquisition": curve.method, "seed": curve.seed, "round": late, "question": ids[number]})
    return rows


def write_curves(path: Path, curves: Sequence[Curve], parts: Sequence[str]) -> None:
    """Write `active.csv`, `curve.csv`, `results.csv` and `summary.csv` of all curves.

    `active.csv` has a row for each part, acquisition, seed and round. `curve.csv` has means and deviations over seeds
    of every round, with 95 % intervals over questions. `results.csv` and `summary.csv` have the last round, the average
    over the rounds after the first (`curve_accuracy`, `curve_nll`), and by how much that is better than by chance
    (`accuracy_gain`, `nll_gain`, both better if higher; compared question by question and seed by seed), if `random` is
    among the acquisitions.

    Args:
        path: of the run.
        curves: of all acquisitions and seeds, and of the model before tuning.
        parts: the test, the shifted test.
    """
    active = [row for curve in curves for row in active_rows(curve, parts)]
    active = sorted(active, key=lambda row: parts.index(row["dataset"]))
    write_table(path / "active.csv", active)
    resamples = _resampled(path, curves, parts)
    keys = ("dataset", "acquisition", "round", "labels")
    ends = resamples.intervals(("dataset", "method", "round", "labels"))
    write_table(path / "curve.csv", summarise(active, by=keys, names=SCORES, intervals=ends))
    last = {curve.method: len(curve.cells) - 1 for curve in curves}
    results = _results(active, last, resamples)
    write_table(path / "results.csv", results)
    names = list(dict.fromkeys(name for row in results for name in row if name not in ("dataset", "method", "seed")))
    chosen = {
        (part, method): values for (part, method, number, _), values in ends.items() if number == last[method]
    }  # fmt: skip
    for part, method in chosen:
        chosen[part, method] = {**chosen[part, method], **_gain_intervals(resamples, part, method, last)}
    write_table(path / "summary.csv", summarise(results, names=names, intervals=chosen))


def _labels_of(cell: Mapping[str, np.ndarray]) -> int:
    return len(cell.get("labelled", ()))


@jax.jit
def _metric(
    log_probs: Float[Array, "questions options"],
    labels: Int[Array, " questions"],
    averages: Float[Array, "questions 2"],
    *,
    where: Bool[Array, " questions"],
) -> Float[Array, "8"]:
    """The scores of a round, and the averages over the rounds up to it."""
    count = jnp.maximum(jnp.sum(where, dtype=averages.dtype), 1)
    means = jnp.where(where[:, None], averages, 0.0).sum(0) / count
    return jnp.concatenate([answer_scores(log_probs, labels, where=where), means])


def _resampled(path: Path, curves: Sequence[Curve], parts: Sequence[str]) -> Resamples:
    def examples(curve: Curve, number: int, part: str) -> Examples:
        cell = curve.cells[number]
        labels = jnp.asarray(cell[f"{part}/labels"])
        so_far = curve.cells[min(1, number) : number + 1]  # without the first, if there are others
        means = np.mean([_by_question(jnp.asarray(one[f"{part}/log_probs"]), labels) for one in so_far], axis=0)
        content = digest(cell[f"{part}/ids"], cell[f"{part}/questions"])
        return Examples((cell[f"{part}/log_probs"], labels, means), np.ones(len(labels), bool), content)

    scored = [
        Scored(
            {"dataset": part, "method": curve.method, "seed": curve.seed, "round": number, "labels": _labels_of(cell)},
            f"{curve.address} {number}", lambda curve=curve, number=number, part=part: examples(curve, number, part),
        )
        for part in parts
        for curve in curves
        for number, cell in enumerate(curve.cells)
    ]  # fmt: skip
    return resample_cells(path, scored, _metric, (*SCORES, *_AVERAGES), num_resamples=_RESAMPLES)


@jax.jit
def _by_question(log_probs: Array, labels: Array) -> Float[Array, "questions 2"]:
    """Whether each question was right, and its loss."""
    right = (jnp.argmax(log_probs, -1).astype(labels.dtype) == labels).astype(log_probs.dtype)
    return jnp.stack([right, answer_loss(log_probs, labels)], axis=1)


def _results(
    active: Sequence[Mapping[str, Any]], last: Mapping[str, int], resamples: Resamples
) -> list[dict[str, Any]]:
    """The last round of every curve, its averages, and what it gained over that of chance with the same seed."""
    at = {name: number for number, name in enumerate(resamples.names)}
    places = [at[name] for name in _AVERAGES]
    averages = {
        (cell["dataset"], cell["method"], cell["seed"]): estimates[places].tolist()
        for cell, estimates in zip(resamples.cells, resamples.estimates)
        if cell["round"] == last[cell["method"]]
    }
    results = []
    for row in active:
        if row["round"] != last[row["acquisition"]]:
            continue
        kept = {name: value for name, value in row.items() if name not in ("acquisition", "round", "labels")}
        found = {"dataset": kept.pop("dataset"), "method": row["acquisition"], "seed": kept.pop("seed")} | kept
        own, chance = (averages.get((row["dataset"], name, row["seed"])) for name in (row["acquisition"], "random"))
        found |= dict(zip(_AVERAGES, own or ()))
        if own and chance and row["acquisition"] not in ("base", "random"):
            found |= dict(zip(_GAINS, (own[0] - chance[0], chance[1] - own[1])))
        results.append(found)
    return results


def _gain_intervals(
    resamples: Resamples, part: str, method: str, last: Mapping[str, int]
) -> dict[str, tuple[float, float]]:
    if method in ("base", "random") or "random" not in last:
        return {}

    def of(name: str) -> Any:
        wanted = {"dataset": part, "method": name, "round": last[name]}
        return paired_scores(resamples, lambda cell: all(cell[key] == value for key, value in wanted.items()))

    own, chance, found = of(method), of("random"), {}
    for gain, average, better in zip(_GAINS, _AVERAGES, (1, -1)):
        ends = paired_interval(own[average], chance[average])
        if ends is not None:
            found[gain] = (ends[0], ends[1]) if better > 0 else (-ends[1], -ends[0])
    return found
