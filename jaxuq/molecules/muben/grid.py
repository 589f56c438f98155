"""Several data sets and backbones in one folder: one run each, and what compares them."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

from jaxuq.molecules.muben.active import run_active
from jaxuq.molecules.muben.backbones import BACKBONES
from jaxuq.molecules.muben.configuration import MubenConfiguration, choose, split_names
from jaxuq.molecules.muben.run import run_muben
from jaxuq.molecules.records import DataError
from jaxuq.study import Listener, run_on_cluster, write_json


def grid_cells(configuration: MubenConfiguration) -> list[MubenConfiguration]:
    """The runs that a configuration asks for: each data set with each backbone, in the order given.

    Args:
        configuration: whose `dataset` and `backbone` may name several, separated by commas.

    Returns:
        One configuration per run; a single one keeps its output folder, several get folders inside it.

    Raises:
        DataError: an unknown backbone, no data set, or two whose results would share a folder.

    Example:
        >>> cells = grid_cells(MubenConfiguration(dataset="esol,bbbp", backbone="dnn,gin"))
        >>> [str(cell.output_folder) for cell in cells][:2]
        ['runs/esol+bbbp-dnn+gin-scaffold/esol-dnn-scaffold', 'runs/esol+bbbp-dnn+gin-scaffold/esol-gin-scaffold']
    """
    backbones = choose(configuration.backbone, list(BACKBONES), "backbone")
    datasets = split_names(configuration.dataset)
    if not datasets:
        raise DataError("no data set is named; for example: --dataset esol,bbbp")
    cells = [dataclasses.replace(configuration, dataset=d, backbone=b) for d in datasets for b in backbones]
    if len(cells) == 1:
        return cells
    names = [cell.dataset_name for cell in cells[:: len(backbones)]]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"two data sets are called {twice[0]!r}: their results would share a folder; rename one")
    root = configuration.output
    if root is None:
        root = pathlib.Path("runs") / "-".join(
            ["+".join(names), "+".join(backbones), configuration.split, *(["active"] if configuration.active else [])]
        )
    return [dataclasses.replace(cell, output=root / cell.run_name) for cell in cells]


def run_grid(
    cells: list[MubenConfiguration],
    listener: Listener = Listener(),  # noqa: B008
    finished: Callable[[pathlib.Path], None] = lambda folder: None,
) -> dict[str, str]:
    """Run them, here one after another or on the cluster that the configuration names; one that fails is written down.

    The same call continues: finished runs are not computed again, failed ones are tried again. `grid.json` in the
    folder that holds the runs says how each ended. The numbers do not depend on where a run was computed, nor on
    processes that died meanwhile.

    Args:
        cells: from `grid_cells`, at least two.
        listener: who is told about progress; of runs on a cluster, when they begin and end.
        finished: called with the folder of each run that is complete.

    Returns:
        By the name of each run's folder: `"complete"`, or what went wrong.

    Raises:
        ClusterError: Ray is not installed, or cannot be reached.
    """
    root = cells[0].output_folder.parent
    status: dict[str, str] = {}

    def settle(folder: pathlib.Path, said: str) -> None:
        status[folder.name] = said
        if said == "complete":
            finished(folder)
        else:
            listener.message(f"{folder.name} failed: {said}")
        root.mkdir(parents=True, exist_ok=True)
        ordered = {cell.output_folder.name: status.get(cell.output_folder.name) for cell in cells}
        write_json(root / "grid.json", {name: said for name, said in ordered.items() if said})

    if cells[0].cluster is None:
        for cell in cells:
            settle(cell.output_folder, _attempt(cell, listener))
        return status
    by_name = {cell.output_folder.name: cell for cell in cells}

    def over(name: str, outcome: Any) -> None:
        folder = by_name[name].output_folder
        if outcome == "complete" and not (folder / "run.json").exists():
            outcome = f"its worker has written {folder} on a machine whose files are not seen here"
        settle(folder, str(outcome))
        listener.message(f"{name} is over, {len(status)} of {len(cells)}")

    def begin(name: str, deaths: int) -> None:
        listener.message(f"{name} goes on in a new process: its last one died" if deaths else f"{name} begins")

    run_on_cluster(
        _attempt,
        {name: (dataclasses.replace(cell, cluster=None),) for name, cell in by_name.items()},
        address=cells[0].cluster,
        workers=cells[0].workers,
        started=begin,
        finished=over,
    )
    return {name: status[name] for name in by_name}


def _attempt(cell: MubenConfiguration, listener: Listener = Listener()) -> str:  # noqa: B008
    """Whatever is wrong with one run costs that run."""
    try:
        (run_active if cell.active else run_muben)(cell, listener)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "complete"
