"""The rows of a CSV file, plain or gzipped, with a clear error for everything that can be wrong with one."""

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

from jaxuq.molecules.records import DataError


def records(path: Path) -> Iterator[tuple[int, list[str]]]:
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


def column_position(path: Path, header: list[str], column: str) -> int:
    """Where the one column of that name is."""
    if header.count(column) != 1:
        what = "no column" if column not in header else f"{header.count(column)} columns"
        shown = ", ".join(header[:20]) + (f", … ({len(header)} columns)" if len(header) > 20 else "")
        raise DataError(f"{path} has {what} called {column!r}; its columns are {shown}")
    return header.index(column)
