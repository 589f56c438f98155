"""Running the benchmark: train what is needed, forecast with every method, score, and write the result folder."""

import dataclasses
import pathlib
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from jaxuq._keys import named_key
from jaxuq.molecules.datasets import load_dataset
from jaxuq.molecules.muben.backbones import BACKBONES, Backbone
from jaxuq.molecules.muben.cells import finished_row, method_intervals, store_cell, summarise_rows, write_rows
from jaxuq.molecules.muben.configuration import MubenConfiguration, choose
from jaxuq.molecules.muben.methods import METHODS, label_units
from jaxuq.molecules.muben.problem import Problem, make_problem, one_class_tasks
from jaxuq.molecules.muben.scores import LEVEL, score_names
from jaxuq.molecules.muben.setting import Setting, Trained
from jaxuq.molecules.muben.trainings import trainer
from jaxuq.molecules.records import DataError, DataWarning, Split
from jaxuq.molecules.scaling import unscale_mean
from jaxuq.posterior import Forecast
from jaxuq.results import RunFolder, open_run
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
    configuration.check()
    began = time.monotonic()
    name, *others = choose(configuration.backbone, list(BACKBONES), "backbone")
    if others:
        raise DataError(f"one run has one backbone, not {configuration.backbone}: grid_cells makes a run for each")
    configuration = dataclasses.replace(configuration, backbone=name)
    backbone = BACKBONES[name](configuration)
    splits, notes = _load(configuration, listener)
    first = splits[0].train
    methods = select_methods(configuration.methods, first.task_type)
    folder = open_run(
        configuration.output_folder,
        system="muben",
        configuration=configuration.record() | {"methods": methods} | _weights(backbone),
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
        nominal_coverage=LEVEL,
        sizes={name: len(part.smiles) for name, part in zip(splits[0]._fields, splits[0])},
        rejected=[[item.row, item.text, item.reason] for item in first.rejected],
        notes=notes,
    )
    molecules = [(name, text) for name in ("valid", "test") for text in getattr(splits[0], name).smiles]
    write_rows(folder.predictions / "molecules.csv", [dict(zip(("part", "smiles"), pair)) for pair in molecules])

    rows: list[dict[str, Any]] = []
    for number, split in enumerate(splits):
        seeds = [number] if len(splits) > 1 else list(range(configuration.seeds))
        rows += _run_split(configuration, backbone, folder, split, methods, seeds, listener)
        folder.write_record(seconds=round(earlier + time.monotonic() - began, 1))
    rows.sort(key=lambda row: (methods.index(row["method"]), row["seed"]))
    write_rows(folder.path / "results.csv", rows)
    intervals = method_intervals(configuration, folder, methods) if len(splits) == 1 else {}
    write_rows(folder.path / "summary.csv", summarise_rows(rows, intervals, score_names(first.task_type)))
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


def _weights(backbone: Backbone) -> dict[str, str]:
    return {} if backbone.weights is None else {"weights": backbone.weights}


def _device() -> str:
    devices = jax.devices()
    return f"{devices[0].device_kind} x {len(devices)}"


def _load(configuration: MubenConfiguration, listener: Listener) -> tuple[list[Split], list[str]]:
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
    return (pathlib.Path(dataset).expanduser() / "train.csv").is_file()


