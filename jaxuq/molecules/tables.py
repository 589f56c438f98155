"""One reader of tables of molecules: CSV with whatever separator, gzipped or not, SDF, Excel and parquet by pandas."""

import csv
import gzip
import importlib.util
import io
import itertools
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxuq._damaged import DAMAGED
from jaxuq._extras import missing_package
from jaxuq.molecules.records import DataError, DataWarning

SMILES_NAMES = ("smiles", "mol", "canonical_smiles", "smi", "structure", "molecule", "drug")
"""What a column with SMILES is usually called, in any case."""
SEPARATORS = {",": ",", ";": ";", "tab": "\t", "\t": "\t", "|": "|", "\\t": "\t"}
"""What `separator` may be, and what stands between two fields then."""
_RECOGNISED = (",", ";", "\t")
_ENDINGS = (".csv", ".tsv", ".txt", ".tab", ".smi", ".sdf", ".sd", ".parquet", ".xlsx")
_PANDAS = {"parquet": "pyarrow", "Excel": "openpyxl"}
_END = "\ufdd0"  # a code that no text has, behind the last line
_UNSEEN = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")


class FileTable(NamedTuple):
    """A file with a header and records.

    Attributes:
        path: of the file.
        header: names of the columns.
        records: called without arguments, line number and fields of every record but the header and blank lines; the
            file is read anew each time, and never held whole but for Excel and parquet.
        separator: that of a text file; empty for other kinds.
    """

    path: Path
    header: list[str]
    records: Callable[[], Iterator[tuple[int, list[str]]]]
    separator: str = ""


def open_table(path: Path, *, separator: str | None = None, smiles_columns: Sequence[str] = ()) -> FileTable:
    """Open a table of molecules, of whatever kind it is by its content (SDF by its ending).

    Args:
        path: UTF-8 or UTF-16 text, plain or gzipped, with a header line; SDF, whose molecules become the column
            `smiles` and whose properties the others; Excel or parquet, if the package for it is installed.
        separator: between the fields of a text file: `","`, `";"`, `"tab"` or `"|"`; None: of the first three the one
            that parts off a column for SMILES, or else the most columns.
        smiles_columns: whose names, alone or with commas between, help to recognise the separator.

    Returns:
        The table. Marks that nobody sees, such as zero-width spaces, are not in it.

    Raises:
        DataError: there is no such file, or it is no table.
    """
    if not path.is_file():
        raise DataError(f"{path} is a folder; name a file" if path.is_dir() else f"there is no file {path}")
    if separator is not None and separator not in SEPARATORS:
        raise DataError(f"the separator is {separator!r}; expected ',', ';', 'tab' or '|'")
    with open(path, "rb") as stream:
        start = stream.read(8)
    if path.name.lower().removesuffix(".gz").endswith((".sdf", ".sd")):
        return _sdf(path)
    if start.startswith(b"PAR1"):
        return _frame(path, "parquet", smiles_columns)
    if start.startswith(b"PK\x03\x04") and path.suffix.lower() in (".xlsx", ".xlsm"):
        return _frame(path, "Excel", smiles_columns)
    if start.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"BZh", b"\xfd7zXZ")):
        raise DataError(f"{path} is an archive or an old Excel file; give it as CSV, plain or gzipped")
    return _text(path, separator, smiles_columns)


def column_position(path: Path, header: list[str], column: str) -> int:
    """Where the one column of that name is."""
    if header.count(column) != 1:
        what = "no column" if column not in header else f"{header.count(column)} columns"
        shown = ", ".join(header[:20]) + (f", … ({len(header)} columns)" if len(header) > 20 else "")
        raise DataError(f"{path} has {what} called {column!r}; its columns are {shown}")
    return header.index(column)


