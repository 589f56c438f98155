r"""What stands beside a number and makes another answer of it: `at least 3`, `3 or more`, `> 3`, `3 R 1`."""

import re

from jaxuq.questions.units import FONT, GAP

_SIGNS = {
    "<": r"(?:less|fewer|lower|smaller|shorter|younger|lighter)\s+than|under|below|\\lt(?![a-z])|<(?!=)",
    ">": r"(?:more|greater|larger|bigger|higher|longer|older|heavier)\s+than|over|above|exceed(?:s|ing)"
    r"|in\s+excess\s+of|\\gt(?![a-z])|>(?!=)",
    "≤": r"(?:at|the)\s+most|a\s+maximum\s+of|(?:no|not)\s+(?:more|greater|larger|higher)\s+than|up\s+to"
    r"|not\s+exceeding|<=|≤|\\leq?(?:slant)?(?![a-z])",
    "≥": r"at\s+(?:the\s+)?least|a\s+minimum\s+of|(?:no|not)\s+(?:less|fewer|lower|smaller)\s+than|>=|≥"
    r"|\\geq?(?:slant)?(?![a-z])",
}
_LONGEST = 200
_NAMES: dict[str, str] = dict(zip(("less", "more", "most", "least"), _SIGNS))
_BEFORE = re.compile(
    rf"(?:^|[\s(*_$:,]|(?<![A-Za-z])(?P<name>[A-Za-z]){GAP})(?:"
    + "|".join(rf"(?P<{name}>{_SIGNS[sign]})" for name, sign in _NAMES.items() if sign in "≤≥")
    + "|"
    + "|".join(rf"(?P<{name}>{_SIGNS[sign]})" for name, sign in _NAMES.items() if sign in "<>")
    + rf"){GAP}[$(*_]*{GAP}$",
    re.I,
)
_UNIT = rf"(?:{GAP}(?:{FONT}|%|[A-Za-z]+(?:\s[A-Za-z]+)?)(?:\^\d)?)??"
_AFTER = re.compile(
    rf"{_UNIT}(?:\s*,?\s*(?:or|and)\s+(?:(?P<least>more|greater|higher|above|over|up|larger|longer|older|better)"
    rf"|(?P<most>less|fewer|lower|below|under|smaller|shorter|younger))(?![\w-])(?!\s+(?:than|precisely|exactly|accurately|generally))"
    rf"|\s+at\s+(?:the\s+)?(?:(?P<least_>least|minimum)|(?P<most_>most|maximum))(?!\w))"
    rf"|{GAP}(?:with\s+(?:an?\s+)?)?(?:\\(?:text|mathrm)\s*\{{{GAP})?(?:remainder(?:\s+of|:)?|rem(?:\.|\s)|[Rr]\.?)"
    rf"{GAP}\}}?{GAP}(?:=\s*)?(?P<rest>\d+)(?![\w.]\w)",
    re.I,
)
_ASKED_FOR = re.compile(
    r"\b(?:needs?|needed|requires?|required|must|ha(?:s|ve|d)\s+to|should|can|could|may|able)\b[^.;!?]*$", re.I
)
_TOTALLED = re.compile(r"\b(?:round|add|com|bring|sum|go|climb|ris|increas|total)(?:s|e|es|ed|ing)?(?:\s+it)?$", re.I)
"""Before `up to`, which is no bound then."""


def beside(text: str, start: int, place: tuple[int, int], end: int) -> tuple[int, int]:
    """The place of a number with what bounds it, and its remainder.

    Who `needs at least 3`, or `can take up to 3`, is told a number by it; what `is at least 3` is not.

    Args:
        text: of `fold`.
        start: of the stretch, or sentence.
        place: of the number.
        end: of the stretch.

    Returns:
        The same where there is nothing of the kind.

    Example:
        >>> for text in ("at least 3.", "3 or more", "3 R 1", "she needs at least 3", "3"):
        ...     begin, stop = beside(text, 0, (text.index("3"), text.index("3") + 1), len(text))
        ...     print(text[begin:stop])
        at least 3
        3 or more
        3 R 1
        3
        3
    """
    begin, stop = place
    after, before = _AFTER.match(text, stop, end), _BEFORE.search(text[start:begin])
    if after is not None:
        return begin, after.end()
    told = text[start : start + before.start()] if before else ""
    if before is None or text.startswith(">", stop) or _ASKED_FOR.search(told) or _TOTALLED.search(told):
        return place
    at = start + before.start()
    while text[at] in " \n\t(*_$:,":
        at += 1
    return at, stop


def bounded(text: str) -> tuple[str, str]:
    """The bound or remainder of an answer, and the answer without it.

    Args:
        text: of `fold`.

    Returns:
        `<`, `>`, `≤`, `≥`, `R 1` or nothing, and the rest.

    Example:
        >>> bounded("at least 3 cups"), bounded("3 cups or more"), bounded("3 remainder 1"), bounded("3")
        (('≥', '3 cups'), ('≥', '3 cups'), ('R 1', '3'), ('', '3'))
    """
    if len(text) > _LONGEST:
        return "", text
    for number in re.finditer(r"(?<![\d.,])[-+]?[\d.][\d.,]*", text):
        before = _BEFORE.search(text[: number.start()])
        if before is not None and not text[: before.start()].strip(" $({*_"):
            return _NAMES[str(before.lastgroup)], text[before.end() :].strip()
        break
    for number in re.finditer(r"\d(?![\d.,]*\d)", text):
        after = _AFTER.match(text, number.end())
        if after is not None and not text[after.end() :].strip(" .$)}*_"):
            kind = str(after.lastgroup).rstrip("_")
            if kind == "rest":
                return f"R {int(after['rest'])}", text[: number.end()]
            cut = after.start(str(after.lastgroup))
            return _NAMES[kind], re.sub(r"\s*,?\s*(?:(?:or|and)|at(?:\s+the)?)?\s*$", "", text[:cut])
    return "", text
