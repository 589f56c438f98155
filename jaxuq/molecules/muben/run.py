"""Running the benchmark: train what is needed, forecast with every method, score, and write the result folder."""

import csv
import io
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq._keys import named_key
from jaxuq.molecules.datasets import load_dataset
from jaxuq.molecules.muben import trainings
from jaxuq.molecules.muben.backbones import BACKBONES, Recipe
from jaxuq.molecules.muben.configuration import MubenConfiguration, choose
from jaxuq.molecules.muben.methods import METHODS, label_units
from jaxuq.molecules.muben.problem import Problem, make_problem, one_class_tasks
from jaxuq.molecules.muben.scores import score_forecast, score_intervals, score_names
from jaxuq.molecules.muben.trainings import Setting, Trained
from jaxuq.molecules.records import DataError, DataWarning, MoleculeDataset, Split
from jaxuq.posterior import BernoulliForecast, Forecast, GaussianForecast
from jaxuq.results import RunFolder, open_run, read_arrays, write_arrays, write_text
from jaxuq.training import Fitted, Progress, Training, TrainState, fit


class Listener(NamedTuple):
    """Who is told what a run is doing; each function may do nothing.

    Attributes:
        features: `features(done, total)` molecules featurised.
        training: `training(name, progress)` after each chunk of epochs.
        scored: `scored(method, seed, scores)` when a cell is finished.
        message: `message(text)` for warnings and notes.
    """

    features: Callable[[int, int], None] = lambda done, total: None
    training: Callable[[str, Progress], None] = lambda name, progress: None
    scored: Callable[[str, int, dict[str, float]], None] = lambda method, seed, scores: None
    message: Callable[[str], None] = lambda text: None


def run_muben(configuration: MubenConfiguration, listener: Listener | None = None) -> RunFolder:
    """Run the benchmark and write its result folder; go on where an interrupted run left off.

    One cell is a method with a seed. A finished cell is on disk and is not computed again; an unfinished training
    continues from its checkpoint. Results do not depend on which methods are run together, on interruptions, or on
    the strategy.

    Args:
        configuration: the options of `jaxuq muben`.
        listener: who is told about progress.

    Returns:
        The result folder, complete.

    Raises:
        DataError: the data or an option is at fault.
        RunFolderError: the output folder holds something else.
    """
    listener = listener or Listener()
    began = time.monotonic()
    if configuration.backbone not in BACKBONES:
        choose(configuration.backbone, list(BACKBONES), "backbone")
    splits, notes = _load(configuration, listener)
    first = splits[0].train
    methods = select_methods(configuration.methods, first.task_type)
    folder = open_run(
        configuration.output_folder,
        system="muben",
        configuration=configuration.record() | {"methods": methods},
        device=_device(),
        resume=configuration.resume,
    )
    earlier = float(folder.record.get("seconds", 0.0))
    notes += [
        f"{name}: the test part has one class only, so AUROC and average precision are undefined and left out"
        for name in one_class_tasks(splits[0])
    ]
    folder.write_record(
        status="running",
        task_type=first.task_type,
        task_names=list(first.task_names),
        metric=first.metric,
        sizes={name: len(part.smiles) for name, part in zip(splits[0]._fields, splits[0])},
        rejected=[[item.row, item.text, item.reason] for item in first.rejected],
        notes=notes,
    )
    _write_molecules(folder, splits[0])

    rows: list[dict[str, Any]] = []
    for number, split in enumerate(splits):
        seeds = [number] if len(splits) > 1 else list(range(configuration.seeds))
        cells = [(method, seed) for method in methods for seed in seeds]
        rows += _run_group(configuration, folder, split, seeds, cells, listener)
        folder.write_record(seconds=round(earlier + time.monotonic() - began, 1))
    rows.sort(key=lambda row: (methods.index(row["method"]), row["seed"]))
    _write_rows(folder.path / "results.csv", rows)
    intervals = _intervals(configuration, folder, methods) if len(splits) == 1 else {}
    _write_rows(folder.path / "summary.csv", summarise_rows(rows, intervals, score_names(first.task_type)))
    folder.write_record(status="complete", seconds=round(earlier + time.monotonic() - began, 1))
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
    return folder


def select_methods(names: str, task_type: str) -> list[str]:
    """The methods that `--methods` names, in the order given.

    Args:
        names: separated by commas; `"all"` and `"muben"` stand for all that apply to the task type.
        task_type: `"classification"` or `"regression"`.

    Returns:
        Names of methods.

    Raises:
        DataError: an unknown name, or one that does not apply to the task type.

    Example:
        >>> select_methods("muben", "regression")
        ['deterministic', 'mc-dropout', 'swag', 'bbp', 'sgld', 'ensemble']
    """
    applicable = [name for name, method in METHODS.items() if task_type in method.task_types]
    chosen: list[str] = []
    for name in choose(names, [*METHODS, "all", "muben"], "method"):
        if name in ("all", "muben"):
            chosen += [other for other in applicable if name == "all" or METHODS[other].published]
        elif name not in applicable:
            raise DataError(
                f"method {name!r} is for {METHODS[name].task_types[0]} and this data set is for {task_type}; "
                f"there are {', '.join(applicable)}"
            )
        else:
            chosen.append(name)
    return list(dict.fromkeys(chosen))


