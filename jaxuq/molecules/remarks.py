"""What is said of a table that was read: what was taken for what, what is not used, what is of two kinds."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxuq.molecules._workers import run_rdkit
from jaxuq.molecules.columns import MOLECULES, PARTS
from jaxuq.molecules.records import DataError, DataWarning, MoleculeDataset
from jaxuq.molecules.tables import FileTable, words

_BOUND_NAMES = frozenset(("relation", "relations", "qualifier", "operator", "modifier", "prefix", "censor", "censored"))
_BOUND_SIGNS = frozenset((">", "<", ">=", "<=", "=>", "=<", ">>", "<<", "≥", "≤", "⩾", "⩽", "=", "==", "~", "≈"))
_UNIT_NAMES = frozenset(("unit", "units"))
_CODES = frozenset(float("9" * digits) for digits in range(2, 9))
_PART_NAMES = frozenset(("split", "splits", "part", "set", "subset", "partition", "fold"))


def may_have_a_role(column: str) -> bool:
    """Whether a column is called as those with further molecules, with parts, bounds of labels or units are."""
    return bool((MOLECULES | _PART_NAMES | _BOUND_NAMES | _UNIT_NAMES) & {*words(column)})


def warn_of_unused(
    table: FileTable, texts: Mapping[str, Sequence[str]], molecules: Sequence[str], part_column: str | None
) -> None:
    """Say so of what changes the meaning of a table and is not used: further molecules, parts, bounds, units.

    Args:
        table: of which this is.
        texts: of columns whose names say that they may be such.
        molecules: the columns with molecules that are used.
        part_column: that which is used.
    """
    for name, column in texts.items():
        there = [text.strip() for text in column if text.strip()]
        if not there:
            continue
        signs, called = {text.strip("'\" ") for text in there}, set(words(name))
        if _BOUND_NAMES & called and signs <= _BOUND_SIGNS and signs - {"=", "=="}:
            warnings.warn(
                f"column {name!r} of {table.path} says which labels are bounds, and is not used: all are learnt as if "
                "they were measured; write the sign before the number, as in >10, to learn from bounds",
                DataWarning,
                stacklevel=4,
            )
            continue
        if _UNIT_NAMES & called and len({text.lower() for text in there}) > 1:
            some = ", ".join(list(dict.fromkeys(there))[:5])
            warnings.warn(
                f"column {name!r} of {table.path} has several units ({some}), and is not used: labels are taken as "
                "they stand; write all in one unit",
                DataWarning,
                stacklevel=4,
            )
            continue
        if part_column is None and {text.lower() for text in there} <= set(PARTS):
            warnings.warn(
                f"column {name!r} of {table.path} says which part each molecule belongs to, and is not used: say "
                f"--part-column {name} to use it",
                DataWarning,
                stacklevel=4,
            )
        elif MOLECULES & set(words(name)):
            some = list(dict.fromkeys(there))[:50]
            if np.mean(run_rdkit("heavy_atoms", some, {}, workers=1).values > 0) > 0.9:
                both = ",".join([*molecules, name])
                warnings.warn(
                    f"column {name!r} of {table.path} holds molecules too, and is not used: where a row is several "
                    f"molecules, say --smiles-columns {both if both.isprintable() and ' ' not in both else repr(both)}",
                    DataWarning,
                    stacklevel=4,
                )


def refuse_two_roles(path: Path, roles: Mapping[str, Sequence[str | None]]) -> None:
    """A column has one role: what divides or weighs molecules is not learnt, and a molecule is no label.

    Args:
        path: of the table.
        roles: columns by what they are used for; None is none.

    Raises:
        DataError: names a column with two.
    """
    used: dict[str, str] = {}
    for role, columns in roles.items():
        for column in columns:
            if column is None:
                continue
            if used.setdefault(column, role) != role:
                raise DataError(
                    f"{path}: column {column!r} holds the {used[column]}, and cannot be used for the {role} too"
                )


def refuse_two_kinds(data: MoleculeDataset, source: str) -> None:
    """Columns of 0 and 1 beside others are one kind of task only if the user says so."""
    if data.task_type != "regression":
        return
    exact = data.exact().mask
    known = [(name, data.mask[:, k], exact[:, k], data.labels[:, k]) for k, name in enumerate(data.task_names)]
    columns = [(name, labels[mask]) for name, mask, _, labels in known]
    # Of labels of which some are bounds, such as 0, 1 and >1, none is a class.
    two = [
        name
        for name, mask, measured, labels in known
        if mask.any() and (mask == measured).all() and np.isin(labels[mask], (0.0, 1.0)).all()
    ]
    if two:
        other = next(name for name, values in columns if len(values) and name not in two)
        raise DataError(
            f"{source}: {two[0]!r} holds 0 and 1 and {other!r} other numbers, but a model is for one kind: name those "
            "of one kind with --targets (task_columns in Python), or say --task-type regression"
        )


def warn_of_many_classes(data: MoleculeDataset, source: str) -> None:
    """Whole numbers from 0 or 1 to a few may be classes, which are not what regression learns."""
    if data.task_type != "regression":
        return
    for task, name in enumerate(data.task_names):
        values = np.unique(data.labels[data.mask[:, task], task])
        count = int(data.mask[:, task].sum())
        exact = data.bounds is None or not data.bounds[:, task].any()
        several = 3 <= len(values) <= 10 and (np.diff(values) == 1).all() and values[0] in (-1, 0, 1)
        if exact and count >= 3 * len(values) and (several or len(values) == 2):
            what = f"the whole numbers {values[0]:g} to" if several else f"{values[0]:g} and"
            warnings.warn(
                f"the labels {name!r} of {source} are {what} {values[-1]:g}, and are taken "
                "as numbers; if they are classes, say --task-type multiclass, if not, --task-type regression",
                DataWarning,
                stacklevel=4,
            )


def warn_of_codes(data: MoleculeDataset, source: str) -> None:
    """Numbers such as -999 that come again, far from all others, say in many files that there is no label.

    Args:
        data: as read; of regression.
        source: what to call the table.
    """
    if data.task_type != "regression":
        return
    for task, name in enumerate(data.task_names):
        values = data.labels[data.mask[:, task], task]
        for code in _CODES & set(np.abs(values).tolist()):
            for value in (-code, code):
                same = values == value
                others = values[~same]
                if same.sum() < 2 or not len(others):
                    continue
                low, high = others.min(), others.max()
                if value < low - (high - low) or value > high + (high - low):
                    warnings.warn(
                        f"{same.sum()} labels {name!r} of {source} are {value:g}, far from the others ({low:g} to "
                        f"{high:g}), and are taken as numbers; if they say that there is no label, leave them blank",
                        DataWarning,
                        stacklevel=4,
                    )


def what_was_taken(
    table: FileTable,
    molecules: Sequence[str],
    data: MoleculeDataset,
    left_out: Mapping[str, str],
    sign: str | None,
    roles: Mapping[str, str | None],
    *,
    guessed: bool,
) -> str:
    """What was taken for what, in one line.

    Args:
        table: of which this is.
        molecules: columns of SMILES.
        data: what was read.
        left_out: columns that may have been labels, and why they are none.
        sign: of decimals.
        roles: columns with a role, by what they give.
        guessed: whether the user has named no labels.

    Returns:
        The line.
    """

    def listed(names: Sequence[str]) -> str:
        return ", ".join(names[:5]) + (f", … ({len(names)})" if len(names) > 5 else "")

    def told(task: str, classes: Sequence[str]) -> str:
        return f"{task} ({len(classes)} classes: {listed(classes)})"

    tasks = list(map(told, data.task_names, data.classes)) if data.classes else data.task_names
    kind = "multi-class classification" if data.classes else data.task_type
    said = f"SMILES from {' and '.join(molecules)}, {kind} of {listed(tasks)}"
    said += "".join(f", {what} from {column}" for what, column in roles.items() if column)
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
