"""Reading molecules and labels from a CSV file of the user's own."""

import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxuq.molecules._workers import run_rdkit
from jaxuq.molecules.records import DataError, DataWarning, MoleculeDataset, Rejected, TaskType
from jaxuq.molecules.rows import column_position, read_header, records

_SMILES_NAMES = ("smiles", "mol", "canonical_smiles", "smi", "structure", "molecule")
_MISSING = frozenset(("", "na", "n/a", "nan", "none", "null", "-", "?", "#n/a"))
_IDENTIFIERS = frozenset(("", "id", "ids", "ori_ids", "index", "idx", "num", "no", "cid", "row", "mol_id", "name"))


def load_csv(
    path: str | os.PathLike,
    smiles_column: str | None = None,
    task_columns: Sequence[str] | None = None,
    *,
    task_type: str | None = None,
    metric: str | None = None,
    name: str | None = None,
    drop_unparsable: bool = True,
    workers: int | None = None,
) -> MoleculeDataset:
    """Read a CSV file with one molecule a line.

    Blank labels (and `nan`, `NA`, `null`, …) are missing labels. Blanks around a SMILES are removed. A record without a
    usable SMILES is left out and listed in `rejected`; it never costs the others.

    Args:
        path: the file, plain or gzipped, UTF-8, with a header line.
        smiles_column: the column with the SMILES; None looks for the usual names (smiles, mol, …) in any case.
        task_columns: the columns with the labels; None takes every other column that holds numbers only, except those
            named like identifiers (id, index, num, …).
        task_type: `"classification"` or `"regression"`; None: classification where all labels are 0 or 1.
        metric: kept with the data set; None: `"roc-auc"` for classification, `"rmse"` for regression.
        name: what to call the data set; None: the name of the file.
        drop_unparsable: whether to leave out SMILES that RDKit does not read.
        workers: processes that parse; None chooses, 1 stays in this process.

    Returns:
        The data set, in the order of the file.

    Raises:
        DataError: the file is missing, empty or not a table; a column is missing or ambiguous; a label is text or not
            finite; there is no molecule or no label left.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "mine.csv")
        ...     _ = path.write_text("smiles,logP,active\\nCCO,-0.3,1\\nnonsense,1.0,0\\nCCC,,0\\n")
        ...     data = load_csv(path, task_columns=["logP"])
        >>> data.smiles, data.labels.tolist(), data.mask.tolist()
        (['CCO', 'CCC'], [[-0.3...], [0.0]], [[True], [False]])
        >>> data.rejected[0].row, data.rejected[0].text
        (3, 'nonsense')
    """
    path = Path(path)
    header = read_header(path)
    smiles_column = _smiles_column(path, header, smiles_column)
    if task_columns is None:
        task_columns = _numeric_columns(path, header, smiles_column)
    elif isinstance(task_columns, str):
        raise DataError(f"task_columns must be a list of names, not one string: write [{task_columns!r}]")
    task_columns = tuple(task_columns)
    columns = [column_position(path, header, column) for column in task_columns]
    at = column_position(path, header, smiles_column)

    smiles, rows, values, rejected = [], [], [], []
    for row, fields in records(path):
        if len(fields) != len(header):
            text = fields[at] if at < len(fields) else ""
            rejected.append(Rejected(row, text, f"{len(fields)} fields where the header has {len(header)}"))
            continue
        text = fields[at].strip()
        if not text:
            rejected.append(Rejected(row, fields[at], "no SMILES"))
            continue
        smiles.append(text)
        rows.append(row)
        values.append([_label(path, row, header[column], fields[column]) for column in columns])

    if drop_unparsable and smiles:
        heavy = run_rdkit("heavy_atoms", smiles, {}, workers=workers).values
        rejected += [Rejected(rows[i], smiles[i], "RDKit cannot read it") for i in np.flatnonzero(heavy < 0)]
        kept = np.flatnonzero(heavy >= 0)
        smiles, values = [smiles[i] for i in kept], [values[i] for i in kept]
    if not smiles:
        reasons = "; ".join(f"line {r.row}: {r.text!r}, {r.reason}" for r in rejected[:3])
        raise DataError(
            f"{path} holds no usable molecule" + (f" ({len(rejected)} rejected: {reasons})" if reasons else "")
        )
    numbers = np.asarray(values, np.float64).reshape(len(smiles), len(columns))
    return make_dataset(
        name or path.name.removesuffix(".gz").removesuffix(".csv"),
        smiles,
        numbers,
        task_columns,
        source=str(path),
        task_type=task_type,
        metric=metric,
        rejected=sorted(rejected),
    )


