"""Are two LaTeX expressions equal? By their text, or by their values; nothing is ever evaluated as code."""

import cmath
import re

_FUNCTIONS = {
    "sqrt": cmath.sqrt,
    "sin": cmath.sin,
    "cos": cmath.cos,
    "tan": cmath.tan,
    "ln": cmath.log,
    "log": lambda value: cmath.log(value) / cmath.log(10),
    "exp": cmath.exp,
}
_CONSTANTS = {"pi": cmath.pi, "e": cmath.e, "i": 1j}
_SPACING = re.compile(r"\\[!,;: ]|\\q?quad|\\left|\\right|\\displaystyle|~|\\\$|\$|\s+")
_TOKEN = re.compile(r"\\([A-Za-z]+)|(\d+(?:\.\d*)?|\.\d+)|([A-Za-z])|([-+*/^_(){}\[\]|,=!<>])|(.)")
_POINTS = (0.7310585786, 1.6180339887, 2.2360679775)


def normalise_expression(text: str) -> str:
    r"""LaTeX with what does not change its meaning taken away: spacing, sizes, units, thousands separators.

    Args:
        text: an answer.

    Returns:
        A string to compare.

    Example:
        >>> normalise_expression("x = \\dfrac12 \\text{ cm}"), normalise_expression("10{,}000^\\circ")
        ('\\frac{1}{2}', '10000')
    """
    text = text.strip().rstrip(".").replace("−", "-")
    text = re.sub(r"\\(?:text|mbox|mathrm|textbf|mathbf|operatorname)\s*\{\s*([^{}]*?)\s*\}", _unit_or_word, text)
    text = re.sub(r"\^\s*\{?\s*\\circ\s*\}?|\\degree|°", "", text)
    text = re.sub(r"\\[dtc]frac", r"\\frac", text)
    text = text.replace("\\%", "%").replace("\\cdot", "*").replace("\\times", "*").replace("\\div", "/")
    text = re.sub(r"(?<=\d)(?:\{,\}|,\\!|,)(?=\d{3}(?!\d))", "", text) if not re.search(r"[(\[]", text) else text
    text = _SPACING.sub("", text)
    text = re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac(\d)\{", r"\\frac{\1}{", text)
    text = re.sub(r"\\sqrt(\w)", r"\\sqrt{\1}", text)
    text = re.sub(r"^[A-Za-z](?:_\w)?=(?=.)", "", text)
    return re.sub(r"(?<![\d.])\.(?=\d)", "0.", text)


def _unit_or_word(match: re.Match) -> str:
    before = match.string[: match.start()].rstrip()
    return "" if before and (before[-1].isdigit() or before[-1] in "})") else match.group(1)


class _Reader:
    """Recursive descent over LaTeX arithmetic; `point` decides the values of the variables."""

    def __init__(self, text: str, point: float):
        matches = _TOKEN.finditer(text)
        self.tokens: list[tuple[int, str]] = [(match.lastindex or 0, match.group().lstrip("\\")) for match in matches]
        self.place, self.point, self.depth = 0, point, 0

    def peek(self) -> tuple[int, str]:
        return self.tokens[self.place] if self.place < len(self.tokens) else (0, "")

    def take(self) -> tuple[int, str]:
        token = self.peek()
        self.place += 1
        return token

    def expect(self, symbol: str) -> None:
        if self.take()[1] != symbol:
            raise ValueError(symbol)

    def total(self) -> complex:
        self.depth += 1
        if self.depth > 50:
            raise ValueError("too deep")
        value = self.product()
        while self.peek() in ((4, "+"), (4, "-")):
            value = value + self.product() if self.take()[1] == "+" else value - self.product()
        self.depth -= 1
        return value

    def product(self) -> complex:
        value = self.signed()
        while True:
            kind, symbol = self.peek()
            if kind == 4 and symbol in "*/":
                self.take()
                value = value * self.signed() if symbol == "*" else value / self.signed()
            elif kind in (1, 3) or (kind == 4 and symbol in "({"):  # 2x, 3\pi, (a)(b)
                value = value * self.power()
            else:
                return value

    def signed(self) -> complex:
        sign = 1
        while self.peek() in ((4, "+"), (4, "-")):
            sign = -sign if self.take()[1] == "-" else sign
        return sign * self.power()

    def power(self) -> complex:
        base = self.atom()
        while self.peek() == (4, "!"):
            self.take()
            if base != int(base.real) or not 0 <= base.real <= 170:
                raise ValueError("factorial")
            product = 1.0
            for factor in range(2, int(base.real) + 1):
                product *= factor
            base = complex(product)
        if self.peek() == (4, "^"):
            self.take()
            exponent = self.group() if self.peek() == (4, "{") else self.signed_atom()
            return base**exponent
        return base

    def signed_atom(self) -> complex:
        if self.peek() == (4, "-"):
            self.take()
            return -self.atom()
        return self.atom()

    def group(self) -> complex:
        self.expect("{")
        value = self.total()
        self.expect("}")
        return value

    def atom(self) -> complex:
        kind, symbol = self.take()
        if kind == 2:
            return complex(float(symbol))
        if kind == 3:
            if symbol in _CONSTANTS:
                return complex(_CONSTANTS[symbol])
            return complex(self.point + (ord(symbol) * 0.6180339887) % 1.0)
        if kind == 4 and symbol in "({":
            value = self.total()
            self.expect(")" if symbol == "(" else "}")
            return value
        if kind == 1 and symbol == "frac":
            return self.group() / self.group()
        if kind == 1 and symbol == "sqrt" and self.peek() == (4, "["):
            self.take()
            degree = self.total()
            self.expect("]")
            return self.group() ** (1 / degree)
        if kind == 1 and symbol in _FUNCTIONS:
            return _FUNCTIONS[symbol](self.group() if self.peek() == (4, "{") else self.power())
        if kind == 1 and symbol in _CONSTANTS:
            return complex(_CONSTANTS[symbol])
        if kind == 1 and symbol in ("alpha", "beta", "theta", "phi", "lambda", "mu", "omega"):
            return complex(self.point + len(symbol) * 0.137)
        raise ValueError(symbol)


def _value(text: str, point: float) -> complex | None:
    reader = _Reader(text, point)
    try:
        value = reader.total()
    except (ValueError, ZeroDivisionError, OverflowError, RecursionError, TypeError):
        return None
    return value if reader.place == len(reader.tokens) and cmath.isfinite(value) else None


def _parts(text: str) -> list[str]:
    """Elements of a tuple, an interval, or a list; brackets are kept as elements of their own."""
    if "," not in text:
        return [text]
    outer = re.fullmatch(r"([(\[]|\\\{)(.*)([)\]]|\\\})", text)
    inner, brackets = (outer.group(2), [outer.group(1), outer.group(3)]) if outer else (text, ["", ""])
    parts, depth, start = [], 0, 0
    for place, character in enumerate(inner):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(inner[start:place])
            start = place + 1
    return [brackets[0], *parts, inner[start:], brackets[1]]


def equal_expressions(first: str, second: str) -> bool:
    r"""Whether two LaTeX answers are the same expression: as text, or in value at several points.

    Understands numbers, letters, `+ - * / ^ !`, fractions, roots, common functions, tuples and intervals (element by
    element). What it cannot read is compared as text. Never runs code; the work is bounded by the length.

    Args:
        first: an answer.
        second: another.

    Returns:
        True if they are equal.

    Example:
        >>> equal_expressions("\\frac{\\sqrt{8}}{2}", "\\sqrt2"), equal_expressions("(1, 2]", "(1,2)")
        (True, False)
        >>> equal_expressions("2(x+1)", "2x + 2"), equal_expressions("x+1", "x+2")
        (True, False)
    """
    a, b = normalise_expression(first), normalise_expression(second)
    if not a or not b:
        return False
    if a == b:
        return True
    if max(len(a), len(b)) > 500:
        return False
    parts = _parts(a), _parts(b)
    if len(parts[0]) != len(parts[1]):
        return False
    return all(one == other or _same_value(one, other) for one, other in zip(*parts))


def _same_value(one: str, other: str) -> bool:
    for point in _POINTS:
        values = _value(one, point), _value(other, point)
        if values[0] is None or values[1] is None:
            return False
        if abs(values[0] - values[1]) > 1e-9 * max(1.0, abs(values[0]), abs(values[1])):
            return False
    return True