def table_name(path: str | Path) -> str:
    """What a data set is called whose file this is: the file's name without its ending."""
    name = Path(path).name.removesuffix(".gz")
    ending = next((ending for ending in _ENDINGS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]


def seen(text: str) -> str:
    """The text without characters that take no place on paper, which copying from pages leaves in SMILES and names."""
    return _UNSEEN.sub("", text) if not text.isascii() else text


def _text(path: Path, separator: str | None, smiles_columns: Sequence[str]) -> FileTable:
    with _lines(path) as (lines, _):
        first = list(itertools.islice((line for line in lines if line.strip()), 50))  # a header may be several lines
    if not first:
        raise DataError(f"{path} is empty; a header line with column names was expected")
    stated = re.fullmatch(r"sep=(.)", first[0].strip("\r\n "), re.IGNORECASE)  # a line of Excel's
    if stated and separator is None:
        separator = stated[1]
        if separator not in SEPARATORS:
            said = f"{path} begins with {first[0].strip()!r}, which names no separator that is known"
            raise DataError(f"{said}: expected ',', ';', a tab or '|'; put it right, or leave the line out")
    between = _separator(path, first[bool(stated) :], smiles_columns) if separator is None else SEPARATORS[separator]

    def records() -> Iterator[tuple[int, list[str]]]:
        with _lines(path) as (lines, problem):
            line = 0
            try:
                for line, fields in itertools.islice(_fields(path, lines, between), 1 + bool(stated), None):
                    yield line, [seen(field) for field in fields]
            except (csv.Error, *DAMAGED) as error:
                raise problem(error, line) from error

    with _lines(path) as (lines, problem):
        try:
            _, header = next(itertools.islice(_fields(path, lines, between), bool(stated), None), (0, None))
        except (csv.Error, *DAMAGED) as error:
            raise problem(error) from error
    if header is None:
        raise DataError(f"{path} is empty; a header line with column names was expected")
    if any("\0" in column for column in header):
        raise DataError(f"{path} is not a readable UTF-8 CSV file: its header holds NUL bytes; save it as UTF-8")
    return FileTable(path, [seen(column).strip() for column in header], records, between)


def _fields(path: Path, lines: Iterator[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """The records that are not blank, with the number of the line at which each ends.

    A mark goes behind the last line: where a quotation mark is never closed, the mark is in a field too.
    """
    reader = csv.reader(itertools.chain(lines, (_END,)), delimiter=separator)
    before = 0
    for fields in reader:
        if _END in fields[-1:]:
            return
        if fields and fields[-1].endswith(_END):
            raise DataError(
                f"{path}, line {before + 1}: a quotation mark is not closed, and all lines behind it would be one "
                "field; close it, or take it out"
            )
        before = reader.line_num
        if any(field.strip() for field in fields):
            yield before, fields


class _lines:
    """The decoded lines of a text file, and the error to raise when it is none."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> tuple[Iterator[str], Callable[..., DataError]]:
        with open(self.path, "rb") as plain:
            zipped = plain.read(2) == b"\x1f\x8b"
        opened = gzip.open if zipped else open
        problem = self._problem
        try:
            with opened(self.path, "rb") as stream:
                start = stream.read(2)
            wide = start in (b"\xff\xfe", b"\xfe\xff")
            self.stream = opened(self.path, "rt", encoding="utf-16" if wide else "utf-8-sig", newline="")
        except DAMAGED as error:
            raise problem(error) from error
        return self._guarded(), problem

    def _guarded(self) -> Iterator[str]:
        try:
            yield from self.stream
        except DAMAGED as error:
            raise self._problem(error) from error

    def _problem(self, error: Exception, line: int = 0) -> DataError:
        if isinstance(error, DataError):
            return error
        where = f" (near line {line})" if line else ""
        if isinstance(error, UnicodeDecodeError):
            return DataError(
                f"{self.path} is not a readable UTF-8 CSV file{where}: {error}; save it as UTF-8, which Excel calls "
                '"CSV UTF-8"'
            )
        return DataError(f"{self.path} is not a readable UTF-8 CSV file{where}: {error}")

    def __exit__(self, *_: Any) -> None:
        self.stream.close()


def _separator(path: Path, lines: list[str], smiles_columns: Sequence[str]) -> str:
    """The one that parts off a column for SMILES, or else the most columns."""

    def ranked(separator: str) -> tuple[int, int]:
        try:
            header = next(csv.reader(lines, delimiter=separator))
        except (csv.Error, StopIteration):
            return 0, 0
        return _names_molecules(header, smiles_columns), len(header)

    found = sorted(((*ranked(separator), separator) for separator in _RECOGNISED), key=lambda one: one[:2])
    (_, _, second), (named, columns, best) = found[-2:]
    if columns > 1 and found[-2][:2] == (named, columns):
        between = " and ".join(repr("tab" if one == "\t" else one) for one in sorted((best, second)))
        raise DataError(f"the columns of {path} may be parted by {between}; say which with --separator")
    return best if columns > 1 else ","


def _names_molecules(header: Sequence[str], smiles_columns: Sequence[str]) -> int:
    """Whether a column's name is one for SMILES (2), or has that word in it and none is asked for (1)."""
    pieces = {piece.strip().lower() for text in smiles_columns for piece in (text, *text.split(","))}
    names = [seen(field).strip().lower() for field in header]
    said = any(not pieces and "smiles" in words(name) for name in names)
    return 2 * any(name in (pieces or SMILES_NAMES) for name in names) or int(said)


def words(name: str) -> list[str]:
    """The words of a column's name, in small letters: `CompoundID (2)` has compound, id, 2."""
    plain = unicodedata.normalize("NFKD", name)
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", plain)
    return [word for word in re.split(r"[^0-9a-z]+", parted.lower()) if word]


def _sdf(path: Path) -> FileTable:
    """Molecules as SMILES, their titles and properties as columns; a record's number stands for its line."""
    from rdkit import Chem, rdBase

    def molecules() -> Iterator[Any]:
        with open(path, "rb") as plain:
            zipped = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if zipped else open(path, "rb") as stream:
            molecule = None
            supplier = Chem.ForwardSDMolSupplier(io.BufferedReader(stream) if zipped else stream)
            while True:
                try:
                    with rdBase.BlockLogs():
                        molecule = next(supplier)
                except StopIteration:
                    return
                except (RuntimeError, SystemError, *DAMAGED) as error:  # the last: of a stream within C++
                    raise DataError(f"{path} is not a readable SDF file: {error}") from error
                yield molecule

    def properties(molecule: Any) -> dict[str, str]:
        if molecule is None:
            return {}
        try:
            title = {"title": molecule.GetProp("_Name")} if molecule.HasProp("_Name") else {}
            found = {name: molecule.GetProp(name) for name in molecule.GetPropNames()}
        except UnicodeError as error:
            raise DataError(f"{path} is not a readable SDF file: {error}") from error
        return {name: seen(text) for name, text in (title | found).items()}

    columns: dict[str, None] = {}
    count = 0
    for molecule in molecules():
        count += 1
        columns |= dict.fromkeys(
            name for name, text in properties(molecule).items() if text and name.lower() != "smiles"
        )
    if not count:
        raise DataError(f"{path} is empty, or not an SDF file: it has no record")

    def records() -> Iterator[tuple[int, list[str]]]:
        for number, molecule in enumerate(molecules(), 1):
            smiles = "" if molecule is None else Chem.MolToSmiles(molecule)
            mine = properties(molecule)
            yield number, [smiles, *(mine.get(name, "").strip() for name in columns)]

    return FileTable(path, ["smiles", *columns], records)


def _frame(path: Path, kind: str, smiles_columns: Sequence[str]) -> FileTable:
    """What pandas reads, as texts."""
    if importlib.util.find_spec(_PANDAS[kind]) is None:
        raise DataError(f"{missing_package(_PANDAS[kind], f'the {kind} file {path}')}, or save the table as CSV")
    try:
        return _parquet(path) if kind == "parquet" else _excel(path, smiles_columns)
    except DataError:
        raise
    except Exception as error:  # each engine has errors of its own for a damaged file
        raise DataError(f"{path} is not a readable {kind} file: {error}") from error


def _parquet(path: Path) -> FileTable:
    """The columns, those that pandas kept as a named index first."""
    import pandas

    table = pandas.read_parquet(path)
    named = [name for name in table.index.names if name is not None]
    table = table.reset_index(level=named) if named else table
    return _texts(path, [str(column) for column in table.columns], table.itertuples(index=False, name=None), 1)


def _excel(path: Path, smiles_columns: Sequence[str]) -> FileTable:
    """The one sheet with molecules, below its first row that is not blank."""
    import pandas

    sheets = pandas.read_excel(path, sheet_name=None, header=None, dtype=object, keep_default_na=False)
    tables: dict[str, FileTable] = {}
    for name, sheet in sheets.items():
        rows = [[_cell(value) for value in row] for row in sheet.itertuples(index=False, name=None)]
        first = next((n for n, row in enumerate(rows) if any(field.strip() for field in row)), None)
        if first is not None:
            tables[str(name)] = _texts(path, rows[first], rows[first + 1 :], first + 1)
    if not tables:
        raise DataError(f"{path} is empty; a header line with column names was expected")
    known = [name for name, table in tables.items() if _names_molecules(table.header, smiles_columns)]
    if len(tables) > 1 and len(known) != 1:
        named, column = ", ".join(map(repr, tables)), ", ".join(smiles_columns) or "with SMILES"
        which = f"{len(known)} of them have" if known else "none of them has"
        raise DataError(
            f"{path} has the sheets {named}, and {which} a column {column}: save the one that is meant as CSV"
        )
    taken = known[0] if known else next(iter(tables))
    if len(tables) > 1:
        left = ", ".join(repr(name) for name in tables if name != taken)
        warnings.warn(f"of {path} the sheet {taken!r} is read, and not {left}", DataWarning, stacklevel=5)
    return tables[taken]


def _texts(path: Path, header: list[str], rows: Iterable[Sequence[Any]], line: int) -> FileTable:
    """A table of rows that are held, the first of which stands below that line."""
    kept = [(number, [_cell(value) for value in row]) for number, row in enumerate(rows, line + 1)]

    def records() -> Iterator[tuple[int, list[str]]]:
        return ((number, fields) for number, fields in kept if any(field.strip() for field in fields))

    return FileTable(path, [seen(column).strip() for column in header], records)


def _cell(value: Any) -> str:
    """The text of what a frame holds, blank for each of pandas' ways to say that there is nothing."""
    import pandas

    if isinstance(value, bytes):  # texts of columns that a program has written as binary
        value = value.decode("utf-8", "replace")
    return "" if pandas.api.types.is_scalar(value) and pandas.isna(value) else seen(str(value))
