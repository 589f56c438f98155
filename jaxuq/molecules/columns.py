"""Which column of a table is what: SMILES, labels, part, weight; what was left out, and why."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxuq.molecules.labels import Column, Decimal, LabelError, Labels, look_at, read_labels
from jaxuq.molecules.records import DataError
from jaxuq.molecules.tables import SMILES_NAMES, FileTable, column_position, words

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
_COUNTED = frozenset(("number", "num", "no"))  # of rings, say: not a number that identifies
_GROUP = frozenset(("fold", "batch", "plate", "split", "set", "part", "lot"))
_SHOWN = 5


def smiles_column(table: FileTable, wanted: str | None) -> str:
    """The column with the molecules: the one named, else one with a usual name.

    Raises:
        DataError: there is none, or there are several of equal right.
    """
    if wanted is not None:
        column_position(table.path, table.header, wanted)
        return wanted
    by_name = {usual: [column for column in table.header if column.lower() == usual] for usual in SMILES_NAMES}
    found = next((columns for columns in by_name.values() if columns), None)
    found = found or [column for column in table.header if "smiles" in words(column)]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(table.header[:20])
    if found:
        raise DataError(
            f"{table.path} has several columns of SMILES, {', '.join(found)}: say which with --smiles-column"
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


def find_targets(
    table: FileTable, texts: Mapping[str, Sequence[str]], molecules: str
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The columns with labels of a table whose user has not named them.

    Identifiers, dates, and properties that follow from the structure are left out where their names or contents tell.
    What is left must be of one kind, all of two classes or all of other numbers; else it is for the user to say.

    Args:
        table: of which this is.
        texts: of all columns that may hold labels.
        molecules: the column of SMILES, for messages.

    Returns:
        Names of the columns, and of those left out with the reason.

    Raises:
        DataError: there is none, or they are of two kinds.
    """
    columns = {name: look_at(texts[name]) for name in texts}
    found = {name: column for name, column in columns.items() if column.kind in ("numbers", "classes", "bounds")}
    reasons = {name: _no_label(name, found[name]) for name in found}
    left_out = {name: reason for name, reason in reasons.items() if reason}
    left_out |= {name: "dates" for name, column in columns.items() if column.kind == "dates"}
    rest = {name: column for name, column in found.items() if name not in left_out}
    named_alike = {name: reason for name, reason in left_out.items() if reason == "a property of the structure"}
    if not rest and len(named_alike) == 1:  # the only one that there is may well be what is to be learnt
        rest = {name: found[name] for name in named_alike}
        left_out = {name: reason for name, reason in left_out.items() if name not in rest}
    if not rest:
        shown = "; ".join(f"{name!r} looks like {reason}" for name, reason in list(left_out.items())[:_SHOWN])
        raise DataError(
            f"{table.path} has no column of numbers besides {molecules!r}, or all their entries are missing; its "
            f"columns are {', '.join(table.header[:20])}{f' ({shown})' if shown else ''}: say which hold the labels "
            "with --targets (task_columns in Python)"
        )
    classes = [name for name, column in rest.items() if column.binary]
    numbers = [name for name, column in rest.items() if not column.binary]
    if classes and numbers:
        raise DataError(
            f"which columns of {table.path} hold the labels? {_hold(classes)} two classes, and {_hold(numbers)} other "
            f"numbers; name them: --targets {_quoted(classes[0])}, several with commas between (task_columns in Python)"
        )
    return tuple(rest), left_out


def target_labels(
    table: FileTable,
    texts: Mapping[str, Sequence[str]],
    targets: Sequence[str],
    lines: Sequence[int],
    decimal: str | None,
) -> tuple[dict[str, Labels], str | None]:
    """The labels of the columns.

    Args:
        table: of which this is.
        texts: of the columns.
        targets: their names.
        lines: of the records.
        decimal: sign of the numbers; None: as most of them have it.

    Returns:
        Labels by column; the decimal sign.

    Raises:
        DataError: a text is no label.
    """
    if decimal not in (None, ".", ","):
        raise DataError(f"the decimal sign is {decimal!r}; expected '.' or ','")
    columns: dict[str, Column] = {name: look_at(texts[name], decimal) for name in targets}
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
            raise DataError(f"{table.path}, line {lines[error.row]}, column {name!r}: {error}") from None
    return labels, sign


def _no_label(name: str, column: Column) -> str:
    """Why a column of numbers is no label, or nothing."""
    parts = words(name)
    joined = "".join(parts)
    if column.binary:  # what has two values identifies nothing, but may divide
        return "groups of molecules" if _GROUP & {*parts} else ""
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


def _whole(column: Column) -> bool:
    return all(re.fullmatch(r"\d{1,18}", text, re.ASCII) for text in column.texts if text)


def _hold(names: Sequence[str]) -> str:
    return f"{_shown(names)} {'hold' if len(names) > 1 else 'holds'}"


def _shown(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_SHOWN])) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w.-]+", name) else f'"{name}"'
