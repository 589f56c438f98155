"""Columns of classes: which they are, and the number of each record's class."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxuq.molecules.labels import MISSING, LabelError, tidied

MOST = 50
"""Classes that a column is taken to have without a word of the user's."""
_WHOLE = re.compile(r"([+-]?\d{1,15})(\.0*)?", re.ASCII)
_NUMBER_FIRST = re.compile(r"[<>≤≥~≈=]*\s*[+-]?\.?\d", re.ASCII)


class ClassLabels(NamedTuple):
    """What a column of classes says.

    Attributes:
        values: number of the class, NaN where there is none.
        names: of the classes; whole numbers in ascending order, others by the alphabet.
        unsure: a text that stands for a missing label elsewhere and may be a class here, such as none; or empty.
    """

    values: Float[np.ndarray, " records"]
    names: tuple[str, ...]
    unsure: str


def looks_like_classes(texts: Sequence[str]) -> bool:
    """Whether a column of texts names classes: few different texts that come again, and are no quantities.

    Args:
        texts: of all records.

    Returns:
        The guess; numbers are never guessed to be classes.

    Example:
        >>> looks_like_classes(["low", "High", "", "low", "high"]), looks_like_classes(["10 nM", "5 nM"] * 9)
        (True, False)
    """
    there = [text.lower() for text in tidied(texts) if text]
    different = set(there)
    numbers = sum(bool(_NUMBER_FIRST.match(text)) for text in different)
    return 2 <= len(different) <= MOST and 2 * len(different) <= len(there) and not numbers


def whole_numbers(texts: Sequence[str]) -> bool:
    """Whether all that is there are whole numbers, few of them different, so that they may number classes.

    Args:
        texts: of all records.

    Returns:
        Whether they may.
    """
    there = [text for text in tidied(texts) if text]
    different = {match[1] if (match := _WHOLE.fullmatch(text)) else None for text in there}
    return None not in different and 2 <= len(different) <= MOST and 2 * len(different) <= len(there)


def read_classes(texts: Sequence[str]) -> ClassLabels:
    """The classes of a column. Spellings that differ by case alone are one class, by its most frequent spelling.

    Args:
        texts: of all records; names or whole numbers.

    Returns:
        Numbers and names of the classes.

    Raises:
        LabelError: a number that is not whole; of no row, fewer than two classes, or nearly as many as records.

    Example:
        >>> read_classes(["high", "Low", "", "low", "low", "high"])
        ClassLabels(values=array([ 0.,  1., nan,  1.,  1.,  0.]), names=('high', 'low'), unsure='')
        >>> read_classes(["2", "10", "2.0", "10.0"]).names
        ('2', '10')
    """
    plain = tidied(texts)
    numeric = bool(any(plain)) and all(_NUMBER_FIRST.match(text) for text in plain if text)
    if numeric:
        for row, text in enumerate(plain):
            match = _WHOLE.fullmatch(text)
            if text and match is None:
                raise LabelError(row, f"{text[:60]!r} is no class; classes are names or whole numbers")
            plain[row] = str(int(match[1])) if match else ""
    spellings = Counter(text for text in plain if text)
    names: dict[str, str] = {}
    for text, _ in spellings.most_common():
        names.setdefault(text.casefold(), text)
    if len(names) < 2:
        only = f"only the class {next(iter(names.values()))[:60]!r}" if names else "no class"
        raise LabelError(-1, f"it has {only}; there is nothing to tell apart")
    known = sum(spellings.values())
    if len(names) > known / 2:
        raise LabelError(-1, f"it has {len(names)} different texts in {known} records: these are no classes")
    order = sorted(names, key=(lambda text: (int(text), text)) if numeric else (lambda text: (0, text)))
    numbers = {text: float(number) for number, text in enumerate(order)}
    values = np.array([numbers[text.casefold()] if text else np.nan for text in plain])
    lost = {text.strip().lower() for text in texts} & {"none", "null", "nd", "n.d."} & MISSING
    return ClassLabels(values, tuple(names[text] for text in order), "" if numeric else min(lost, default=""))
