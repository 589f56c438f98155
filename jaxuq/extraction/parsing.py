"""From a reply to the words in it that are answers, with the reason where there are none."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from jaxuq.extraction.structured import separated_rows, structured_tables
from jaxuq.extraction.tables import (
    Table,
    clean_cell,
    find_column,
    header_cell,
    is_nothing,
    published_tables,
    reply_tables,
)

_FENCE = re.compile(r"^```\w*\s*|\s*```$")
_NAMED = re.compile(
    r"^[ \t]*(?:[-*+•]|\d{1,4}[.)])?[ \t]*([^:：\r\n|]{1,80})[:：]([^\r\n|]*\S[^\r\n|]*)$", re.MULTILINE
)
STATUSES = ("found", "nothing", "empty reply", "no table", "no column", "malformed table")


class ParsedRows(NamedTuple):
    """What the last table of a reply says.

    Attributes:
        rows: the wanted cells of each row; none-words among them are empty strings, but not as published.
        status: one of `STATUSES`; all but the first two are failures.
    """

    rows: tuple[tuple[str, ...], ...]
    status: str

    @property
    def failed(self) -> bool:
        """Whether the reply was no answer at all, rather than the answer that there is nothing."""
        return self.status not in ("found", "nothing")


def parse_rows(reply: str, columns: Sequence[str], *, convention: str = "corrected") -> ParsedRows:
    """Read the wanted columns of the last table of a reply.

    The last table that has all columns counts (`find_column`), of Markdown, JSON, HTML or comma-separated values;
    without one, for a single wanted column, the last table of one column, and without that the last list. Cells that
    say that there is nothing become empty, and rows of nothing but those are dropped. Time is linear in the reply.

    `convention="published"` takes the last strict table whatever its columns, drops a table whose longest row is not as
    long as its header (pandas refuses it), reads the header itself where a name appears twice, and passes cells on as
    they are written.

    Args:
        reply: what the model wrote; anything.
        columns: expected names, one or more.
        convention: `"corrected"` or `"published"`.

    Returns:
        `ParsedRows`.

    Raises:
        ValueError: an unknown convention or no column.

    Example:
        >>> parse_rows("| Person |\\n|---|\\n| Ada |\\n| None |\\n", ["Person"])
        ParsedRows(rows=(('Ada',),), status='found')
        >>> parse_rows("I am sorry, I cannot help with that.", ["Person"]).status
        'no table'
    """
    if convention not in ("corrected", "published"):
        raise ValueError(f"convention is {convention!r}; expected 'corrected' or 'published'")
    if not columns:
        raise ValueError("no column is wanted; name at least one")
    if not reply.strip():
        return ParsedRows((), "empty reply")
    return _published_rows(reply, columns) if convention == "published" else _corrected_rows(reply, columns)


def _published_rows(reply: str, columns: Sequence[str]) -> ParsedRows:
    tables = published_tables(reply)
    if not tables:
        return ParsedRows((), "no table")
    table = tables[-1]
    width = max((len(row) for row in table.rows), default=len(table.header))
    if width != len(table.header):
        return ParsedRows((), "malformed table")
    numbers = [find_column(table.header, name, ignore_case=False) for name in columns]
    if -1 in numbers:
        return ParsedRows((), "no column")
    repeated = [table.header.count(table.header[number]) for number in numbers]
    if any(count > 1 for count in repeated):
        rows = [tuple(table.header[number] for number in numbers)] * min(
            count if count > 1 else len(table.rows) for count in repeated
        )
    else:
        rows = [tuple(row[number] if number < len(row) else "" for number in numbers) for row in table.rows]
    return _parsed(rows)


def _corrected_rows(reply: str, columns: Sequence[str]) -> ParsedRows:
    tables = [_with_header(table, columns) for table in [*structured_tables(reply), *reply_tables(reply)]]
    for table in reversed(tables):
        numbers = [find_column(table.header, name) for name in columns]
        if -1 not in numbers and len(set(numbers)) == len(numbers):
            return _parsed(_pick(table, numbers))
    separated = separated_rows(reply, columns)
    if separated is not None:
        return _parsed(_pick(Table(tuple(columns), tuple(separated)), range(len(columns))))
    named = _named_lines(reply, tables, columns[0]) if len(columns) == 1 else []
    if named:
        return _parsed(named)
    if not tables:
        bare = _FENCE.sub("", reply.strip()).strip()
        return ParsedRows((), "nothing" if is_nothing(bare) or bare in ("[]", "{}") else "no table")
    if len(columns) == 1:
        for kinds in (("table", "rows"), ("bullets",)):
            for table in reversed(tables):
                if table.rows and all(find_column(row, columns[0]) == 0 for row in table.rows):
                    continue  # the column's name before values that nobody can tell apart
                if table.kind in kinds and len(table.header) <= 1 and all(len(row) == 1 for row in table.rows):
                    return _parsed(_pick(table, [0]))
    if all(not table.rows or table.kind == "rows" for table in tables) and len(columns) > 1:
        for table in reversed(tables):
            if table.kind == "rows" and not table.header and all(len(row) == len(columns) for row in table.rows):
                return _parsed(_pick(table, range(len(columns))))
    return ParsedRows((), "no column")


def _named_lines(reply: str, tables: Sequence[Table], column: str) -> list[tuple[str, ...]]:
    """What lines such as `Person: Ada` say, with bullets or without, where no list says anything else.

    A value with a comma or a semicolon may be several, and nobody can tell.
    """
    if any(
        find_column([header_cell(item)], column) < 0
        for table in tables
        for item in (*table.header, *sum(table.rows, ()))
    ):
        return []
    said = []
    for match in _NAMED.finditer(reply):
        if find_column([header_cell(match[1])], column) == 0:
            said.append(clean_cell(match[2].strip("* ")))
    return [] if any("," in value or ";" in value for value in said) else [("" if is_nothing(v) else v,) for v in said]


def _with_header(table: Table, columns: Sequence[str]) -> Table:
    """A table of which nothing said whether it has a header: it has, where its first row names a column."""
    if table.kind != "rows" or not table.rows:
        return table
    first = [header_cell(cell) for cell in table.rows[0]]
    if all(find_column(first, name) >= 0 for name in columns):
        return Table(tuple(first), table.rows[1:])
    return table


def _pick(table: Table, numbers: Sequence[int]) -> list[tuple[str, ...]]:
    cells = [tuple(row[number] if number < len(row) else "" for number in numbers) for row in table.rows]
    return [tuple("" if is_nothing(cell) else cell for cell in row) for row in cells]


def _parsed(rows: Sequence[tuple[str, ...]]) -> ParsedRows:
    kept = tuple(row for row in rows if any(row))
    return ParsedRows(kept, "found" if kept else "nothing")
