"""The engine: cells that are there are read, missing ones are computed, here or by workers; the tables always say all.

A command says what cells it wants (`Plan`), how some of them are computed, and what a finished one contributes to the
tables. The rest is here, once: what is done is never done again, a table never lacks a cell that is on the disk, any
interruption leaves a folder that the same command goes on with, and a cluster may share the work.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from jaxuq.study.cluster import run_on_cluster
from jaxuq.study.crew import ShareDone, work_on_share
from jaxuq.study.folder import RunFolder
from jaxuq.study.listener import Listener
from jaxuq.study.tables import Row, write_table


@runtime_checkable
class Kept(Protocol):
    """Where a cell is kept, such as a `Cell`: what was written, or None if it is to be computed."""

    def read(self) -> Any:
        """What was written, or None."""

    def write(self, value: Any, /) -> None:
        """Keep it, atomically."""


K = TypeVar("K", bound=Kept)


@dataclasses.dataclass(frozen=True)
class Plan(Generic[K]):
    """A cell that a run wants.

    Attributes:
        name: for the reader, and unique in the run: `"swag, seed 0"`.
        kept: where it is, or will be.
        about: whatever those who compute it want to know.
        group: cells that share work are computed by one process; the empty group may be divided as one likes.
    """

    name: str
    kept: K
    about: Any = None
    group: str = ""


Work = Callable[[list[Plan[K]]], Iterable[tuple[Plan[K], Any]]]
"""`work(plans)` computes missing cells of a group, and gives each as soon as it is there."""
Rows = Callable[[Plan[K], Any], Mapping[str, Sequence[Row]]]
"""`rows(plan, value)`: what a cell contributes to the tables, by file; the first of them has its scores."""


def compute_cells(
    folder: RunFolder,
    plans: Sequence[Plan[K]],
    work: Work[K],
    *,
    rows: Rows[K] = lambda plan, value: {},
    listener: Listener = Listener(),  # noqa: B008
    shown: Sequence[str] = (),
    columns: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, list[Row]]:
    """Have every cell of a run, and the tables that they make.

    Args:
        folder: open; in a worker, of the process that leads.
        plans: the cells, in the order of the tables.
        work: see `Work`.
        rows: see `Rows`; of a value as it was read back, so that an interruption changes no digit.
        listener: is told of every cell that is finished, and of workers.
        shown: columns that it is told; none: it is told of no cell.
        columns: of tables that may have no row.

    Returns:
        The rows by file, in the order of the plans.

    Raises:
        OSError: a cell that was written cannot be read back.
        ClusterError: there is no cluster, or a worker has died too often.
        ShareDone: in a worker, when its share is computed; `open_run` takes it.
    """
    from jaxuq._programs import forget_programs_if_many

    found: dict[str, Mapping[str, Sequence[Row]]] = {}
    missing = []
    for plan in plans:
        value = plan.kept.read()
        if value is None:
            missing.append(plan)
        else:
            found[plan.name] = rows(plan, value)

    def write() -> dict[str, list[Row]]:
        tables: dict[str, list[Row]] = {}
        for plan in plans:
            for file, own in found.get(plan.name, {}).items():
                tables.setdefault(file, []).extend(own)
        if folder.share is None:
            for file, own in tables.items():
                write_table(folder.path / file, own, columns.get(file, ()))
        return tables

    def finish(plan: Plan) -> None:
        value = plan.kept.read()
        if value is None:
            raise OSError(f"{plan.name} in {folder.path} cannot be read back")
        found[plan.name] = rows(plan, value)
        write()
        folder.write_record()
        _tell(listener, plan, found[plan.name], shown)

    if folder.share is not None:
        own = [plan for plan in missing if plan.name in folder.share.plans]
        for group in _groups(own).values():
            for plan, value in work(group):
                plan.kept.write(value)
        if own:
            raise ShareDone
        return write()
    tables = write()
    groups = _groups(missing)
    if folder.crew is not None and len(missing) > 1 and (len(groups) > 1 or "" in groups):
        _share_out(folder, missing, listener, finish)
    else:
        for group in groups.values():
            for plan, value in work(group):
                plan.kept.write(value)
                finish(plan)
                forget_programs_if_many()
    return write() if missing else tables


def _groups(plans: Sequence[Plan]) -> dict[str, list[Plan]]:
    found: dict[str, list[Plan]] = {}
    for plan in plans:
        found.setdefault(plan.group, []).append(plan)
    return found


def _share_out(folder: RunFolder, missing: Sequence[Plan], listener: Listener, finish: Callable[[Plan], None]) -> None:
    """Every group is a task; what belongs to none is dealt to as many as there are workers."""
    crew = folder.crew
    assert crew is not None
    shares = _groups(missing)
    dealt = shares.pop("", [])
    shares |= {f"share {number + 1}": dealt[number :: crew.workers] for number in range(min(crew.workers, len(dealt)))}
    errors: list[BaseException] = []

    def begin(name: str, deaths: int) -> None:
        listener.message(f"{name} goes on in a new process: its last one died" if deaths else f"{name} begins")

    def over(name: str, outcome: Any) -> None:
        if isinstance(outcome, BaseException):
            errors.append(outcome)
            return listener.message(f"{name} failed: {outcome}")
        for plan in shares[name]:
            finish(plan)
        return listener.message(f"{name} is over")

    run_on_cluster(
        work_on_share,
        {name: (crew.again, crew.arguments, name, [plan.name for plan in own]) for name, own in shares.items()},
        address=crew.address,
        workers=crew.workers,
        started=begin,
        finished=over,
    )
    if errors:
        raise errors[0]


def _tell(listener: Listener, plan: Plan, rows: Mapping[str, Sequence[Row]], shown: Sequence[str]) -> None:
    own = next(iter(rows.values()), ()) if shown else ()
    for row in own:
        scores = {name: float(row[name]) for name in shown if isinstance(row.get(name), int | float)}
        name = plan.name if len(own) == 1 else f"{plan.name}, {row.get('dataset')}"
        listener.scored(name, {name: value for name, value in scores.items() if math.isfinite(value)})