def read_smiles(path: str | os.PathLike, smiles_column: str | None = None) -> list[str]:
    """The SMILES of a CSV file, or of a text file with one a line; every record gives a row, whatever it says.

    Args:
        path: plain or gzipped, UTF-8. A file whose first line names no column is a list of SMILES.
        smiles_column: the column; None looks for the usual names.

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
    path = Path(path)
    header = read_header(path)
    if len(header) == 1 and smiles_column is None and header[0].lower() not in _SMILES_NAMES:
        return [header[0], *(fields[0].strip() for _, fields in records(path))]
    at = column_position(path, header, _smiles_column(path, header, smiles_column))
    return [fields[at].strip() if at < len(fields) else "" for _, fields in records(path)]


def make_dataset(
    name: str,
    smiles: list[str],
    numbers: np.ndarray,
    task_names: tuple[str, ...],
    *,
    source: str,
    task_type: str | None = None,
    metric: str | None = None,
    rejected: Sequence[Rejected] = (),
) -> MoleculeDataset:
    """A data set from float64 labels with NaN where they are missing."""
    mask = ~np.isnan(numbers)
    if not mask.any():
        raise DataError(
            f"every label in {source} is missing (columns {', '.join(task_names[:5])}): nothing to learn from"
        )
    unlabelled = [task for task, known in zip(task_names, np.any(mask, axis=0).tolist()) if not known]
    if unlabelled:
        shown = ", ".join(unlabelled[:5]) + (", …" if len(unlabelled) > 5 else "")
        warnings.warn(f"{len(unlabelled)} tasks of {source} have no label at all: {shown}", DataWarning, stacklevel=3)
    binary = bool(np.isin(numbers[mask], (0.0, 1.0)).all())
    if task_type not in (None, "classification", "regression"):
        raise DataError(f"task_type must be 'classification' or 'regression', got {task_type!r}")
    kind: TaskType = "classification" if (task_type or "classification" * binary) == "classification" else "regression"
    if kind == "classification" and not binary:
        row, column = np.argwhere(mask & (numbers != 0) & (numbers != 1))[0]
        raise DataError(
            f"classification labels must be 0 or 1, but molecule {smiles[row]!r} in {source} has "
            f"{numbers[row, column]:g} for {task_names[column]!r}: use task_type='regression' or recode the column"
        )
    return MoleculeDataset(
        name=name,
        smiles=smiles,
        labels=np.where(mask, numbers, 0.0).astype(np.float32),
        mask=mask,
        task_names=tuple(task_names),
        task_type=kind,
        metric=metric or ("roc-auc" if kind == "classification" else "rmse"),
        rejected=tuple(rejected),
    )


def _smiles_column(path: Path, header: list[str], wanted: str | None) -> str:
    if wanted is not None:
        return wanted
    for usual in _SMILES_NAMES:
        for column in header:
            if column.lower() == usual:
                return column
    raise DataError(
        f"{path} has no column with a usual name for SMILES ({', '.join(_SMILES_NAMES)}); its columns are "
        f"{', '.join(header[:20])}: say which one with smiles_column"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numeric_columns(path: Path, header: list[str], smiles_column: str) -> tuple[str, ...]:
    """Columns that hold numbers; one that holds mostly numbers is taken too, so that its text is reported later."""
    numbers, texts = np.zeros(len(header), int), np.zeros(len(header), int)
    for _, fields in records(path):
        for position, field in enumerate(fields[: len(header)]):
            field = field.strip()
            if field.lower() not in _MISSING:
                if _is_number(field):
                    numbers[position] += 1
                else:
                    texts[position] += 1
    found = tuple(
        column
        for column, number, text in zip(header, numbers, texts)
        if column != smiles_column and column.lower() not in _IDENTIFIERS and number > text
    )
    if not found:
        raise DataError(
            f"{path} has no column of numbers besides {smiles_column!r}, or all their entries are missing; its columns "
            f"are {', '.join(header[:20])}: say which hold the labels with task_columns"
        )
    return found


def _label(path: Path, row: int, column: str, text: str) -> float:
    text = text.strip()
    if text.lower() in _MISSING:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise DataError(
            f"{path}, line {row}, column {column!r}: {text[:60]!r} is not a number; leave a missing label blank"
        ) from None
    if not math.isfinite(value) or abs(value) > np.finfo(np.float32).max:
        raise DataError(f"{path}, line {row}, column {column!r}: {text!r} is not a finite float32 number")
    return value
