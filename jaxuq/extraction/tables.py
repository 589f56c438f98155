"""The last table of a model's reply: strict, as published, or tolerant of how models write tables."""

import difflib
import html
import re
from collections.abc import Sequence
from typing import NamedTuple

COLUMN_CUTOFF = 0.8  # least similarity of a column's name to the expected one, as published
_DASHES = frozenset(" \t\r\x0b\x0c|:=–—-")
_PUBLISHED_SEPARATOR = re.compile(r"\|[-| :]+\|")
_BULLET = re.compile(r"\s*(?:[-*+•‣▪●]|\(?\d{1,4}[.)])\s+(?=\S)")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_TAG = re.compile(
    r"</?(?:a|b|code|div|em|font|i|li|p|s|small|span|strong|sub|sup|table|tbody|td|th|thead|tr|u|ul)(?:\s[^<>]{0,200})?>",
    re.IGNORECASE,
)
_BOLD = re.compile(r"\*\*([^*]+)\*\*|__([^_]+)__")
_QUOTED = re.compile(r"[\"“«']([^\"”»]+)[\"”»'](?!\w)")
_MARKS = " \t\r\x0b\x0c`*_\"'“”‘’«»"
PUBLISHED_NOTHING = frozenset({"none", "n/a", "null", "-"})
_NOTHING = PUBLISHED_NOTHING | frozenset(
    {
        "",
        "--",
        "---",
        "–",
        "—",
        "...",
        "…",
        "na",
        "nil",
        "nothing",
        "none found",
        "none identified",
        "none mentioned",
        "no entities",
        "no entity",
        "not applicable",
        "not available",
        "not found",
        "not mentioned",
        "not provided",
        "not specified",
        "unknown",
    }
)


