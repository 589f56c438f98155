"""Several data sets and backbones in one folder: one run each, and what compares them."""

import dataclasses
import json
import pathlib
from collections.abc import Callable

from jaxuq.molecules.muben.backbones import BACKBONES
from jaxuq.molecules.muben.configuration import MubenConfiguration, choose
from jaxuq.molecules.muben.run import Listener, run_muben
from jaxuq.molecules.records import DataError
from jaxuq.results import write_text


def grid_cells(configuration: MubenConfiguration) -> list[MubenConfiguration]:
    """The runs that a configuration asks for: each data set with each backbone, in the order given.

    Args:
        configuration: whose `dataset` and `backbone` may name several, separated by commas.

    Returns:
        One configuration per run; a single one keeps its output folder, several get folders inside it.

    Raises:
        DataError: an unknown backbone, or no data set.

    Example:
        >>> cells = grid_cells(MubenConfiguration(dataset="esol,bbbp", backbone="dnn,gin"))
        >>> [str(cell.output_folder) for cell in cells][:2]
        ['runs/esol+bbbp-dnn+gin-scaffold/esol-dnn-scaffold', 'runs/esol+bbbp-dnn+gin-scaffold/esol-gin-scaffold']
    """
    backbones = choose(configuration.backbone, list(BACKBONES), "backbone")
    datasets = list(dict.fromkeys(name.strip() for name in configuration.dataset.split(",") if name.strip()))
    if not datasets:
        raise DataError("no data set is named; for example: --dataset esol,bbbp")
    cells = [dataclasses.replace(configuration, dataset=d, backbone=b) for d in datasets for b in backbones]
    if len(cells) == 1:
        return cells
    names = [cell.dataset_name for cell in cells[:: len(backbones)]]
    root = configuration.output
    if root is None:
        root = pathlib.Path("runs") / f"{'+'.join(names)}-{'+'.join(backbones)}-{configuration.split}"
    return [
        dataclasses.replace(cell, output=root / f"{cell.dataset_name}-{cell.backbone}-{cell.split}") for cell in cells
    ]


def run_grid(
    cells: list[MubenConfiguration],
    listener: Listener | None = None,
    finished: Callable[[pathlib.Path], None] = lambda folder: None,
) -> dict[str, str]:
    """Run one after another; one that fails is written down, and the others go on.

    The same call continues: finished runs are not computed again, failed ones are tried again. `grid.json` in the
    folder that holds the runs says how each ended.

    Args:
        cells: from `grid_cells`, at least two.
        listener: who is told about progress.
        finished: called with the folder of each run that is complete.

    Returns:
        By the name of each run's folder: `"complete"`, or what went wrong.
    """
    status: dict[str, str] = {}
    root = cells[0].output_folder.parent
    for cell in cells:
        folder = cell.output_folder
        try:
            run_muben(cell, listener)
            finished(folder)
            status[folder.name] = "complete"
        except Exception as error:  # whatever is wrong with one run costs that run
            status[folder.name] = f"{type(error).__name__}: {error}"
            (listener or Listener()).message(f"{folder.name} failed: {error}")
        root.mkdir(parents=True, exist_ok=True)
        write_text(root / "grid.json", json.dumps(status, indent=1))
    return status
