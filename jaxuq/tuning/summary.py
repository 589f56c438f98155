"""`results.csv` and `summary.csv` of a run: scores of each method, seed and part, and their intervals."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxuq._keys import named_key
from jaxuq.study import cell_arrays, write_text
from jaxuq.tuning.configuration import TuneConfiguration, method_names
from jaxuq.tuning.evaluation import SCORES, answer_scores, score_intervals

_score = jax.jit(answer_scores)
_Cells = dict[tuple[str, int], dict[str, np.ndarray]]


def write_results(path: Path, configuration: TuneConfiguration, labels: Mapping[str, np.ndarray]) -> None:
    """Score the predictions that are there: `results.csv`.

    It has a row for each part (the test, the shifted test), method and seed: the scores of `SCORES`, mean aleatoric and
    epistemic entropy, `text_nll` (of the texts on which forgetting is measured) and `forgetting`, its rise over that of
    the model before, and seconds.

    Args:
        path: of the run.
        configuration: normalised.
        labels: right answers of each part.
    """
    rows = _result_rows(_stored(path, configuration), configuration, labels)
    if rows:
        write_csv(path / "results.csv", rows)


def write_tables(path: Path, configuration: TuneConfiguration, labels: Mapping[str, np.ndarray]) -> None:
    """`results.csv` of `write_results`, and `summary.csv`: means and deviations over seeds, and 95 % intervals.

    Args:
        path: of the run, with every cell.
        configuration: normalised.
        labels: right answers of each part.
    """
    cells = _stored(path, configuration)
    rows, summary = _result_rows(cells, configuration, labels), []
    intervals = jax.jit(score_intervals)
    for part, right in labels.items():
        for method in method_names(configuration):
            own = [row for row in rows if (row["dataset"], row["method"]) == (part, method)]
            stacked = jnp.stack([jnp.asarray(cells[method, row["seed"]][f"{part}/log_probs"]) for row in own])
            lower, upper = intervals(named_key(jax.random.key(0), part), stacked, jnp.asarray(right))
            one: dict[str, Any] = {"dataset": part, "method": method, "num_seeds": len(own), "n": len(right)}
            for name in dict.fromkeys(name for row in own for name in row if name not in ("dataset", "method", "seed")):
                values = np.array([row.get(name, np.nan) for row in own])
                one[f"{name}_mean"] = values.mean()
                one[f"{name}_std"] = values.std(ddof=1) if len(values) > 1 else np.nan
            for name, low, high in zip(SCORES, np.asarray(lower), np.asarray(upper)):
                one |= {f"{name}_lower": low, f"{name}_upper": high}
            summary.append(one)
    write_csv(path / "results.csv", rows)
    write_csv(path / "summary.csv", summary)


def _stored(path: Path, configuration: TuneConfiguration) -> _Cells:
    found = {
        (method, seed): cell_arrays(path / "predictions" / f"{method}-{seed}.npz")
        for method in method_names(configuration)
        for seed in range(configuration.seeds)
    }
    return {name: arrays for name, arrays in found.items() if arrays is not None}


def _result_rows(
    cells: _Cells, configuration: TuneConfiguration, labels: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for part, right in labels.items():
        for method in method_names(configuration):
            for seed in range(configuration.seeds):
                cell = cells.get((method, seed))
                if cell is None:
                    continue
                values = np.asarray(_score(jnp.asarray(cell[f"{part}/log_probs"]), jnp.asarray(right)))
                row = {"dataset": part, "method": method, "seed": seed} | dict(zip(SCORES, values.tolist()))
                row |= {name: float(cell[f"{part}/{name}"].mean()) for name in ("aleatoric", "epistemic")}
                if "text_nll" in cell and ("base", seed) in cells:
                    row["text_nll"] = float(cell["text_nll"])
                    row["forgetting"] = row["text_nll"] - float(cells["base", seed]["text_nll"])
                rows.append(row | {name: float(cell[name]) for name in ("fit_seconds", "predict_seconds")})
    return rows


def over_seeds(
    names: Sequence[str], values: Float[np.ndarray, "seeds scores"], ends: tuple[Any, Any]
) -> dict[str, float]:
    """Mean, deviation and interval of scores, as columns of a summary.

    Args:
        names: of the scores.
        values: of every seed.
        ends: lower and upper ends of the intervals of their means.

    Returns:
        By column; the deviation of one seed is NaN.
    """
    row = {}
    for at, name in enumerate(names):
        row[f"{name}_mean"] = float(values[:, at].mean())
        row[f"{name}_std"] = float(values[:, at].std(ddof=1)) if len(values) > 1 else float("nan")
        row[f"{name}_lower"], row[f"{name}_upper"] = float(ends[0][at]), float(ends[1][at])
    return row


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table whose columns are those of all rows, in order of appearance.

    Args:
        path: of the file.
        rows: by column; a number that is not finite, or is not there, leaves a blank.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    write_text(path, buffer.getvalue())


def _cell(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return "" if not np.isfinite(value) else f"{float(value):.6g}"
    return value
