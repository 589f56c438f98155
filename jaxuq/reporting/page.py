"""A page is a list of sections: the one form of all pages, with tables that sort, filter and say exact values."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from jaxuq._files import write_bytes
from jaxuq.reporting.drawings import Picture
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.tables import ScoreTable
from jaxuq.reporting.template import as_list, as_words, bibtex_of, duration, render_template

MARKS = (
    "Bold: better than every other of its column beyond chance (the 95 % intervals of the paired differences, over "
    "examples and seeds, leave out zero); none where such intervals are not known. ~ : the paired difference from the "
    "best may be zero."
)
"""What the marks of a table of methods mean."""


class Field(NamedTuple):
    """A field of a table.

    Attributes:
        text: what is shown.
        small: below it, such as an interval.
        exact: the value in all its digits, shown on hover or focus; empty: the text says it all.
        best: whether it is marked as the best.
        near: whether it may be as good as the best.
        shaded: whether it is marked as the best of several tables' worth.
        words: whether it is a text rather than a number.
    """

    text: str
    small: str = ""
    exact: str = ""
    best: bool = False
    near: bool = False
    shaded: bool = False
    words: bool = False


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        head: what it is of.
        fields: one a column.
        colour: of its key, as figures draw it; empty: none.
        small: below the head.
    """

    head: str
    fields: list[Field]
    colour: str = ""
    small: str = ""


class Grid(NamedTuple):
    """A table.

    Attributes:
        columns: headings, that of the rows' heads first.
        groups: headings (empty: none) and their rows.
        title: above it; empty: none.
    """

    columns: list[str]
    groups: list[tuple[str, list[Row]]]
    title: str = ""

    @property
    def kind(self) -> Literal["grid"]:
        """For the template."""
        return "grid"


class Text(NamedTuple):
    """A paragraph.

    Attributes:
        text: its words.
        soft: whether it only explains what follows.
    """

    text: str
    soft: bool = False

    @property
    def kind(self) -> Literal["text"]:
        """For the template."""
        return "text"


class Facts(NamedTuple):
    """Names and values side by side."""

    facts: list[tuple[str, str]]

    @property
    def kind(self) -> Literal["facts"]:
        """For the template."""
        return "facts"


class Pictures(NamedTuple):
    """Figures."""

    pictures: list[Picture]

    @property
    def kind(self) -> Literal["pictures"]:
        """For the template."""
        return "pictures"


class Folded(NamedTuple):
    """A table that is folded away if it is long."""

    summary: str
    grid: Grid
    open: bool

    @property
    def kind(self) -> Literal["folded"]:
        """For the template."""
        return "folded"


class Markup(NamedTuple):
    """A part that makes its own markup, from texts that it has escaped."""

    html: str

    @property
    def kind(self) -> Literal["markup"]:
        """For the template."""
        return "markup"


class Section(NamedTuple):
    """A part of a page with a heading.

    Attributes:
        title: the heading.
        parts: what is in it, in order.
        name: in the list of contents; empty: the title.
    """

    title: str
    parts: Sequence[Text | Facts | Grid | Pictures | Folded | Markup]
    name: str = ""


def write_page(
    folder: pathlib.Path,
    *,
    title: str,
    command: str,
    sections: Sequence[Section],
    facts: Sequence[tuple[str, str]] = (),
    status: str = "complete",
    missing: Sequence[str] = (),
    notes: Sequence[str] = (),
    style: str = "",
    script: str = "",
) -> pathlib.Path:
    """Write `report.html`: one file that needs no other and no network; every text in it is escaped.

    Args:
        folder: of the run.
        title: of the page.
        command: that made it.
        sections: what is on it.
        facts: names and values at its head.
        status: of the run; any but `"complete"` is said.
        missing: sentences on what is missing.
        notes: sentences that the run left.
        style: further CSS of a page.
        script: further script of a page.

    Returns:
        Path of the page.
    """
    page = render_template(
        "page.html", title=title, command=command, sections=sections, facts=facts, status=status, missing=missing,
        notes=notes, style=style, script=script,
    )  # fmt: skip
    write_bytes(folder / "report.html", page.encode())
    return folder / "report.html"


def scores_grid(table: ScoreTable, first: str = "Method") -> Grid:
    """A score table for a page.

    Args:
        table: of `score_table`.
        first: heading of the methods.

    Returns:
        The grid: marks, intervals, and every mean in all its digits.
    """
    rows = []
    for method, cells in table.rows:
        style = method_style(method)
        fields = [
            Field(cell.text, cell.interval, _exact(cell.mean, cell.std), cell.decided, cell.overlaps) for cell in cells
        ]
        rows.append(Row(style.title, fields, style.colour))
    return Grid([first, *(column.heading for column in table.columns)], [("", rows)], table.title)


