"""Reading a folder with one CSV file for each part of a data set."""

import ast
import json
import math
import os
import warnings
from pathlib import Path

import numpy as np

from jaxuq._damaged import DAMAGED
from jaxuq.molecules.reading import make_dataset
from jaxuq.molecules.records import DataError, DataWarning, MoleculeDataset, Split
from jaxuq.molecules.repeats import canonical_smiles, warn_of_shared
from jaxuq.molecules.tables import column_position, open_table


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
    except DAMAGED as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(meta, dict):
        raise DataError(f"{path} must hold a JSON object, not {type(meta).__name__}")
    return meta


def read_part(path: Path, name: str, meta: dict) -> MoleculeDataset:
    """One file of a split folder."""
    table = open_table(path)
    header = table.header
    columns = [column_position(path, header, column) for column in ("smiles", "labels")]
    columns.append(header.index("masks") if "masks" in header else -1)
    smiles, values = [], []
    for row, fields in table.records():
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
    """Say so when a molecule is in two parts, under whatever SMILES: scores on the later one would be too good."""
    written = {name: part.smiles for name, part in zip(split._fields, split)}
    forms = iter(canonical_smiles([text for part in split for text in part.smiles]))
    warn_of_shared({name: [next(forms) for _ in texts] for name, texts in written.items()}, written)


def _list(path: Path, row: int, column: str, text: str) -> list[float]:
    """A list of numbers written in JSON or Python notation, or one number."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = None
    value = [value] if isinstance(value, int | float) else value
    try:
        if not isinstance(value, list | tuple) or not all(isinstance(item, int | float) for item in value):
            raise TypeError
        return [float(item) for item in value]
    except (TypeError, OverflowError):
        raise DataError(
            f"{path}, line {row}, column {column!r}: expected a list of numbers such as [0, 1], got {text[:60]!r}"
        ) from None
