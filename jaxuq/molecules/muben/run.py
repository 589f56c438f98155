"""Running the benchmark: train what is needed, forecast with every method, score, and write the result folder."""

import shutil
import time
from typing import Any

import jax

from jaxuq._programs import forget_programs_if_many
from jaxuq.molecules.muben.cells import (
    finished_row,
    method_cell,
    method_intervals,
    store_cell,
    summarise_rows,
    write_rows,
)
from jaxuq.molecules.muben.configuration import MubenConfiguration
from jaxuq.molecules.muben.forecasting import forecast_parts, make_setting
from jaxuq.molecules.muben.listener import Listener
from jaxuq.molecules.muben.methods import METHODS
from jaxuq.molecules.muben.opening import Opened, Part, begin_run
from jaxuq.molecules.muben.problem import make_problem
from jaxuq.molecules.muben.scores import score_names
from jaxuq.molecules.muben.trainings import trainer
from jaxuq.study import RunFolder


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
    with begin_run(configuration, "muben", listener) as opened:
        folder = opened.folder
        table = _Table(opened)
        for part in opened.parts:
            _run_part(opened, part, table, listener)
            folder.write_record(seconds=round(opened.seconds + time.monotonic() - began, 1))
        names = score_names(opened.parts[0].split.train.task_type)
        write_rows(folder.path / "summary.csv", summarise_rows(table.lines(), method_intervals(opened), names))
        folder.write_record(status="complete", seconds=round(opened.seconds + time.monotonic() - began, 1))
        shutil.rmtree(folder.checkpoints, ignore_errors=True)
    return folder


class _Table:
    """The lines of results.csv of the cells that are finished; the file is what is on disk, from the beginning on."""

    def __init__(self, opened: Opened):
        self._opened = opened
        self._rows: dict[tuple[str, int], dict[str, Any]] = {}
        for part in opened.parts:
            for method in opened.methods:
                for seed in part.seeds:
                    self._read(part, method, seed)
        self._write()

    def __contains__(self, cell: tuple[str, int]) -> bool:
        return cell in self._rows

    def lines(self) -> list[dict[str, Any]]:
        """In the order of the methods asked for, then of seeds."""
        order = self._opened.methods
        return [self._rows[cell] for cell in sorted(self._rows, key=lambda cell: (order.index(cell[0]), cell[1]))]

    def add(self, part: Part, method: str, seed: int) -> dict[str, Any]:
        """The line of a cell that has just been stored, as it is read back."""
        row = self._read(part, method, seed)
        if row is None:
            raise OSError(f"the predictions of {method}, seed {seed} in {self._opened.folder.path} cannot be read back")
        self._write()
        return row

    def _read(self, part: Part, method: str, seed: int) -> dict[str, Any] | None:
        cell = method_cell(self._opened, part, method, seed)
        row = finished_row(self._opened.configuration, cell, method, seed)
        if row is not None:
            self._rows[method, seed] = row
        return row

    def _write(self) -> None:
        if self._rows:
            write_rows(self._opened.folder.path / "results.csv", self.lines())


def _run_part(opened: Opened, part: Part, table: _Table, listener: Listener) -> None:
    """All methods and seeds on one division of the data."""
    configuration, folder, seeds = opened.configuration, opened.folder, part.seeds
    if all((method, seed) in table for method in opened.methods for seed in seeds):
        return
    members = configuration.num_members if any(METHODS[name].members == "all" for name in opened.methods) else 1
    problem = make_problem(part.split, opened.backbone, listener.features)
    tag = f"{'-'.join(map(str, seeds))}-of-{members}"
    setting = make_setting(configuration, problem, opened.backbone, folder, listener, tag=tag)
    trained = trainer(setting, seeds, members)
    for method in opened.methods:
        missing = [seed for seed in seeds if (method, seed) not in table]
        if not missing:
            continue
        networks = trained(METHODS[method].training)
        forecasts, seconds = forecast_parts(setting, method, networks, seeds)
        per_seed = configuration.num_members if METHODS[method].members == "all" else 1
        times = {"train_seconds": networks.seconds * per_seed, "predict_seconds": seconds / len(seeds)}
        for seed in missing:
            at = seeds.index(seed)
            forecast = jax.tree.map(lambda leaf, at=at: leaf[at], forecasts)
            store_cell(method_cell(opened, part, method, seed), part.split, forecast, times)
            listener.scored(method, seed, table.add(part, method, seed))
        forget_programs_if_many()
