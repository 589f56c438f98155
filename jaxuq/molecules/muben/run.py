"""Running the benchmark: train what is needed, forecast with every method, score, and write the result folder."""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

from jaxuq.molecules.muben.cells import (
    KEYS,
    SECONDS,
    cell_content,
    finished_row,
    intervals_of,
    method_cell,
    write_cell_predictions,
)
from jaxuq.molecules.muben.configuration import MubenConfiguration
from jaxuq.molecules.muben.forecasting import forecast_parts, make_setting, told_features
from jaxuq.molecules.muben.methods import METHODS, networks_of
from jaxuq.molecules.muben.opening import Opened, Part, begin_run
from jaxuq.molecules.muben.problem import make_problem
from jaxuq.molecules.muben.scores import SHOWN, score_names
from jaxuq.molecules.muben.trainings import trainer
from jaxuq.study import Listener, Plan, RunFolder, compute_cells, summarise, write_table


def run_muben(configuration: MubenConfiguration, listener: Listener = Listener()) -> RunFolder:  # noqa: B008
    """Run the benchmark and write its result folder; go on where an interrupted run left off.

    One cell is a method with a seed. A finished cell is on disk and is not computed again; an unfinished training
    continues from its checkpoint. Results do not depend on which methods are run together, on interruptions, on the
    strategy, or on who computes them.

    Args:
        configuration: the options of `jaxuq muben`.
        listener: who is told about progress.

    Returns:
        The result folder, complete.

    Raises:
        DataError: the data or an option is at fault.
        RunFolderError: the output folder holds something else.
    """
    with begin_run(configuration, "muben", listener, run_muben) as opened:
        configuration = opened.configuration
        work = _Work(opened, listener)
        plans = [
            work.plan(method, part, seed) for method in opened.methods for part in opened.parts for seed in part.seeds
        ]
        tables = compute_cells(
            opened.folder,
            plans,
            work.compute,
            rows=lambda plan, arrays: {
                "results.csv": [finished_row(configuration, arrays, plan.about.method, plan.about.seed)]
            },
            listener=listener,
            shown=SHOWN,
        )
        for plan in plans:
            write_cell_predictions(plan.kept, opened.parts[0].split.train.task_names)
        names = [*score_names(opened.parts[0].split.train.task_type), *SECONDS]
        intervals = intervals_of(opened, [(plan.about.method, plan.about.seed, plan.kept) for plan in plans])
        write_table(
            opened.folder.path / "summary.csv",
            summarise(tables["results.csv"], by=KEYS, names=names, intervals=intervals),
        )
    return opened.folder


class _Cell(NamedTuple):
    """What a plan is about."""

    method: str
    part: Part
    seed: int


class _Work:
    """What the cells of a run share: the data of each part, and networks that are trained when first asked for."""

    def __init__(self, opened: Opened, listener: Listener):
        self._opened, self._listener = opened, listener
        self._trained = functools.cache(self._make_trained)

    def plan(self, method: str, part: Part, seed: int) -> Plan:
        """A method with a seed; those that start from the same networks are computed together."""
        cell = method_cell(self._opened, part, method, seed)
        together = f"{METHODS[method].about.get('group', method)}, seeds {', '.join(map(str, part.seeds))}"
        return Plan(f"{method}, seed {seed}", cell, _Cell(method, part, seed), together)

    def compute(self, plans: list[Plan]) -> Iterator[tuple[Plan, dict[str, Any]]]:
        """Train and forecast; all seeds of a part at once, whichever of them are missing."""
        missing: dict[tuple[str, int], list[Plan]] = {}
        for plan in plans:
            missing.setdefault((plan.about.method, self._opened.parts.index(plan.about.part)), []).append(plan)
        for (method, number), own in missing.items():
            part = self._opened.parts[number]
            setting, trained = self._trained(number)
            networks = trained(METHODS[method].functions["train"])
            forecasts, seconds = forecast_parts(setting, method, networks, part.seeds)
            per_seed = networks_of(METHODS[method], setting)
            times = {"train_seconds": networks.seconds * per_seed, "predict_seconds": seconds / len(part.seeds)}
            for plan in own:
                at = part.seeds.index(plan.about.seed)
                forecast = jax.tree.map(lambda leaf, at=at: leaf[at], forecasts)
                yield plan, cell_content(part.split, forecast, times)

    def _make_trained(self, number: int) -> Any:
        opened, part = self._opened, self._opened.parts[number]
        problem = make_problem(part.split, opened.backbone, told_features(self._listener))
        tag = "-".join(map(str, part.seeds))
        setting = make_setting(
            opened.configuration, problem, opened.backbone, opened.folder, self._listener, tag, opened.methods
        )
        return setting, trainer(setting, part.seeds)