def _device() -> str:
    devices = jax.devices()
    return f"{devices[0].device_kind} x {len(devices)}"


def _load(configuration: MubenConfiguration, listener: Listener) -> tuple[list[Split[MoleculeDataset]], list[str]]:
    """One split for all seeds, or a random one for each; warnings become notes of the run."""
    divided = configuration.split == "scaffold" or (_is_split_folder(configuration.dataset))
    columns = configuration.task_columns
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        splits = [
            load_dataset(
                configuration.dataset,
                configuration.split,
                seed=seed,
                folder=configuration.data,
                smiles_column=configuration.smiles_column,
                task_columns=[name.strip() for name in columns.split(",")] if columns else None,
                task_type=configuration.task_type,
            )
            for seed in (range(1) if divided else range(configuration.seeds))
        ]
    notes = list(dict.fromkeys(str(item.message) for item in caught if issubclass(item.category, DataWarning)))
    for note in notes:
        listener.message(note)
    return splits, notes


def _is_split_folder(dataset: str) -> bool:
    from pathlib import Path

    return (Path(dataset).expanduser() / "train.csv").is_file()


def _run_group(
    configuration: MubenConfiguration,
    folder: RunFolder,
    split: Split[MoleculeDataset],
    seeds: Sequence[int],
    cells: Sequence[tuple[str, int]],
    listener: Listener,
) -> list[dict[str, Any]]:
    """All cells of one split of the data."""
    rows = {cell: row for cell in cells if (row := _finished(configuration, folder, split, *cell)) is not None}
    missing = [cell for cell in cells if cell not in rows]
    if missing:
        backbone = BACKBONES[configuration.backbone]
        problem = make_problem(split, backbone, configuration.features, listener.features)
        setting = _setting(configuration, problem, backbone.recipe, folder, listener, tag="-".join(map(str, seeds)))
        trained = _Trainings(setting, seeds, configuration.num_members, {METHODS[name].members for name, _ in cells})
        for method, seed in missing:
            row = _run_cell(configuration, folder, split, setting, trained, method, seed, list(seeds).index(seed))
            rows[method, seed] = row
            listener.scored(method, seed, row)
            _write_rows(folder.path / "results.csv", list(rows.values()))
    return [rows[cell] for cell in cells]


def _setting(
    configuration: MubenConfiguration,
    problem: Problem,
    recipe: Recipe,
    folder: RunFolder,
    listener: Listener,
    tag: str,
) -> Setting:
    def run(name: str, training: Training, state: TrainState, num_epochs: int) -> Fitted:
        return fit(
            training,
            state,
            problem.train,
            problem.valid,
            num_epochs=num_epochs,
            strategy=configuration.strategy,
            checkpoint=folder.checkpoints / f"{name}-seeds-{tag}",
            on_progress=lambda progress: listener.training(name, progress),
        )

    return Setting(
        problem=problem,
        make_network=BACKBONES[configuration.backbone].network,
        learning_rate=configuration.learning_rate or recipe.learning_rate,
        batch_size=configuration.batch_size or recipe.batch_size,
        epochs=configuration.epochs or recipe.epochs,
        patience=configuration.patience or recipe.patience,
        samples=configuration.samples,
        frozen_backbone=configuration.frozen_backbone,
        muben=configuration.convention == "muben",
        fit=run,
    )


class _Trainings:
    """Trained networks by the name of their training, each trained when first asked for."""

    def __init__(self, setting: Setting, seeds: Sequence[int], num_members: int, members: set[str]):
        self._setting, self._seeds = setting, seeds
        self._num_members = num_members if "all" in members else 1
        self._done: dict[str, Trained] = {}

    def __getitem__(self, name: str) -> Trained:
        if name not in self._done:
            self._done[name] = self._train(name)
        return self._done[name]

    def _train(self, name: str) -> Trained:
        setting, seeds, task_type = self._setting, self._seeds, self._setting.problem.task_type
        if name == "network":
            head = trainings.likelihood_head(task_type)
            return trainings.train_networks(setting, name, head, seeds, self._num_members)
        if name == "focal":
            return trainings.train_networks(setting, name, trainings.focal_head(), seeds, 1)
        if name == "evidential":
            return trainings.train_networks(setting, name, trainings.evidential_head(task_type), seeds, 1)
        if name == "swag":
            return trainings.train_swag(setting, self["network"], seeds)
        return {"bbp": trainings.train_bbp, "sgld": trainings.train_sgld}[name](setting, seeds)


