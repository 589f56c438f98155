"""Reading molecules and labels from a CSV file, or from a folder with one CSV file per part."""

import ast
import csv
import gzip
import json
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from jaxuq.molecules._workers import run_rdkit
from jaxuq.molecules.records import DataError, DataWarning, MoleculeDataset, Rejected, Split, TaskType

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
    columns = [_position(path, header, column) for column in task_columns]
    at = _position(path, header, smiles_column)

    smiles, rows, values, rejected = [], [], [], []
    for row, fields in _records(path):
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


def load_split_folder(path: str | os.PathLike) -> Split:
    """Read a folder with `train.csv`, `valid.csv` and `test.csv` in the benchmark's layout.

    Each file has the columns `smiles`, `labels` and (where labels are missing) `masks`; the last two hold lists such as
    `[0, 1]`, one entry a task. An optional `meta.json` gives `task_type`, `n_tasks` and `eval_metric`. Lists are read
    as data; nothing in the files is executed.

    Args:
        path: the folder.

    Returns:
        The three parts, in the order of the files. A molecule that is in two parts is warned about.

    Raises:
        DataError: a file or column is missing, or a list is malformed or has another length than the others.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for part, text in {"train": "CCO,[1.5],[1]", "valid": "CC,[0.0],[0]", "test": "C,[2.0],[1]"}.items():
        ...         _ = pathlib.Path(folder, f"{part}.csv").write_text("smiles,labels,masks\\n" + text + "\\n")
        ...     split = load_split_folder(folder)
        >>> split.train.labels.tolist(), split.valid.mask.tolist()
        ([[1.5]], [[False]])

    References:
        The layout is that of the MUBen benchmark (Li et al., TMLR 2024).
    """
    path = Path(path)
    absent = [f"{part}.csv" for part in Split._fields if not (path / f"{part}.csv").is_file()]
    if absent:
        raise DataError(f"the folder {path} lacks {', '.join(absent)}; it must hold train.csv, valid.csv and test.csv")
    meta = read_meta(path)
    split = Split(*(read_part(path / f"{part}.csv", path.name, meta) for part in Split._fields))
    counts = {part: data.labels.shape[1] for part, data in zip(split._fields, split)}
    if len(set(counts.values())) > 1:
        raise DataError(f"the files in {path} have different numbers of tasks: {counts}")
    if meta.get("task_type") is None and len({data.task_type for data in split}) > 1:
        split = Split(*(data._replace(task_type="regression", metric="rmse") for data in split))
    warn_of_shared_molecules(split)
    return split


def read_meta(folder: Path) -> dict:
    """The folder's `meta.json`, or nothing where there is none."""
    path = folder / "meta.json"
    if not path.is_file():
        return {}
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(meta, dict):
        raise DataError(f"{path} must hold a JSON object, not {type(meta).__name__}")
    return meta


def read_part(path: Path, name: str, meta: dict) -> MoleculeDataset:
    """One file of a split folder."""
    header = read_header(path)
    columns = [_position(path, header, column) for column in ("smiles", "labels")]
    columns.append(header.index("masks") if "masks" in header else -1)
    smiles, values = [], []
    for row, fields in _records(path):
        if len(fields) != len(header):
            raise DataError(f"{path}, line {row}: {len(fields)} fields where the header has {len(header)}")
        labels = _list(path, row, "labels", fields[columns[1]])
        known = _list(path, row, "masks", fields[columns[2]]) if columns[2] >= 0 else [1.0] * len(labels)
        expected = meta.get("n_tasks") or (len(values[0]) if values else len(labels))
        if len(labels) != expected or len(known) != expected:
            raise DataError(
                f"{path}, line {row}: {len(labels)} labels and {len(known)} masks where {expected} tasks are expected"
            )
        smiles.append(fields[columns[0]].strip())
        values.append([label if flag else math.nan for label, flag in zip(labels, known)])
    if not smiles:
        raise DataError(f"{path} holds a header but no molecule")
    tasks = tuple(f"task-{k}" for k in range(len(values[0])))
    numbers = np.asarray(values, np.float64).reshape(len(smiles), len(tasks))
    if np.isnan(numbers).all():  # allowed in one part; the training part is checked where it is used
        kind = meta.get("task_type") or "regression"
        empty = np.zeros_like(numbers)
        metric = meta.get("eval_metric") or ("roc-auc" if kind == "classification" else "rmse")
        return MoleculeDataset(name, smiles, empty.astype(np.float32), empty > 0, tasks, kind, metric)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # a small part often lacks a task that the others have
        return make_dataset(
            name,
            smiles,
            numbers,
            tasks,
            source=str(path),
            task_type=meta.get("task_type"),
            metric=meta.get("eval_metric"),
        )


def warn_of_shared_molecules(split: Split) -> None:
    """Say so when a SMILES is in two parts: scores on the later one would be too good."""
    train, valid, test = (set(part.smiles) for part in split)
    for name, shared in (
        ("train and valid", train & valid),
        ("train and test", train & test),
        ("valid and test", valid & test),
    ):
        if shared:
            message = (
                f"{len(shared)} molecules are in both {name} ({sorted(shared)[0]!r} for one): scores will be too good"
            )
            warnings.warn(message, DataWarning, stacklevel=3)


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of every record but the header and blank lines."""
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    with open(path, "rb") as plain:
        zipped = plain.read(2) == b"\x1f\x8b"
    with (gzip.open if zipped else open)(path, "rt", encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        try:
            started = False
            for fields in reader:
                if started and fields:
                    yield reader.line_num, fields
                started = started or bool(fields)
        except (csv.Error, UnicodeDecodeError, OSError, EOFError) as error:
            raise DataError(
                f"{path} is not a readable UTF-8 CSV file (near line {reader.line_num}): {error}"
            ) from error


def read_header(path: Path) -> list[str]:
    """The column names of a CSV file."""
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    with open(path, "rb") as plain:
        zipped = plain.read(2) == b"\x1f\x8b"
    try:
        with (gzip.open if zipped else open)(path, "rt", encoding="utf-8-sig", newline="") as stream:
            header = next((fields for fields in csv.reader(stream) if any(field.strip() for field in fields)), None)
    except (csv.Error, UnicodeDecodeError, OSError, EOFError) as error:
        raise DataError(f"{path} is not a readable UTF-8 CSV file: {error}") from error
    if header is None:
        raise DataError(f"{path} is empty; a header line with column names was expected")
    return [column.strip() for column in header]


def _position(path: Path, header: list[str], column: str) -> int:
    if header.count(column) != 1:
        what = "no column" if column not in header else f"{header.count(column)} columns"
        shown = ", ".join(header[:20]) + (f", … ({len(header)} columns)" if len(header) > 20 else "")
        raise DataError(f"{path} has {what} called {column!r}; its columns are {shown}")
    return header.index(column)


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
    for _, fields in _records(path):
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


def _list(path: Path, row: int, column: str, text: str) -> list[float]:
    """A list of numbers written in JSON or Python notation, or one number."""
    try:
        value = json.loads(text)
    except ValueError:
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = None
    value = [value] if isinstance(value, int | float) else value
    if not isinstance(value, list | tuple) or not all(isinstance(item, int | float) for item in value):
        raise DataError(
            f"{path}, line {row}, column {column!r}: expected a list of numbers such as [0, 1], got {text[:60]!r}"
        )
    return [float(item) for item in value]
