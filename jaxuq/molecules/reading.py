"""Reading molecules and labels from a table of the user's own."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int8

from jaxuq.molecules._workers import run_rdkit
from jaxuq.molecules.columns import PARTS, named_columns, smiles_columns
from jaxuq.molecules.labels import LabelError, look_at, read_labels
from jaxuq.molecules.records import DataError, DataWarning, MoleculeDataset, Rejected, TaskType
from jaxuq.molecules.remarks import (
    may_have_a_role,
    refuse_two_kinds,
    refuse_two_roles,
    warn_of_codes,
    warn_of_many_classes,
    warn_of_unused,
    what_was_taken,
)
from jaxuq.molecules.repeats import canonical_rows, row_text, warn_of_repeats
from jaxuq.molecules.tables import FileTable, column_position, open_table, table_name
from jaxuq.molecules.targets import find_targets, target_labels


def load_csv(
    path: str | os.PathLike,
    smiles_column: str | Sequence[str] | None = None,
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
    """Read a table with a molecule a row, or several, such as a solute and its solvent: CSV, SDF, or what pandas reads.

    Blank labels (and `nan`, `NA`, `null`, …) are missing labels; `>10` and `<0.5` are bounds of labels. Blanks around a
    SMILES, and characters that take no place on paper, are removed. A record without a usable SMILES is left out and
    listed in `rejected`; it never costs the others. A molecule that is there more than once, under whatever SMILES, is
    warned about.

    Args:
        path: the file; see `open_table` for its kinds.
        smiles_column: the column with the SMILES; None looks for the usual names (smiles, mol, …) in any case. Several
            columns: each row holds so many molecules.
        task_columns: the columns with the labels: numbers, or two classes (0 and 1, true and false, yes and no, active
            and inactive, …). None takes all such columns but identifiers, dates and properties of the structure;
            those that are left must be of one kind, all of two classes or all of other numbers.
        task_type: `"classification"` (two classes), `"regression"` or `"multiclass"` (classes by name or whole number);
            None: classification where all labels are 0 or 1, multi-class where they are names that come again.
        metric: kept with the data set; None: `"roc-auc"` for classification, `"rmse"` for regression,
            `"cross-entropy"` for several classes.
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
    if task_columns is not None and not len(task_columns):
        raise DataError("task_columns names no column; None takes those that hold labels")
    molecules = _listed(smiles_column)
    table = open_table(Path(path), separator=separator, smiles_columns=molecules)
    options = ReadOptions(molecules, task_columns, task_type, metric, name, drop_unparsable, decimal, workers)
    data = read_molecules(table, options, part_column=part_column, weight_column=weight_column)
    forms = canonical_rows(data, workers=workers)
    warn_of_repeats(str(table.path), [row_text(row) for row in data.rows], forms, data.labels, data.exact().mask)
    return data


