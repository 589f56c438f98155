r"""Quantities in a text, with sign and currency, and formulas as wholes."""

import re
from collections.abc import Iterator
from fractions import Fraction

from jaxuq.questions.amounts import (
    FRACTION,
    MONEY,
    VULGAR,
    Quantity,
    compound_end,
    fraction_end,
    past_digits,
    read_quantity,
)
from jaxuq.questions.characters import THIN, visible
from jaxuq.questions.formulas import formulas
from jaxuq.questions.spelled import find_spelled
from jaxuq.questions.units import GAP, without_currency

_FORMULA_END = re.compile(r"[^$\n]{0,40}\$(?!\d)")
_MINUS = re.compile(
    rf"(?:(?:^|[=≈(:,{{\[<>*/;\n]{GAP}|[^\W\d_]{{2,}}[\s{THIN}]+)(?P<minus>minus)|\b(?P<negative>negative))$", re.I
)
_HEDGE = re.compile(
    rf"^{GAP}(?:(?:about|approximately|approx\.?|roughly|around|circa|ca\.|c\.|some)\s|[≈~#№]|\\(?:approx|sim|simeq)(?![a-z])"
    rf"|No\.(?=\s?\d))?{GAP}(?:the\s)?",
    re.I,
)
_START = re.compile(rf"\d|\.\d|{FRACTION.pattern}|{VULGAR.pattern}")


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
        inside = waiting and first <= waiting[-1].start <= at and compound_end(text, at) is None
        if inside:
            whole = waiting.pop()
            yield Quantity(whole.start, whole.end, whole.value, Fraction(1), True)
            at = first = whole.end
            continue
        if text[at] == "." and at > start and text[at - 1].isalnum():  # "Rs.500", "1.2.3"
            at += 1
            if text[at - 2].isdigit():
                at = past_digits(text, at)
                continue
        elif text[at].isdigit() and not _may_begin(text, at):
            at = past_digits(text, at)
            continue
        quantity = read_quantity(text, at, spaced=spaced)
        if quantity is None or (quantity.value is None and FRACTION.match(text, at) and "frac" in found[0]):
            stop = fraction_end(text, at)
            at = stop if stop is not None else found.end()
            continue
        yield _with_sign(text, quantity, start, first)
        at = first = quantity.end


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
    money = MONEY.search(text, first, at)
    if at > first and text[at - 1] in "+-":
        sign_at = at - 1
        money = MONEY.search(text, first, _before(text, sign_at, first)[0])
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
