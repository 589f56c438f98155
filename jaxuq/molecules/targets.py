"""Which columns of a table are labels, and of what kind; what was left out, and why."""

import re
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from jaxuq.molecules.class_labels import looks_like_classes, read_classes, whole_numbers
from jaxuq.molecules.columns import MOLECULES, PARTS, quoted
from jaxuq.molecules.labels import Column, Decimal, LabelError, Labels, look_at, read_labels
from jaxuq.molecules.records import DataError, DataWarning
from jaxuq.molecules.tables import FileTable, words

_IDENTIFIER = frozenset(
    (
        *("id", "ids", "idx", "index", "no", "num", "nr", "number", "row", "key", "cid", "sid", "cas", "casrn", "name"),
        *(
            "inchi",
            "inchikey",
            "unnamed",
            "uuid",
            "uid",
            "batch",
            "lot",
            "plate",
            "well",
            "barcode",
            "registry",
            "fold",
        ),
        *("chembl", "zinc", "pubchem"),
    )
)
_TIME = frozenset(("date", "datetime", "day", "time", "timestamp", "year", "month", "created", "modified"))
_PROPERTY = frozenset(
    (
        *("mw", "molwt", "mwt", "amw", "exactmw", "exactmolwt", "molweight", "molecularweight", "molarmass", "formula"),
        *("tpsa", "psa", "polarsurfacearea", "hba", "hbd", "numhba", "numhbd", "hbonddonors", "hbondacceptors", "qed"),
        *("numberofhbonddonors", "numberofhbondacceptors", "heavyatomcount", "heavyatoms", "numheavyatoms", "numatoms"),
        *("ringcount", "numrings", "numberofrings", "rotatablebonds", "numrotatablebonds", "numberofrotatablebonds"),
        "minimumdegree",
    )
)
_WEIGHT = frozenset(("weight", "weights", "sampleweight", "sampleweights"))
_SPREAD = frozenset(("std", "stdev", "stddev", "sd", "sem", "stderr", "se", "replicates", "nreplicates"))
_DIVIDES = frozenset(
    f"{before}{part}" for before in ("", "is", "in") for part in ("train", "training", "valid", "validation", "test")
)
_COUNTED = frozenset(("number", "num", "no"))  # of rings, say: not a number that identifies
_GROUP = frozenset(("fold", "batch", "plate", "split", "set", "part", "lot"))
_SHOWN = 5
_FEW = 3
_MAYBE = frozenset(("a property of the structure", "weights", "what says how well labels are measured"))
"""Why a column is left out beside others; as the only one it may well be what is to be learnt."""
_NUMBER_FIRST = re.compile(r"[<>≤≥~≈=(]*\s*[+-]?[.,]?\d")


