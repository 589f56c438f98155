"""Values of trees: exactly where only rational numbers occur, else with sixty digits; every step is bounded."""

import math
import random
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from jaxuq.questions.tokens import NotUnderstood
from jaxuq.questions.tree import Node, read_tree

_EXACT = ("factorial", "double factorial", "max", "min", "gcd", "lcm", "floor", "ceil", "mod")
_DIGITS = 60
_MOST_BITS = 4096
_POINTS, _WHOLE_POINTS = 12, 12
_SCALES = (1, 1, 9, 9, 60, 60, 1000, 1000)  # of the points; every other one is of one sign for all variables


class Undefined(ArithmeticError):
    """There is no (real) value here: division by zero, the root of a negative number, or more bits than are kept."""


def names_of(tree: Node) -> set[str]:
    """The variables of a tree; pi, e and the imaginary unit are none."""
    if tree[0] == "name":
        return {tree[1]} - {"pi", "e", "i"}
    return set().union(*(names_of(one) for one in tree[1:] if isinstance(one, tuple)), set())


def has_unit(tree: Node) -> bool:
    """Whether the imaginary unit occurs."""
    return tree == ("name", "i") or any(has_unit(one) for one in tree[1:] if isinstance(one, tuple))


def _jumps(tree: Node) -> bool:
    return tree[0] in _EXACT or any(_jumps(one) for one in tree[1:] if isinstance(one, tuple))


def point(number: int, names: set[str]) -> dict[str, Fraction]:
    """A rational value for each variable, the same whenever it is asked for."""
    values = {}
    if number >= _POINTS:  # whole numbers, where values of floors and remainders jump
        return {name: Fraction(random.Random(f"{number} {name}").randint(-9, 99)) for name in sorted(names)}
    for name in sorted(names):
        rng = random.Random(f"{number} {name}")
        size = Fraction(rng.randint(37, 997), 499) * _SCALES[number % len(_SCALES)]
        sign = (1, -1)[number % 2] if number < len(_SCALES) else rng.choice((1, -1))
        values[name] = sign * size
    return values


def value_of(tree: Node, at: Mapping[str, Fraction], *, real: bool = True) -> Any:
    """The value of a tree.

    Args:
        tree: of `read_tree`.
        at: values of its variables.
        real: whether every step has to be a real number.

    Returns:
        A `Fraction`, or a number of mpmath.

    Raises:
        Undefined: there is none.

    Example:
        >>> from jaxuq.questions.tree import read_tree
        >>> value_of(read_tree("2^{40}+\\\\frac12"), {})
        Fraction(2199023255553, 2)
    """
    import mpmath

    with mpmath.workdps(_DIGITS):
        return _value(tree, at, real)


def rational_value(text: str) -> Fraction | None:
    r"""The value of a text without variables, where it is rational.

    Args:
        text: LaTeX or plain arithmetic.

    Returns:
        None: it has none, is not rational, or is not understood.

    Example:
        >>> rational_value("\\frac{1}{2} + \\sqrt{4}"), rational_value("\\pi"), rational_value("x")
        (Fraction(5, 2), None, None)
    """
    try:
        value = value_of(read_tree(text), {})
    except (NotUnderstood, Undefined, KeyError):
        return None
    return value if isinstance(value, Fraction) else None


def same_value(first: Any, second: Any) -> bool:
    """Whether two values of `value_of` are equal: exactly, or to fifty digits."""
    import mpmath

    if isinstance(first, Fraction) and isinstance(second, Fraction):
        return first == second
    with mpmath.workdps(_DIGITS):
        first, second = _floating(first), _floating(second)
        return bool(abs(first - second) <= mpmath.mpf(10) ** (10 - _DIGITS) * max(1, abs(first), abs(second)))


def _floating(value: Any) -> Any:
    import mpmath

    return mpmath.mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else value


def _value(tree: Node, at: Mapping[str, Fraction], real: bool) -> Any:
    import mpmath

    kind = tree[0]
    if kind == "number":
        return tree[1]
    if kind == "name":
        if tree[1] in at:
            return at[tree[1]]
        return {"pi": +mpmath.mp.pi, "e": +mpmath.mp.e, "i": mpmath.mpc(0, 1)}[tree[1]]
    if kind == "call":
        return _checked(_called(tree[1], _floating(_value(tree[2], at, real)), real), real)
    a, *rest = (_value(one, at, real) for one in tree[1:])
    if kind in _EXACT:
        return _exact(kind, [a, *rest])
    if kind == "neg":
        return -a
    if kind == "abs":
        return abs(a)
    b = rest[0]
    if kind in ("add", "mul", "div") and not (isinstance(a, Fraction) and isinstance(b, Fraction)):
        a, b = _floating(a), _floating(b)
    if kind == "add":
        return _checked(a + b, real)
    if kind == "mul":
        return _checked(a * b, real)
    if kind == "div":
        if b == 0:
            raise Undefined("division by zero")
        return _checked(a / b, real)
    if kind == "pow":
        return _checked(_power(a, b, real), real)
    if kind == "root":
        if b == 0:
            raise Undefined("root")
        return _checked(_power(a, 1 / b if isinstance(b, Fraction) else 1 / _floating(b), real), real)
    base, x = _floating(a), _floating(b)  # log
    if base in (0, 1) or x == 0 or (real and (base < 0 or x < 0)):
        raise Undefined("logarithm")
    return _checked(mpmath.log(x) / mpmath.log(base), real)


