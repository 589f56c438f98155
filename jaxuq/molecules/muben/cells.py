"""Cells of a run on disk: one method with one seed, its predictions, its row of results.csv, and what sums them up."""

import csv
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq._keys import named_key
from jaxuq.molecules.muben.configuration import MubenConfiguration
from jaxuq.molecules.muben.methods import METHODS
from jaxuq.molecules.muben.opening import Opened, Part
from jaxuq.molecules.muben.scores import score_forecast, score_intervals
from jaxuq.molecules.records import Split
from jaxuq.posterior import BernoulliForecast, Forecast, GaussianForecast
from jaxuq.study import Cell, digest, write_arrays, write_text

_SECONDS = ("train_seconds", "predict_seconds")


def method_cell(opened: Opened, part: Part, method: str, seed: int, name: str | None = None, *content: Any) -> Cell:
    """Where the predictions of one method with one seed are, and what they follow from.

    Args:
        opened: the run.
        part: the data.
        method: its name.
        seed: its seed.
        name: what the cell is called; None: as the method.
        content: what else its numbers follow from, such as the rows that had labels.

    Returns:
        The cell; one of other data, weights, options or of another version of the method counts as missing.
    """
    configuration, entry = opened.configuration, METHODS[method]
    options = configuration.cell_options() | ({"members": configuration.num_members} if entry.members == "all" else {})
    return opened.folder.cell(
        f"predictions/{name or method}-seed{seed}.npz",
        *(method, entry.version, part.data, opened.backbone.weights, configuration.backbone, options, seed, *content),
    )


def store_cell(
    cell: Cell, split: Split, forecasts: tuple[Forecast, Forecast], seconds: Mapping[str, float], **further: Any
) -> None:
    """Write the predictions of one method with one seed, molecule by molecule.

    Args:
        cell: of `method_cell`.
        split: the data, whose SMILES, labels and masks go into the file beside the forecasts.
        forecasts: of the validation and the test part, in label units.
        seconds: `train_seconds` and `predict_seconds`.
        further: arrays.
    """
    arrays: dict[str, Any] = {**seconds, **further}
    for name, forecast in zip(("valid", "test"), forecasts):
        data = getattr(split, name)
        rows = {**forecast._asdict(), "labels": data.labels, "mask": data.mask, "smiles": np.array(data.smiles, str)}
        arrays |= {f"{name}_{field}": value for field, value in rows.items()}
    cell.write(arrays)


def stored_forecast(arrays: Mapping[str, np.ndarray], part: str) -> tuple[Forecast, jax.Array, jax.Array]:
    """What a file of `store_cell` holds of a part.

    Args:
        arrays: of the file.
        part: `"valid"` or `"test"`.

    Returns:
        Forecast, labels, mask.
    """
    kind = GaussianForecast if f"{part}_mean" in arrays else BernoulliForecast
    forecast = kind(*(jnp.asarray(arrays[f"{part}_{field}"]) for field in kind._fields))
    return forecast, jnp.asarray(arrays[f"{part}_labels"], jnp.float32), jnp.asarray(arrays[f"{part}_mask"])


def finished_row(configuration: MubenConfiguration, cell: Cell, method: str, seed: int) -> dict[str, Any] | None:
    """The line of results.csv of a cell that is on disk.

    Args:
        configuration: the run's.
        cell: of `method_cell`.
        method: its name.
        seed: its seed.

    Returns:
        The line, its scores computed from the stored predictions, or None when the cell is missing or damaged.
    """
    arrays = cell.read()
    if arrays is None:
        return None
    scores = score_forecast(
        *stored_forecast(arrays, "valid"), *stored_forecast(arrays, "test"), muben=configuration.convention == "muben"
    )
    where = {
        "dataset": configuration.dataset_name,
        "split": configuration.split,
        "backbone": configuration.backbone,
        "method": method,
        "seed": seed,
    }
    return where | scores | {name: float(arrays[name]) for name in _SECONDS}


def method_intervals(opened: Opened) -> dict[str, dict[str, tuple[float, float]]]:
    """Bootstrap intervals of each method over test molecules, all methods on the same resamples: `resamples.npz`.

    Args:
        opened: the run, with every cell finished; `resamples` of 0 gives no intervals, nor do several test parts.

    Returns:
        Lower and upper ends by method and metric.
    """
    configuration = opened.configuration
    if not configuration.resamples or len(opened.parts) > 1:
        return {}
    (part,) = opened.parts
    intervals = {}
    for method in opened.methods:
        stored = [method_cell(opened, part, method, seed).read() for seed in part.seeds]
        cells = [stored_forecast(arrays, "test") for arrays in stored if arrays is not None]
        intervals[method] = score_intervals(
            named_key(jax.random.key(0), "bootstrap"),
            jax.tree.map(lambda *leaves: jnp.stack(leaves), *(forecast for forecast, _, _ in cells)),
            *cells[0][1:],
            num_resamples=configuration.resamples,
            muben=configuration.convention == "muben",
        )
    part_digest = np.frombuffer(bytes.fromhex(digest(*(np.asarray(a) for a in cells[0][1:]))), np.uint8)
    arrays = {f"{m}/{name}": values[2] for m, own in intervals.items() for name, values in own.items()}
    write_arrays(opened.folder.path / "resamples.npz", arrays | {"part": part_digest})
    return {m: {name: values[:2] for name, values in own.items()} for m, own in intervals.items()}


def summarise_rows(
    rows: Sequence[dict[str, Any]],
    intervals: dict[str, dict[str, tuple[float, float]]],
    names: Sequence[str],
) -> list[dict[str, Any]]:
    """The lines of summary.csv: mean and sample standard deviation over seeds, and bootstrap intervals.

    Args:
        rows: the lines of results.csv.
        intervals: by method and metric; may be empty.
        names: the metrics.

    Returns:
        One line per method, in the order of `rows`; a seed on which a metric is undefined is left out of its mean.

    Example:
        >>> rows = [{"method": "swag", "seed": seed, "rmse": value} for seed, value in enumerate((1.0, 3.0))]
        >>> line = summarise_rows(rows, {"swag": {"rmse": (0.5, 3.5)}}, ["rmse"])[0]
        >>> line["rmse_mean"], round(line["rmse_std"], 3), line["rmse_lower"], line["num_seeds"]
        (2.0, 1.414, 0.5, 2)
    """
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        where = ("dataset", "split", "backbone", "method")
        line = {key: own[0][key] for key in where if key in own[0]} | {"num_seeds": len(own)}
        for name in names:
            values = np.array([row[name] for row in own], np.float64)
            values = values[~np.isnan(values)]
            lower, upper = intervals.get(method, {}).get(name, (np.nan, np.nan))
            line[f"{name}_mean"] = float(values.mean()) if values.size else np.nan
            spread = values.size > 1 and np.isfinite(values).all()  # a conformal interval may be infinite
            line[f"{name}_std"] = float(values.std(ddof=1)) if spread else np.nan
            line[f"{name}_lower"], line[f"{name}_upper"] = lower, upper
        for name in _SECONDS:
            if name in own[0]:
                line[f"{name}_mean"] = float(np.mean([row[name] for row in own]))
        lines.append(line)
    return lines


def write_rows(path: pathlib.Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV file atomically; a NaN is left blank, an infinity (too few labels for conformal) is written `inf`.

    Args:
        path: the file.
        rows: at least one; the first one's keys are the columns.
    """

    def text(value: Any) -> Any:
        return "" if isinstance(value, float) and np.isnan(value) else value

    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: text(value) for key, value in row.items()} for row in rows)
    write_text(path, buffer.getvalue())