def _listed(smiles_column: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if smiles_column is None else (smiles_column,) if isinstance(smiles_column, str) else tuple(smiles_column)


class ReadOptions(NamedTuple):
    """The options of `load_csv` of the same names."""

    smiles_columns: Sequence[str] = ()
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
    molecules = smiles_columns(table, options.smiles_columns)
    at = [column_position(path, header, column) for column in molecules]
    roles = [None if c is None else column_position(path, header, c) for c in (part_column, weight_column)]
    targets = () if options.task_columns is None else named_columns(path, header, options.task_columns)
    refuse_two_roles(
        path, {"molecules": molecules, "labels": targets, "parts": (part_column,), "weights": (weight_column,)}
    )
    if options.task_columns is None:
        candidates = [
            position
            for position, column in enumerate(header)
            if position not in at and position not in roles and column
        ]
    else:
        candidates = [header.index(column) for column in targets]
    unused = [n for n, column in enumerate(header) if column and n not in (*at, *roles) and may_have_a_role(column)]
    texts, smiles, rows, rejected = _records(table, molecules, at, {*candidates, *roles, *unused} - {None})
    if rejected and not rows:
        raise _nothing_usable(path, rejected)

    by_name: dict[str, list[str]] = {}
    for position in candidates:
        name = header[position]
        if header.count(name) > 1 and look_at(texts[position]).kind in ("numbers", "classes", "bounds"):
            column_position(path, header, name)  # which says that there are two
        by_name[name] = texts[position]
    left_out: dict[str, str] = {}
    if options.task_columns is None:
        targets, left_out = find_targets(table, by_name, ", ".join(molecules), options.task_type)
    beside = {header[n]: texts[n] for n in unused if header[n] not in targets}
    warn_of_unused(table, beside, molecules, part_column)
    labels, sign, classes = target_labels(table, by_name, targets, rows, options.decimal, options.task_type)
    numbers, bounds = (
        np.stack([labels[name][part] for name in targets], axis=1) if targets else np.zeros((len(smiles[0]), 0))
        for part in (0, 1)
    )
    parts, weights = None, None
    if part_column is not None and roles[0] is not None:
        parts = _parts(table, part_column, texts[roles[0]], rows)
    if weight_column is not None and roles[1] is not None:
        weights = _weights(table, weight_column, texts[roles[1]], rows, options.decimal or sign)

    kept = np.arange(len(smiles[0]))
    if options.drop_unparsable and len(kept):
        for column, name in zip(smiles, molecules):
            heavy = run_rdkit("heavy_atoms", column, {}, workers=options.workers).values
            unreadable = kept[heavy[kept] < 0]
            where = f"RDKit cannot read {'it' if len(molecules) == 1 else name}"
            rejected += [Rejected(rows[i], row_text(tuple(part[i] for part in smiles)), where) for i in unreadable]
            kept = kept[heavy[kept] >= 0]
    if not len(kept):
        raise _nothing_usable(path, rejected)
    first, *others = ([column[i] for i in kept] for column in smiles)
    data = make_dataset(
        options.name or table_name(path),
        first,
        numbers[kept],
        targets,
        source=str(path),
        task_type=options.task_type,
        metric=options.metric,
        rejected=sorted(rejected),
        bounds=bounds[kept].astype(np.int8),
        classes=classes,
    )
    if options.task_type is None:
        refuse_two_kinds(data, str(path))
        warn_of_many_classes(data, str(path))
    warn_of_codes(data, str(path))
    data = data._replace(
        parts=None if parts is None else tuple(parts[i] for i in kept),
        weights=None if weights is None else weights[kept],
        beside=tuple(others),
        molecule_columns=molecules if others else ("smiles",),
    )
    roles_taken = {"parts": part_column, "weights": weight_column}
    said = what_was_taken(table, molecules, data, left_out, sign, roles_taken, guessed=options.task_columns is None)
    return data._replace(taken=said)


def _nothing_usable(path: Path, rejected: Sequence[Rejected]) -> DataError:
    reasons = "; ".join(f"line {r.row}: {r.text!r}, {r.reason}" for r in rejected[:3])
    return DataError(
        f"{path} holds no usable molecule" + (f" ({len(rejected)} rejected: {reasons})" if reasons else "")
    )


def _records(
    table: FileTable, molecules: Sequence[str], at: Sequence[int], wanted: set[int]
) -> tuple[dict[int, list[str]], list[list[str]], list[int], list[Rejected]]:
    """Texts of the columns that are wanted, SMILES of each column of molecules, lines, and what was left out."""
    texts: dict[int, list[str]] = {position: [] for position in wanted}
    smiles: list[list[str]] = [[] for _ in at]
    rows, rejected = [], []
    for row, fields in table.records():
        if len(fields) != len(table.header):
            text = fields[at[0]] if at[0] < len(fields) else ""
            rejected.append(Rejected(row, text, f"{len(fields)} fields where the header has {len(table.header)}"))
            continue
        found = [fields[position].strip() for position in at]
        if not all(found):
            blank = molecules[found.index("")]
            given = row_text(tuple(fields[position] for position in at))
            rejected.append(Rejected(row, given, "no SMILES" if len(at) == 1 else f"no SMILES in {blank}"))
            continue
        if any(len(text.splitlines()) > 1 for text in found):  # of which RDKit would read the first
            rejected.append(Rejected(row, row_text(tuple(found)), "several lines in one field"))
            continue
        rows.append(row)
        for column, text in zip(smiles, found):
            column.append(text)
        for position, column in texts.items():
            column.append(fields[position])
    return texts, smiles, rows, rejected


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
    classes: tuple[tuple[str, ...], ...] = (),
) -> MoleculeDataset:
    """A data set from float64 labels with NaN where they are missing; numbers of classes, if these have names."""
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
    if task_type not in (None, "classification", "regression", "multiclass"):
        raise DataError(f"task_type must be 'classification', 'regression' or 'multiclass', got {task_type!r}")
    kind: TaskType = "classification" if (task_type or "classification" * binary) == "classification" else "regression"
    kind = "multiclass" if classes else kind
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
            f"{numbers[row, column]:g} for {task_names[column]!r}: say task_type='multiclass' (--task-type multiclass) "
            "if these are classes, task_type='regression' if they are numbers"
        )
    return MoleculeDataset(
        name=name,
        smiles=smiles,
        labels=np.where(mask, numbers, 0.0),
        mask=mask,
        task_names=tuple(task_names),
        task_type=kind,
        metric=metric or {"classification": "roc-auc", "regression": "rmse", "multiclass": "cross-entropy"}[kind],
        rejected=tuple(rejected),
        bounds=bounds,
        classes=classes,
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
