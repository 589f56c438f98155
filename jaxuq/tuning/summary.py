"""`results.csv` and `summary.csv` of a run: scores of each method, seed and part, and their intervals."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxuq.study import (
    Cell,
    Examples,
    Intervals,
    Plan,
    Scored,
    digest,
    prediction_rows,
    resample_cells,
    summarise,
    write_predictions,
    write_table,
)
from jaxuq.tuning.evaluation import SCORES, answer_scores, confidence_scores

SHOWN = ("accuracy", "nll", "ece")
_RESAMPLES = 500
_MEANS = ("aleatoric", "epistemic")
_SECONDS = ("fit_seconds", "predict_seconds")


class Scoring(NamedTuple):
    """How the arrays of a part become the scores of `SCORES`.

    Attributes:
        arrays: names of what the function takes, a question a row.
        scores: `scores(*arrays, where=...) -> [6]`.
    """

    arrays: tuple[str, ...]
    scores: Callable[..., Array]


ANSWERS = Scoring(("log_probs", "labels"), answer_scores)
"""Of distributions over the answers to choose from."""
CONFIDENCES = Scoring(("confidence", "correct"), confidence_scores)
"""Of one confidence an answer."""


@functools.cache  # one function each, so that it is compiled once per shape
def _compiled(scoring: Scoring) -> Callable[..., Array]:
    return jax.jit(lambda *arrays, where: scoring.scores(*arrays, where=where))


def _read(scoring: Scoring, cell: Mapping[str, np.ndarray], part: str) -> tuple[Array, ...]:
    return tuple(jnp.asarray(cell[f"{part}/{name}"]) for name in scoring.arrays)


def part_rows(
    scoring: Scoring, cell: Mapping[str, np.ndarray], parts: Sequence[str], method: str, seed: int
) -> list[dict[str, Any]]:
    """The rows of `results.csv` of a cell, one a part: scores, mean entropies, the loss on other texts, seconds.

    Args:
        scoring: of the run.
        cell: as it was read.
        parts: the test, the shifted test.
        method: its name.
        seed: its number.

    Returns:
        Rows.
    """
    rows = []
    for part in parts:
        arrays = _read(scoring, cell, part)
        values = _compiled(scoring)(*arrays, where=jnp.ones(len(arrays[0]), bool))
        row = {"dataset": part, "method": method, "seed": seed} | dict(zip(SCORES, values.tolist()))
        row |= {name: float(cell[f"{part}/{name}"].mean()) for name in _MEANS if f"{part}/{name}" in cell}
        row |= {name: float(cell[name]) for name in ("text_nll", *_SECONDS) if name in cell}
        rows.append(row)
    return rows


def with_forgetting(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How much the loss on other texts has risen over that of the model before.

    Args:
        rows: of `results.csv`.

    Returns:
        The same with a column `forgetting` where it is known, part by part.
    """
    before = {row["seed"]: row["text_nll"] for row in rows if row["method"] == "base" and "text_nll" in row}
    found = []
    for row in rows:
        row = dict(row)
        if "text_nll" in row and row["seed"] in before:
            place = list(row).index("text_nll") + 1
            further = {"forgetting": row["text_nll"] - before[row["seed"]]}
            row = dict([*list(row.items())[:place], *further.items(), *list(row.items())[place:]])
        found.append(row)
    order = list(dict.fromkeys(row["dataset"] for row in found))
    return sorted(found, key=lambda row: order.index(row["dataset"]))


def write_tables(
    folder: Path, scoring: Scoring, rows: Sequence[Mapping[str, Any]], plans: Sequence[Plan[Cell]]
) -> None:
    """Write `results.csv` and `summary.csv` of a run whose cells are finished.

    Args:
        folder: of the run.
        scoring: of the run.
        rows: of `part_rows`.
        plans: of the cells, whose `about` begins with the method and ends with the seed.
    """
    rows = with_forgetting(rows)
    write_table(folder / "results.csv", rows)
    for plan in plans:
        write_answers(plan.kept.path, plan.kept.read() or {})
    parts = list(dict.fromkeys(row["dataset"] for row in rows))
    names = [name for row in rows for name in row if name not in ("dataset", "method", "seed")]
    intervals = part_intervals(folder, scoring, plans, parts)
    write_table(folder / "summary.csv", summarise(rows, names=list(dict.fromkeys(names)), intervals=intervals))


def write_answers(path: Path, cell: Mapping[str, np.ndarray]) -> None:
    """Write the answers of a cell as a table beside it: a row a question, with its part and what was forecast.

    Args:
        path: of the arrays.
        cell: with `<part>/ids`, `<part>/questions` and what else there is of each question.
    """
    rows = []
    for name in cell:
        part, _, what = name.rpartition("/")
        if part and what == "ids":
            values = {key.removeprefix(f"{part}/"): cell[key] for key in cell if key.startswith(f"{part}/")}
            asked = {"part": [part] * len(values["ids"]), "id": values.pop("ids"), "question": values.pop("questions")}
            if "log_probs" in values:
                values["probability"] = np.exp(values.pop("log_probs"))
            rows += prediction_rows(asked, values)
    write_predictions(path, rows)


def part_intervals(folder: Path, scoring: Scoring, plans: Sequence[Plan[Cell]], parts: Sequence[str]) -> Intervals:
    """95 % intervals over questions of the means over seeds, all methods on the same resamples: `resamples.npz`.

    Args:
        folder: of the run.
        scoring: of the run.
        plans: of the cells, whose `about` begins with the method and ends with the seed.
        parts: the test, the shifted test.

    Returns:
        Ends by part and method.
    """

    def examples(plan: Plan[Cell], part: str) -> Examples:
        cell = plan.kept.read() or {}
        arrays = _read(scoring, cell, part)
        return Examples(arrays, jnp.ones(len(arrays[0]), bool), digest(cell[f"{part}/ids"], cell[f"{part}/questions"]))

    scored = [
        Scored(
            {"dataset": part, "method": plan.about[0], "seed": plan.about[-1]}, plan.kept.identity.address,
            lambda plan=plan, part=part: examples(plan, part),
        )
        for part in parts
        for plan in plans
    ]  # fmt: skip
    found = resample_cells(folder, scored, _compiled(scoring), SCORES, num_resamples=_RESAMPLES)
    return found.intervals(("dataset", "method"))
