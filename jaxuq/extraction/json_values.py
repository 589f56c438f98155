"""JSON (or Python literals) anywhere in a reply, whole or broken off, with its numbers as they are written."""

import ast
import json
import re
import warnings
from collections.abc import Iterator
from typing import Any

_MOST_TRIES = 32  # places of a reply where JSON may begin
_MOST_LITERAL = 20_000  # characters that are read as a Python literal
_OPENING = re.compile(r"(?:^|[\s:=>`])([\[{])", re.MULTILINE)
_BETWEEN = re.compile(r"[\s,;]*([\[{])")  # values in a row, as of JSON lines


class _Written(float):
    """A number that is written as the model wrote it: 1.60 and 1e5 are found in a text by their letters."""

    text: str

    def __new__(cls, text: str) -> "_Written":
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text


_READER = {"parse_float": _Written, "parse_constant": lambda name: None}  # NaN is how tables of numbers say nothing


def json_values(reply: str) -> Iterator[Any]:
    """The lists and objects that a reply holds, from the first to the last.

    Values of one kind with nothing but blanks or commas between them are one list: JSON lines.

    Args:
        reply: what the model wrote.

    Returns:
        Lists and dictionaries.

    Example:
        >>> list(json_values('Sure: {"a": 1.60}\\n{"a": null}'))
        [[{'a': 1.6}, {'a': None}]]
    """
    group: list[Any] = []
    end = -1
    for value, first, last in _values(reply):
        follows = _BETWEEN.match(reply, end) if group else None
        if follows is None or follows.start(1) != first or type(value) is not type(group[-1]):
            yield from _together(group)
            group = []
        group.append(value)
        end = last
    yield from _together(group)


def _together(group: list[Any]) -> list[Any]:
    if len(group) < 2:
        return group
    return [group] if isinstance(group[0], dict) else [[member for value in group for member in value]]


def _values(reply: str) -> Iterator[tuple[Any, int, int]]:
    """Values with their first character and one behind their last."""
    at = 0
    decoder = json.JSONDecoder(**_READER)
    for _ in range(_MOST_TRIES):
        match = (_BETWEEN.match(reply, at) if at else None) or _OPENING.search(reply, at)
        if match is None:
            return
        start, value = match.start(1), None
        try:
            value, end = decoder.raw_decode(reply, start)
        except (ValueError, RecursionError):
            value, end = _repaired(reply, start)
        if isinstance(value, list | dict):
            yield value, start, end
        at = max(end, start + 1)


def _repaired(reply: str, start: int) -> tuple[Any, int]:
    """What stands at a bracket as a Python literal, or as JSON that breaks off; None and where to go on without."""
    stack, quote, escaped, safe, end = [], "", False, -1, len(reply)
    for place in range(start, len(reply)):
        sign = reply[place]
        if quote:
            escaped, quote = sign == "\\" and not escaped, "" if sign == quote and not escaped else quote
            if not quote:
                safe = place + 1
        elif sign in "\"'":
            quote = sign
        elif sign in "[{":
            stack.append("]" if sign == "[" else "}")
        elif sign in "]}":
            if not stack or sign != stack.pop():
                return None, place
            safe = place + 1
            if not stack:
                end = place + 1
                break
    piece = reply[start:end]
    if not stack and len(piece) <= _MOST_LITERAL:
        try:
            with warnings.catch_warnings(action="ignore", category=SyntaxWarning):
                return ast.literal_eval(piece), end
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None, start + 1
    if len(stack) > 50 or safe < 0:
        return None, start + 1
    closing = _open_brackets(reply[start:safe])
    for ending in ("", ": null"):  # a key without its value
        try:
            return json.loads(reply[start:safe] + ending + "".join(reversed(closing)), **_READER), end
        except (ValueError, RecursionError):
            continue
    return None, start + 1


def _open_brackets(text: str) -> list[str]:
    stack: list[str] = []
    quoted = escaped = False
    for sign in text:
        if quoted:
            quoted, escaped = sign != '"' or escaped, sign == "\\" and not escaped
        elif sign == '"':
            quoted = True
        elif sign in "[{":
            stack.append("]" if sign == "[" else "}")
        elif sign in "]}" and stack:
            stack.pop()
    return stack
