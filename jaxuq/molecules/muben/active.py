"""Active learning: a few labels to start with, then, round by round, those that the method is least sure of."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Integer

from jaxuq._keys import named_key
from jaxuq.molecules.muben.acquisition import acquisition_scores, choose_rows
from jaxuq.molecules.muben.cells import finished_row, method_cell, store_cell, write_rows
from jaxuq.molecules.muben.configuration import MubenConfiguration
from jaxuq.molecules.muben.forecasting import forecast_parts, make_setting
from jaxuq.molecules.muben.listener import Listener
from jaxuq.molecules.muben.methods import METHODS
from jaxuq.molecules.muben.opening import Opened, Part, begin_run
from jaxuq.molecules.muben.problem import pool_problem
from jaxuq.molecules.muben.trainings import trainer
from jaxuq.molecules.records import DataError
from jaxuq.study import Cell, RunFolder

START = "start"
Rows = Integer[np.ndarray, " rows"]


class Step(NamedTuple):
    """Trainings on one labelled set.

    Attributes:
        acquisition: how the set was chosen, or `"start"` for the first one, which all acquisitions share.
        number: of the round, 0 for the first set.
        rows: molecules of the training part that have labels, in the order in which they were given them.
    """

    acquisition: str
    number: int
    rows: Rows


def run_active(configuration: MubenConfiguration, listener: Listener | None = None) -> RunFolder:
    """Run active learning and write its result folder; go on where an interrupted run left off.

    For each seed, `start` molecules of the training part, drawn at random, are given their labels, and each method is
    trained on them. In each of `active` rounds `acquire` more are given theirs: those whose forecast by that very
    method is the least certain (see `acquisition_scores`), or the next ones of the random order; then everything is
    trained anew from the beginning. Random sets are the same for all methods. The validation part chooses epochs and
    calibrates with all its labels, which are not counted; the test part is only scored.

    Args:
        configuration: the options of `jaxuq muben`, with `active` of at least 1.
        listener: who is told about progress.

    Returns:
        The result folder, complete: `active.csv` has a row for each method, seed, acquisition and round; `rounds/`
        holds the rows that had labels, those chosen next, and the scores of all.

    Raises:
        DataError: the data or an option is at fault.
        RunFolderError: the output folder holds something else.
    """
    listener, began = listener or Listener(), time.monotonic()
    with begin_run(configuration, "muben-active", listener) as opened:
        folder, configuration = opened.folder, opened.configuration
        wanted = configuration.start + configuration.active * configuration.acquire
        for part in opened.parts:
            if wanted > len(part.split.train.smiles):
                raise DataError(
                    f"--start {configuration.start} and --active {configuration.active} rounds of --acquire "
                    f"{configuration.acquire} need {wanted} training molecules; {part.split.train.name} has "
                    f"{len(part.split.train.smiles)}"
                )
        rows: list[dict[str, Any]] = []

        def write(finished: list[dict[str, Any]]) -> None:
            write_rows(folder.path / "active.csv", sorted(finished, key=lambda row: order.index(row["method"])))

        order = opened.methods
        for part in opened.parts:
            learning = _Learning(opened, part, listener)
            for seed in part.seeds:
                rows += learning.run(seed, lambda found, before=tuple(rows): write([*before, *found]))
                write(rows)
                folder.write_record(seconds=round(opened.seconds + time.monotonic() - began, 1))
        folder.write_record(status="complete", seconds=round(opened.seconds + time.monotonic() - began, 1))
        shutil.rmtree(folder.checkpoints, ignore_errors=True)
    return folder


def random_order(seed: int, num_molecules: int) -> Rows:
    """The order in which labels are given at random: the first set of every acquisition, and all sets of `"random"`.

    Args:
        seed: of the repetition.
        num_molecules: of the training part.

    Returns:
        All rows, shuffled.

    Example:
        >>> sorted(random_order(0, 5).tolist())
        [0, 1, 2, 3, 4]
    """
    return np.asarray(jax.random.permutation(named_key(jax.random.key(seed), "active"), num_molecules))


class _Learning:
    """What all rounds on one division of the data share."""

    def __init__(self, opened: Opened, part: Part, listener: Listener):
        self.opened, self.part, self.listener = opened, part, listener
        self.features: Any = None

    def run(self, seed: int, finished: Callable[[list[dict[str, Any]]], None]) -> list[dict[str, Any]]:
        """All methods, acquisitions and rounds of a seed; `finished` hears of every curve that is."""
        configuration, methods = self.opened.configuration, self.opened.methods
        order = random_order(seed, len(self.part.split.train.smiles))
        sizes = [configuration.start + number * configuration.acquire for number in range(configuration.active + 1)]
        first = Step(START, 0, order[: sizes[0]])
        found = {method: [row] for method, row in self.train(first, methods, seed).items()}
        rows: list[dict[str, Any]] = []
        for acquisition in configuration.acquisitions:
            curves = {method: [*started] for method, started in found.items()}
            if acquisition == "random":
                for number, size in enumerate(sizes[1:], 1):
                    for method, row in self.train(Step(acquisition, number, order[:size]), methods, seed).items():
                        curves[method].append(row)
            else:
                for method in methods:
                    for step in self.guided(first, acquisition, method, seed):
                        curves[method].append(self.train(step, [method], seed)[method])
            rows += [row | {"acquisition": acquisition} for method in methods for row in curves[method]]
            finished(rows)
        return rows

    def guided(self, step: Step, acquisition: str, method: str, seed: int) -> Iterator[Step]:
        """Each next labelled set, once the one before has been trained on."""
        configuration = self.opened.configuration
        for number in range(1, configuration.active + 1):
            stored = self.scores(step, method, seed).read()
            if stored is None:
                raise OSError(f"{self.scores(step, method, seed).path} cannot be read back")
            scores = stored[acquisition]
            if acquisition == "epistemic" and not scores.any():
                raise DataError(
                    f"the forecasts of {method} have no epistemic part to choose by; use another method, or "
                    "--acquisition uncertainty,random"
                )
            chosen = choose_rows(scores, step.rows, configuration.acquire)
            step = Step(acquisition, number, np.concatenate([step.rows, chosen]))
            yield step

    def train(self, step: Step, methods: Sequence[str], seed: int) -> dict[str, dict[str, Any]]:
        """Train on a labelled set, forecast test part and pool, store both; what is stored already is read."""
        rows = {method: row for method in methods if (row := self.finished(step, method, seed)) is not None}
        if len(rows) == len(methods):
            return rows
        opened, split = self.opened, self.part.split
        configuration, folder = opened.configuration, opened.folder
        if self.features is None:
            texts = [text for part in split for text in part.smiles]
            self.features = opened.backbone.featurise(texts, self.listener.features)
        problem = pool_problem(split, opened.backbone, self.features, step.rows)
        where = jnp.asarray(split.train.mask)
        tag = f"{seed}-{step.acquisition}-{step.number}" + ("" if len(methods) > 1 else f"-{methods[0]}")
        setting = make_setting(configuration, problem, opened.backbone, folder, self.listener, tag)
        ensembles = any(METHODS[name].members == "all" for name in methods)
        trained = trainer(setting, [seed], configuration.num_members if ensembles else 1)
        for method in methods:
            if method in rows:
                continue
            networks = trained(METHODS[method].training)
            both, seconds = forecast_parts(setting, method, networks, [seed])
            valid, both = (jax.tree.map(lambda leaf: leaf[0], forecast) for forecast in both)
            test, pool = (
                jax.tree.map(lambda leaf, part=part: leaf[part], both)
                for part in (slice(len(split.test.smiles)), slice(len(split.test.smiles), None))
            )
            scores = {
                name: acquisition_scores(pool, name, problem.scaler, where=where)
                for name in ("uncertainty", "epistemic")
            }
            pool_smiles = np.array(split.train.smiles, str)
            self.scores(step, method, seed).write(
                {"rows": step.rows, "labelled_smiles": pool_smiles[step.rows], "pool_smiles": pool_smiles, **scores}
            )
            members = configuration.num_members if METHODS[method].members == "all" else 1
            times = {"train_seconds": networks.seconds * members, "predict_seconds": seconds}
            store_cell(self.cell(step, method, seed), split, (valid, test), times)
            row = self.finished(step, method, seed)
            if row is None:
                raise OSError(f"the predictions of {method}, seed {seed} in {folder.path} cannot be read back")
            rows[method] = row
            self.listener.scored(f"{method}, {step.acquisition}, {len(step.rows)} labels", seed, row)
        shutil.rmtree(folder.checkpoints, ignore_errors=True)
        return {method: rows[method] for method in methods}

    def cell(self, step: Step, method: str, seed: int) -> Cell:
        """The forecasts of a step, which follow from the molecules that had labels too."""
        name = f"{method}-{step.acquisition}-round{step.number}"
        return method_cell(self.opened, self.part, method, seed, name, step.rows)

    def scores(self, step: Step, method: str, seed: int) -> Cell:
        """The molecules that had labels, and how much the label of each is wanted; beside the forecasts."""
        cell = self.cell(step, method, seed)
        return cell._replace(name=cell.name.replace("predictions/", "rounds/", 1))

    def finished(self, step: Step, method: str, seed: int) -> dict[str, Any] | None:
        """The line of active.csv of a step that is on disk and was trained on these very rows."""
        row = finished_row(self.opened.configuration, self.cell(step, method, seed), method, seed)
        if row is None or self.scores(step, method, seed).read() is None:
            return None
        place = {"acquisition": step.acquisition, "round": step.number, "labels": len(step.rows)}
        where = {name: row.pop(name) for name in ("dataset", "split", "backbone", "method", "seed")}
        return where | place | row