def _exact(kind: str, values: list[Any]) -> Any:
    """Of functions whose values jump, or which are of whole numbers."""
    if not all(isinstance(one, Fraction) for one in values):
        if kind in ("max", "min") and not any(hasattr(one, "imag") and one.imag for one in values):
            return max(values, key=_floating) if kind == "max" else min(values, key=_floating)
        raise Undefined(kind)
    a, whole = values[0], all(one.denominator == 1 for one in values)
    if kind in ("max", "min"):
        return max(values) if kind == "max" else min(values)
    if kind in ("floor", "ceil"):
        return Fraction(math.floor(a) if kind == "floor" else math.ceil(a))
    if kind == "mod":
        if values[1] == 0:
            raise Undefined("division by zero")
        return a % values[1]
    if not whole:
        raise Undefined(kind)
    if kind in ("gcd", "lcm"):
        return Fraction((math.gcd if kind == "gcd" else math.lcm)(*map(int, values)))
    if not 0 <= a <= 170:
        raise Undefined(kind)
    return Fraction(math.prod(range(int(a), 1, -2 if kind == "double factorial" else -1)))


def _power(a: Any, b: Any, real: bool) -> Any:
    import mpmath

    if a == 0:
        if isinstance(b, Fraction) and b >= 0:
            return Fraction(0 if b else 1)
        raise Undefined("a power of zero")
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        if b.denominator == 1:
            bits = max(a.numerator.bit_length(), a.denominator.bit_length())
            if abs(b) * bits > _MOST_BITS:
                raise Undefined("too large")
            return a ** int(b)
        if abs(b.numerator) <= 64 and b.denominator <= 64 and (exact := _root(a, b.denominator)) is not None:
            return _power(exact, Fraction(b.numerator), real)
        if real and a < 0 and b.denominator % 2:
            return (-1) ** (b.numerator % 2) * _power(-a, b, real)
    a, b = _floating(a), _floating(b)
    if abs(b * mpmath.log(a)) > _MOST_BITS:
        raise Undefined("too large")
    return a**b


def _root(a: Fraction, degree: int) -> Fraction | None:
    """The root of a rational number where it is rational, and real."""
    if a < 0 and degree % 2 == 0:
        return None
    parts = []
    for part in (abs(a.numerator), a.denominator):
        low, high = 0, 1 << (part.bit_length() // degree + 1)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if middle**degree >= part else (middle + 1, high)
        if low**degree != part:
            return None
        parts.append(low)
    return Fraction(-parts[0] if a < 0 else parts[0], parts[1])


def _called(name: str, x: Any, real: bool) -> Any:
    import mpmath

    if name in ("ln", "log"):
        if x == 0 or (real and x < 0):
            raise Undefined("logarithm")
        return mpmath.log(x) if name == "ln" else mpmath.log(x) / mpmath.log(10)
    if abs(x) > _MOST_BITS:
        raise Undefined("too large")
    names = {"arcsin": "asin", "arccos": "acos", "arctan": "atan"}
    try:
        return getattr(mpmath, names.get(name, name))(x)
    except (ValueError, ZeroDivisionError):
        raise Undefined(name) from None


def _checked(value: Any, real: bool) -> Any:
    import mpmath

    if isinstance(value, Fraction):
        if max(value.numerator.bit_length(), value.denominator.bit_length()) > 8 * _MOST_BITS:
            raise Undefined("too large")
        return value
    if not mpmath.isfinite(value):
        raise Undefined("not finite")
    if isinstance(value, mpmath.mpc) and real:
        if abs(value.imag) > mpmath.mpf(10) ** (20 - _DIGITS):
            raise Undefined("not real")
        return value.real
    return value


def equal_trees(first: Node, second: Node) -> bool | None:
    r"""Whether two trees have the same value wherever both have one, as far as points tell.

    Points are rational, of both signs and of sizes from a tenth to thousands, so that polynomials are compared exactly
    and $\sqrt{(x-5)^2}$ is no $5-x$. Without the imaginary unit only points count at which every step is real.

    Args:
        first: a tree.
        second: another.

    Returns:
        Whether they are equal; None if they have no value in common.

    Example:
        >>> from jaxuq.questions.tree import read_tree
        >>> equal_trees(read_tree("(x+1)^2"), read_tree("x^2+2x+1")), equal_trees(read_tree("1/0"), read_tree("1"))
        (True, None)
    """
    names = names_of(first) | names_of(second)
    jumps = any(_jumps(one) for one in (first, second))
    ways = (False,) if has_unit(first) or has_unit(second) else (True, False)
    for real in ways:
        shared = 0
        for number in range(_POINTS + jumps * _WHOLE_POINTS if names else 1):
            at = point(number, names)
            try:
                values = [value_of(tree, at, real=real) for tree in (first, second)]
            except (Undefined, ZeroDivisionError, OverflowError, NotUnderstood):
                continue
            if not same_value(*values):
                return False
            shared += 1
        if shared >= (2 if names else 1):
            return True
    return None
