"""What is said of a table that was read: what was taken for what, what is not used, what is of two kinds."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from jaxuq.molecules._workers import run_rdkit
from jaxuq.molecules.columns import MOLECULES, PARTS
from jaxuq.molecules.records import DataError, DataWarning, MoleculeDataset
from jaxuq.molecules.tables import FileTable, words

_PART_NAMES = frozenset(("split", "splits", "part", "set", "subset", "partition", "fold"))


def may_have_a_role(column: str) -> bool:
    """Whether a column is called as those with further molecules, or with parts, are."""
    return bool((MOLECULES | _PART_NAMES) & {*words(column)})


def warn_of_unused(
    table: FileTable, texts: Mapping[str, Sequence[str]], molecules: Sequence[str], part_column: str | None
) -> None:
    """Say so if a table has further molecules a row, or a column of parts, that nobody has asked to be used.

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


def refuse_two_kinds(data: MoleculeDataset, source: str) -> None:
    """Columns of 0 and 1 beside others are one kind of task only if the user says so."""
    if data.task_type != "regression":
        return
    columns = [(name, data.labels[data.mask[:, k], k]) for k, name in enumerate(data.task_names)]
    two = [name for name, values in columns if len(values) and np.isin(values, (0.0, 1.0)).all()]
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
        if 3 <= len(values) <= 10 and count >= 3 * len(values) and (np.diff(values) == 1).all() and values[0] in (0, 1):
            warnings.warn(
                f"the labels {name!r} of {source} are the whole numbers {values[0]:g} to {values[-1]:g}, and are taken "
                "as numbers; if they are classes, say --task-type multiclass, if not, --task-type regression",
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