def _exact(mean: float, std: float) -> str:
    if mean != mean:
        return ""
    return repr(float(mean)) + ("" if std != std else f" ± {float(std)!r}")


def pairs_grid(items: Sequence[tuple[Any, ...]], *columns: str, title: str = "") -> Grid:
    """A table of texts.

    Args:
        items: a row each, the first of which is its head.
        columns: headings.
        title: above it.

    Returns:
        The grid.
    """
    rows = [Row(str(head), [Field(str(value), words=True) for value in rest]) for head, *rest in items]
    return Grid(list(columns), [("", rows)], title)


def print_grid(grid: Grid, *, small: bool = False, width: int = 140) -> None:
    """Print a table on standard output; whatever is in it is text, and no markup.

    Args:
        grid: the table.
        small: whether intervals are printed, too.
        width: letters of a line, where the output is no terminal.
    """
    import sys

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text as Plain

    console = Console(width=None if sys.stdout.isatty() else width, highlight=False)
    for group, rows in grid.groups:
        title = grid.title or group
        table = Table(title=Plain(title) if title else None, title_justify="left", box=None)
        for column in grid.columns:
            table.add_column(Plain(column), justify="left" if column == grid.columns[0] else "right")
        for row in rows:
            fields = [f"{field.text} {field.small}".rstrip() if small else field.text for field in row.fields]
            styles = ["bold" if field.best else "" for field in row.fields]
            table.add_row(Plain(row.head), *map(Plain, fields, styles))
        console.print(table)


def run_sections(run: Mapping[str, Any], cited: Sequence[str], rejected: Section | None = None) -> list[Section]:
    """The end of every page: what was left out, configuration, versions, citations.

    Args:
        run: content of `run.json`.
        cited: names of systems, methods, backbones.
        rejected: what was left out; None: the page says that elsewhere.

    Returns:
        Sections.
    """
    configuration = run.get("configuration")
    options = configuration.items() if isinstance(configuration, Mapping) else ()
    parts = [pairs_grid([(key, as_words(value)) for key, value in options], "Option", "Value", title="Configuration")]
    versions = run.get("versions")
    if isinstance(versions, Mapping) and versions:
        parts.append(pairs_grid(list(versions.items()), "Package", "Version", title="Versions"))
    entries = run.get("entries")
    own = [
        key
        for entry in (entries.values() if isinstance(entries, Mapping) else ())
        for key in as_list(entry.get("citation") if isinstance(entry, Mapping) else None)
    ]
    cite = Section("How to cite", [Markup(f"<pre>{_escaped(bibtex_of([*cited, *map(str, own)]))}</pre>")])
    return [*([rejected] if rejected else []), Section("The run", parts), cite]


def rejected_section(rejected: Any, what: str, columns: Sequence[str], counted: bool = True) -> Section:
    """What was left out of a run, and why.

    Args:
        rejected: of `run.json`: a list of places, texts, reasons.
        what: how one of them is called: "molecule", "question".
        columns: headings.
        counted: whether the run says it at all.

    Returns:
        The section.
    """
    items = [
        tuple(map(str, item if isinstance(item, list | tuple) else ("", item))) for item in as_list(rejected)
    ]  # fmt: skip
    if not items:
        none = f"None: every {what} could be used."
        return Section("Left out", [Text(none if counted else "The run does not say (yet).")])
    were = f"{len(items)} {what}{' was' if len(items) == 1 else 's were'} left out."
    width = len(columns)
    rows = [(*item, *[""] * width)[:width] for item in items]
    return Section("Left out", [Text(were), Folded("Show them", pairs_grid(rows, *columns), len(items) <= 20)])


def source_name(source: Any) -> str:
    """What a title calls a data set or model that was given as a path: its last part. The page's record has it whole.

    Args:
        source: a name or a path.

    Returns:
        A name.

    Example:
        >>> source_name("/home/me/data/mine.jsonl"), source_name("esol")
        ('mine.jsonl', 'esol')
    """
    return pathlib.PurePath(str(source)).name or str(source)


def run_facts(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Device and time of a run.

    Args:
        run: content of `run.json`.

    Returns:
        Pairs.
    """
    facts = [("Device", str(run["device"]))] if run.get("device") else []
    seconds = run.get("seconds")
    return facts + ([("Time", duration(float(seconds)))] if isinstance(seconds, int | float) else [])


def _escaped(text: str) -> str:
    import html

    return html.escape(text)
