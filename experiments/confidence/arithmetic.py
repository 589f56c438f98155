"""Written-out arithmetic, made by rules: a bracketed expression of two to four operations, and the steps to its value.

    Q: ((47+5)*3)-4?
    A: 47+5=52. 52*3=156. 156-4=152. The answer is 152.

Expressions are random trees: a step may need the results of two earlier ones. Nothing is negative or above 999, and
one factor of a product has one digit. Which part an expression belongs to follows from its text alone, so that no
expression is in two parts, whatever is drawn.
"""

import zlib
from typing import NamedTuple

import numpy as np

from jaxuq.questions import Question, lay_out

OPERATIONS = (2, 3, 4)
LARGEST_VALUE = 999
_PATIENCE = 2000  # draws in a row that bring no new question of the part
_PARTS = {"test": (0,), "valid": (1,), "train": tuple(range(2, 10))}  # of ten remainders


class Worked(NamedTuple):
    """An expression and its value.

    Attributes:
        text: of the expression; brackets round every part that is no number.
        value: of it.
        steps: one for each operation, in the order in which they can be done.
    """

    text: str
    value: int
    steps: tuple[str, ...]


def draw_expression(rng: np.random.Generator, operations: int, largest: int) -> Worked:
    """A random tree: its root divides the other operations among both sides, its leaves are from 2 to `largest`."""
    if operations == 0:
        number = int(rng.integers(2, largest + 1))
        return Worked(str(number), number, ())
    while True:
        left = int(rng.integers(operations))
        one = draw_expression(rng, left, largest)
        other = draw_expression(rng, operations - 1 - left, largest)
        values = {"+": one.value + other.value, "-": one.value - other.value, "*": one.value * other.value}
        allowed = [
            sign for sign, value in values.items()
            if 0 < value <= LARGEST_VALUE and (sign != "*" or 2 <= min(one.value, other.value) <= 9)
        ]  # fmt: skip
        if allowed:
            break
    sign = str(rng.choice(allowed))
    step = f"{one.value}{sign}{other.value}={values[sign]}."
    sides = [f"({side.text})" if side.steps else side.text for side in (one, other)]
    return Worked(sign.join(sides), values[sign], (*one.steps, *other.steps, step))


def part_of(text: str) -> str:
    """The part of an expression."""
    remainder = zlib.crc32(text.encode()) % 10
    return next(part for part, remainders in _PARTS.items() if remainder in remainders)


def make_arithmetic(part: str, number: int, largest: tuple[int, ...], seed: int = 0) -> list[Question]:
    """Different questions of one part, laid out, with what should be written; numbers of operations go round in turn.

    Args:
        part: `train`, `valid` or `test`.
        number: of questions.
        largest: numbers of the expressions; several go round in turn, too.
        seed: of what is drawn.

    Returns:
        Questions; `category` is the number of operations.

    Raises:
        ValueError: there are hardly so many different expressions of so small numbers.
    """
    rng = np.random.default_rng([seed, zlib.crc32(part.encode())])
    found: dict[str, Question] = {}
    failures = 0
    while len(found) < number:
        operations = OPERATIONS[len(found) % len(OPERATIONS)]
        bound = largest[len(found) // len(OPERATIONS) % len(largest)]
        one = draw_expression(rng, operations, bound)
        if one.text in found or part_of(one.text) != part:
            failures += 1
            if failures == _PATIENCE:
                raise ValueError(
                    f"{len(found)} of {number} questions of numbers to {bound}: take larger ones, or fewer"
                )
            continue
        failures = 0
        reply = f" {' '.join(one.steps)} The answer is {one.value}."
        found[one.text] = lay_out(
            Question(f"arithmetic.{part}.{one.text}", f"{one.text}?", (str(one.value),), "number",
                     category=f"{operations} operations", part=part, reply=reply),
            "line",
        )  # fmt: skip
    return list(found.values())
