"""The numbers that a Markdown page prints, each with the place it stands in: section, table, row and column."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

_NUMBER = re.compile(r"(?<![\w.,])[+\-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+\-]?\d+)?(?![\w]|\.\d|,\d)")
_NAMES = re.compile(
    r"\b(?:Tables?|Figures?|Eqs?\.|sections?|chapters?|versions?|top|seeds?|stages?|CoNLL|PyTorch|Python|OntoNotes)"
    r"[ \-]*(?:\d[\d.]*(?:, | and | to |-)?)+|https?://\S+|\b(?:19|20)\d\d\b",
    re.IGNORECASE,
)
"""What looks like a number and is the name of something, or a year."""
_ONLY_NUMBERS = re.compile(r"(?:[\s±/()\[\]x×%*,;:+\-−–.~<>=]|\bto\b|\bof\b|\band\b)*")
_TYPED = ("python", "toml", "json", "yaml", "bash", "bibtex")
_COMMAND = re.compile(r"\s*(?:\$|>|#|jaxuq |python |make |pip |git |curl |export |for |done|cd |uv )")
_TIME = re.compile(r"(?<=\d)\s*(?:s|ms|min|minutes?|seconds?|hours?|quarters? of an hour)\b")


class Number(NamedTuple):
    """A number as it is printed.

    Attributes:
        text: as it stands there.
        is_time: whether a unit of time follows.
    """

    text: str
    is_time: bool = False

    @property
    def value(self) -> float:
        """What it says."""
        return float(self.text.replace(",", "").replace("−", "-"))

    @property
    def unit(self) -> float:
        """One of its last digit: 0.01 of "3.14"."""
        mantissa, _, exponent = self.text.replace(",", "").partition("e")
        return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


class Field(NamedTuple):
    """A column of a row and its numbers; texts have one, which has no name."""

    column: str
    numbers: tuple[Number, ...]


class Row(NamedTuple):
    """What belongs together: a row of a table, a paragraph, a line of output.

    Attributes:
        label: the first field and all that follow it before one with numbers alone; of a text its beginning.
        fields: with numbers.
    """

    label: tuple[str, ...]
    fields: tuple[Field, ...]


class Block(NamedTuple):
    """A table, a text or the output of a command.

    Attributes:
        section: the heading above it.
        kind: `table`, `text` or `output`.
        header: of a table; columns of one name are told apart by the column before.
        rows: those that have numbers.
    """

    section: str
    kind: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]


def read_blocks(markdown: str) -> list[Block]:
    """All blocks of a page that print numbers.

    Args:
        markdown: its text. Numbers in code within a text, in links, comments and commands are no results.

    Returns:
        Blocks in their order.

    Example:
        >>> page = "# A\\n\\n| n | score |\\n|---|---|\\n| 8 | 0.50 ± 0.02 |\\n\\nIt took 3 s, see Table 4.3.\\n"
        >>> for block in read_blocks(page):
        ...     print(
        ...         block.kind, [(row.label, [number.text for number in row.fields[0].numbers]) for row in block.rows]
        ...     )
        table [(('8',), ['0.50', '0.02'])]
        text [(('It took 3 s, see Table',), ['3'])]
    """
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    return [block for block in _blocks(tokens) if block.rows]


def _blocks(tokens: list[Token]) -> Iterator[Block]:
    section, table, row = "", None, None
    for before, token in zip([None, *tokens], tokens):
        if token.type == "heading_open":
            section = ""
        elif token.type == "table_open":
            table = []
        elif token.type == "tr_open":
            row = []
        elif token.type == "tr_close" and table is not None:
            table.append(row)
            row = None
        elif token.type == "table_close" and table:
            yield _table(section, table)
            table = None
        elif token.type == "inline":
            if before is not None and before.type == "heading_open":
                section = _plain(token)
            elif row is not None:
                row.append(_plain(token))
            else:
                text = _plain(token)
                label = " ".join(text.split()[:6])
                yield Block(section, "text", (), _rows([((label,), [("", text)])]))
        elif token.type in ("fence", "code_block") and token.info.strip() not in _TYPED:
            yield Block(section, "output", (), _output(token.content))


def _table(section: str, rows: list[list[str]]) -> Block:
    header, *body = rows
    columns = [f"{before}: {name}" if header.count(name) > 1 else name for before, name in zip(["", *header], header)]
    found = []
    for row in body:
        width = 1
        while width < len(row) and row[width] and not _only_numbers(row[width]):
            width += 1
        found.append((tuple(row[:width]), list(zip(columns[width:], row[width:]))))
    return Block(section, "table", tuple(header), _rows(found))


def _output(text: str) -> tuple[Row, ...]:
    """Lines of a table or of `name: numbers`; what is typed, its options and its comments, is no output."""
    found, typed = [], False
    for line in text.splitlines():
        command = typed or re.match(
            r"\s*(?:\$|>|#|jaxuq |python |make |pip |git |curl |export |for |done|cd |uv )", line
        )
        typed = bool(command) and line.rstrip().endswith("\\")
        first = _NUMBER.search(line)
        if not command and first and line[: first.start()].strip():
            label = re.split(r"\s{2,}|:", line[: first.start()].strip())[0]
            found.append(((label,), [("", line)]))
    return _rows(found)


def _rows(rows: list[tuple[tuple[str, ...], list[tuple[str, str]]]]) -> tuple[Row, ...]:
    found = []
    for label, fields in rows:
        kept = tuple(Field(column, numbers) for column, text in fields if (numbers := find_numbers(text)))
        if kept:
            found.append(Row(label, kept))
    return tuple(found)


def find_numbers(text: str) -> tuple[Number, ...]:
    """The numbers in a text, without those that are part of a name.

    Args:
        text: of a page.

    Returns:
        In their order.

    Example:
        >>> [number.text for number in find_numbers("Table 2.4: 1,128 molecules, -0.5 ± 0.1 nats in 3 s, SmolLM2-135M")]
        ['1,128', '-0.5', '0.1', '3']
    """
    text = _NAMES.sub(lambda name: " " * len(name[0]), text)
    return tuple(Number(found[0], bool(_TIME.match(text, found.end()))) for found in _NUMBER.finditer(text))


def _only_numbers(text: str) -> bool:
    return bool(_NUMBER.search(text)) and bool(_ONLY_NUMBERS.fullmatch(_NUMBER.sub("", text)))


def _plain(token: Token) -> str:
    """The words of a token: code is left out, for it is typed rather than found."""
    words = []
    for child in token.children or []:
        if child.type in ("text", "text_special"):
            words.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            words.append(" ")
        elif child.type == "code_inline":
            words.append("`" if _NUMBER.search(child.content) else child.content)
    return "".join(words).strip()
