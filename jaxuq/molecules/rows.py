"""Molecules without labels, row by row, from tables and lists: what is asked about."""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxuq.molecules._workers import run_rdkit
from jaxuq.molecules.columns import smiles_columns
from jaxuq.molecules.records import DataError, Row
from jaxuq.molecules.tables import SMILES_NAMES, column_position, open_table, seen, words


class MoleculeRows(NamedTuple):
    """The rows of a table of molecules, read in batches.

    Attributes:
        columns: names of the columns beside the SMILES.
        batches: SMILES and fields of the other columns, so many records at a time.
        count: of the rows.
    """

    columns: list[str]
    batches: Iterator[tuple[list[Row], list[list[str]]]]
    count: int


def read_in_batches(
    path: str | os.PathLike,
    smiles: str | Sequence[str] | None = None,
    *,
    molecules: Sequence[str] = ("smiles",),
    size: int = 8192,
    separator: str | None = None,
) -> MoleculeRows:
    """The rows of a table, or of a list with one SMILES a line; every record gives a row, whatever it says.

    Args:
        path: see `load_csv`. A file whose first line names no column is a list of SMILES, maybe with names behind.
        smiles: the column, or the columns of several molecules a row; None looks for the usual names, or for those of
            `molecules`.
        molecules: what the molecules of a row are called, as a model says it.
        size: records at a time.
        separator: see `load_csv`.

    Returns:
        The rows; a SMILES is empty where there is none. Only one batch is held.

    Raises:
        DataError: the file is missing or empty, or a column is missing or ambiguous, or there are too many or few.
    """
    several = len(molecules) > 1
    wanted = (smiles,) if isinstance(smiles, str) else tuple(smiles or (molecules if several else ()))
    table = open_table(Path(path), separator=separator, smiles_columns=wanted)
    header = table.header
    if several and not smiles and (absent := [name for name in molecules if name not in header]):
        raise DataError(
            f"the model reads {len(molecules)} molecules a row, {', '.join(molecules)}, and {path} has no column "
            f"{absent[0]!r}; its columns are {', '.join(header[:20])}: name them in that order with --smiles-columns"
        )
    listed = not several and not smiles and _is_list(header)
    at = [0] if listed else [column_position(table.path, header, name) for name in smiles_columns(table, wanted)]
    if len(at) != len(molecules):
        raise DataError(
            f"the model reads {len(molecules)} molecules a row ({', '.join(molecules)}), and {len(at)} "
            f"{'column is' if len(at) == 1 else 'columns are'} named: {', '.join(header[n] for n in at)}"
        )
    columns = [f"column {n + 1}" if listed else name for n, name in enumerate(header) if n not in at]

    def row_of(fields: list[str]) -> Row:
        found = tuple(fields[n].strip() if n < len(fields) else "" for n in at)
        return found if several else found[0]

    def batches() -> Iterator[tuple[list[Row], list[list[str]]]]:
        found: list[Row] = []
        others: list[list[str]] = []
        for _, fields in [(1, header)] if listed else ():
            found.append(fields[0])
            others.append(fields[1:])
        for _, fields in table.records():
            found.append(row_of(fields))
            beside = [field.strip() for n, field in enumerate(fields[: len(header)]) if n not in at]
            others.append(beside + [""] * (len(columns) - len(beside)))
            if len(found) == size:
                yield found, others
                found, others = [], []
        if found:
            yield found, others

    return MoleculeRows(columns, batches(), listed + sum(1 for _ in table.records()))


def read_lines(lines: Iterable[str], *, size: int = 8192) -> MoleculeRows:
    """SMILES, one a line, as `read_in_batches` gives them; blank lines are none.

    Args:
        lines: such as standard input, which is read to its end first.
        size: at a time.

    Returns:
        The rows.
    """
    smiles = clean_smiles([line for line in lines if line.strip()])
    starts = range(0, len(smiles), size)
    return MoleculeRows([], ((list(smiles[start : start + size]), []) for start in starts), len(smiles))


def read_smiles(
    path: str | os.PathLike,
    smiles_column: str | Sequence[str] | None = None,
    *,
    molecules: Sequence[str] = ("smiles",),
    separator: str | None = None,
) -> list[Row]:
    """The SMILES of a table, or of a list with one a line; every record gives a row, whatever it says.

    Args:
        path: see `read_in_batches`.
        smiles_column: see `read_in_batches`.
        molecules: see `read_in_batches`.
        separator: see `load_csv`.

    Returns:
        One text a record, or one tuple of texts where a row is several molecules; empty where there is none.

    Raises:
        DataError: the file is missing or empty, or a column is missing or ambiguous.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "new.csv")
        ...     _ = path.write_text("id,smiles\\n1,CCO\\n2,\\n")
        ...     read_smiles(path)
        ['CCO', '']
    """
    rows = read_in_batches(path, smiles_column, molecules=molecules, separator=separator)
    return [row for found, _ in rows.batches for row in found]


def clean_rows(
    rows: Sequence[Row | Sequence[str | float | None] | float | None], molecules: Sequence[str] = ("smiles",)
) -> list[Row]:
    """Rows as a model reads them, cleaned.

    Args:
        rows: texts, or, for several molecules a row, sequences of so many texts; None and NaN are no molecule.
        molecules: what they are called.

    Returns:
        Texts, or tuples of texts.

    Raises:
        DataError: a row has another number of molecules.

    Example:
        >>> clean_rows([["CCO ", "O"]], ("solute", "solvent"))
        [('CCO', 'O')]
        >>> clean_rows(["CCO", None, float("nan")])
        ['CCO', '', '']
    """
    wanted = len(molecules)
    if isinstance(rows, str):
        raise DataError(f"smiles must be a sequence of rows, not one string: write [{rows[:40]!r}]")
    rows = [_blanks(row) for row in rows]
    for number, row in enumerate(rows):
        if not isinstance(row, str | Sequence | np.ndarray):
            raise DataError(f"row {number} is {row!r}; expected a SMILES")
        count = 1 if isinstance(row, str) else len(row)
        if count != wanted or (wanted == 1) != isinstance(row, str):
            raise DataError(
                f"row {number} has {count} molecules, {row!r}; the model reads {wanted} a row: {', '.join(molecules)}"
            )
    if wanted == 1:
        return list(clean_smiles([str(row) for row in rows]))
    return [tuple(clean_smiles(row)) for row in rows]


def _blanks(row: Any) -> Any:
    """The row with the empty text in place of None and NaN, which say in frames of pandas that there is nothing."""
    if row is None or (isinstance(row, float) and math.isnan(row)):
        return ""
    return tuple(map(_blanks, row)) if isinstance(row, tuple | list) else row


def clean_smiles(smiles: Sequence[str]) -> list[str]:
    """SMILES without blanks around them and without characters that take no place on paper.

    Example:
        >>> clean_smiles([" CC\\u200bO "])
        ['CCO']
    """
    return [seen(str(text)).strip() for text in smiles]


def _is_list(header: list[str]) -> bool:
    """Whether the first line of a file is a molecule, not names of columns."""
    named = any(name.lower() in SMILES_NAMES or "smiles" in words(name) for name in header)
    if named:
        return False
    return len(header) == 1 or bool(run_rdkit("heavy_atoms", header[:1], {}).values[0] > 0)
