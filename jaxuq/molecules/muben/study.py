"""The benchmark from Python: data sets x backbones x methods x seeds as one study."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from jaxuq._entries import Entry
from jaxuq.molecules.muben.active import run_active
from jaxuq.molecules.muben.configuration import MubenConfiguration
from jaxuq.molecules.muben.grid import grid_cells
from jaxuq.molecules.muben.methods import METHODS
from jaxuq.molecules.muben.run import run_muben
from jaxuq.molecules.records import DataError
from jaxuq.study import Listener, Study


def muben_study(
    datasets: Sequence[str | pathlib.Path],
    methods: Sequence[str | Entry] = ("all",),
    *,
    backbones: Sequence[str] = ("dnn",),
    seeds: int = 3,
    output: str | pathlib.Path | None = None,
    **options: Any,
) -> Study:
    """`jaxuq muben` as a `Study`: run, frame, comparison and page.

        study = muben_study(["esol", "mine.csv"], ["deterministic", "swag", MINE], seeds=3, output="runs/mine")
        study.frame(), study.compare("swag", "mine"), study.page()

    Args:
        datasets: MoleculeNet names, CSV files, folders.
        methods: names, or entries as in `METHODS`, which are put there; "all", "muben".
        backbones: names.
        seeds: repetitions.
        output: the folder of results; of several data sets or backbones each has its own in it.
        options: of `MubenConfiguration`.

    Returns:
        A study, not yet run.

    Raises:
        DataError: an unknown name, no data set, or an entry with the name of another method.

    Example:
        >>> study = muben_study(["esol", "bbbp"], ["deterministic"], output="runs/two")
        >>> [str(folder) for folder in study.folders]
        ['runs/two/esol-dnn-scaffold', 'runs/two/bbbp-dnn-scaffold']
    """
    names = []
    for method in methods:
        if isinstance(method, Entry):
            if METHODS.get(method.name, method) != method:
                raise DataError(f"there is a method {method.name!r} already; give yours another name")
            METHODS[method.name] = method
        names.append(method.name if isinstance(method, Entry) else method)
    cells = grid_cells(
        MubenConfiguration(
            dataset=",".join(map(str, datasets)), backbone=",".join(backbones), methods=",".join(names), seeds=seeds,
            output=None if output is None else pathlib.Path(output), **options,
        )
    )  # fmt: skip

    def run(cell: MubenConfiguration) -> Callable[[Listener], Any]:
        return lambda listener: (run_active if cell.active else run_muben)(cell, listener)

    return Study({cell.output_folder: run(cell) for cell in cells})
