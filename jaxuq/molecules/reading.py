"""Reading molecules and labels from a table of the user's own."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int8

from jaxuq.molecules._workers import run_rdkit
from jaxuq.molecules.columns import find_targets, named_columns, smiles_column, target_labels
from jaxuq.molecules.labels import LabelError, look_at, read_labels
from jaxuq.molecules.records import DataError, DataWarning, MoleculeDataset, Rejected, TaskType
from jaxuq.molecules.repeats import canonical_smiles, warn_of_repeats
from jaxuq.molecules.tables import FileTable, column_position, open_table, table_name, words

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
_PART_NAMES = ("split", "part", "set", "subset", "partition", "fold")


def load_csv(
    path: str | os.PathLike,
    smiles_column: str | None = None,
    task_columns: Sequence[str] | None = None,
    *,
    task_type: str | None = None,
    metric: str | None = None,
    name: str | None = None,
    drop_unparsable: bool = True,
    separator: str | None = None,
    decimal: str | None = None,
    part_column: str | None = None,
    weight_column: str | None = None,
    workers: int | None = None,
) -> MoleculeDataset:
    """Read a table with one molecule a row: CSV, SDF, or what pandas reads.

    Blank labels (and `nan`, `NA`, `null`, …) are missing labels; `>10` and `<0.5` are bounds of labels. Blanks around a
    SMILES, and characters that take no place on paper, are removed. A record without a usable SMILES is left out and
    listed in `rejected`; it never costs the others. A molecule that is there more than once, under whatever SMILES, is
    warned about.

    Args:
        path: the file; see `open_table` for its kinds.
        smiles_column: the column with the SMILES; None looks for the usual names (smiles, mol, …) in any case.
        task_columns: the columns with the labels: numbers, or two classes (0 and 1, true and false, yes and no, active
            and inactive, …). None takes all such columns but identifiers, dates and properties of the structure;
            those that are left must be of one kind, all of two classes or all of other numbers.
        task_type: `"classification"` or `"regression"`; None: classification where all labels are 0 or 1.
        metric: kept with the data set; None: `"roc-auc"` for classification, `"rmse"` for regression.
        name: what to call the data set; None: the name of the file.
        drop_unparsable: whether to leave out SMILES that RDKit does not read.
        separator: between fields: `","`, `";"`, `"tab"` or `"|"`; None: recognised.
        decimal: sign of the numbers, `"."` or `","`; None: recognised.
        part_column: a column that says `train`, `valid`, `calibrate` or `test` (or `val`, `dev`, `holdout`, …).
        weight_column: a column with how much each molecule counts in training, at least 0; blank counts as 1.
        workers: processes that parse; None chooses, 1 stays in this process.

    Returns:
        The data set, in the order of the file; `taken` says what was taken for what.

    Raises:
        DataError: the file is missing, empty or not a table; a column is missing or ambiguous; a label is text or not
            finite; there is no molecule or no label left.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "mine.csv")
        ...     _ = path.write_text("smiles;logP;active\\nCCO;-0,3;1\\nnonsense;1,0;0\\nCCC;;0\\n")
        ...     data = load_csv(path, task_columns=["logP"])
        >>> data.smiles, data.labels.tolist(), data.mask.tolist()
        (['CCO', 'CCC'], [[-0.3], [0.0]], [[True], [False]])
        >>> data.rejected[0].row, data.rejected[0].text
        (3, 'nonsense')
    """
    if isinstance(task_columns, str):
        raise DataError(f"task_columns must be a list of names, not one string: write [{task_columns!r}]")
    table = open_table(Path(path), separator=separator, smiles_column=smiles_column)
    options = ReadOptions(smiles_column, task_columns, task_type, metric, name, drop_unparsable, decimal, workers)
    data = read_molecules(table, options, part_column=part_column, weight_column=weight_column)
    forms = canonical_smiles(data.smiles, workers=workers)
    warn_of_repeats(str(table.path), data.smiles, forms, data.labels, data.exact().mask)
    return data


class ReadOptions(NamedTuple):
    """The options of `load_csv` of the same names."""

    smiles_column: str | None = None
    task_columns: Sequence[str] | None = None
    task_type: str | None = None
    metric: str | None = None
    name: str | None = None
    drop_unparsable: bool = True
    decimal: str | None = None
    workers: int | None = None


def read_molecules(
    table: FileTable, options: ReadOptions, *, part_column: str | None = None, weight_column: str | None = None
) -> MoleculeDataset:
    """The molecules and labels of a table, without a look at repeats; see `load_csv`."""
    path, header = table.path, table.header
    molecules = smiles_column(table, options.smiles_column)
    at = column_position(path, header, molecules)
    roles = [None if c is None else column_position(path, header, c) for c in (part_column, weight_column)]
    if options.task_columns is None:
        candidates = [
            position for position, column in enumerate(header) if position != at and position not in roles and column
        ]
    else:
        targets = named_columns(path, header, options.task_columns)
        candidates = [header.index(column) for column in targets]

    smiles, rows, rejected = [], [], []
    texts: list[list[str]] = [[] for _ in candidates]
    further: list[list[str]] = [[], []]
    for row, fields in table.records():
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
        for column, position in zip(texts, candidates):
            column.append(fields[position])
        for column, position in zip(further, roles):
            if position is not None:
                column.append(fields[position])

    by_name: dict[str, list[str]] = {}
    for position, column in zip(candidates, texts):
        if header.count(header[position]) > 1 and look_at(column).kind in ("numbers", "classes", "bounds"):
            column_position(path, header, header[position])  # which says that there are two
        by_name[header[position]] = column
    left_out: dict[str, str] = {}
    if options.task_columns is None:
        targets, left_out = find_targets(table, by_name, molecules)
        _warn_of_ignored(table, by_name, smiles, part_column)
    labels, sign = target_labels(table, by_name, targets, rows, options.decimal)
    numbers, bounds = (
        np.stack([labels[name][part] for name in targets], axis=1) if targets else np.zeros((len(smiles), 0))
        for part in (0, 1)
    )
    parts = None if part_column is None else _parts(table, part_column, further[0], rows)
    weights = (
        None if weight_column is None else _weights(table, weight_column, further[1], rows, options.decimal or sign)
    )

    kept = np.arange(len(smiles))
    if options.drop_unparsable and smiles:
        heavy = run_rdkit("heavy_atoms", smiles, {}, workers=options.workers).values
        rejected += [Rejected(rows[i], smiles[i], "RDKit cannot read it") for i in np.flatnonzero(heavy < 0)]
        kept = np.flatnonzero(heavy >= 0)
    if not len(kept):
        reasons = "; ".join(f"line {r.row}: {r.text!r}, {r.reason}" for r in rejected[:3])
        raise DataError(
            f"{path} holds no usable molecule" + (f" ({len(rejected)} rejected: {reasons})" if reasons else "")
        )
    data = make_dataset(
        options.name or table_name(path),
        [smiles[i] for i in kept],
        numbers[kept],
        targets,
        source=str(path),
        task_type=options.task_type,
        metric=options.metric,
        rejected=sorted(rejected),
        bounds=bounds[kept].astype(np.int8),
    )
    if options.task_type is None:
        _refuse_two_kinds(data, str(path))
        _warn_of_many_classes(data, str(path))
    return data._replace(
        parts=None if parts is None else tuple(parts[i] for i in kept),
        weights=None if weights is None else weights[kept],
        taken=_taken(table, molecules, data, left_out, sign, part_column, weight_column, options.task_columns is None),
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
    bounds: Int8[np.ndarray, "molecules tasks"] | None = None,
) -> MoleculeDataset:
    """A data set from float64 labels with NaN where they are missing."""
    bounds = None if bounds is None or not bounds.any() else bounds
    mask = ~np.isnan(numbers)
    if not mask.any():
        raise DataError(
            f"every label in {source} is missing (columns {', '.join(task_names[:5])}): nothing to learn from"
        )
    unlabelled = [task for task, known in zip(task_names, np.any(mask, axis=0).tolist()) if not known]
    if unlabelled:
        shown = ", ".join(unlabelled[:5]) + (", …" if len(unlabelled) > 5 else "")
        warnings.warn(f"{len(unlabelled)} tasks of {source} have no label at all: {shown}", DataWarning, stacklevel=3)
    binary = bounds is None and bool(np.isin(numbers[mask], (0.0, 1.0)).all())
    if task_type not in (None, "classification", "regression"):
        raise DataError(f"task_type must be 'classification' or 'regression', got {task_type!r}")
    kind: TaskType = "classification" if (task_type or "classification" * binary) == "classification" else "regression"
    if kind == "classification" and bounds is not None:
        row, column = np.argwhere(bounds)[0]
        raise DataError(
            f"classification labels must be 0 or 1, but of molecule {smiles[row]!r} in {source} only a bound is known "
            f"for {task_names[column]!r}: leave it blank"
        )
    if kind == "classification" and not binary:
        row, column = np.argwhere(mask & (numbers != 0) & (numbers != 1))[0]
        raise DataError(
            f"classification labels must be 0 or 1, but molecule {smiles[row]!r} in {source} has "
            f"{numbers[row, column]:g} for {task_names[column]!r}: use task_type='regression' or recode the column"
        )
    return MoleculeDataset(
        name=name,
        smiles=smiles,
        labels=np.where(mask, numbers, 0.0),
        mask=mask,
        task_names=tuple(task_names),
        task_type=kind,
        metric=metric or ("roc-auc" if kind == "classification" else "rmse"),
        rejected=tuple(rejected),
        bounds=bounds,
    )


def _parts(table: FileTable, column: str, texts: list[str], lines: list[int]) -> list[str]:
    found = []
    for line, text in zip(lines, texts):
        part = PARTS.get(text.strip().lower())
        if part is None:
            raise DataError(
                f"{table.path}, line {line}, column {column!r}: {text.strip()[:60]!r} is no part; expected train, "
                "valid, calibrate or test"
            )
        found.append(part)
    return found


def _weights(table: FileTable, column: str, texts: list[str], lines: list[int], decimal: str | None) -> np.ndarray:
    looked = look_at(texts)
    try:
        weights, bounds = read_labels(looked, "," if (decimal or looked.decimal) == "," else ".")
        if bounds.any():
            raise LabelError(row := int(np.argmax(bounds != 0)), f"{texts[row]!r} is a bound, not a weight")
    except LabelError as error:
        raise DataError(f"{table.path}, line {lines[error.row]}, column {column!r}: {error}") from None
    weights = np.where(np.isnan(weights), 1.0, weights)
    if (weights < 0).any():
        row = int(np.argmax(weights < 0))
        raise DataError(
            f"{table.path}, line {lines[row]}, column {column!r}: a weight is at least 0, not {weights[row]:g}"
        )
    if len(weights) and not weights.any():
        raise DataError(f"{table.path}: every weight in column {column!r} is 0; nothing would be learnt")
    return weights


def _warn_of_ignored(table: FileTable, texts: dict[str, list[str]], smiles: list[str], part_column: str | None) -> None:
    """A second molecule a row, or a column of parts that nobody has asked to be used."""
    for name, column in texts.items():
        there = [text.strip() for text in column if text.strip()]
        if not there:
            continue
        if part_column is None and {text.lower() for text in there} <= set(PARTS):
            warnings.warn(
                f"column {name!r} of {table.path} says which part each molecule belongs to, and is not used: say "
                f"--part-column {name} to use it",
                DataWarning,
                stacklevel=4,
            )
        elif {"smiles", "smi", "solvent", "mol", "molecule"} & set(words(name)) and column != smiles:
            some = list(dict.fromkeys(there))[:50]
            if np.mean(run_rdkit("heavy_atoms", some, {}, workers=1).values > 0) > 0.9:
                warnings.warn(
                    f"column {name!r} of {table.path} holds molecules too, and is not used: a row is one molecule here",
                    DataWarning,
                    stacklevel=4,
                )


def _refuse_two_kinds(data: MoleculeDataset, source: str) -> None:
    """Columns of 0 and 1 beside others are one kind of task only if the user says so."""
    if data.task_type == "classification":
        return
    columns = [(name, data.labels[data.mask[:, k], k]) for k, name in enumerate(data.task_names)]
    two = [name for name, values in columns if len(values) and np.isin(values, (0.0, 1.0)).all()]
    if two:
        other = next(name for name, values in columns if len(values) and name not in two)
        raise DataError(
            f"{source}: {two[0]!r} holds 0 and 1 and {other!r} other numbers, but a model is for one kind: name those "
            "of one kind with --targets (task_columns in Python), or say --task-type regression"
        )


def _warn_of_many_classes(data: MoleculeDataset, source: str) -> None:
    """Whole numbers from 0 or 1 to a few may be classes, which are not what regression learns."""
    if data.task_type == "classification":
        return
    for task, name in enumerate(data.task_names):
        values = np.unique(data.labels[data.mask[:, task], task])
        count = int(data.mask[:, task].sum())
        if 3 <= len(values) <= 10 and count >= 3 * len(values) and (np.diff(values) == 1).all() and values[0] in (0, 1):
            warnings.warn(
                f"the labels {name!r} of {source} are the whole numbers {values[0]:g} to {values[-1]:g}, and are taken "
                "as numbers; if they are classes, give a column of 0 and 1 for each, or say --task-type regression",
                DataWarning,
                stacklevel=4,
            )


def _taken(
    table: FileTable,
    molecules: str,
    data: MoleculeDataset,
    left_out: dict[str, str],
    sign: str | None,
    part_column: str | None,
    weight_column: str | None,
    guessed: bool,
) -> str:
    """What was taken for what, in one line."""

    def listed(names: Sequence[str]) -> str:
        return ", ".join(names[:5]) + (f", … ({len(names)})" if len(names) > 5 else "")

    said = f"SMILES from {molecules}, {data.task_type} of {listed(data.task_names)}"
    said += f", parts from {part_column}" if part_column else ""
    said += f", weights from {weight_column}" if weight_column else ""
    if table.separator not in ("", ","):
        said += f", parted by {'tabs' if table.separator == chr(9) else table.separator}"
    said += ", with decimal commas" if sign == "," else ""
    if data.bounds is not None:
        said += f"; {np.count_nonzero(data.bounds)} labels are bounds, which are learnt from and not scored"
    if left_out:
        said += f"; not labels: {listed([f'{name} ({reason})' for name, reason in left_out.items()])}"
    if guessed and (left_out or len(data.task_names) > 1):
        said += "; --targets names others"
    return said
