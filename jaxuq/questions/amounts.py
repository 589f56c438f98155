r"""One quantity where it begins: digits, fractions, mixed numbers, powers, with percent and words of size."""

import re
import unicodedata
from fractions import Fraction
from typing import NamedTuple

from jaxuq.questions.characters import THIN
from jaxuq.questions.measures import is_known, ratio_of
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
_PIECE = re.compile(
    rf"(?P<number>\d[\d,]{{0,15}}(?:\.\d{{1,9}})?){GAP}(?:\\(?:text|mathrm)\s*\{{\s*)?(?P<unit>[A-Za-z]+|''|'|\"|¢)(?:(?<![A-Za-z]{{4}})\.)?\s*\}}?(?![A-Za-z])"
)
_NEXT = re.compile(rf"{GAP}(?:,?\s*(?:and|\\text\s*\{{\s*and\s*\}})\s+|,\s+)?(?=\d)")
_SHORT_UNITS = {"'": "ft", "''": "in", '"': "in", "m": "min"}
_COMPOUND = re.compile(
    r"\d{1,4}(?:(?::|\{:\})\d{1,4})+(?![\d:]|\.\d)(?:\s?[ap]\.?m(?![a-z])\.?)?|\d{4}-\d\d-\d\d(?![\d-])"
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
    rf"(?P<text>{'|'.join(SCALES)})s?(?![a-z])[^{{}}]*\}}|(?P<thousand>k)(?!\w)(?!/)", re.I
)  # fmt: skip
_DOZEN = re.compile(rf"{GAP}(?:\\text\s*\{{\s*)?dozens?(?![a-z])\s*\}}?", re.I)
_LETTERS = re.compile(r"(?P<short>M|m|B|T)(?![\w/])")
_LETTER_SCALES = {"M": 10**6, "m": 10**6, "B": 10**9, "T": 10**12}


class Quantity(NamedTuple):
    """A number in a text.

    Attributes:
        start: of its first character.
        end: one past its last.
        value: exactly, without what is beside it; None where it is no rational number (`5:30`, `3:2`, a date and
            `2 hours 30 minutes` are none), or too large.
        factor: 1/100 where percent stands beside it, 12 beside dozen, which people count in, too; else 1. What other
            words of scale say is in the value.
        formula: whether it is one, such as `3\\pi` or `2x + 1`; its value is None unless it is rational.
    """

    start: int
    end: int
    value: Fraction | None
    factor: Fraction
    formula: bool = False


class Measured(NamedTuple):
    """Several numbers with units that add up, such as `3 hours and 30 minutes`.

    Attributes:
        end: one past the last character.
        parts: each number, and its unit.
    """

    end: int
    parts: tuple[tuple[Fraction, str], ...]


def read_measured(text: str, at: int) -> Measured | None:
    """Numbers with units, of which each is less than one of the unit before it: `5 ft 6 in`, `$3 and 50 cents`.

    Args:
        text: of `fold`.
        at: place of the first digit.

    Returns:
        None: there are none, or one alone.

    Example:
        >>> [(str(number), unit) for number, unit in read_measured("5 ft 6 in", 0).parts]
        [('5', 'ft'), ('6', 'in')]
        >>> read_measured("6 in 5 ft", 0)
    """
    parts: list[tuple[Fraction, str]] = []
    money = MONEY.search(text, max(at - 2, 0), at)
    if money and (whole := re.compile(r"\d[\d,]{0,15}(?:(?=\s+and\s)|\s+dollars?\b)").match(text, at)):
        parts.append((Fraction(re.sub(r"\D", "", whole[0])), money[0].strip("\\")))
        joint = _NEXT.match(text, whole.end())
        place = joint.end() if joint else whole.end()
    else:
        place = at
    end = place
    while (piece := _PIECE.match(text, place)) is not None:
        number, unit = Fraction(piece["number"].replace(",", "")), piece["unit"]
        known = [one for one in dict.fromkeys((unit, _SHORT_UNITS.get(unit, unit))) if is_known(one)]
        if parts:
            whole_before, larger = parts[-1]
            many = {one: ratio_of(larger, one) or 0 for one in known}
            if larger == "m" and not any(many.values()) and (ratio_of("min", unit) or 0) > 1:
                parts[-1], many = (whole_before, "min"), {unit: Fraction(60)}  # 1 m 20 s
            known = [one for one in known if number < many[one] and many[one] > 1 and whole_before.denominator == 1]
        if not known:
            break
        parts.append((number, known[0]))
        end = piece.end() - (text[piece.end() - 1] == "." and piece["unit"] != ".")
        joint = _NEXT.match(text, piece.end())
        if joint is None:
            break
        place = joint.end()
    return Measured(end, tuple(parts)) if len(parts) > 1 else None


def compound_end(text: str, at: int) -> int | None:
    """One past what is more than one number: a time, a ratio, a date, several measures; None: nothing of it begins."""
    measured, other = read_measured(text, at), _COMPOUND.match(text, at)
    return measured.end if measured else other.end() if other else None


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
    if (end := compound_end(text, at)) is not None:
        return Quantity(at, end, None, Fraction(1))
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
    if dozens := _DOZEN.match(text, end):
        return Quantity(start, dozens.end(), value, Fraction(12))
    scale, short = 1, _LETTERS.match(text, end)
    if short and (short[1] in "MB" or MONEY.search(text, max(start - 3, 0), start)):
        end, scale = short.end(), _LETTER_SCALES[short[1]]
    while scale < 10**30 and (scaled := _SCALED.match(text, end)):
        word = (scaled["word"] or scaled["text"] or "thousand").lower()
        end, scale = scaled.end(), scale * SCALES[word]
    return Quantity(start, end, value and value * scale, Fraction(1))
