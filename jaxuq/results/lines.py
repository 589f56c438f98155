"""JSON lines as every room reads them."""

import json
from collections.abc import Iterator
from typing import Any


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
