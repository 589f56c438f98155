"""Replies that are no Markdown: JSON, HTML tables and comma-separated values, as the tables that they mean."""

import csv
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jaxuq.extraction.json_values import json_values
from jaxuq.extraction.tables import LINES, Table, clean_cell, header_cell, list_items

_MOST_ROWS = 100_000  # of one value: lists in several cells of a record multiply
_ITEM = re.compile(r"<li(?:\s[^<>]{0,200})?>([^<]*(?:<(?!/?li\b)[^<]*)*)", re.IGNORECASE)
_HTML = re.compile(r"<(/?)(table|tr|th|td)\b[^<>]{0,400}>", re.IGNORECASE)
_ENTITY = ("entity", "text", "name", "mention", "span", "value", "word", "phrase")
_TYPE = ("type", "label", "category", "entity type", "entity_type", "class", "tag")


def structured_tables(reply: str) -> list[Table]:
    """The tables that JSON (or Python literals) and HTML in a reply stand for.

    A list of records (or JSON lines) has a column a key, of records in it the keys of both; a list of texts, or a text,
    is a list. An object of lists, texts and nulls is a column for each of its keys, and entities with types, and one
    table where its lists are equally long; a list of records with an entity and a type is columns and entities too. A
    reply that breaks off within JSON counts as far as it goes. A true value is `yes`.

    Args:
        reply: what the model wrote.

    Returns:
        Tables in order.

    Example:
        >>> structured_tables('{"person": ["Ada", "Bo"]}')[-1]
        Table(header=('person',), rows=(('Ada',), ('Bo',)), kind='table')
    """
    tables = [table for value in json_values(reply) for table in _of_value(value)]
    items = [clean_cell(item) for item in _ITEM.findall(reply)] if "<li" in reply.lower() else []
    tables += [Table((), tuple((item,) for item in items), "bullets")] if items else []
    return tables + (_html_tables(reply) if "<t" in reply.lower() else [])


def _text(value: Any) -> str:
    """A scalar as it was written; empty for none."""
    if value is None or isinstance(value, bool):
        return "" if value is None else "yes" if value else "no"
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
    columns = _columns(value)
    return [*_inner(value, depth), *(_of_records([value]) if columns is None else columns)]


def _columns(record: Mapping[Any, Any]) -> list[Table] | None:
    """An object of lists, and of texts or nulls beside them: a column for each key; None if it is none."""
    if not any(one is None or isinstance(one, list | tuple | set) for one in record.values()):
        return None
    lists: dict[str, list[str]] = {}
    for key, one in record.items():
        members = list(one) if isinstance(one, list | tuple | set) else [] if one is None else [one]
        said = [_member(member) for member in members]
        if None in said:
            return None
        lists[header_cell(str(key))] = [text for text in said if text is not None]
    listed = all(one is None or isinstance(one, list | tuple | set) for one in record.values())
    if not listed and any(name.lower() in (*_ENTITY, *_TYPE) for name in lists):
        return None  # an entity and what is said of it
    typed = tuple((text, name) for name, own in lists.items() for text in own)
    kind = "table" if len(lists) == 1 else "field"
    columns = [Table((name,), tuple((text,) for text in own), kind) for name, own in lists.items()]
    lengths = {len(own) for own in lists.values()}
    across = [Table(tuple(lists), tuple(zip(*lists.values())))] if len(lists) > 1 and len(lengths) == 1 else []
    return [Table(("Entity", "Entity Type"), typed), *columns, *across]


def _member(value: Any) -> str | None:
    """A text of a list, or the entity that a record in it names and says no type of; None for anything else."""
    if isinstance(value, dict):
        names = {str(key).lower(): one for key, one in value.items()}
        name = next((name for name in _ENTITY if name in names), None)
        if name is None or any(kind in names for kind in _TYPE):
            return None
        value = names[name]
    return _text(value) if _scalar(value) else None


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
            if len(header) == 1 and (items := list_items(body)):  # as YAML has them, and a title above a list
                rows = [[item] for item in items]
            elif len(header) == 1:  # names may hold the mark
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
