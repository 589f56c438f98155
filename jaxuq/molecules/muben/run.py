"""Running the benchmark: train what is needed, forecast with every method, score, and write the result folder."""

import shutil
import time
from collections.abc import Sequence
from typing import Any

import jax

from jaxuq._programs import forget_programs_if_many
from jaxuq.molecules.muben.backbones import Backbone
from jaxuq.molecules.muben.cells import finished_row, method_intervals, store_cell, summarise_rows, write_rows
from jaxuq.molecules.muben.configuration import MubenConfiguration
from jaxuq.molecules.muben.forecasting import forecast_parts, make_setting
from jaxuq.molecules.muben.listener import Listener
from jaxuq.molecules.muben.methods import METHODS
from jaxuq.molecules.muben.opening import begin_run
from jaxuq.molecules.muben.problem import make_problem
from jaxuq.molecules.muben.scores import score_names
from jaxuq.molecules.muben.trainings import trainer
from jaxuq.molecules.records import Split
from jaxuq.results import RunFolder


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
    listener, began = listener or Listener(), time.monotonic()
    configuration, backbone, splits, methods, folder, earlier = opened = begin_run(configuration, "muben", listener)
    molecules = [(name, text) for name in ("valid", "test") for text in getattr(splits[0], name).smiles]
    write_rows(folder.predictions / "molecules.csv", [dict(zip(("part", "smiles"), pair)) for pair in molecules])

    rows: list[dict[str, Any]] = []
    for split, seeds in zip(splits, opened.seeds):
        rows += _run_split(configuration, backbone, folder, split, methods, seeds, listener)
        folder.write_record(seconds=round(earlier + time.monotonic() - began, 1))
    rows.sort(key=lambda row: (methods.index(row["method"]), row["seed"]))
    write_rows(folder.path / "results.csv", rows)
    intervals = method_intervals(configuration, folder, methods) if len(splits) == 1 else {}
    write_rows(folder.path / "summary.csv", summarise_rows(rows, intervals, score_names(splits[0].train.task_type)))
    folder.write_record(status="complete", seconds=round(earlier + time.monotonic() - began, 1))
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
    return folder


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
    setting = make_setting(configuration, problem, backbone, folder, listener, tag="-".join(map(str, seeds)))
    ensembles = any(METHODS[name].members == "all" for name in methods)
    trained = trainer(setting, seeds, configuration.num_members if ensembles else 1)
    for method in methods:
        missing = [seed for seed in seeds if (method, seed) not in rows]
        if not missing:
            continue
        networks = trained(METHODS[method].training)
        forecasts, seconds = forecast_parts(setting, method, networks, seeds)
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
        forget_programs_if_many()
    return [rows[cell] for cell in cells]
