r"""Quantities in a text: numbers with sign, currency and percent, fractions, mixed numbers, powers."""

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from jaxuq.questions.characters import THIN, visible
from jaxuq.questions.formulas import formulas
from jaxuq.questions.numerals import read_numeral
from jaxuq.questions.spelled import SCALES, find_spelled
from jaxuq.questions.tree import NotUnderstood, read_tree
from jaxuq.questions.units import GAP, without_currency
from jaxuq.questions.values import Undefined, value_of

_MONEY = re.compile(r"\\?[$€£¥₹]$")
_FORMULA_END = re.compile(r"[^$\n]{0,40}\$(?!\d)")
_TIMES = re.compile(rf"{GAP}(?:\*|[xX]|\\times|\\cdot){GAP}(?=10\s*(?:\^|\*\*|[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]))")
_POWER = re.compile(r"\s?(?:\^|\*\*)\s?(?:\{\s*-?\d{1,6}\s*\}|\(\s*-?\d{1,6}\s*\)|-?\d{1,6})|⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_OVER = re.compile(r"\s?/\s?(\d{1,30})(?![\d/]|\.\d|,\d)")
_VULGAR = re.compile("[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒]")
_MIXED = re.compile(r"[ \t]?[ \t" + THIN + r"]?(?:\\[dtc]?frac|\d{1,6}\s?/\s?\d{1,6}(?![\d/]))")
_AND_PART = re.compile(
    rf"\s+and\s+(?:(?:(?P<top>\d{{1,6}})\s?/\s?(?P<bottom>\d{{1,6}})(?![\d/])|(?P<vulgar>{_VULGAR.pattern}))"
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
_NO_NUMBER = re.compile(
    rf"\d{{1,4}}(?:(?::|\{{:\}})\d{{1,4}})+(?![\d:]|\.\d)(?:\s?[ap]\.?m(?![a-z])\.?)?|\d{{4}}-\d\d-\d\d(?![\d-])|{_MEASURED}"
    r"|\d{1,2}\s?[ap]\.?m(?![a-z])\.?|\d{1,2}h\d\d(?:m(?:in)?)?(?!\w)|\d{1,6}[€£]\d\d(?!\d)|\d{1,3}(?:\.\d{1,3}){3}(?![\d.]*\d)"
    r"|\d{1,3}°\s?\d{1,2}'(?:\s?\d{1,2}(?:\"|''))?|\d{1,6}\s(?:per|for every|to every)\s\d{1,6}(?!\w)",
    re.I | re.A,
)
_ORDINAL = re.compile(r"(?:st|nd|rd|th)(?!\w)|\s?\^\s?\{?(?:\\(?:text|mathrm)\s*\{)?(?:st|nd|rd|th)\}{1,2}")
_SHARE = re.compile(
    r"\s(?:in|(?P<of>out\s+of))\s+(?P<all>[1-9]\d{0,8}(?:,\d{3})*)(?![\w%])(?!\.\d)(?P<end>\s*(?:[.,;:!?)}$]|$|chance))?"
)
_FRACTION = re.compile(r"(?:\\(?:(?:[dtc]|nice|s|flat)?frac|sqrt)(?![a-zA-Z])|√(?=\s*[\d{(]))\s*")
_PERCENT = re.compile(rf"{GAP}(?:\\?%|‰)|\s(?:percent|per\scent)(?![a-z])", re.I)
_SCALED = re.compile(
    rf"(?:{GAP}|\s?-)(?P<word>{'|'.join(SCALES)})s?(?![a-z])|{GAP}\\(?:text|mathrm|mbox|textrm)\s*\{{\s*"
    rf"(?P<text>{'|'.join(SCALES)})s?(?![a-z])[^{{}}]*\}}|(?P<thousand>k)(?!\w)", re.I
)  # fmt: skip
_LETTERS = re.compile(r"(?P<short>M|m|B|T)(?!\w)")
_LETTER_SCALES = {"M": 10**6, "m": 10**6, "B": 10**9, "T": 10**12}
_MINUS = re.compile(
    rf"(?:(?:^|[=≈(:,{{\[<>*/;\n]{GAP}|[^\W\d_]{{2,}}[\s{THIN}]+)(?P<minus>minus)|\b(?P<negative>negative))$", re.I
)
_START = re.compile(rf"\d|\.\d|{_FRACTION.pattern}|{_VULGAR.pattern}")

_HEDGE = re.compile(
    rf"^{GAP}(?:(?:about|approximately|approx\.?|roughly|around|circa|ca\.|c\.|some)\s|[≈~#№]|\\(?:approx|sim|simeq)(?![a-z])"
    rf"|No\.(?=\s?\d))?{GAP}(?:the\s)?",
    re.I,
)


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


def _evaluated(text: str) -> Fraction | None:
    try:
        value = value_of(read_tree(text), {})
    except (NotUnderstood, Undefined, KeyError):
        return None
    return value if isinstance(value, Fraction) else None


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


def _fraction_end(text: str, at: int) -> int | None:
    """One past a `\\frac` or `\\sqrt` with its arguments."""
    command = _FRACTION.match(text, at)
    if command is None:
        return None
    end: int | None = command.end()
    if "√" in command[0]:
        return _past_digits(text, end) if text[end].isdigit() else _argument(text, end, text[end])
    if "sqrt" in command[0] and text.startswith("[", command.end()):
        end = _argument(text, command.end(), "[")
    for number in range(2 if "frac" in command[0] else 1):
        while number and end is not None and text.startswith(" ", end):
            end += 1
        end = _argument(text, end) if end is not None else None
    return end


def read_quantity(text: str, at: int, *, spaced: bool = False) -> Quantity | None:
    """The quantity that begins at a place, without sign or currency; `text` is folded."""
    fraction = _fraction_end(text, at)
    if _FRACTION.match(text, at):
        if fraction is None:
            return None
        return _with_factor(text, at, fraction, _evaluated(text[at:fraction]))
    if _VULGAR.match(text, at):
        return _with_factor(text, at, at + 1, _vulgar(text[at]))
    if other := _NO_NUMBER.match(text, at):  # a time, a ratio, a date, two measures
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
        elif (stop := _fraction_end(text, begin)) is not None:
            part = _evaluated(text[begin:stop])
            if part is not None and 0 < part < 1:
                return _with_factor(text, at, stop, None if value is None else value + part)
    if numeral.whole and (part := re.compile(rf"\s?({_VULGAR.pattern})").match(text, end)):
        return _with_factor(text, at, part.end(), None if value is None else value + _vulgar(part[1]))
    if numeral.whole and value is not None and (more := _AND_PART.match(text, end)):
        part = _part(more)
        if part is not None:
            return _with_factor(text, at, more.end(), value + part)
    if (power := _POWER.match(text, end)) and not text[end].isspace():
        return _with_factor(text, at, power.end(), _evaluated(text[at : power.end()]))
    if times := _TIMES.match(text, end):
        power = _POWER.match(text, times.end() + 2)
        if power:
            return _with_factor(text, at, power.end(), _scientific(value, text[times.end() : power.end()]))
    if (over := _OVER.match(text, end)) and not re.search(r"\d/$", text[:at][-2:]):
        divided = None if value is None or int(over[1]) == 0 else value / int(over[1])
        return _with_factor(text, at, over.end(), divided)
    return _with_factor(text, at, end, value)


def _scientific(value: Fraction | None, power: str) -> Fraction | None:
    factor = _evaluated(power)
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
    if (short := _LETTERS.match(text, end)) and _MONEY.search(text, max(start - 3, 0), start):
        return Quantity(start, short.end(), value, Fraction(_LETTER_SCALES[short[1]]))
    factor = 1
    while factor < 10**30 and (scaled := _SCALED.match(text, end)):
        word = (scaled["word"] or scaled["text"] or "thousand").lower()
        end, factor = scaled.end(), factor * SCALES[word]
    return Quantity(start, end, value, Fraction(factor))


def quantities(text: str, start: int = 0, end: int | None = None, *, spaced: bool = False) -> Iterator[Quantity]:
    r"""The quantities of a text, in order.

    Digits of names (`H2O`), of exponents and indices (`cm^3`, `x_1`) and in fractions that are no numbers are none. A
    formula is one as a whole. `1st` is 1, `1 in 5` a fifth.

    Args:
        text: of `fold`.
        start: where to begin.
        end: where to end; None: at the end.
        spaced: whether ordinary spaces may part thousands.

    Yields:
        Each `Quantity`, with sign and currency.

    Example:
        >>> [text[q.start : q.end] for text in ("3 1/2 cups, 20 cm^3, $-1,200",) for q in quantities(text)]
        ['3 1/2', '20', '$-1,200']
    """
    text = text if end is None else text[:end]
    at, first, waiting = start, start, formulas(text, start)[::-1]
    while found := _START.search(text, at):
        at = found.start()
        while waiting and waiting[-1].end <= at:
            waiting.pop()
        inside = waiting and first <= waiting[-1].start <= at and not _NO_NUMBER.match(text, at)
        if inside:
            whole = waiting.pop()
            yield Quantity(whole.start, whole.end, whole.value, Fraction(1), True)
            at = first = whole.end
            continue
        if text[at] == "." and at > start and text[at - 1].isalnum():  # "Rs.500", "1.2.3"
            at += 1
            if text[at - 2].isdigit():
                at = _past_digits(text, at)
                continue
        elif text[at].isdigit() and not _may_begin(text, at):
            at = _past_digits(text, at)
            continue
        quantity = read_quantity(text, at, spaced=spaced)
        if quantity is None or (quantity.value is None and _FRACTION.match(text, at) and "frac" in found[0]):
            stop = _fraction_end(text, at)
            at = stop if stop is not None else found.end()
            continue
        yield _with_sign(text, quantity, start, first)
        at = first = quantity.end


def _past_digits(text: str, at: int) -> int:
    while at < len(text) and text[at].isdigit():
        at += 1
    return at


def _may_begin(text: str, at: int) -> bool:
    before = text[max(0, at - 3) : at]
    if not before or before.endswith(("\\\\", "\\n")):
        return True
    if before[-1] == "_" and (len(before) == 1 or before[-2] in " _*\n\t"):  # emphasis
        return True
    if before[-1].isalnum() or before[-1] == "_" or re.search(r"[\^_]\s?\{?-?$", before):
        return bool(re.search(r"\\[a-zA-Z]+$", text[max(0, at - 12) : at]) and before[-1].isalpha())
    return not re.search(r"\d\.$", before)


def _with_sign(text: str, quantity: Quantity, start: int, first: int) -> Quantity:
    """With the sign before it where it is one, and the currency; `$` around a formula is no currency."""
    begin, sign_at = quantity.start, None
    at, gap = _before(text, begin, first)
    if at > first and text[at - 1] == "±":
        return quantity._replace(start=at - 1, value=None)
    money = _MONEY.search(text, first, at)
    if at > first and text[at - 1] in "+-":
        sign_at = at - 1
        money = _MONEY.search(text, first, _before(text, sign_at, first)[0])
    elif money and not _is_formula(text, money, quantity.end):
        at, gap = _before(text, money.start(), first)
        sign_at = at - 1 if at > first and text[at - 1] in "+-" else None
    value = quantity.value
    if gap and at > first and (word := _MINUS.search(text[max(start, at - 40) : at])) is not None:
        return quantity._replace(start=at - len(word["minus"] or word["negative"]), value=value and -value)
    if sign_at is not None and (begin > sign_at) and _is_sign(text, sign_at, start, gap):
        begin, value = sign_at, -value if value is not None and text[sign_at] == "-" else value
    if money and not _is_formula(text, money, quantity.end):
        begin = min(begin, money.start())
    return quantity._replace(start=begin, value=value)


def _before(text: str, at: int, first: int) -> tuple[int, bool]:
    """The place after the last character before a place that is no space, and whether there are spaces."""
    place = at
    while place > first and (text[place - 1] in " \t" or text[place - 1] == THIN):
        place -= 1
    return place, place < at


def _is_formula(text: str, money: re.Match[str], end: int) -> bool:
    return money[0].endswith("$") and _FORMULA_END.match(text, end) is not None


def _is_sign(text: str, at: int, start: int, gap: bool) -> bool:
    """A difference (`7-3`), a hyphen (`B-52`) and a dash are none."""
    before = text[max(start, at - 40) : at]
    last = before.rstrip(" \t" + THIN)
    if not last or last[-1] in "=≈~(:,{[<>*/|;$€£¥₹\n" or re.search(r"\\(?:approx|le|ge|leq|geq|times|cdot|pm)$", last):
        return True
    return not gap and last != before and not last[-1].isdigit() and last[-1] not in ")]}%"


def parse_quantity(text: str) -> Quantity | None:
    r"""A text that is one quantity, perhaps with a unit, as a quantity.

    Args:
        text: an answer.

    Returns:
        The quantity; None if the text is something else.

    Example:
        >>> parse_quantity("2\\frac{1}{2}").value, parse_quantity("(-3)").value, parse_quantity("x")
        (Fraction(5, 2), Fraction(-3, 1), None)
    """
    folded = (
        visible(text)[0].strip(" \n\t" + THIN).rstrip(" \n\t.,;" + THIN).replace("\\left", "").replace("\\right", "")
    )
    if len(folded) > 1000:
        return None
    folded = _HEDGE.sub("", folded)
    while (inner := re.fullmatch(r"\$(.*)\$|\\\((.*)\\\)|\(([^(),]*)\)|\{(.*)\}", folded, re.S)) is not None:
        folded = next(one for one in inner.groups() if one is not None).strip()
    folded = without_currency(_HEDGE.sub("", folded))
    if again := re.fullmatch(r"([^()]+?)\s?\(([^()]+)\)", folded):  # 5 (five)
        pair = [parse_quantity(one) for one in again.groups()]
        if all(one and one.value is not None for one in pair) and pair[0] and pair[1]:
            same = pair[0].value == pair[1].value and pair[0].factor == pair[1].factor
            return pair[0] if same and any(map(str.isalpha, folded)) else None
    found = next(quantities(folded, spaced=True), None)
    if found is None and (spelled := find_spelled(folded)) and spelled.value is not None:
        found = Quantity(*spelled)
    if found is None or folded[: found.start].strip("+ ") or folded[found.end :].strip(" $€£¥₹\t"):
        return None
    return None if found.formula and found.value is None else found
