r"""What kind of answer a right answer is, where nobody says."""

import re
from collections.abc import Sequence
from typing import Literal

from jaxuq.questions.characters import visible
from jaxuq.questions.expressions import OR, is_formula, parts_of
from jaxuq.questions.matrices import matrix_of
from jaxuq.questions.measures import is_known
from jaxuq.questions.notation import clean, unpacked
from jaxuq.questions.quantities import parse_quantity
from jaxuq.questions.units import without_unit


def kind_of(answers: Sequence[str]) -> Literal["number", "expression", "text"]:
    r"""How right answers are to be read, from the whole of each: numbers with a digit, expressions, or text.

    An expression says so by LaTeX, a power, an equation, or arithmetic with a variable of one letter; `Apollo 13`,
    `B-52` and `H2O` are text.

    Args:
        answers: right ones.

    Returns:
        `number` if all are; `expression` if some are and the others numbers; else `text`.

    Example:
        >>> [kind_of([one]) for one in ("$1,200", "3 1/2 cups", "x^2", "(1, 2)", "Apollo 13", "7 dwarfs of Grimm")]
        ['number', 'number', 'expression', 'expression', 'text', 'text']
    """
    kinds: set[Literal["number", "expression", "text"]] = {_kind_of(one) for one in answers}
    if len(kinds) == 1:
        return kinds.pop()
    return "text" if "text" in kinds else "expression"


def _kind_of(answer: str) -> Literal["number", "expression", "text"]:
    text = unpacked(visible(answer)[0].strip(" \n\t"))
    digits = any(map(str.isdigit, text))
    number, unit = without_unit(text, loose=True)
    titled = not is_known(unit) and re.search(r"[A-Z]", unit) is not None  # 12 Angry Men
    if digits and parse_quantity(number) is not None:
        return "text" if titled else "number"
    cleaned = clean(text)[0]
    parts = [part for part in parts_of(OR.sub(", ", cleaned))[1] if part]
    if matrix_of(cleaned) or (parts and all(map(is_formula, parts)) and (digits or "\\" in cleaned or len(parts) == 1)):
        return "expression"
    return "text"
