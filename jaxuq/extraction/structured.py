"""Replies that are no Markdown: JSON, HTML tables and comma-separated values, as the tables that they mean."""

import ast
import csv
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxuq.extraction.tables import LINES, Table, clean_cell, header_cell

_MOST_TRIES = 32  # places of a reply where JSON may begin
_MOST_LITERAL = 20_000  # characters that are read as a Python literal
_MOST_ROWS = 100_000  # of one value: lists in several cells of a record multiply
_OPENING = re.compile(r"(?:^|[\s:=>`])([\[{])", re.MULTILINE)
_HTML = re.compile(r"<(/?)(table|tr|th|td)\b[^<>]{0,400}>", re.IGNORECASE)
_ENTITY = ("entity", "text", "name", "mention", "span", "value", "word", "phrase")
_TYPE = ("type", "label", "category", "entity type", "entity_type", "class", "tag")


def structured_tables(reply: str) -> list[Table]:
    """The tables that JSON (or Python literals) and HTML in a reply stand for.

    A list of records has a column a key, of records in it the keys of both; a list of texts, or a text, is a list. An
    object of lists is a column for each of its keys, and entities with types; a list of records with an entity and a
    type is both of these too. A reply that breaks off within JSON counts as far as it goes.

    Args:
        reply: what the model wrote.

    Returns:
        Tables in order.

    Example:
        >>> structured_tables('{"person": ["Ada", "Bo"]}')[0]
        Table(header=('person',), rows=(('Ada',), ('Bo',)), kind='table')
    """
    tables = [table for value in _json_values(reply) for table in _of_value(value)]
    return tables + (_html_tables(reply) if "<t" in reply.lower() else [])


def _json_values(reply: str) -> Iterator[Any]:
    at = 0
    decoder = json.JSONDecoder()
    for _ in range(_MOST_TRIES):
        match = _OPENING.search(reply, at)
        if match is None:
            return
        start, value = match.start(1), None
        try:
            value, end = decoder.raw_decode(reply, start)
        except (ValueError, RecursionError):
            value, end = _repaired(reply, start)
        if isinstance(value, list | dict):
            yield value
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
            return json.loads(reply[start:safe] + ending + "".join(reversed(closing))), end
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


def _text(value: Any) -> str:
    """A scalar as it was written; empty for none."""
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value)
    return clean_cell(str(value)) if isinstance(value, str | int | float) else ""


def _scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _of_value(value: Any, depth: int = 0) -> list[Table]:
    if depth > 8 or _scalar(value):
        return []
    if isinstance(value, list | tuple | set):
        members = list(value)
        records = [member for member in members if isinstance(member, dict)]
        if records:
            inner = [table for record in records for table in _inner(record, depth)]
            return [*inner, *_of_records(records)]
        if all(map(_scalar, members)) and not any(isinstance(member, str) for member in members):
            return []  # numbers alone are a reference, or places
        if all(map(_scalar, members)):
            return [Table((), tuple((_text(member),) for member in members), "bullets")]
        pairs = [member for member in members if isinstance(member, list | tuple)]
        rows = [tuple(map(_text, pair)) for pair in pairs if all(map(_scalar, pair))]
        return [Table((), tuple(rows), "rows")] if rows and len(rows) == len(members) else []
    if not isinstance(value, dict) or not value:
        return []
    lists = {str(key): list(one) for key, one in value.items() if isinstance(one, list | tuple | set)}
    flat = {key: one for key, one in lists.items() if all(map(_scalar, one))}
    if flat and len(flat) == len(value):
        kind = "table" if len(flat) == 1 else "field"
        columns = [Table((header_cell(key),), tuple((_text(m),) for m in own), kind) for key, own in flat.items()]
        typed = [(_text(member), header_cell(key)) for key, own in flat.items() for member in own]
        return [*columns, Table(("Entity", "Entity Type"), tuple(typed))]
    return [*_inner(value, depth), *_of_records([value])]


def _inner(record: Mapping[Any, Any], depth: int) -> list[Table]:
    """Tables within a record: lists of records, and objects."""
    found = []
    for one in record.values():
        if isinstance(one, dict) or (isinstance(one, list) and any(isinstance(member, dict) for member in one)):
            found += _of_value(one, depth + 1)
    return found