def _run_cell(
    configuration: MubenConfiguration,
    folder: RunFolder,
    split: Split[MoleculeDataset],
    setting: Setting,
    trained: _Trainings,
    name: str,
    seed: int,
    position: int,
) -> dict[str, Any]:
    """Forecast, calibrate, store and score one method with one seed."""
    method, problem = METHODS[name], setting.problem
    networks = trained[method.training]
    rng_key = named_key(jax.random.key(seed), name, "forecast")
    both = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), problem.valid.inputs, problem.test.inputs)
    began = time.monotonic()
    forecast = label_units(problem, method.forecast(setting, networks, position, rng_key, both))
    cut = len(split.valid.smiles)
    valid = jax.tree.map(lambda leaf: leaf[:cut], forecast)
    test = jax.tree.map(lambda leaf: leaf[cut:], forecast)
    if method.calibrator is not None:
        calibrator = method.calibrator()
        state = calibrator.fit(valid, jnp.asarray(split.valid.labels), where=problem.valid.mask)
        valid, test = calibrator.apply(state, valid), calibrator.apply(state, test)
    jax.block_until_ready(test)
    seconds = {
        "train_seconds": networks.seconds * (configuration.num_members if method.members == "all" else 1),
        "predict_seconds": time.monotonic() - began,
    }
    parts = {"valid": (valid, split.valid), "test": (test, split.test)}
    arrays = {
        f"{part}_{key}": value
        for part, (values, data) in parts.items()
        for key, value in {**values._asdict(), "labels": data.labels, "mask": data.mask}.items()
    }
    write_arrays(_cell_file(folder, name, seed), arrays | seconds)
    return _row(configuration, folder, split, name, seed)


def _cell_file(folder: RunFolder, method: str, seed: int) -> Any:
    return folder.predictions / f"{method}-seed{seed}.npz"


def _forecasts(arrays: dict[str, np.ndarray], part: str) -> tuple[Forecast, jax.Array, jax.Array]:
    kind = GaussianForecast if f"{part}_mean" in arrays else BernoulliForecast
    forecast = kind(*(jnp.asarray(arrays[f"{part}_{field}"]) for field in kind._fields))
    return forecast, jnp.asarray(arrays[f"{part}_labels"]), jnp.asarray(arrays[f"{part}_mask"])


def _finished(
    configuration: MubenConfiguration, folder: RunFolder, split: Split[MoleculeDataset], method: str, seed: int
) -> dict[str, Any] | None:
    """The row of a cell that is on disk whole and belongs to these data, else None."""
    arrays = read_arrays(_cell_file(folder, method, seed))
    if arrays is None or not np.array_equal(arrays.get("test_labels"), split.test.labels):
        return None
    return _row(configuration, folder, split, method, seed)


def _row(
    configuration: MubenConfiguration, folder: RunFolder, split: Split[MoleculeDataset], method: str, seed: int
) -> dict[str, Any]:
    """One line of results.csv, from the stored predictions."""
    arrays = read_arrays(_cell_file(folder, method, seed))
    if arrays is None:
        raise OSError(f"{_cell_file(folder, method, seed)} has vanished or is damaged; run the command again")
    scores = score_forecast(
        *_forecasts(arrays, "valid"), *_forecasts(arrays, "test"), muben=configuration.convention == "muben"
    )
    where = {
        "dataset": configuration.dataset_name,
        "split": configuration.split,
        "backbone": configuration.backbone,
        "method": method,
        "seed": seed,
    }
    seconds = {name: float(arrays[name]) for name in ("train_seconds", "predict_seconds")}
    return where | scores | seconds


def _intervals(
    configuration: MubenConfiguration, folder: RunFolder, methods: Sequence[str]
) -> dict[str, dict[str, tuple[float, float]]]:
    """Bootstrap intervals of each method; the same resamples of molecules for all, so that methods can be compared."""
    if not configuration.resamples:
        return {}
    intervals = {}
    for method in methods:
        stored = [read_arrays(_cell_file(folder, method, seed)) for seed in range(configuration.seeds)]
        cells = [_forecasts(arrays, "test") for arrays in stored if arrays is not None]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(forecast for forecast, _, _ in cells))
        intervals[method] = score_intervals(
            named_key(jax.random.key(0), "bootstrap"),
            stacked,
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
            line[f"{name}_mean"] = values.mean() if values.size else np.nan
            line[f"{name}_std"] = values.std(ddof=1) if values.size > 1 else np.nan
            line[f"{name}_lower"], line[f"{name}_upper"] = lower, upper
        for name in ("train_seconds", "predict_seconds"):
            if name in own[0]:
                line[f"{name}_mean"] = float(np.mean([row[name] for row in own]))
        lines.append(line)
    return lines


def _write_rows(path: Any, rows: Sequence[dict[str, Any]]) -> None:
    """A CSV file, atomically; what is not a number is left blank."""

    def text(value: Any) -> Any:
        return "" if isinstance(value, float) and not np.isfinite(value) else value

    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: text(value) for key, value in row.items()} for row in rows)
    write_text(path, buffer.getvalue())


def _write_molecules(folder: RunFolder, split: Split[MoleculeDataset]) -> None:
    """Which molecule each row of a prediction belongs to."""
    rows = [{"part": name, "smiles": text} for name in ("valid", "test") for text in getattr(split, name).smiles]
    _write_rows(folder.predictions / "molecules.csv", rows)


__all__ = ["Listener", "run_muben", "select_methods", "summarise_rows"]
