"""Molecules without labels, row by row, from tables and lists: what is asked about."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxuq.molecules._workers import run_rdkit
from jaxuq.molecules.columns import smiles_column
from jaxuq.molecules.tables import SMILES_NAMES, column_position, open_table, seen, words


class MoleculeRows(NamedTuple):
    """The rows of a table of molecules, read in batches.

    Attributes:
        columns: names of the columns beside the SMILES.
        batches: SMILES and fields of the other columns, so many records at a time.
        count: of the rows.
    """

    columns: list[str]
    batches: Iterator[tuple[list[str], list[list[str]]]]
    count: int


def read_in_batches(
    path: str | os.PathLike, smiles: str | None = None, *, size: int = 8192, separator: str | None = None
) -> MoleculeRows:
    """The rows of a table, or of a list with one SMILES a line; every record gives a row, whatever it says.

    Args:
        path: see `load_csv`. A file whose first line names no column is a list of SMILES, maybe with names behind.
        smiles: the column; None looks for the usual names.
        size: records at a time.
        separator: see `load_csv`.

    Returns:
        The rows; a SMILES is empty where there is none. Only one batch is held.

    Raises:
        DataError: the file is missing or empty, or a column is missing or ambiguous.
    """
    table = open_table(Path(path), separator=separator, smiles_column=smiles)
    header = table.header
    listed = smiles is None and _is_list(header)
    at = 0 if listed else column_position(table.path, header, smiles_column(table, smiles))
    columns = [f"column {n + 1}" if listed else name for n, name in enumerate(header) if n != at]

    def batches() -> Iterator[tuple[list[str], list[list[str]]]]:
        found: list[str] = []
        others: list[list[str]] = []
        for _, fields in [(1, header)] if listed else ():
            found.append(fields[0])
            others.append(fields[1:])
        for _, fields in table.records():
            found.append(fields[at].strip() if at < len(fields) else "")
            beside = [field.strip() for n, field in enumerate(fields[: len(header)]) if n != at]
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
    return MoleculeRows([], ((smiles[start : start + size], []) for start in starts), len(smiles))


def read_smiles(
    path: str | os.PathLike, smiles_column: str | None = None, *, separator: str | None = None
) -> list[str]:
    """The SMILES of a table, or of a list with one a line; every record gives a row, whatever it says.

    Args:
        path: see `read_in_batches`.
        smiles_column: the column; None looks for the usual names.
        separator: see `load_csv`.

    Returns:
        One text a record; empty where there is none.

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
    return [text for found, _ in read_in_batches(path, smiles_column, separator=separator).batches for text in found]


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