def _of_records(records: Sequence[Mapping[Any, Any]]) -> list[Table]:
    flat = [row for record in records for row in _rows_of(record)][:_MOST_ROWS]
    header = list(dict.fromkeys(key for row in flat for key in row))
    tables = [Table(tuple(map(header_cell, header)), tuple(tuple(row.get(key, "") for key in header) for row in flat))]
    folded = {header_cell(key).lower(): key for key in reversed(header)}
    entity = next((folded[name] for name in _ENTITY if name in folded), None)
    kind = next((folded[name] for name in _TYPE if name in folded and folded[name] != entity), None)
    if entity is not None and kind is not None:
        typed = [(row.get(entity, ""), row.get(kind, "")) for row in flat]
        by_type: dict[str, list[tuple[str]]] = {}
        for said, name in typed:
            by_type.setdefault(name, []).append((said,))
        tables += [Table((header_cell(name),), tuple(rows), "field") for name, rows in by_type.items()]
        tables.append(Table(("Entity", "Entity Type"), tuple(typed)))
    elif entity is not None:
        tables.append(Table((), tuple((row.get(entity, ""),) for row in flat), "bullets"))
    return tables


def _rows_of(record: Mapping[Any, Any], depth: int = 0) -> list[dict[str, str]]:
    """The rows of a record: a list of texts in it is several rows, a record in it several columns."""
    rows: list[dict[str, str]] = [{}]
    for key, value in record.items():
        name = str(key)
        if isinstance(value, dict) and depth < 4:
            inner = _rows_of(value, depth + 1)
            chosen = next((k for k in value if str(k).lower() in _ENTITY), None)
            options = [
                {f"{name} {sub}": said for sub, said in row.items()}
                | ({name: row.get(str(chosen), "")} if chosen is not None else {})
                for row in inner
            ]
        elif isinstance(value, list | tuple | set) and all(map(_scalar, value)):
            options = [{name: _text(member)} for member in value] or [{name: ""}]
        else:
            options = [{name: _text(value)}]
        if len(rows) * len(options) > _MOST_ROWS:
            options = options[:1]
        rows = [row | option for row in rows for option in options]
    return rows


def _html_tables(reply: str) -> list[Table]:
    tables: list[Table] = []
    rows: list[list[tuple[str, bool]]] = []  # cells, and whether each is a head
    opened: tuple[int, bool] | None = None

    def close(until: int) -> None:
        nonlocal opened
        if opened is not None and rows:
            rows[-1].append((clean_cell(reply[opened[0] : until]), opened[1]))
        opened = None

    def finish() -> None:
        kept = [row for row in rows if row]
        if kept:
            head = all(is_head for _, is_head in kept[0]) or (len(kept) > 1 and any(h for _, h in kept[0]))
            body = [tuple(cell for cell, _ in row) for row in kept]
            tables.append(Table(body[0], tuple(body[1:])) if head else Table((), tuple(body), "rows"))
        rows.clear()

    for match in _HTML.finditer(reply):
        ending, name = match[1] == "/", match[2].lower()
        close(match.start())
        if name == "table":
            finish()
        elif name == "tr" and not ending:
            rows.append([])
        elif name in ("td", "th") and not ending:
            if not rows:
                rows.append([])
            opened = match.end(), name == "th"
    close(len(reply))
    finish()
    return tables


def separated_rows(reply: str, columns: Sequence[str]) -> list[tuple[str, ...]] | None:
    """Rows of comma-separated values (or semicolons, or tabs) under a line that names all columns.

    Args:
        reply: what the model wrote.
        columns: the wanted ones.

    Returns:
        The wanted cells of the rows under the last such line, down to a blank one or the end of a fence; None without.

    Example:
        >>> separated_rows('Name,Role\\n"Ada, of X",writer', ["Name"])
        [('Ada, of X',)]
    """
    lines = LINES.split(reply)
    wanted = [name.lower() for name in columns]
    for at in range(len(lines) - 1, -1, -1):
        if wanted[0] not in lines[at].lower():
            continue
        for mark in (",", ";", "\t"):
            header = [header_cell(cell).lower() for cell in _separated([lines[at]], mark)[0]]
            if any(name not in header for name in wanted):
                continue
            body = []
            for line in lines[at + 1 :]:
                if not line.strip() or line.lstrip().startswith("```"):
                    break
                body.append(line)
            if len(header) == 1:  # names may hold the mark
                rows = [[line.strip().removeprefix('"').removesuffix('"')] for line in body]
            else:
                rows = _separated(body, mark)
            places = [header.index(name) for name in wanted]
            cells = [tuple(clean_cell(row[p]) if p < len(row) else "" for p in places) for row in rows if row]
            if cells:
                return cells
    return None


def _separated(lines: Sequence[str], mark: str) -> list[list[str]]:
    try:
        return list(csv.reader(lines, delimiter=mark, skipinitialspace=True)) or [[]]
    except csv.Error:  # a field without an end
        return [line.split(mark) for line in lines]
