"""What the texts of a column say: numbers, two classes by name, dates, bounds, or something else."""

import math
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int8

MISSING = frozenset(
    (
        "",
        "na",
        "n/a",
        "n.a.",
        "nan",
        "none",
        "null",
        "-",
        "--",
        "?",
        ".",
        "#n/a",
        "<na>",
        "nat",
        "nd",
        "n.d.",
        "#value!",
        "#div/0!",
        "#num!",
        "#ref!",
        "#name?",
        "#null!",
    )
)
"""What stands for a missing label, in any case."""
CLASSES = {
    word: (pair, label)
    for pair, sides in {
        "True and False": (("false", "f"), ("true", "t")),
        "yes and no": (("no", "n"), ("yes", "y")),
        "active and inactive": (("inactive", "not active", "non-active", "nonactive"), ("active",)),
        "positive and negative": (("negative", "neg"), ("positive", "pos")),
        "toxic and non-toxic": (("non-toxic", "nontoxic", "not toxic"), ("toxic",)),
    }.items()
    for label, side in enumerate(sides)
    for word in side
}
"""Words for the two classes of a task, in any case: the pair they belong to, and 0 or 1."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_COMMA = re.compile(r"[+-]?(\d+,?\d*|,\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?", re.ASCII)
_ENDLESS = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_BOUND = re.compile(r"(<<|>>|<=|>=|=<|=>|[<>≤≥⩽⩾])\s*(?P<number>\S+)")
_ABOUT = re.compile(r"[~≈≅]\s*\S+")
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([ t].*)?|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})([ t].*)?|"
    r"\d{1,2}[-. ]?[a-z]{3,9}[-. ]?(\d{4}|\d{2})|[a-z]{3,9} \d{1,2},? \d{4}|"
    r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])",
    re.IGNORECASE | re.ASCII,
)
Decimal = Literal[".", ","]
Kind = Literal["blank", "numbers", "classes", "dates", "bounds", "texts"]


class LabelError(ValueError):
    """A text is no label; `row` says which, counted from 0, or is -1 where the column as a whole is at fault."""

    def __init__(self, row: int, message: str):
        super().__init__(message)
        self.row = row


class Column(NamedTuple):
    """What a column holds.

    Attributes:
        kind: of most of its texts.
        binary: whether all that is there is 0 or 1, or one of two classes by name.
        decimal: that of its numbers, where they say.
        texts: as `tidied`.
    """

    kind: Kind
    binary: bool
    decimal: Decimal | None
    texts: list[str]


def tidied(texts: Sequence[str]) -> list[str]:
    """Texts of labels without blanks around them, with the minus of keyboards, empty where they say "missing"."""
    plain = [text.strip().replace("\u2212", "-").replace("\u2013", "-") for text in texts]
    if any(text == "+" for text in plain):  # then a bare minus is no missing label but the other class
        plain = [{"+": "positive", "-": "negative"}.get(text, text) for text in plain]
    return ["" if text.lower() in MISSING else text for text in plain]


def look_at(texts: Sequence[str], decimal: Decimal | None = None) -> Column:
    """Tell what a column holds, by most of what is there.

    Args:
        texts: of all records.
        decimal: of its numbers; None: as they are.

    Returns:
        What it is.

    Example:
        >>> look_at(["0,5", "", "-1,25"])[:3], look_at(["active", "Inactive", "n/a"])[:3], look_at(["10_1"])[:1]
        (('numbers', False, ','), ('classes', True, None), ('texts',))
    """
    texts = tidied(texts)
    there = [text for text in texts if text]
    if not there:
        return Column("blank", False, None, texts)
    shapes = (_NUMBER, _COMMA, _THOUSANDS, _ENDLESS)
    numbers = sum(any(shape.fullmatch(text) for shape in shapes) for text in there)
    dates = sum(bool(_DATE.fullmatch(text)) for text in there)
    classes = sum(text.lower() in CLASSES for text in there)
    bounds = sum(bool(_BOUND.fullmatch(text) or _ABOUT.fullmatch(text)) for text in there)
    if dates == len(there):
        return Column("dates", False, None, texts)
    if classes > len(there) / 2:
        return Column("classes", True, None, texts)
    if numbers + bounds > len(there) / 2:
        found = decimal or decimal_of(there)
        whole = {text.removesuffix(".0") for text in there}
        return Column("bounds" if bounds else "numbers", whole <= {"0", "1"}, found, texts)
    return Column("texts", False, None, texts)


def decimal_of(texts: Sequence[str]) -> Decimal | None:
    """Which decimal sign the numbers have; None where they are whole, or where 1,234 may be either."""
    points = any("." in text and _NUMBER.fullmatch(text) for text in texts)
    commas = [text for text in texts if "," in text and _COMMA.fullmatch(text)]
    sure = any(not _THOUSANDS.fullmatch(text) for text in commas)
    return "," if sure and not points else "." if points and not commas else None


class Labels(NamedTuple):
    """What a column says of its labels.

    Attributes:
        values: in double precision, NaN where they are missing.
        bounds: 0 where the value is the label, 1 where the label is at least the value, -1 where it is at most that.
    """

    values: Float[np.ndarray, " records"]
    bounds: Int8[np.ndarray, " records"]


def read_labels(column: Column, decimal: Decimal | None) -> Labels:
    """The labels of a column; `>10` is a label of at least 10.

    Args:
        column: from `look_at`.
        decimal: of its numbers.

    Returns:
        Values and bounds.

    Raises:
        LabelError: names the first text that is no label, and the remedy.

    Example:
        >>> read_labels(look_at(["1.5", "> 10", ""]), None)
        Labels(values=array([ 1.5, 10. ,  nan]), bounds=array([0, 1, 0], dtype=int8))
    """
    bounds = np.zeros(len(column.texts), np.int8)
    if column.kind == "classes":
        return Labels(_read_classes(column.texts), bounds)
    values = np.full(len(column.texts), np.nan)
    for row, text in enumerate(column.texts):
        if bound := _BOUND.fullmatch(text):
            bounds[row] = 1 if bound[1][0] in ">≥⩾" or bound[1] == "=>" else -1
            text = bound["number"]
        values[row] = _read_number(row, text, decimal)
    return Labels(values, bounds)


def _read_classes(texts: list[str]) -> np.ndarray:
    values = np.full(len(texts), np.nan)
    pair = next(CLASSES[text.lower()][0] for text in texts if text.lower() in CLASSES)
    for row, text in enumerate(texts):
        mine, label = CLASSES.get(text.lower(), ("", math.nan))
        if text and mine != pair:
            raise LabelError(
                row, f"{text[:60]!r} in a column of {pair}; leave a missing label blank, and name classes in one way"
            )
        values[row] = label
    return values


def _read_number(row: int, text: str, decimal: Decimal | None) -> float:
    if not text:
        return math.nan
    if _ABOUT.fullmatch(text):
        raise LabelError(row, f"{text[:60]!r} is not a number; write it without the sign")
    if _ENDLESS.fullmatch(text):
        raise LabelError(row, f"{text!r} is not a finite number")
    if "," in text and decimal is None and _COMMA.fullmatch(text):
        raise LabelError(
            row,
            f"{text!r} may be a decimal comma or one between thousands; say --decimal ',' or take the commas between "
            "thousands out",
        )
    if decimal == "," and _COMMA.fullmatch(text):
        value = float(text.replace(",", "."))
    elif decimal != "," and _NUMBER.fullmatch(text):
        value = float(text)
    elif decimal == "," and _NUMBER.fullmatch(text):
        raise LabelError(row, f"{text!r} has a point where the decimal sign is a comma; write all labels in one way")
    elif _COMMA.fullmatch(text) or _THOUSANDS.fullmatch(text):
        raise LabelError(row, f"{text!r} has a comma where the decimal sign is a point; write all labels in one way")
    elif text.lower() in CLASSES:
        raise LabelError(row, f"{text!r} among numbers; name classes in one way, or leave a missing label blank")
    else:
        raise LabelError(row, f"{text[:60]!r} is not a number; leave a missing label blank")
    if not math.isfinite(value):
        raise LabelError(row, f"{text!r} is not a finite number")
    return value