def _run_split(
    configuration: MubenConfiguration,
    backbone: Backbone,
    folder: RunFolder,
    split: Split,
    methods: Sequence[str],
    seeds: Sequence[int],
    listener: Listener,
) -> list[dict[str, Any]]:
    """All methods and seeds on one split of the data; one row of results.csv each."""
    cells = [(method, seed) for method in methods for seed in seeds]
    rows = {cell: row for cell in cells if (row := finished_row(configuration, folder, split, *cell)) is not None}
    if len(rows) == len(cells):
        return [rows[cell] for cell in cells]
    problem = make_problem(split, backbone, listener.features)
    setting = _setting(configuration, problem, backbone, folder, listener, tag="-".join(map(str, seeds)))
    ensembles = any(METHODS[name].members == "all" for name in methods)
    trained = trainer(setting, seeds, configuration.num_members if ensembles else 1)
    for method in methods:
        missing = [seed for seed in seeds if (method, seed) not in rows]
        if not missing:
            continue
        networks = trained(METHODS[method].training)
        forecasts, seconds = _forecast(setting, method, networks, seeds)
        per_seed = configuration.num_members if METHODS[method].members == "all" else 1
        times = {"train_seconds": networks.seconds * per_seed, "predict_seconds": seconds / len(seeds)}
        for position, seed in enumerate(seeds):
            if seed not in missing:
                continue
            forecast = jax.tree.map(lambda leaf, i=position: leaf[i], forecasts)
            store_cell(folder, split, method, seed, forecast, times)
            row = finished_row(configuration, folder, split, method, seed)
            if row is None:
                raise OSError(f"the predictions of {method}, seed {seed} in {folder.path} cannot be read back")
            rows[method, seed] = row
            listener.scored(method, seed, row)
        write_rows(folder.path / "results.csv", list(rows.values()))
    return [rows[cell] for cell in cells]


def _setting(
    configuration: MubenConfiguration,
    problem: Problem,
    backbone: Backbone,
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

    names = ("learning_rate", "batch_size", "epochs", "patience")
    chosen = {name: getattr(configuration, name) for name in names}
    return Setting(
        problem=problem,
        make_network=backbone.network,
        recipe=backbone.recipe._replace(**{name: value for name, value in chosen.items() if value is not None}),
        samples=configuration.samples,
        frozen_backbone=configuration.frozen_backbone,
        muben=configuration.convention == "muben",
        fit=run,
        pretrained=None if backbone.pretrained is None else backbone.pretrained(),
        molecules_at_once=backbone.molecules_at_once,
        branches=backbone.branches,
    )


def _forecast(
    setting: Setting, name: str, networks: Trained, seeds: Sequence[int]
) -> tuple[tuple[Forecast, Forecast], float]:
    """Calibrated forecasts of validation and test part, seeds first, and the seconds they took once compiled."""
    method, problem = METHODS[name], setting.problem
    num_valid = problem.valid.labels.shape[0]

    def of_seed(networks: Trained, rng_key: Any, inputs: PyTree, train: Any) -> tuple[Forecast, Forecast]:
        both = label_units(problem, method.forecast(setting, networks, rng_key, inputs, train))
        return jax.tree.map(lambda leaf: leaf[:num_valid], both), jax.tree.map(lambda leaf: leaf[num_valid:], both)

    def of_all(stacked: tuple[Any, Any, Any], inputs: PyTree, train: Any) -> tuple[Forecast, Forecast]:
        def one(args: tuple[Any, Any, Any]) -> tuple[Forecast, Forecast]:
            params, observed, rng_key = args
            return of_seed(Trained(params, observed, networks.seconds), rng_key, inputs, train)

        return jax.lax.map(one, stacked)

    keys = jnp.stack([named_key(jax.random.key(seed), name, "forecast") for seed in seeds])
    inputs = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), problem.valid.inputs, problem.test.inputs)
    args = ((networks.params, networks.observed, keys), inputs, problem.train)
    compiled = jax.jit(of_all).lower(*args).compile()
    began = time.monotonic()
    valid, test = jax.block_until_ready(compiled(*args))
    if method.calibrator is not None:
        valid, test = _calibrate(method.calibrator(), problem, valid, test)
    return (valid, test), time.monotonic() - began


def _calibrate(calibrator: Any, problem: Problem, valid: Forecast, test: Forecast) -> tuple[Forecast, Forecast]:
    """Fit each seed's calibrator on its validation forecast and apply it to both parts."""
    labels = unscale_mean(problem.scaler, problem.valid.labels)
    states = [
        calibrator.fit(jax.tree.map(lambda leaf, i=i: leaf[i], valid), labels, where=problem.valid.mask)
        for i in range(jax.tree.leaves(valid)[0].shape[0])
    ]
    apply = jax.jit(jax.vmap(calibrator.apply))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    return apply(stacked, valid), apply(stacked, test)
