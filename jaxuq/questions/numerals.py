r"""Numbers as people and LaTeX write them: `1,234.5`, `1.234,5`, `1{,}234`, `1 234` with a thin space, `2e5`."""

import re
from fractions import Fraction
from typing import NamedTuple

from jaxuq.questions.characters import THIN

_MOST_DIGITS = 400
_COMMA = r"(?:,\\! ?|\{,\}|,)"
_THIN = rf"(?:{THIN}|'|_|\\[,!;: ]|~)"
_EXPONENT = r"(?:[eE](?P<exponent>[-+]?\d{1,4})(?!\w))?"
_ENGLISH = rf"[1-9]\d{{0,2}}(?P<group>{_COMMA}|{_THIN}+)\d{{3}}(?:(?P=group)\d{{3}})*(?![\d])(?P<point>\.\d+)?"
_INDIAN = r"[1-9]\d?(?P<group>,)(?:\d\d,)+\d{3}(?!\d)(?P<point>\.\d+)?"
_GERMAN = r"[1-9]\d{0,2}(?P<group>\.)\d{3}(?:(?:\.\d{3})*(?P<point>,\d+)(?![\d,])|(?:\.\d{3})+(?![\d.]\d))"
_THIN_COMMA = rf"[1-9]\d{{0,2}}(?P<group>{_THIN}+)\d{{3}}(?:(?P=group)\d{{3}})*(?P<point>,\d+)(?![\d,])"
_DECIMAL_COMMA = r"(?P<group>)(?:0(?:,|\{,\})\d+|\d+(?:,|\{,\})(?:\d\d?|\d{4,}))(?![\d,])"
_PLAIN = r"(?P<group>)(?:\d+(?:\.\d+)?|\.\d+)"
_SPACED = r"[1-9]\d{0,2}(?P<group> )\d{3}(?: \d{3})*(?!\d)(?P<point>[.,]\d+)?"
_ROUND = r"[1-9]\d{0,2}(?P<group> )(?:\d{3} )*000(?!\d)(?P<point>[.,]\d+)?"
_FORMS = [
    (re.compile(form + _EXPONENT, re.A), comma)
    for form, comma in (
        (_ROUND, False), (_THIN_COMMA, True),
        (_INDIAN, False), (_ENGLISH, False), (_GERMAN, True), (_DECIMAL_COMMA, True),
        (_PLAIN, False),
    )
]  # fmt: skip
_REPEATING = re.compile(
    r"(\d*)\.(\d*)\\(?:overline|bar)\s*(?:\{(\d+)\}|(\d))|(?P<whole>\d+)\.(?P<start>)\((?P<period>\d+)\)", re.A
)
_BASED = re.compile(r"0(?:[xX](?P<hex>[0-9a-fA-F]+)|[bB](?P<binary>[01]+)|[oO](?P<octal>[0-7]+))(?!\w)", re.A)
_SPACED_FORM = re.compile(_SPACED + _EXPONENT, re.A)


class Numeral(NamedTuple):
    """A number without sign.

    Attributes:
        end: one past its last character.
        value: exactly; None where it has too many digits to be worked with.
        whole: whether it is written as digits alone, or in groups.
    """

    end: int
    value: Fraction | None
    whole: bool


def read_numeral(text: str, at: int, *, spaced: bool = False) -> Numeral | None:
    r"""The number that begins at a place of a folded text.

    Both separators: the last is the decimal one. One comma before three digits parts thousands, before others it is
    decimal (`3,5`), unless it parts a list (`1,2,3`, `(1,2)`). One point is decimal, several part thousands. Ordinary
    spaces part round thousands (`10 000`). `0.1\overline{6}` is a sixth, `0.(3)` a third, `0x1F` 31.

    Args:
        text: of `fold`.
        at: place of its first character.
        spaced: whether ordinary spaces may part other thousands too (`12 345`).

    Returns:
        The number; None if none begins there.

    Example:
        >>> [float(read_numeral(text, 0).value) for text in ("1,234.50", "1.234,50", "1{,}234", "3,5", "1.234")]
        [1234.5, 1234.5, 1234.0, 3.5, 1.234]
    """
    before = text[at - 1] if at else " "
    if repeating := _REPEATING.match(text, at):
        return _repeating(repeating)
    if based := _BASED.match(text, at):
        digits = based[based.lastgroup or 0]
        base = {"hex": 16, "binary": 2, "octal": 8}[str(based.lastgroup)]
        return Numeral(based.end(), Fraction(int(digits, base)) if len(digits) <= _MOST_DIGITS else None, True)
    if spaced and (found := _SPACED_FORM.match(text, at)):
        return _numeral(found, ",")
    for form, comma in _FORMS:
        if form.pattern.startswith(_DECIMAL_COMMA) and (before in ",([" or text.endswith("\\{", 0, at)):
            continue
        if found := form.match(text, at):
            alone = before in "([" and text[found.end() : found.end() + 1] in (")", "]")
            if alone and found[0].count(",") == 1 and found[0].replace(",", "").isdigit():
                continue  # (1,234): a pair
            return _numeral(found, "," if comma else "")
    return None


def _numeral(found: re.Match[str], decimal: str) -> Numeral:
    exponent, written = found["exponent"], found[0]
    if exponent is not None:
        written = written[: -len(exponent) - 1]
    point = ""
    if "point" in found.re.groupindex:
        point = found["point"] or ""
        written = written[: len(written) - len(point)]
    elif decimal:
        written, _, point = re.sub(r"[{}]", "", written).rpartition(",")
        point = f".{point}"
    elif not found["group"]:
        written, _, point = written.partition(".")
        point = f".{point}" if point else ""
    digits = re.sub(r"\D", "", written)
    fraction = re.sub(r"\D", "", point)
    whole = not point and exponent is None
    if len(digits) + len(fraction) > _MOST_DIGITS or abs(int(exponent or 0)) > _MOST_DIGITS:
        return Numeral(found.end(), None, whole)
    value = Fraction(int(digits + fraction or "0"), 10 ** len(fraction))
    return Numeral(found.end(), value * Fraction(10) ** int(exponent or 0), whole)


def _repeating(found: re.Match[str]) -> Numeral:
    whole, start = found["whole"] or found[1] or "0", found["start"] or found[2] or ""
    period = found["period"] or found[3] or found[4]
    if len(whole) + len(start) + len(period) > _MOST_DIGITS:
        return Numeral(found.end(), None, False)
    value = Fraction(int(period), 10 ** len(period) - 1) + int(start or "0")
    return Numeral(found.end(), int(whole) + value / 10 ** len(start), False)
