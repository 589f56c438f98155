"""Checks of the options that a user sets: one of a few names, a count, a number in a range. Imports no JAX."""

import math
import numbers
import operator
from collections.abc import Sequence
from typing import Any

from jaxuq._errors import OptionError


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise an OptionError unless `value` is one of `choices`."""
    if value not in choices:
        raise OptionError(f"{name} is {value!r}; expected one of {', '.join(map(repr, choices))}")


def check_count(name: str, value: Any, minimum: int = 1) -> int:
    """The value as an int; an OptionError unless it is a whole number (NumPy's too, no bool) of at least `minimum`."""
    try:
        count = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = None
    if count is None or count < minimum:
        raise OptionError(f"{name} is {value!r}; expected an integer of at least {minimum}")
    return count


def check_number(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """The value as a float; an OptionError unless it is a finite real number between `low` and `high`.

    NumPy's numbers and arrays without axes count; NaN, infinities and booleans do not. Bounds are allowed values unless
    `open_low` or `open_high` says otherwise.
    """
    whole = hasattr(value, "dtype") and getattr(value, "shape", None) == () and value.dtype.kind in "fiu"
    real = (isinstance(value, numbers.Real) and not isinstance(value, bool)) or whole
    try:
        number = float(value) if real else math.nan
    except OverflowError:  # an integer that no float holds
        number = math.inf
    inside = (low < number if open_low else low <= number) and (number < high if open_high else number <= high)
    if not (math.isfinite(number) and inside):
        left = "(" if open_low or low == -math.inf else "["
        right = ")" if open_high or high == math.inf else "]"
        raise OptionError(f"{name} is {value!r}; expected a finite number in {left}{low:g}, {high:g}{right}")
    return number
