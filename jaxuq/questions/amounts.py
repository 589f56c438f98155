r"""One quantity where it begins: digits, fractions, mixed numbers, powers, with percent and words of size."""

import re
import unicodedata
from fractions import Fraction
from typing import NamedTuple

from jaxuq.questions.characters import THIN
from jaxuq.questions.numerals import read_numeral
from jaxuq.questions.spelled import SCALES
from jaxuq.questions.units import GAP
from jaxuq.questions.values import rational_value

MONEY = re.compile(r"\\?[$€£¥₹]$")
_TIMES = re.compile(rf"{GAP}(?:\*|[xX]|\\times|\\cdot){GAP}(?=10\s*(?:\^|\*\*|[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]))")
_POWER = re.compile(r"\s?(?:\^|\*\*)\s?(?:\{\s*-?\d{1,6}\s*\}|\(\s*-?\d{1,6}\s*\)|-?\d{1,6})|⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_OVER = re.compile(r"\s?/\s?(\d{1,30})(?![\d/]|\.\d|,\d)")
VULGAR = re.compile("[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒]")
_MIXED = re.compile(r"[ \t]?[ \t" + THIN + r"]?(?:\\[dtc]?frac|\d{1,6}\s?/\s?\d{1,6}(?![\d/]))")
_AND_PART = re.compile(
    rf"\s+and\s+(?:(?:(?P<top>\d{{1,6}})\s?/\s?(?P<bottom>\d{{1,6}})(?![\d/])|(?P<vulgar>{VULGAR.pattern}))"
    r"|(?:an?|one)[\s-]+(?P<word>half|third|quarter)(?![\w-]))", re.I
)  # fmt: skip
_PARTS = {"half": Fraction(1, 2), "third": Fraction(1, 3), "quarter": Fraction(1, 4)}
_MEASURED = "|".join(
    rf"\d{{1,6}}\s?{large}(?:,?\s?and\s|,\s|\s)?\d{{1,2}}\s?{small}"
    for large, small in (
        ("(?:hours?|hrs?|h)", "(?:minutes?|mins?|m)(?![a-z])"),
        ("(?:minutes?|mins?|m)", "(?:seconds?|secs?|s)(?![a-z])"),
        ("(?:feet|foot|ft|')", "(?:inch(?:es)?|in(?![a-z])|\"|'')"), ("(?:days?|d)", "(?:hours?|hrs?|h)(?![a-z])"),
        ("years?", "months?"), ("weeks?", "days?"), ("dollars?", "cents?"), ("(?:pounds?|lbs?)", "(?:ounces?|oz)"),
        ("(?:kilometers?|kilometres?|km)", "(?:meters?|metres?|m)(?![a-z])"), ("(?:gallons?|gal)", "(?:quarts?|qt)"),
        ("(?:meters?|metres?|m)", "(?:centimeters?|centimetres?|cm)"), ("(?:kilograms?|kg)", "(?:grams?|g)(?![a-z])"),
    )
)  # fmt: skip
COMPOUND = re.compile(
    rf"\d{{1,4}}(?:(?::|\{{:\}})\d{{1,4}})+(?![\d:]|\.\d)(?:\s?[ap]\.?m(?![a-z])\.?)?|\d{{4}}-\d\d-\d\d(?![\d-])|{_MEASURED}"
    r"|\d{1,2}\s?[ap]\.?m(?![a-z])\.?|\d{1,2}h\d\d(?:m(?:in)?)?(?!\w)|\d{1,6}[€£]\d\d(?!\d)|\d{1,3}(?:\.\d{1,3}){3}(?![\d.]*\d)"
    r"|\d{1,3}°\s?\d{1,2}'(?:\s?\d{1,2}(?:\"|''))?|\d{1,6}\s(?:per|for every|to every)\s\d{1,6}(?!\w)",
    re.I | re.A,
)
_ORDINAL = re.compile(r"(?:st|nd|rd|th)(?!\w)|\s?\^\s?\{?(?:\\(?:text|mathrm)\s*\{)?(?:st|nd|rd|th)\}{1,2}")
_SHARE = re.compile(
    r"\s(?:in|(?P<of>out\s+of))\s+(?P<all>[1-9]\d{0,8}(?:,\d{3})*)(?![\w%])(?!\.\d)(?P<end>\s*(?:[.,;:!?)}$]|$|chance))?"
)
FRACTION = re.compile(r"(?:\\(?:(?:[dtc]|nice|s|flat)?frac|sqrt)(?![a-zA-Z])|√(?=\s*[\d{(]))\s*")
_PERCENT = re.compile(rf"{GAP}(?:\\?%|‰)|\s(?:percent|per\scent)(?![a-z])", re.I)
_SCALED = re.compile(
    rf"(?:{GAP}|\s?-)(?P<word>{'|'.join(SCALES)})s?(?![a-z])|{GAP}\\(?:text|mathrm|mbox|textrm)\s*\{{\s*"
    rf"(?P<text>{'|'.join(SCALES)})s?(?![a-z])[^{{}}]*\}}|(?P<thousand>k)(?!\w)", re.I
)  # fmt: skip
_LETTERS = re.compile(r"(?P<short>M|m|B|T)(?!\w)")
_LETTER_SCALES = {"M": 10**6, "m": 10**6, "B": 10**9, "T": 10**12}


class Quantity(NamedTuple):
    """A number in a text.

    Attributes:
        start: of its first character.
        end: one past its last.
        value: exactly, without what is beside it; None where it is no rational number (`5:30`, `3:2`, a date and
            `2 hours 30 minutes` are none), or too large.
        factor: what the word or sign beside it says: 1/100 for percent, 1000 for thousand, else 1.
        formula: whether it is one, such as `3\\pi` or `2x + 1`; its value is None unless it is rational.
    """

    start: int
    end: int
    value: Fraction | None
    factor: Fraction
    formula: bool = False


def past_digits(text: str, at: int) -> int:
    """One past the digits at a place."""
    while at < len(text) and text[at].isdigit():
        at += 1
    return at


def _argument(text: str, at: int, opening: str = "{") -> int | None:
    """The end of a group, or of a single digit."""
    if at < len(text) and text[at].isdigit():
        return at + 1
    if not text.startswith(opening, at):
        return None
    depth, closing = 0, {"{": "}", "[": "]", "(": ")"}[opening]
    for place in range(at, min(len(text), at + 400)):
        depth += (text[place] == opening) - (text[place] == closing)
        if depth == 0:
            return place + 1
    return None


def fraction_end(text: str, at: int) -> int | None:
    """One past a `\\frac` or `\\sqrt` with its arguments."""
    command = FRACTION.match(text, at)
    if command is None:
        return None
    end: int | None = command.end()
    if "√" in command[0]:
        return past_digits(text, end) if text[end].isdigit() else _argument(text, end, text[end])
    if "sqrt" in command[0] and text.startswith("[", command.end()):
        end = _argument(text, command.end(), "[")
    for number in range(2 if "frac" in command[0] else 1):
        while number and end is not None and text.startswith(" ", end):
            end += 1
        end = _argument(text, end) if end is not None else None
    return end


def read_quantity(text: str, at: int, *, spaced: bool = False) -> Quantity | None:
    """The quantity that begins at a place, without sign or currency; `text` is folded."""
    fraction = fraction_end(text, at)
    if FRACTION.match(text, at):
        if fraction is None:
            return None
        return _with_factor(text, at, fraction, rational_value(text[at:fraction]))
    if VULGAR.match(text, at):
        return _with_factor(text, at, at + 1, _vulgar(text[at]))
    if other := COMPOUND.match(text, at):  # a time, a ratio, a date, two measures
        return Quantity(at, other.end(), None, Fraction(1))
    numeral = read_numeral(text, at, spaced=spaced)
    if numeral is None:
        return None
    end, value = numeral.end, numeral.value
    if numeral.whole and (ordinal := _ORDINAL.match(text, end)):
        return Quantity(at, ordinal.end(), value, Fraction(1))
    if numeral.whole and value is not None and (share := _SHARE.match(text, end)):
        among = int(share["all"].replace(",", ""))
        if value <= among and (share["of"] or (value < among and (share["end"] is not None or value == 1))):
            return Quantity(at, share.end("all"), value / among, Fraction(1))
    mixed = _MIXED.match(text, end) if numeral.whole else None
    if mixed:
        begin = next(place for place in range(end, len(text)) if text[place] not in " \t" + THIN)
        if text[begin].isdigit() and begin > end:
            top, bottom = (int(one) for one in re.findall(r"\d+", mixed[0]))
            if 0 < top < bottom:
                return _with_factor(text, at, mixed.end(), None if value is None else value + Fraction(top, bottom))
        elif (stop := fraction_end(text, begin)) is not None:
            part = rational_value(text[begin:stop])
            if part is not None and 0 < part < 1:
                return _with_factor(text, at, stop, None if value is None else value + part)
    if numeral.whole and (part := re.compile(rf"\s?({VULGAR.pattern})").match(text, end)):
        return _with_factor(text, at, part.end(), None if value is None else value + _vulgar(part[1]))
    if numeral.whole and value is not None and (more := _AND_PART.match(text, end)):
        part = _part(more)
        if part is not None:
            return _with_factor(text, at, more.end(), value + part)
    if (power := _POWER.match(text, end)) and not text[end].isspace():
        return _with_factor(text, at, power.end(), rational_value(text[at : power.end()]))
    if times := _TIMES.match(text, end):
        power = _POWER.match(text, times.end() + 2)
        if power:
            return _with_factor(text, at, power.end(), _scientific(value, text[times.end() : power.end()]))
    if (over := _OVER.match(text, end)) and not re.search(r"\d/$", text[:at][-2:]):
        divided = None if value is None or int(over[1]) == 0 else value / int(over[1])
        return _with_factor(text, at, over.end(), divided)
    return _with_factor(text, at, end, value)


def _scientific(value: Fraction | None, power: str) -> Fraction | None:
    factor = rational_value(power)
    return None if value is None or factor is None else value * factor


def _part(found: re.Match[str]) -> Fraction | None:
    """Of `3 and 1/2`, `3 and a half`: less than one, or it is another number."""
    if found["top"]:
        top, bottom = int(found["top"]), int(found["bottom"])
        return Fraction(top, bottom) if 0 < top < bottom else None
    return _vulgar(found["vulgar"]) if found["vulgar"] else _PARTS[found["word"].lower()]


def _vulgar(character: str) -> Fraction:
    top, _, bottom = unicodedata.normalize("NFKC", character).partition("⁄")
    return Fraction(int(top), int(bottom))


def _with_factor(text: str, start: int, end: int, value: Fraction | None) -> Quantity:
    """With the sign of percent, or the word of scale, that stands beside it."""
    if percent := _PERCENT.match(text, end):
        return Quantity(start, percent.end(), value, Fraction(1, 1000 if "‰" in percent[0] else 100))
    if (short := _LETTERS.match(text, end)) and MONEY.search(text, max(start - 3, 0), start):
        return Quantity(start, short.end(), value, Fraction(_LETTER_SCALES[short[1]]))
    factor = 1
    while factor < 10**30 and (scaled := _SCALED.match(text, end)):
        word = (scaled["word"] or scaled["text"] or "thousand").lower()
        end, factor = scaled.end(), factor * SCALES[word]
    return Quantity(start, end, value, Fraction(factor))
