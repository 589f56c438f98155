"""Tables that are drawn: with plus signs, with the signs for boxes, or with full-width pipes."""

import re

_RULE = re.compile(r"\+(?:[-=:]+\+)+")  # of a table drawn with signs, as databases and reStructuredText have
_DRAWN = str.maketrans({
    **dict.fromkeys("│┃║｜", "|"), **dict.fromkeys("─━═", "-"),
    **dict.fromkeys("┌┬┐├┼┤└┴┘╔╦╗╠╬╣╚╩╝╞╪╡┏┳┓┣╋┫┗┻┛┡╇┩╭╮╰╯", "+"),
})  # fmt: skip


def as_pipes(line: str) -> str:
    """A line of a drawn table as one of a table with pipes; any other line as it is.

    Example:
        >>> as_pipes("│ Ada │ x │"), as_pipes("+=====+---+"), as_pipes("1 + 1 | 2")
        ('| Ada | x |', '|-----|---|', '1 + 1 | 2')
    """
    if line and ord(line[0]) in _DRAWN and "|" not in line:
        line = line.translate(_DRAWN)
    return line.replace("+", "|").replace("=", "-") if _RULE.fullmatch(line) else line
