"""Columns by their names: those with the molecules, those that are asked for, names that tell a role."""

import re
from collections.abc import Sequence
from pathlib import Path

from jaxuq.molecules.records import DataError
from jaxuq.molecules.tables import SMILES_NAMES, FileTable, column_position, words

PARTS = {
    spelling: part
    for part, spellings in {
        "train": "train training tr trn learn",
        "valid": "valid validation val dev development tune",
        "calibrate": "calibrate calibration cal calib",
        "test": "test testing te tst holdout hold-out held-out",
    }.items()
    for spelling in spellings.split()
}
"""Spellings of the parts in a column of parts, in any case."""
MOLECULES = frozenset(("smiles", "smi", "solvent", "solute", "mol", "molecule", "ligand", "additive"))
"""Words in names of columns that may hold molecules."""


def smiles_columns(table: FileTable, wanted: Sequence[str]) -> tuple[str, ...]:
    """The columns with the molecules: those named, else one with a usual name.

    Args:
        table: of which these are.
        wanted: texts as `named_columns` takes them; none looks for the usual names.

    Returns:
        Their names, in the order in which they were named.

    Raises:
        DataError: there is none, or there are several of equal right.
    """
    if wanted:
        return named_columns(table.path, table.header, wanted)
    by_name = {usual: [column for column in table.header if column.lower() == usual] for usual in SMILES_NAMES}
    found = next((columns for columns in by_name.values() if columns), None)
    found = found or [column for column in table.header if "smiles" in words(column)]
    if len(found) == 1:
        return (found[0],)
    shown = ", ".join(table.header[:20])
    if found:
        raise DataError(
            f"{table.path} has several columns of SMILES, {', '.join(found)}: say which with --smiles-column, or, "
            f"where a row is several molecules, --smiles-columns {quoted(','.join(found))}"
        )
    raise DataError(
        f"{table.path} has no column with a usual name for SMILES ({', '.join(SMILES_NAMES)}); its columns are "
        f"{shown}: say which one with --smiles-column (smiles_column in Python)"
    )


def named_columns(path: Path, header: list[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """The columns that some texts name, each one name or several with commas between; names may hold commas.

    Example:
        >>> named_columns(Path("mine.csv"), ["smiles", "a", "Benign, malignant"], ["a,Benign, malignant"])
        ('a', 'Benign, malignant')
    """
    known = {re.sub(r"\s*,\s*", ",", column): column for column in header}
    found: list[str] = []
    for text in wanted:
        if text in header or "," not in text:
            found.append(text)
            continue
        pieces = [piece.strip() for piece in text.split(",")]
        while pieces:
            fits = (n for n in range(len(pieces), 0, -1) if ",".join(pieces[:n]) in known)
            length = next(fits, 1)
            name = ",".join(pieces[:length])
            found += [known.get(name, name)] if name else []
            pieces = pieces[length:]
    for column in found:
        column_position(path, header, column)
    return tuple(dict.fromkeys(found))


def quoted(name: str) -> str:
    """A name as it is written behind an option."""
    return name if re.fullmatch(r"[\w.-]+", name) else f'"{name}"'
