"""Files of objects: JSON lines, JSON lists and CSV, packed or not; what cannot be read costs its line alone."""

import codecs
import contextlib
import csv
import gzip
import io
import itertools
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxuq.questions.letters import ALPHABET
from jaxuq.questions.records import QuestionError
from jaxuq.study import json_lines

_LISTS = ("choices", "answer", "also", "prompt")
_NUMBERS = ("weight", "uncertainty")


def read_entries(path: Path) -> Iterator[tuple[str, Any]]:
    """The objects of a file.

    A file whose name ends in `.csv` or `.tsv` has a header; a cell may hold a JSON list (choices, several answers), and
    choices may be columns `A`, `B`, `C`, ... Any other holds JSON: a list of objects, an object a line, or objects one
    after the other that are spread over lines, as indented ones are.

    Args:
        path: of the file; packed if its name ends in `.gz`.

    Yields:
        Place, for messages, and the value; for what cannot be read the `ValueError` that says why.

    Raises:
        QuestionError: the file cannot be read at all.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix.lower() == ".gz" else content
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # of a console of Windows
        text = content.decode("utf-16" if wide else "utf-8-sig", "replace" if wide else "surrogateescape")
    except (OSError, EOFError, zlib.error) as error:
        raise QuestionError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from None
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".csv", ".tsv")):
        found = _rows(text, "\t" if name.endswith(".tsv") else ",")
    elif text.lstrip().startswith("["):
        found = _listed(text, path)
    elif _is_spread(text):
        found = _spread(text)
    else:
        found = ((f"line {number}", value) for number, value in json_lines(text))
    for place, value in found:
        yield f"{path.name}, {place}", value if isinstance(value, ValueError) or _is_text(value) else _NOT_UNICODE


_NOT_UNICODE = ValueError(
    "its text is not valid Unicode (bytes that are no UTF-8, or a lone surrogate such as \\ud800): save it as UTF-8"
)


def _is_text(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeError, RecursionError):
        return False
    return True


def _listed(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise QuestionError(f"{path} is no JSON: {error}") from None
    yield from ((f"entry {number}", value) for number, value in enumerate(listed, 1))


_DECODER = json.JSONDecoder()
_TEXT = re.compile(r"\S")


def _is_spread(text: str) -> bool:
    """Whether the first value is an object that goes on beyond its line."""
    start = len(text) - len(text.lstrip())
    if not text.startswith("{", start) or "\n" not in text:
        return False
    try:
        _, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return False
    return "\n" in text[start:end]


def _spread(text: str) -> Iterator[tuple[str, Any]]:
    start, number = 0, 1
    while True:
        found = _TEXT.search(text, start)
        if found is None:
            return
        after = found.start()
        number += text.count("\n", start, after)
        try:
            value, end = _DECODER.raw_decode(text, after)
        except (ValueError, RecursionError) as error:
            value = ValueError(f"no JSON: {error}")
            end = text.find("\n{", after) + 1 or len(text)
        yield f"line {number}", value
        number += text.count("\n", after, end)
        start = end


def _rows(text: str, delimiter: str) -> Iterator[tuple[str, Any]]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header: list[str] | None = None
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield f"line {rows.line_num}", ValueError(f"no CSV: {error}")
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
        elif len(cells) > len(header):
            yield f"line {rows.line_num}", ValueError(f"{len(cells)} cells under {len(header)} headings: quote commas")
        else:
            yield f"line {rows.line_num}", _from_cells(dict(zip(header, cells)))


def _from_cells(cells: Mapping[str, str]) -> dict[str, Any]:
    """Cells are text; lists and numbers are read where the schema has them, and what is empty is not there."""
    entry: dict[str, Any] = {name: cell for name, cell in cells.items() if cell.strip()}
    for name in _LISTS:
        if str(entry.get(name, "")).lstrip().startswith("["):
            with contextlib.suppress(ValueError, RecursionError):  # an interval such as [0, 1) is an answer
                entry[name] = json.loads(entry[name])
    for name in _NUMBERS:
        with contextlib.suppress(KeyError, ValueError):  # missing, or named by who reads the field
            entry[name] = float(entry[name])
    lettered = [entry[letter] for letter in itertools.takewhile(entry.__contains__, ALPHABET)]
    return {"choices": lettered, **entry} if len(lettered) > 1 else entry
