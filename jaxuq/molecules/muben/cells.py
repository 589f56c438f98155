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
from jaxuq.molecules.muben.scores import score_forecast, score_intervals
from jaxuq.molecules.records import Split
from jaxuq.posterior import BernoulliForecast, Forecast, GaussianForecast
from jaxuq.results import RunFolder, read_arrays, write_arrays, write_text

_SECONDS = ("train_seconds", "predict_seconds")


def cell_file(folder: RunFolder, method: str, seed: int) -> pathlib.Path:
    """Where the predictions of one method with one seed are."""
    return folder.predictions / f"{method}-seed{seed}.npz"


def store_cell(
    folder: RunFolder,
    split: Split,
    method: str,
    seed: int,
    forecasts: tuple[Forecast, Forecast],
    seconds: Mapping[str, float],
) -> None:
    """Write the predictions of one method with one seed.

    Args:
        folder: the run's.
        split: the data, whose labels go into the file beside the forecasts.
        method: its name.
        seed: its seed.
        forecasts: of the validation and the test part, in label units.
        seconds: `train_seconds` and `predict_seconds`.
    """
    arrays: dict[str, Any] = dict(seconds)
    for part, forecast in zip(("valid", "test"), forecasts):
        data = getattr(split, part)
        for name, value in {**forecast._asdict(), "labels": data.labels, "mask": data.mask}.items():
            arrays[f"{part}_{name}"] = value
    write_arrays(cell_file(folder, method, seed), arrays)


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


def finished_row(
    configuration: MubenConfiguration, folder: RunFolder, split: Split, method: str, seed: int
) -> dict[str, Any] | None:
    """The line of results.csv of a cell that is on disk.

    Args:
        configuration: the run's.
        folder: the run's.
        split: the data; a cell of other test labels does not count.
        method: its name.
        seed: its seed.

    Returns:
        The line, its scores computed from the stored predictions, or None when the cell is missing or damaged.
    """
    arrays = read_arrays(cell_file(folder, method, seed))
    if arrays is None or not np.array_equal(arrays.get("test_labels", np.zeros(0)), split.test.labels):
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


def method_intervals(
    configuration: MubenConfiguration, folder: RunFolder, methods: Sequence[str]
) -> dict[str, dict[str, tuple[float, float]]]:
    """Bootstrap intervals of each method over test molecules, all methods on the same resamples.

    Args:
        configuration: the run's; `resamples` of 0 gives no intervals.
        folder: the run's, with every cell finished and all of the same test part.
        methods: their names.

    Returns:
        Lower and upper ends by method and metric.
    """
    if not configuration.resamples:
        return {}
    intervals = {}
    for method in methods:
        stored = [read_arrays(cell_file(folder, method, seed)) for seed in range(configuration.seeds)]
        cells = [stored_forecast(arrays, "test") for arrays in stored if arrays is not None]
        intervals[method] = score_intervals(
            named_key(jax.random.key(0), "bootstrap"),
            jax.tree.map(lambda *leaves: jnp.stack(leaves), *(forecast for forecast, _, _ in cells)),
            *cells[0][1:],
            num_resamples=configuration.resamples,
            muben=configuration.convention == "muben",
        )
    return intervals


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
