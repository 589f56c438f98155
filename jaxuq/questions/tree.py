r"""LaTeX arithmetic as a tree: numbers, names, sums, products, powers, functions. What is not understood is refused."""

from fractions import Fraction
from typing import Any

from jaxuq.questions.tokens import OF_SEVERAL, Ambiguous, NotUnderstood, Token, read_tokens

_ROUNDED = {"⌊": ("⌋", "floor"), "⌈": ("⌉", "ceil")}
_DEEPEST = 40
Node = tuple[Any, ...]
"""`("number", Fraction)`, `("name", text)`, `("add" | "mul" | "div" | "pow" | "log", a, b)`, `("neg", a)`, ..."""


def read_tree(text: str) -> Node:
    r"""The tree of an expression.

    `2\frac{1}{2}` and `2 1/2` are mixed numbers; `2\frac{x}{3}` and `2(3)` are products; `f(x)`, whose function is not
    known, is refused. So is what people read in two ways: `\sin(x)^2`, `\sin\pi/6`, `1/2x`, `a+b \bmod c`. `3!!` is 3,
    `n \bmod 2` a remainder, and without brackets the power of an argument belongs to it (`\log x^2`).

    Args:
        text: LaTeX or plain arithmetic.

    Returns:
        A tree.

    Raises:
        NotUnderstood: it is none, or deeper or longer than is worked with.
        Ambiguous: it has two readings.

    Example:
        >>> read_tree("x + 2"), read_tree("2\\frac12")
        (('add', ('name', 'x'), ('number', Fraction(2, 1))), ('number', Fraction(5, 2)))
    """
    reader = _Reader(read_tokens(text))
    tree = reader.total()
    if reader.place != len(reader.tokens):
        raise NotUnderstood("what follows")
    return tree


