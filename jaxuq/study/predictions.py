"""The predictions of a cell as a table that a person can open: a row an example, with its identity."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxuq.study.cells import Cell
from jaxuq.study.tables import write_table


def write_predictions(
    kept: Cell | pathlib.Path, ids: Sequence[Any] | np.ndarray, columns: Mapping[str, Any], identity: str = "id"
) -> None:
    """Write `<cell>.csv` beside a cell's arrays.

    Args:
        kept: the cell, or the file of its arrays.
        ids: what each row is: a SMILES, a question, a sentence.
        columns: values by name, rows first; what has further axes gets a column for each of their places.
        identity: heading of the ids.
    """
    named: dict[str, Any] = {identity: [str(one) for one in ids]}
    for name, values in columns.items():
        array = np.asarray(values)
        if array.ndim <= 1:
            named[name] = array
            continue
        for place in np.ndindex(array.shape[1:]):
            named["_".join([name, *(map(str, place))])] = array[(slice(None), *place)]
    names = list(named)
    path = kept.path if isinstance(kept, Cell) else kept
    write_table(path.with_suffix(".csv"), [dict(zip(names, map(_plain, row))) for row in zip(*named.values())], names)


def _plain(value: Any) -> Any:
    if isinstance(value, np.floating):
        return value
    return value.item() if isinstance(value, np.generic) else value