def find_targets(
    table: FileTable, texts: Mapping[str, Sequence[str]], molecules: str, task_type: str | None = None
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The columns with labels of a table whose user has not named them.

    Identifiers, dates, and properties that follow from the structure are left out where their names or contents tell.
    What is left must be of one kind, all of two classes or all of other numbers; else it is for the user to say. A
    column of classes by name is taken where it is the only one, and nothing else could be the labels.

    Args:
        table: of which this is.
        texts: of all columns that may hold labels.
        molecules: the column of SMILES, for messages.
        task_type: `"multiclass"`: labels are columns of classes, by name or whole number; None or another: as above.

    Returns:
        Names of the columns, and of those left out with the reason.

    Raises:
        DataError: there is none, or they are of two kinds.
    """
    columns = {name: look_at(texts[name]) for name in texts}
    by_name = {name: column for name, column in columns.items() if column.kind == "texts" and _names_classes(column)}
    found = {name: column for name, column in columns.items() if column.kind in ("numbers", "classes", "bounds")}
    if task_type == "multiclass":
        other = {name: "other numbers" for name in found if found[name].kind != "classes" and not _classes(found[name])}
        found = {name: column for name, column in columns.items() if name in found or name in by_name}
    else:
        other = {}
    reasons = {name: _no_label(name, column) or other.get(name, "") for name, column in found.items()}
    left_out = {name: reason for name, reason in reasons.items() if reason}
    left_out |= {name: "dates" for name, column in columns.items() if column.kind == "dates"}
    rest = {name: column for name, column in found.items() if name not in left_out}
    if varied := {name: column for name, column in rest.items() if column.binary or _varies(column)}:
        left_out |= {name: "the same in all rows" for name in rest if name not in varied}
        rest = varied
    named_alike = {name: reason for name, reason in left_out.items() if reason in _MAYBE}
    if not rest and len(named_alike) == 1:  # the only one that there is may well be what is to be learnt
        rest = {name: found[name] for name in named_alike}
        left_out = {name: reason for name, reason in left_out.items() if name not in rest}
    for name, column in () if task_type == "multiclass" else by_name.items():
        if not rest and len(by_name) == 1 and task_type != "regression" and not _no_label(name, column):
            rest = {name: column}
        else:
            left_out[name] = _no_label(name, column) or "classes by name"
    left_out |= {
        name: f"texts such as {_example(column)}"
        for name, column in columns.items()
        if column.kind == "texts" and name not in rest and name not in left_out and _mostly_numbers(column)
    }
    if not rest:
        texts_there = {
            name: f"texts such as {_example(column)}"
            for name, column in columns.items()
            if column.kind == "texts" and name not in left_out
        }
        every = list((left_out | texts_there).items())
        shown = "; ".join(
            f"{name!r} {'holds' if reason.startswith('texts') else 'looks like'} {reason}"
            for name, reason in every[:_SHOWN]
        )
        raise DataError(
            f"{table.path} has no column of {'classes' if task_type == 'multiclass' else 'numbers'} besides "
            f"{molecules!r}, or all their entries are missing; its columns are {', '.join(table.header[:20])}"
            f"{f' ({shown})' if shown else ''}: say which hold the labels with --targets (task_columns in Python)"
        )
    classes = [name for name, column in rest.items() if column.binary]
    numbers = [name for name, column in rest.items() if not column.binary]
    if classes and numbers and task_type != "multiclass":
        raise DataError(
            f"which columns of {table.path} hold the labels? {_hold(classes)} two classes, and {_hold(numbers)} other "
            f"numbers; name them: --targets {quoted(classes[0])}, several with commas between (task_columns in Python)"
        )
    return tuple(rest), left_out


def target_labels(
    table: FileTable,
    texts: Mapping[str, Sequence[str]],
    targets: Sequence[str],
    lines: Sequence[int],
    decimal: str | None,
    task_type: str | None = None,
) -> tuple[dict[str, Labels], str | None, tuple[tuple[str, ...], ...]]:
    """The labels of the columns.

    Args:
        table: of which this is.
        texts: of the columns.
        targets: their names.
        lines: of the records.
        decimal: sign of the numbers; None: as most of them have it.
        task_type: `"multiclass"`: all columns are classes; None and `"classification"`: those that name classes are,
            and so are then the columns of two classes beside them.

    Returns:
        Labels by column; the decimal sign; names of the classes of each column, if all are classes.

    Raises:
        DataError: a text is no label, or columns are of two kinds.
    """
    if decimal not in (None, ".", ","):
        raise DataError(f"the decimal sign is {decimal!r}; expected '.' or ','")
    columns: dict[str, Column] = {name: look_at(texts[name], decimal) for name in targets}
    named = [name for name, column in columns.items() if column.kind == "texts" and _names_classes(column)]
    if task_type == "multiclass" or (named and task_type != "regression"):
        other = [name for name, column in columns.items() if name not in named and not column.binary]
        if other and task_type != "multiclass":
            raise DataError(
                f"{table.path}: {_hold(named)} classes by name, and {_hold(other)} other numbers, but a model is for "
                f"one kind: name those of one kind with --targets, or say --task-type multiclass if all are classes"
            )
        labels, classes = _class_columns(table, texts, targets, lines)
        return labels, None, classes
    signs: dict[Decimal, str] = {c.decimal: name for name, c in reversed(columns.items()) if c.decimal}
    if len(signs) == 2:
        raise DataError(
            f"{table.path}: the decimal sign is a point in column {signs['.']!r} and a comma in {signs[',']!r}; write "
            "all numbers in one way, or name it with --decimal"
        )
    sign = decimal or next(iter(signs), None)
    labels = {}
    for name, column in columns.items():
        try:
            labels[name] = read_labels(column, sign)
        except LabelError as error:
            named_so = column.kind == "texts" and not any(map(str.isdigit, "".join(column.texts)))
            hint = "; if the column names classes, say --task-type multiclass" if named_so else ""
            raise DataError(f"{table.path}, line {lines[error.row]}, column {name!r}: {error}{hint}") from None
    return labels, sign, ()


def _class_columns(
    table: FileTable, texts: Mapping[str, Sequence[str]], targets: Sequence[str], lines: Sequence[int]
) -> tuple[dict[str, Labels], tuple[tuple[str, ...], ...]]:
    """Numbers and names of the classes of each column."""
    labels, names = {}, []
    for name in targets:
        try:
            found = read_classes(texts[name])
        except LabelError as error:
            line = f", line {lines[error.row]}" if error.row >= 0 else ""
            raise DataError(f"{table.path}{line}, column {name!r}: {error}") from None
        if found.unsure:
            warnings.warn(
                f"{found.unsure!r} in column {name!r} of {table.path} is taken for a missing label; if it is a class, "
                "give it another name",
                DataWarning,
                stacklevel=6,
            )
        labels[name] = Labels(found.values, np.zeros(len(found.values), np.int8))
        names.append(found.names)
    return labels, tuple(names)


def _names_classes(column: Column) -> bool:
    """Whether texts name classes, and not parts of the data."""
    return looks_like_classes(column.texts) and not {text.lower() for text in column.texts if text} <= set(PARTS)


def _classes(column: Column) -> bool:
    return column.binary or (column.kind == "numbers" and whole_numbers(column.texts))


def _no_label(name: str, column: Column) -> str:
    """Why a column of numbers is no label, or nothing."""
    parts = words(name)
    joined = "".join(parts)
    if column.kind == "texts" and MOLECULES & {*parts}:
        return "molecules"
    if _GROUP & {*parts} and (column.binary or column.kind == "texts"):
        return "groups of molecules"
    if _GROUP & {*parts} and {*parts} <= _GROUP | {"column", "type", "name", "id"} and whole_numbers(column.texts):
        return "groups of molecules"
    if column.binary:  # what has two values identifies nothing, but may divide
        return "parts of the data" if joined in _DIVIDES else ""
    if joined in _WEIGHT:
        return "weights"
    if _SPREAD & {*parts, joined}:
        return "what says how well labels are measured"
    if joined in _PROPERTY:
        return "a property of the structure"
    counted = len(parts) > 2 and parts[0] in _COUNTED and parts[1] == "of"
    numbered = len(parts) == 1 and joined.endswith(("id", "ids")) and _whole(column)
    if not parts or numbered or (_IDENTIFIER & {*parts, joined} and not counted):
        return "an identifier"
    if _TIME & {*parts, joined}:
        return "dates"
    there = [text for text in column.texts if text]
    if _whole(column) and len(there) >= 10:
        values = [int(text) for text in there]
        if values == list(range(values[0], values[0] + len(values))) and values[0] in (0, 1):
            return "an identifier"
        if len(set(values)) == len(values) and min(values) >= 10_000:
            return "an identifier"
    return ""


def _varies(column: Column) -> bool:
    """Whether a column differs between rows, or may where it is blank; a condition such as 298 K does not."""
    return column.kind == "bounds" or len(column.texts) < _FEW or "" in column.texts or len(set(column.texts)) > 1


def _mostly_numbers(column: Column) -> bool:
    """Whether most of what is there begins as a number does: it may be a label that is not written as one."""
    there = [text for text in column.texts if text]
    return 2 * sum(bool(_NUMBER_FIRST.match(text)) for text in there) > len(there)


def _example(column: Column) -> str:
    there = [text for text in column.texts if text]
    return repr(next((text for text in there if look_at([text]).kind == "texts"), there[0])[:30])


def _whole(column: Column) -> bool:
    return all(re.fullmatch(r"\d{1,18}", text, re.ASCII) for text in column.texts if text)


def _hold(names: Sequence[str]) -> str:
    return f"{_shown(names)} {'hold' if len(names) > 1 else 'holds'}"


def _shown(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_SHOWN])) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
