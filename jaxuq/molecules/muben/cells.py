"""Cells of a run on disk: one method with one seed, its predictions, its row of results.csv, its resampled scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq.molecules.muben.configuration import MubenConfiguration
from jaxuq.molecules.muben.methods import METHODS
from jaxuq.molecules.muben.opening import Opened, Part
from jaxuq.molecules.muben.scores import example_rows, example_scores, score_forecast
from jaxuq.molecules.records import Split
from jaxuq.posterior import BernoulliForecast, Forecast, GaussianForecast
from jaxuq.study import Cell, Examples, Intervals, Scored, digest, prediction_rows, resample_cells, write_predictions

SECONDS = ("train_seconds", "predict_seconds")
KEYS = ("dataset", "split", "backbone", "method")


def method_cell(opened: Opened, part: Part, method: str, seed: int, name: str | None = None, **follows: Any) -> Cell:
    """Where the predictions of one method with one seed are, and what they follow from.

    Args:
        opened: the run.
        part: the data.
        method: its name.
        seed: its seed.
        name: what the cell is called; None: as the method.
        follows: what else its numbers follow from, such as the rows that had labels.

    Returns:
        The cell; one of other data, weights, options or of another version of the method counts as missing.
    """
    configuration, entry = opened.configuration, METHODS[method]
    options, defaults = configuration.cell_options()
    if entry.about.get("members") == "all":
        options |= {"members": configuration.num_members}
    own = {f"{method}.{option}": value for option, value in entry.options.items()}
    return opened.folder.cell(
        f"predictions/{name or method}-seed{seed}.npz",
        options=options | own,
        defaults=defaults | own,
        method=method,
        formula=entry.formula,
        code=entry.about.get("code"),
        data=part.data,
        backbone=configuration.backbone,
        backbone_formula=opened.entry.formula,
        weights=opened.backbone.weights,
        seed=seed,
        **follows,
    )


def cell_content(
    split: Split, forecasts: tuple[Forecast, Forecast], seconds: Mapping[str, float], **further: Any
) -> dict[str, Any]:
    """The predictions of one method with one seed, molecule by molecule.

    Args:
        split: the data, whose SMILES, labels and masks go into the file beside the forecasts.
        forecasts: of the validation and the test part, in label units.
        seconds: `train_seconds` and `predict_seconds`.
        further: arrays.

    Returns:
        Arrays by name.
    """
    arrays: dict[str, Any] = {**seconds, **further}
    for name, forecast in zip(("valid", "test"), forecasts):
        data = getattr(split, name)
        rows = {**forecast._asdict(), "labels": data.labels, "mask": data.mask, "smiles": np.array(data.smiles, str)}
        arrays |= {f"{name}_{field}": value for field, value in rows.items()}
    return arrays


def stored_forecast(arrays: Mapping[str, np.ndarray], part: str) -> tuple[Forecast, jax.Array, jax.Array]:
    """What a file of `cell_content` holds of a part.

    Args:
        arrays: of the file.
        part: `"valid"` or `"test"`.

    Returns:
        Forecast, labels, mask.
    """
    kind = GaussianForecast if f"{part}_mean" in arrays else BernoulliForecast
    forecast = kind(*(jnp.asarray(arrays[f"{part}_{field}"]) for field in kind._fields))
    return forecast, jnp.asarray(arrays[f"{part}_labels"], jnp.float32), jnp.asarray(arrays[f"{part}_mask"])


def write_cell_predictions(kept: Any, task_names: Sequence[str]) -> None:
    """The forecasts of the test part as a table: a row a molecule and task with its SMILES, beside the arrays.

    Args:
        kept: the cell, finished.
        task_names: of the data.
    """
    arrays = kept.read() or {}
    shape = arrays["test_labels"].shape
    columns = {"task": np.broadcast_to(np.array(task_names, str), shape), "label": arrays["test_labels"]}
    columns["label"] = np.where(arrays["test_mask"], columns["label"], np.nan)
    for name in ("mean", "logits", "aleatoric", "epistemic"):
        if f"test_{name}" in arrays:
            columns[name] = arrays[f"test_{name}"]
    if "logits" in columns:
        columns["probability"] = 1.0 / (1.0 + np.exp(-columns["logits"]))
    smiles = np.broadcast_to(arrays["test_smiles"][:, None], shape)
    named = {name: value.ravel() for name, value in columns.items()}
    write_predictions(kept, prediction_rows({"smiles": smiles.ravel()}, named))


def finished_row(
    configuration: MubenConfiguration, arrays: Mapping[str, np.ndarray], method: str, seed: int
) -> dict[str, Any]:
    """The line of results.csv of a cell that is on disk.

    Args:
        configuration: the run's.
        arrays: of `cell_content`, as they were read.
        method: its name.
        seed: its seed.

    Returns:
        The line, its scores computed from the stored predictions.
    """
    scores = score_forecast(
        *stored_forecast(arrays, "valid"), *stored_forecast(arrays, "test"), muben=configuration.convention == "muben"
    )
    return _keys(configuration, method, seed) | scores | {name: float(arrays[name]) for name in SECONDS}


def _keys(configuration: MubenConfiguration, method: str, seed: int) -> dict[str, Any]:
    names = (configuration.dataset_name, configuration.split, configuration.backbone, method)
    return dict(zip(KEYS, names)) | {"seed": seed}


def intervals_of(opened: Opened, cells: Sequence[tuple[str, int, Any]]) -> Intervals:
    """Bootstrap intervals over test molecules, all cells on the same resamples: `resamples.npz`.

    Args:
        opened: the run.
        cells: method, seed and place of every cell, all finished.

    Returns:
        Lower and upper ends by row of summary.csv and metric; none with `resamples` of 0, or several test parts.
    """
    configuration = opened.configuration
    if not configuration.resamples:
        return {}
    muben = configuration.convention == "muben"
    metric, names = example_scores(opened.parts[0].split.train.task_type, muben=muben)

    def examples(cell: Cell) -> Examples:
        arrays = cell.read() or {}
        forecast, labels, mask = stored_forecast(arrays, "test")
        part = digest(arrays["test_smiles"], np.asarray(labels), np.asarray(mask))
        return Examples((*example_rows(forecast, muben=muben), labels), mask, part)

    scored = [
        Scored(_keys(configuration, method, seed), cell.identity.address, lambda cell=cell: examples(cell))
        for method, seed, cell in cells
    ]
    count = configuration.resamples
    return resample_cells(opened.folder.path, scored, metric, names, num_resamples=count).intervals(KEYS)