class _Reader:
    def __init__(self, tokens: list[Token]):
        self.tokens, self.place, self.depth = tokens, 0, 0

    def peek(self, ahead: int = 0) -> Token:
        at = self.place + ahead
        return self.tokens[at] if at < len(self.tokens) else Token("end", "", False)

    def take(self) -> Token:
        token = self.peek()
        self.place += 1
        return token

    def expect(self, value: str) -> None:
        if self.take().value != value:
            raise NotUnderstood(value)

    def total(self) -> Node:
        tree = self.product()
        while self.peek().value in ("+", "-"):
            sign, other = self.take().value, self.product()
            if "mod" in (tree[0], other[0]):
                raise Ambiguous("a remainder in a sum")
            tree = ("add", tree, other if sign == "+" else ("neg", other))
        return tree

    def product(self) -> Node:
        tree = self.signed()
        while True:
            token = self.peek()
            if token.value in ("*", "/"):
                self.take()
                tree = ("mul" if token.value == "*" else "div", tree, self.signed())
                after = self.peek()
                follows = after.kind in ("name", "command") or after.value in ("(", "{")
                if token.value == "/" and follows and not after.gap:
                    raise Ambiguous("1/2x")
            elif token.value == "mod":
                self.take()
                tree = ("mod", tree, self.signed())
            elif token.kind in ("name", "command") or token.value in ("(", "{"):
                if tree[0] == "name" and tree[1] in ("f", "g", "h") and token.value == "(":
                    raise NotUnderstood("a function that is not known")
                tree = ("mul", tree, self.power())
            else:
                return tree

    def signed(self) -> Node:
        negative = False
        while self.peek().value in ("+", "-"):
            negative ^= self.take().value == "-"
        tree = self.power()
        return ("neg", tree) if negative else tree

    def power(self) -> Node:
        base = self.atom()
        while self.peek().value in ("!", "%"):
            if self.take().value == "%":
                base = ("div", base, ("number", Fraction(100)))
                continue
            double = self.peek().value == "!"
            if double and self.peek(1).value == "!":
                raise NotUnderstood("!!!")
            self.place += double
            base = ("double factorial" if double else "factorial", base)
        if self.peek().kind == "script":
            self.take()
            return ("pow", base, self.exponent())
        return base

    def exponent(self) -> Node:
        if self.peek().value == "{":
            return self.group()
        negative = self.peek().value == "-"
        if negative:
            self.take()
        tree = self.atom()
        return ("neg", tree) if negative else tree

    def group(self) -> Node:
        self.expect("{")
        tree = self.total()
        self.expect("}")
        return tree

    def argument(self) -> Node:
        """Of a command: a group, or one character; of a number its first digit, the rest is what follows."""
        token = self.peek()
        if token.value == "{":
            return self.group()
        if token.kind != "number":
            return self.atom()
        digits = str(token.value)
        if not digits.isdigit():
            raise NotUnderstood(digits)
        self.place += 1
        if len(digits) > 1:
            self.place -= 1
            self.tokens[self.place] = token._replace(value=Fraction(int(digits[1:])))
        return ("number", Fraction(int(digits[0])))

    def atom(self) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise NotUnderstood("too deep")
        tree = self.inside(self.take())
        self.depth -= 1
        return tree

    def inside(self, token: Token) -> Node:
        if token.kind == "number":
            return ("number", token.value + self.mixed(token.value))
        if token.kind == "name":
            return ("name", token.value)
        if token.value in ("(", "{", "|"):
            tree = self.total()
            self.expect({"(": ")", "{": "}", "|": "|"}[token.value])
            return ("abs", tree) if token.value == "|" else tree
        if token.value in _ROUNDED:
            closing, kind = _ROUNDED[token.value]
            tree = self.total()
            self.expect(closing)
            return (kind, tree)
        if token.kind == "command":
            return self.command(token.value)
        raise NotUnderstood(str(token.value))

    def mixed(self, whole: Fraction) -> Fraction:
        """The proper fraction of whole numbers that follows a whole number."""
        if whole.denominator != 1:
            return Fraction(0)
        if self.peek().value == "frac":
            values = [token.value for token in self.tokens[self.place + 1 : self.place + 7]]
            long = len(values) == 6 and (values[0], values[2], values[3], values[5]) == ("{", "}", "{", "}")
            short = [values[1], values[4]] if long else None
            if short is None and values and isinstance(values[0], Fraction):
                digits = str(values[0])
                short = [Fraction(int(one)) for one in digits] if digits.isdigit() and len(digits) == 2 else None
            length = 7 if long else 2
        elif self.peek().kind == "number" and self.peek().gap and self.peek(1).value == "/":
            short, length = [self.peek().value, self.peek(2).value], 3
            if self.peek(2).kind != "number":
                raise NotUnderstood("a number after a number")
        else:
            return Fraction(0)
        if short is None or not all(isinstance(one, Fraction) and one.denominator == 1 for one in short):
            return Fraction(0)
        if not 0 < short[0] < short[1]:
            return Fraction(0)
        self.place += length
        return short[0] / short[1]

    def command(self, name: str) -> Node:
        if name == "pi":
            return ("name", "pi")
        if name in OF_SEVERAL:
            return (name, *self.arguments())
        if name == "frac":
            top, begin = self.argument(), self.place
            bottom = self.argument()
            if self.peek().kind == "number" and self.place == begin:  # \frac172 is 1/7 times 2
                self.tokens.insert(self.place, Token("sign", "*", False))
            if _leads(top) == _leads(bottom) == ("name", "d"):
                raise Ambiguous("a derivative")
            return ("div", top, bottom)
        if name == "sqrt":
            degree: Node = ("number", Fraction(2))
            if self.peek().value == "[":
                self.take()
                degree = self.total()
                self.expect("]")
            inside = self.atom() if self.peek().value == "(" else self.argument()
            return ("root", inside, degree)
        base = self.script("_") if name == "log" else None
        raised = self.script("^")
        opening = self.peek().value
        closing = {"(": ")", "{": "}", "|": "|"}.get(opening)
        inside = self.group() if opening == "{" else self.power()
        if closing and (self.tokens[self.place - 1].value != closing or self.peek().kind == "script"):
            raise Ambiguous("a power of an argument in brackets")
        if not closing and self.peek().value == "/" and self.peek(1).kind == "number":
            raise Ambiguous("a quotient without brackets")
        while self.peek().kind == "name" or self.peek().value == "pi":  # sin 2x
            inside = ("mul", inside, self.power())
        tree = ("call", name, inside) if base is None else ("log", base, inside)
        if raised is None:
            return tree
        if raised == ("neg", ("number", Fraction(1))):
            raise NotUnderstood("an inverse function")
        return ("pow", tree, raised)

    def arguments(self) -> list[Node]:
        """Of a function of several: `(1, 2)`, `\\{1, 2\\}`."""
        opening = self.take().value
        closing = {"(": ")", "\\{": "\\}", "{": "}"}.get(opening)
        if closing is None:
            raise NotUnderstood(str(opening))
        found = [self.total()]
        while self.peek().value == ",":
            self.take()
            found.append(self.total())
        self.expect(closing)
        if len(found) < 2:
            raise NotUnderstood("one argument")
        return found

    def script(self, sign: str) -> Node | None:
        if self.peek().value != sign:
            return None
        self.take()
        return self.group() if self.peek().value == "{" else self.argument()


def _leads(tree: Node) -> Node:
    """The first factor of a product."""
    return _leads(tree[1]) if tree[0] in ("mul", "div") else tree
