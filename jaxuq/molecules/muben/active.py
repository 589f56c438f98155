"""Active learning: a few labels to start with, then, round by round, those that the method is least sure of."""

import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq.molecules.muben.acquisition import acquisition_scores
from jaxuq.molecules.muben.cells import cell_content, finished_row, method_cell
from jaxuq.molecules.muben.configuration import MubenConfiguration
from jaxuq.molecules.muben.forecasting import forecast_parts, make_setting, told_features
from jaxuq.molecules.muben.methods import METHODS, networks_of
from jaxuq.molecules.muben.opening import Opened, Part, begin_run
from jaxuq.molecules.muben.problem import pool_problem
from jaxuq.molecules.muben.scores import SHOWN
from jaxuq.molecules.muben.trainings import trainer
from jaxuq.molecules.records import DataError
from jaxuq.posterior import BernoulliForecast
from jaxuq.study import (
    Cell,
    Listener,
    Plan,
    RunFolder,
    compute_cells,
    labelled_sets,
    prediction_rows,
    promised_stop,
    random_order,
    write_predictions,
)
from jaxuq.study.acquiring import START, Step


def run_active(configuration: MubenConfiguration, listener: Listener = Listener()) -> RunFolder:  # noqa: B008
    """Run active learning and write its result folder; go on where an interrupted run left off.

    For each seed, molecules of the training part, drawn at random, are given `start` labels together, and
    each method is trained on them. In each of `active` rounds molecules with `acquire` more labels are given theirs:
    those whose forecast by that very method is the least certain (see `acquisition_scores`), or the next ones of the
    random order; then everything is trained anew from the beginning. With `audit` and `stop`, so many molecules of each
    seed's random order are put aside before, and the first round is named whose predictions are promised to be wrong no
    more often than wanted (`jaxuq.study.promised_stop`). What counts are labels, not rows: a molecule
    without any is never drawn, one of several tasks brings all that it has. Random sets are the same for all methods.
    The validation part chooses epochs and calibrates with all its labels, which are not counted; the test part is only
    scored.

    Args:
        configuration: the options of `jaxuq muben`, with `active` of at least 1.
        listener: who is told about progress.

    Returns:
        The result folder, complete: `active.csv` has a row for each method, seed, acquisition and round; `rounds/`
        holds the rows that had labels and the scores of all, and as tables (.csv) the molecules by name: in which order
        they were given their labels, and how much those of the others are wanted.

    Raises:
        DataError: the data or an option is at fault.
        RunFolderError: the output folder holds something else.
    """
    with begin_run(configuration, "muben-active", listener, run_active) as opened:
        configuration = opened.configuration
        wanted = configuration.start + configuration.active * configuration.acquire
        for part in opened.parts:
            numbers = part.split.train.task_type == "regression"
            if configuration.stop is not None and numbers and configuration.tolerance is None:
                raise DataError("--stop needs --tolerance: by how much a prediction may be off, in the labels' unit")
            there = min(int(_Learning(opened, part, listener).open_labels(seed).sum()) for seed in part.seeds)
            if wanted > there:
                raise DataError(
                    f"--start {configuration.start} and --active {configuration.active} rounds of --acquire "
                    f"{configuration.acquire} need {wanted} labels of training molecules; {part.split.train.name} has "
                    f"{there}{f' besides the {configuration.audit} of --audit' if configuration.audit else ''}"
                )
        learning = {
            seed: one for part in opened.parts for one in [_Learning(opened, part, listener)] for seed in part.seeds
        }
        curves = [
            _Curve(learning[seed], seed, acquisition, method)
            for method in opened.methods
            for seed in learning
            for acquisition in configuration.acquisitions
        ]
        starts = [_Curve(learning[seed], seed, START, method) for seed in learning for method in opened.methods]
        for some, file in ((starts, None), (curves, "active.csv")):
            plans = [Plan(curve.name, curve, curve, curve.group) for curve in some]
            rows = lambda plan, found, file=file: {file: found} if file else {}  # noqa: E731
            compute_cells(opened.folder, plans, _compute, rows=rows, listener=listener)
    return opened.folder


