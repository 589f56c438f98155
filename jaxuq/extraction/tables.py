"""The last table of a model's reply: strict, as published, or tolerant of how models write tables."""

import difflib
import html
import itertools
import re
from collections.abc import Sequence
from typing import NamedTuple

from jaxuq.extraction.drawn import as_pipes

COLUMN_CUTOFF = 0.8  # least similarity of a column's name to the expected one, as published
_DASHES = frozenset(" \t\r\x0b\x0c|:=–—-")
_PUBLISHED_SEPARATOR = re.compile(r"\|[-| :]+\|")
_BULLET = re.compile(r"\s*(?:[-*+•‣▪●]|\(?\d{1,4}[.)])\s+(?=\S)")
LINES = re.compile(r"\r\n|\r|\n")  # other separators of lines may stand in a name
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_TAG = re.compile(
    r"</?(?:a|b|code|div|em|font|i|li|p|s|small|span|strong|sub|sup|table|tbody|td|th|thead|tr|u|ul)(?:\s[^<>]{0,200})?>",
    re.IGNORECASE,
)
_LINK = re.compile(r"!?\[([^\[\]]+)\]\((?:https?://|mailto:|#)[^()\s]*\)")
_BOLD = re.compile(r"\*\*([^*]+\**?)\*\*(?!\*)|(?<!\w)__(?=[^_]*\s)([^_]+)__(?!\w)")
_PAIRS = (("**", "**"), ("*", "*"), ("`", "`"), ('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("«", "»"))
NAMES = frozenset({"Na", "Nil"})  # as names are written; they mean nothing only where the text has no such word
_QUOTED = re.compile(r"[\"“«']([^\"”»]+)[\"”»'](?!\w)")
MARKS = " \t\r\x0b\x0c`*_\"'“”‘’«»"
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
        kind: `"table"`, `"rows"` (nothing says whether the first line is a header), `"field"`
            (a column beside others of their own), `"plain"` (one column, no pipes) or `"bullets"`.
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
    if cell in NAMES and convention != "published":
        return False
    if convention == "published":
        return not cell or cell.lower() in PUBLISHED_NOTHING
    plain = cell.strip(MARKS + "()[].").lower()
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
    marks (`>`) and blank lines around it do not matter, nor do rows with more or fewer cells than the header. Further
    lines of dashes are rules between rows, or rows that say nothing; they begin another table only under the same
    header or one of another width. Tables drawn with `+--+` or box signs count alike. Without a line of dashes, lines
    with pipes on both sides are rows, whose first may be the header. A line under which dashes stand, and the lines
    down to a blank one, are a table of one column without pipes. A run of bullets or numbers is a list. Cells
    are unescaped; links, emphasis, quotes and tags around them are taken off; `<br>` makes two rows. Time is linear in
    the reply.

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
    for line in [*LINES.split(reply), ""]:
        line = as_pipes(line.strip().lstrip(">").strip())
        if plain is not None and (not line or "|" in line or line.startswith("```")):
            tables.append(Table((header_cell(previous),), tuple(_rows(plain)), "plain"))
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


def list_items(lines: Sequence[str]) -> list[str]:
    """What the bullets or numbers name with which some lines begin; empty if the first is none.

    Example:
        >>> list_items(["- Ada", "* **Bo**: a smith", "These are all."])
        ['Ada', 'Bo']
    """
    found = [_BULLET.match(line) for line in lines]
    run = itertools.takewhile(lambda pair: pair[1] is not None, zip(lines, found))
    return [_item(line[match.end() :]) for line, match in run if match is not None]


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
        Its text: entities unescaped; tags, emphasis, back-quotes and quotes that stand on both sides taken off. A mark
        on one side, and underscores around a word, belong to the name: `A*`, `5'`, `__init__`.

    Example:
        >>> [clean_cell(cell) for cell in (" **`J91` &amp; co** ", "**A***", "`5'`", "`__init__`", "__Ada Bo__")]
        ['`J91` & co', 'A*', "5'", '__init__', 'Ada Bo']
    """
    cell = html.unescape(_BOLD.sub(r"\1\2", _LINK.sub(r"\1", _TAG.sub("", cell)))).strip()
    while len(cell) > 2:
        pair = next((p for p in _PAIRS if _wrapped(cell, *p)), None)
        if pair is None:
            break
        cell = cell[len(pair[0]) : -len(pair[1])].strip()
    return "" if not cell.strip(MARKS) else cell


def _wrapped(cell: str, first: str, last: str) -> bool:
    inner = cell[len(first) : -len(last)]
    return cell.startswith(first) and cell.endswith(last) and bool(inner.strip(MARKS)) and not inner.endswith("\\")


def header_cell(cell: str) -> str:
    """The name of a column: a cell without any mark around it.

    Example:
        >>> header_cell("__Person__:")
        'Person'
    """
    return clean_cell(cell).strip(MARKS + ":")


def _table(block: list[str]) -> list[Table]:
    if not block:
        return []
    dashes = [number for number, line in enumerate(block) if _is_dashes(line)]
    one_dash = len(block) == 2 and dashes == [1] and all(cell == "-" for cell in _cells(block[1]))
    if not dashes or one_dash:  # a row and a cell that says nothing, rather than a header without rows
        piped = [(line.startswith("|"), line.endswith("|")) for line in block]
        if not all(any(ends) if len(block) > 1 else all(ends) for ends in piped):
            return []
        return [Table((), tuple(_rows([line for line in block if not _is_dashes(line)])), "rows")]
    known, starts = set(dashes), []
    for number in dashes:
        if number and number - 1 not in known and (not starts or _is_header(block[number - 1], block[starts[0] - 1])):
            starts.append(number)
    if not starts:
        return [Table((), tuple(_rows([line for line in block if not _is_dashes(line)])))]
    tables = []
    for start, stop in zip(starts, [*(number - 1 for number in starts[1:]), len(block)]):
        header = tuple(header_cell(cell) for cell in _cells(block[start - 1]))
        if len(header) == len(_cells(block[start])) + 1 and not block[start - 1].startswith("|"):
            header = header[1:]  # words before the table, in its first line
        body = [line for line in block[start + 1 : stop] if not _is_dashes(line)]
        tables.append(Table(header, tuple(_rows(body))))
    return tables


def _is_header(line: str, known: str) -> bool:
    """Whether a line above dashes begins another table: it is the header again, or has another number of cells."""
    cells, first = ([header_cell(cell).lower() for cell in _cells(one)] for one in (line, known))
    return cells == first or len(cells) != len(first)


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
