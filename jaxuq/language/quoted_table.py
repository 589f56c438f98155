"""A Markdown table whose cells are quoted from a text: what extraction wants of the last reply of a conversation."""

import json
import re
from collections.abc import Mapping, Sequence

from jaxuq._arguments import typed
from jaxuq._options import check_count
from jaxuq.language.constraints import Constraint, bounded
from jaxuq.language.errors import ConstraintError

_NOTHING = "None"  # what stands in a cell where there is nothing


@typed()
def table_constraint(
    columns: Sequence[str],
    text: str,
    *,
    choices: Mapping[str, Sequence[str]] = {},
    most_rows: int = 64,
) -> Constraint:
    """A Markdown table with given columns, whose cells are parts of a text, or None.

    A part begins and ends with a whole word or sign of the text and has no line end or `|` in it. So what a model
    extracts is in the text letter by letter, and its type is one of those that there are.

    Args:
        columns: their names, in order.
        text: that is quoted.
        choices: for columns that are not quoted, what may stand in them.
        most_rows: of the table; one at least.

    Returns:
        The constraint, for `generate`.

    Raises:
        ConstraintError: there is no column, one has a name that no table can hold, or two have the same; choices of
            another column; all is too long.

    Example:
        >>> print(table_constraint(["Person"], "Ada met Bo.", most_rows=2).source)
        start: "| Person |\\n| --- |" ROW{1,2}
        ROW: "\\n| " QUOTE " |"
        QUOTE: (PART & /[^|\\n ]([^|\\n]*[^|\\n ])?/) | "None"
        PART: %regex {"substring_chunks": ["Ada", " ", "met", " ", "Bo", "."]}
    """
    check_count("most_rows", most_rows)
    listed = [*columns]
    if not listed or len(set(listed)) < len(listed) or not set(choices) <= set(listed):
        raise ConstraintError("a table needs columns of different names, and choices are of some of these")
    words = [*listed, *(one for some in choices.values() for one in some)]
    wrong = next((one for one in words if not one.strip() or re.search(r"[|\n\r]", one)), None)
    if wrong is not None or any(not some for some in choices.values()):
        raise ConstraintError(f"{wrong!r:.60} cannot stand in a table: names and choices are texts without | and line "
                              "ends, and no column is without choices")  # fmt: skip
    cells = ["QUOTE" if name not in choices else f"({' | '.join(map(_quoted, choices[name]))})" for name in listed]
    head = f"| {' | '.join(listed)} |\n| {' | '.join(['---'] * len(listed))} |"
    between = f" {_quoted(' | ')} "
    lines = [
        f"start: {_quoted(head)} ROW{{1,{most_rows}}}",
        f"ROW: {_quoted(chr(10) + '| ')} {between.join(cells)} {_quoted(' |')}",
    ]
    if "QUOTE" in cells:
        lines += [
            f"QUOTE: (PART & /[^|\\n ]([^|\\n]*[^|\\n ])?/) | {_quoted(_NOTHING)}",
            f"PART: %regex {json.dumps({'substring_chunks': _chunks(text)}, ensure_ascii=False)}",
        ]
    return Constraint("table", bounded("\n".join(lines), "the table"))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _chunks(text: str) -> list[str]:
    """Words, signs and spaces; one of them at least."""
    return re.findall(r"\w+|\s|[^\w\s]", text) or [_NOTHING]