class _Curve(NamedTuple):
    """All rounds of a method with a seed, by one acquisition; or the first alone, which all acquisitions share."""

    learning: "_Learning"
    seed: int
    acquisition: str
    method: str

    @property
    def name(self) -> str:
        return f"{self.method}, {self.acquisition}, seed {self.seed}"

    @property
    def group(self) -> str:
        """Sets that are the same for all methods are trained on together."""
        together = self.acquisition in (START, "random")
        return f"{self.acquisition}, seed {self.seed}" if together else self.name

    def read(self) -> list[dict[str, Any]] | None:
        """The lines of active.csv, if all rounds are over."""
        rows = []
        for step in self.steps():
            if step is None or (row := self.learning.finished(step, self.method, self.seed)) is None:
                return None
            rows.append(row | {"acquisition": self.acquisition})
        return self._stopped(rows)

    def _stopped(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """With the round from which on it may stop, where that was asked."""
        options = self.learning.opened.configuration
        if options.stop is None:
            return rows
        count = len(self.learning.audited(self.seed))
        at = promised_stop(np.array([row["audit_risk"] for row in rows]), count, level=options.stop)
        return [row | {"stop": at is not None and row["round"] >= at} for row in rows]

    def write(self, value: Any) -> None:
        """Every step has been kept as it was made."""

    def steps(self) -> Iterator["Step | None"]:
        """The labelled sets; None for one that follows from scores that are not there yet."""
        options, labels = self.learning.opened.configuration, self.learning.open_labels(self.seed)
        amounts = (options.start, *[options.acquire] * options.active)
        scores = partial(self.learning.wanted, self.acquisition, self.method, self.seed)
        return labelled_sets(self.acquisition, amounts, random_order(self.seed, len(labels)), labels, scores)


def _compute(plans: list[Plan]) -> Iterator[tuple[Plan, None]]:
    """Round by round, all curves of a group side by side."""
    curves: list[_Curve] = [plan.about for plan in plans]
    first, methods = curves[0], [curve.method for curve in curves]
    for step in first.steps():
        if step is None:
            raise OSError(f"scores of {first.name} cannot be read back")
        first.learning.train(step, methods, first.seed)
    for plan in plans:
        yield plan, None


class _Learning:
    """What all rounds on one division of the data share."""

    def __init__(self, opened: Opened, part: Part, listener: Listener):
        self.opened, self.part, self.listener = opened, part, listener
        self.features: Any = None
        self.labels = part.split.train.mask.sum(axis=1)

    def audited(self, seed: int) -> np.ndarray:
        """The molecules that are put aside: the last of the random order that have labels."""
        count, order = self.opened.configuration.audit, random_order(seed, len(self.labels))
        return order[self.labels[order] > 0][::-1][:count]

    def open_labels(self, seed: int) -> np.ndarray:
        """How many labels each molecule has to give; one that is put aside gives none."""
        labels = self.labels.copy()
        labels[self.audited(seed)] = 0
        return labels

    def wanted(self, acquisition: str, method: str, seed: int, step: Step) -> np.ndarray | None:
        """How much the labels of each molecule are wanted, once a step has been trained."""
        stored = self.scores(step, method, seed).read()
        if stored is None:
            return None
        scores = stored[acquisition]
        if acquisition == "epistemic" and not scores.any():
            raise DataError(
                f"the forecasts of {method} have no epistemic part to choose by; use another method, or "
                "--acquisition uncertainty,random"
            )
        return scores

    def train(self, step: Step, methods: Sequence[str], seed: int) -> None:
        """Train on a labelled set, forecast test part and pool, store both, unless they are there already."""
        missing = [method for method in methods if self.finished(step, method, seed) is None]
        if not missing:
            return
        opened, split = self.opened, self.part.split
        configuration, folder = opened.configuration, opened.folder
        if self.features is None:
            texts = [text for part in split for text in part.smiles]
            self.features = opened.backbone.featurise(texts, told_features(self.listener))
        problem = pool_problem(split, opened.backbone, self.features, step.rows)
        where = jnp.asarray(split.train.mask)
        tag = f"{seed}-{step.acquisition}-{step.number}" + ("" if len(methods) > 1 else f"-{methods[0]}")
        setting = make_setting(configuration, problem, opened.backbone, folder, self.listener, tag, methods)
        trained = trainer(setting, [seed])
        for method in missing:
            networks = trained(METHODS[method].functions["train"])
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
            aside, audited = self.audited(seed), {}
            if len(aside):
                audited = {"audit": aside, "audit_risk": np.float64(self._risk(pool, aside))}
            pool_smiles = np.array(split.train.smiles, str)
            kept = self.scores(step, method, seed)
            named = {"labelled_smiles": pool_smiles[step.rows], "pool_smiles": pool_smiles}
            kept.write({"rows": step.rows, **named, **scores, **audited})
            self._write_names(kept, step, scores)
            members = networks_of(METHODS[method], setting)
            times = {"train_seconds": networks.seconds * members, "predict_seconds": seconds}
            self.cell(step, method, seed).write(cell_content(split, (valid, test), times))
            row = self.finished(step, method, seed)
            if row is None:
                raise OSError(f"the predictions of {method}, seed {seed} in {folder.path} cannot be read back")
            scores = {name: row[name] for name in SHOWN if name in row}
            labels = int(self.labels[step.rows].sum())
            self.listener.scored(f"{method}, {step.acquisition}, {labels} labels, seed {seed}", scores)
            folder.write_record()
        shutil.rmtree(folder.checkpoints, ignore_errors=True)

    def _risk(self, pool: Any, aside: np.ndarray) -> float:
        """The mean over molecules of the share of their labels that are missed."""
        train = self.part.split.train
        if isinstance(pool, BernoulliForecast):
            missed = (np.asarray(pool.logits) > 0) != (train.labels > 0.5)
        else:
            missed = np.abs(np.asarray(pool.mean) - train.labels) > self.opened.configuration.tolerance
        mask = np.asarray(train.mask[aside], bool)
        return float(((missed[aside] & mask).sum(axis=1) / mask.sum(axis=1)).mean())

    def _write_names(self, kept: Cell, step: Step, scores: dict[str, Any]) -> None:
        """The molecules by name: first those with labels, in the order in which they got them, then the most wanted."""
        wanted = np.asarray(scores["uncertainty"], np.float64)
        others = np.setdiff1d(np.arange(len(self.labels)), step.rows)
        rows = np.concatenate([step.rows, others[np.argsort(-wanted[others], kind="stable")]])
        given = np.full(len(self.labels), "", dtype=object)
        given[step.rows] = np.arange(1, len(step.rows) + 1).astype(str)
        smiles = [self.part.split.train.smiles[row] for row in rows]
        columns = {"labels": self.labels[rows], **{name: np.asarray(score)[rows] for name, score in scores.items()}}
        write_predictions(kept, prediction_rows({"smiles": smiles, "given": given[rows]}, columns))

    def cell(self, step: Step, method: str, seed: int) -> Cell:
        """The forecasts of a step, which follow from the molecules that had labels too."""
        name = f"{method}-{step.acquisition}-round{step.number}"
        return method_cell(self.opened, self.part, method, seed, name, labelled=step.rows)

    def scores(self, step: Step, method: str, seed: int) -> Cell:
        """The molecules that had labels, and how much the label of each is wanted; beside the forecasts."""
        cell = self.cell(step, method, seed)
        return cell._replace(name=cell.name.replace("predictions/", "rounds/", 1))

    def finished(self, step: Step, method: str, seed: int) -> dict[str, Any] | None:
        """The line of active.csv of a step that is on disk and was trained on these very rows."""
        arrays = self.cell(step, method, seed).read()
        wanted, aside = self.scores(step, method, seed).read(), self.audited(seed)
        if arrays is None or wanted is None:
            return None
        if len(aside) and not np.array_equal(wanted.get("audit", ()), aside):
            return None
        row = finished_row(self.opened.configuration, arrays, method, seed)
        place = {"acquisition": step.acquisition, "round": step.number}
        place |= {"labels": int(self.labels[step.rows].sum()), "molecules": len(step.rows)}
        where = {name: row.pop(name) for name in ("dataset", "split", "backbone", "method", "seed")}
        if len(aside):
            place |= {"audit_labels": int(self.labels[aside].sum()), "audit_risk": float(wanted["audit_risk"])}
        return where | place | row
