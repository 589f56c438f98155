"""The predictions of a cell as a table that a person can open: a row an example, with its identity."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxuq.study.cells import Cell
from jaxuq.study.tables import Row, write_table


def prediction_rows(ids: Mapping[str, Any], columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Arrays as rows of a table.

    Args:
        ids: by heading, what says which example a row is: a SMILES, a question, a sentence.
        columns: values by name, rows first; what has further axes gets a column for each of their places.

    Returns:
        A row an example.

    Example:
        >>> prediction_rows({"smiles": ["C"]}, {"mean": [0.5], "probability": [[0.25, 0.75]]})
        [{'smiles': 'C', 'mean': 0.5, 'probability_0': 0.25, 'probability_1': 0.75}]
    """
    named: dict[str, Any] = {name: [str(one) for one in values] for name, values in ids.items()}
    for name, values in columns.items():
        array = np.asarray(values)
        if array.ndim <= 1:
            named[name] = array
            continue
        for place in np.ndindex(array.shape[1:]):
            named["_".join([name, *(map(str, place))])] = array[(slice(None), *place)]
    return [dict(zip(named, map(_plain, row))) for row in zip(*named.values(), strict=True)]


def write_predictions(kept: Cell | pathlib.Path, rows: Sequence[Row]) -> None:
    """Write `<cell>.csv` beside a cell's arrays.

    Args:
        kept: the cell, or the file of its arrays.
        rows: of `prediction_rows`.
    """
    write_table((kept.path if isinstance(kept, Cell) else kept).with_suffix(".csv"), rows)


def _plain(value: Any) -> Any:
    if isinstance(value, np.floating):
        return value
    return value.item() if isinstance(value, np.generic) else value
