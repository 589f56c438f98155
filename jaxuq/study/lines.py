"""JSON lines as every room reads them, and lines with a checksum as every run keeps them."""

import json
import pathlib
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jaxuq.study.errors import StudyWarning

_CHECK = "check"


def json_lines(text: str) -> Iterator[tuple[int, Any]]:
    r"""The values of a text with a JSON value a line.

    Lines end at line feeds alone: JSON allows U+2028 and its like within a text, where `str.splitlines` would cut.

    Args:
        text: of a file; blank lines are passed over.

    Yields:
        Number of the line, from 1, and its value; for a line that is no JSON the `ValueError` that says why.

    Example:
        >>> [(number, value) for number, value in json_lines('{"a": 1}\n\n[2]\n{"b"')][:2]
        [(1, {'a': 1}), (3, [2])]
    """
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, ValueError(f"no JSON: {error}")


def sealed_lines(records: Iterable[Mapping[str, Any]], *, ascii: bool = False) -> str:
    """Records as JSON lines, each with a checksum, so that damage within a line is seen.

    Args:
        records: JSON objects without numbers that are not finite.
        ascii: escape everything else, and so keep even half characters (lone surrogates), which become "?" otherwise.

    Returns:
        A text that ends with a line feed.

    Example:
        >>> print(sealed_lines([{"id": "a", "correct": True}]), end="")
        {"id": "a", "correct": true, "check": "..."}
    """
    lines = []
    for record in records:
        plain = dict(record)
        if not ascii:
            text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
            plain = json.loads(text.encode("utf-8", errors="replace"))
        plain[_CHECK] = _checksum(plain)
        lines.append(json.dumps(plain, ensure_ascii=ascii, allow_nan=False) + "\n")
    return "".join(lines)


def read_sealed(path: str | pathlib.Path) -> list[dict[str, Any]]:
    """The whole lines of a file of `sealed_lines`; says how many others there were.

    Args:
        path: the file; a missing one has no lines.

    Returns:
        The records, without their checksums. A line that an interruption has cut, or whose checksum does not fit, is
        left out; one that never had a checksum is taken as it is.
    """
    try:
        text = pathlib.Path(path).read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    records, damaged = [], 0
    for _, record in json_lines(text):
        if not isinstance(record, dict):
            damaged += 1
            continue
        check = record.pop(_CHECK, None)
        if check is not None and check != _checksum(record):
            damaged += 1
            continue
        records.append(record)
    if damaged:
        said = "a line of it is" if damaged == 1 else f"{damaged} lines of it are"
        warnings.warn(f"{path}: {said} damaged and left out", StudyWarning, stacklevel=2)
    return records


def _checksum(record: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(record, sort_keys=True).encode()):08x}"