class Table(NamedTuple):
    """A table of a reply.

    Attributes:
        header: names of the columns; empty for a list of bullets.
        rows: cells of each row, as many as it has.
        kind: `"table"`, `"plain"` (one column, no pipes) or `"bullets"`.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    kind: str = "table"

    def column(self, number: int) -> list[str]:
        """One cell of every row that is long enough."""
        return [row[number] for row in self.rows if number < len(row)]


def is_nothing(cell: str, *, convention: str = "corrected") -> bool:
    """Whether a cell says that there is nothing.

    Args:
        cell: its text.
        convention: `"published"` knows `none`, `n/a`, `null`, `-` and the empty cell; `"corrected"` some more.

    Returns:
        True for a none-word.

    Example:
        >>> is_nothing("None."), is_nothing("None.", convention="published"), is_nothing("Nonesuch")
        (True, False, False)
    """
    if convention == "published":
        return not cell or cell.lower() in PUBLISHED_NOTHING
    plain = cell.strip(_MARKS + "()[].").lower()
    return plain in _NOTHING or cell.strip().lower() in _NOTHING


def find_column(header: Sequence[str], name: str, *, cutoff: float = COLUMN_CUTOFF, ignore_case: bool = True) -> int:
    """The column whose name is most similar to the expected one.

    Args:
        header: names of the columns.
        name: the expected one.
        cutoff: least similarity (difflib's ratio), in [0, 1].
        ignore_case: compare in lower case; the published code does not.

    Returns:
        Its number; -1 if no name is similar enough. Of columns with the same name, the first.

    Example:
        >>> find_column(["No.", "Material Names"], "Material Name"), find_column(["Answer"], "Material Name")
        (1, -1)
    """
    names = [column.lower() for column in header] if ignore_case else list(header)
    wanted = name.lower() if ignore_case else name
    if wanted in names:
        return names.index(wanted)
    near = [column for column in dict.fromkeys(names) if len(column) <= 4 * len(wanted) + 8]
    found = difflib.get_close_matches(wanted, near, n=1, cutoff=cutoff)
    return names.index(found[0]) if found else -1


def published_tables(reply: str) -> list[Table]:
    """The tables that the published parser sees: rows between pipes under a line of dashes.

    A header of at least two pipes may begin anywhere in its line and must be followed by `|---|` on the next line that
    is not blank, and that line by another line. Time is linear in the reply.

    Args:
        reply: what the model wrote.

    Returns:
        The tables in order. A blank line between header and dashes makes the dashes a row, as in the published code.

    Example:
        >>> published_tables("Here: | Person |\\n|---|\\n| Ada |\\n| Bo")
        [Table(header=('Person',), rows=(('Ada',),), kind='table')]
    """
    lines = reply.split("\n")
    tables, at = [], 0
    while at < len(lines):
        first, last = lines[at].find("|"), lines[at].rfind("|")
        below = at + 1
        while below < len(lines) - 1 and not lines[below].strip():
            below += 1
        if first == last or lines[at][last + 1 :].strip() or below >= len(lines) - 1:
            at += 1
            continue
        if not _PUBLISHED_SEPARATOR.match(lines[below]):
            at = below if below > at + 1 else at + 1
            continue
        body, end = [], below + 1
        while end < len(lines):
            line = lines[end]
            last_pipe = line.rfind("|")
            if not line.startswith("|") or last_pipe == 0:
                break
            body.append(line[: last_pipe + 1])
            end += 1
            if last_pipe + 1 < len(line):
                break
        skipped = lines[at + 1 : below + 1][1:]  # what the published code takes for rows
        header = tuple(cell.strip() for cell in lines[at][first:].strip().split("|")[1:-1])
        rows = tuple(tuple(cell.strip() for cell in line.strip().split("|")[1:-1]) for line in [*skipped, *body])
        tables.append(Table(header, rows))
        at = end
    return tables


def reply_tables(reply: str) -> list[Table]:
    """All tables and lists of a reply, tolerantly.

    A table is a run of lines with pipes, of which one of the first is a line of dashes; outer pipes, code fences, quote
    marks (`>`) and blank lines around it do not matter, nor do rows with more or fewer cells than the header. Without a
    line of dashes, two or more lines with pipes on both sides are a table with the first as its header. A line under
    which dashes stand, and the lines down to a blank one, are a table of one column without pipes. A run of bullets or
    numbers is a list. Cells are unescaped; emphasis, quotes and tags around them are taken off; `<br>` makes
    two rows. Time is linear in the reply.

    Args:
        reply: what the model wrote.

    Returns:
        Tables and lists in order.

    Example:
        >>> reply_tables("```\\nPerson | Role\\n--- | ---\\n**Ada** | writer\\nBo\\n```")
        [Table(header=('Person', 'Role'), rows=(('Ada', 'writer'),), kind='table')]
        >>> reply_tables("1. **Ada**: she wrote.\\n2. Bo")
        [Table(header=(), rows=(('Ada',), ('Bo',)), kind='bullets')]
    """
    tables: list[Table] = []
    block: list[str] = []
    bullets: list[str] = []
    plain: list[str] | None = None  # rows of a table of one column without any pipe
    previous = ""
    for line in [*reply.splitlines(), ""]:
        line = line.strip().lstrip(">").strip()
        if plain is not None and (not line or "|" in line or line.startswith("```")):
            tables.append(Table((clean_cell(previous),), tuple(_rows(plain)), "plain"))
            plain = None
        if plain is not None:
            plain.append(line)
            continue
        if "|" in line or (block and _is_dashes(line)):
            block.append(line)
            tables += _list(bullets)
            bullets = []
            continue
        tables += _table(block)
        block = []
        if previous and len(line) >= 3 and _is_dashes(line):
            plain = []
            continue
        if match := _BULLET.match(line):
            bullets.append(line[match.end() :])
        elif line and not line.startswith("```"):
            tables += _list(bullets)
            bullets = []
        previous = "" if line.startswith("```") else line
    return tables + _list(bullets)


def _is_dashes(line: str) -> bool:
    return "-" in line and _DASHES.issuperset(line)


def _cells(line: str) -> list[str]:
    line = line.strip().replace("\\|", "\x00")
    line = line[1:] if line.startswith("|") else line
    line = line[:-1] if line.endswith("|") else line
    return [cell.replace("\x00", "|").strip() for cell in line.split("|")]


def clean_cell(cell: str) -> str:
    """A cell without the marks that a model puts around it.

    Args:
        cell: as written.

    Returns:
        Its text: entities unescaped, tags, emphasis, back-quotes and quotes around it taken off.

    Example:
        >>> clean_cell(" **`J91` &amp; co** ")
        'J91` & co'
    """
    return html.unescape(_BOLD.sub(r"\1\2", _TAG.sub("", cell))).strip(_MARKS)


def _table(block: list[str]) -> list[Table]:
    if not block:
        return []
    dashes = [number for number, line in enumerate(block) if _is_dashes(line)]
    if not dashes:
        if len(block) < 2 or not all(line.startswith("|") or line.endswith("|") for line in block):
            return []
        block, dashes = [block[0], "---", *block[1:]], [1]  # the first line is the header all the same
    known = set(dashes)
    starts = [number for number in dashes if number and number - 1 not in known]
    if not starts:
        return [Table((), tuple(_rows([line for line in block if not _is_dashes(line)])))]
    tables = []
    for start, stop in zip(starts, [*(number - 1 for number in starts[1:]), len(block)]):
        header = tuple(clean_cell(cell) for cell in _cells(block[start - 1]))
        body = [line for line in block[start + 1 : stop] if not _is_dashes(line)]
        tables.append(Table(header, tuple(_rows(body))))
    return tables


def _rows(lines: Sequence[str]) -> list[tuple[str, ...]]:
    rows = []
    for line in lines:
        cells = [_BREAK.split(cell) for cell in _cells(line)]
        for number in range(max(len(parts) for parts in cells)):
            rows.append(tuple(clean_cell(parts[min(number, len(parts) - 1)]) for parts in cells))
    return rows


def _list(items: Sequence[str]) -> list[Table]:
    return [Table((), tuple((_item(item),) for item in items), "bullets")] if items else []


def _item(text: str) -> str:
    """What a bullet names: its emphasised or quoted beginning, else all before a colon or a dash."""
    for pattern in (_BOLD, _QUOTED):
        if match := pattern.match(text):
            return clean_cell(next(group for group in match.groups() if group)).rstrip(":").rstrip()
    for mark in (": ", " - ", " – ", " — "):
        text = text.split(mark, 1)[0]
    return clean_cell(text.rstrip(":").rstrip())
