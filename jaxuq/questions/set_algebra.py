r"""Sets and statements by name: `A \cup B`, `(A \cap B)^c`, `p \land \neg q`; equal where every membership is."""

import itertools
import re
from collections.abc import Callable

from jaxuq.questions.tokens import Ambiguous, NotUnderstood

_TOKEN = re.compile(
    r"\s*(?:\\(?P<command>[a-z]+)|(?P<name>[A-Za-z](?:_(?:\w|\{\w{1,3}\}))?)(?![A-Za-z])"
    r"|(?P<sign>\^\{?(?:c|C|\\complement)\}?|'|[(){}]))\s*"
)
_BINARY: dict[str, Callable[[bool, bool], bool]] = {
    "cup": lambda one, other: one or other, "cap": lambda one, other: one and other,
    "setminus": lambda one, other: one and not other, "triangle": lambda one, other: one != other,
}  # fmt: skip
_SAME = {"backslash": "setminus", "smallsetminus": "setminus", "vartriangle": "triangle", "land": "cap", "wedge": "cap"}
_SAME |= {"lor": "cup", "vee": "cup", "lnot": "neg", "oplus": "triangle"}
_LOGIC = re.compile(r"\\(?:land|wedge|lor|vee|l?not|neg|oplus)(?![a-z])")
_MOST_NAMES = 6


def same_sets(first: str, second: str) -> bool | None:
    r"""Whether two formulas of sets, or of statements, say the same of every element.

    What mixes signs without brackets (`A \cup B \cap C`) has two readings, and is only equal to itself.

    Args:
        first: of `clean`.
        second: another.

    Returns:
        None: one of them is no formula of named sets.

    Example:
        >>> same_sets("A\\cup B", "B \\cup A"), same_sets("A\\setminus B", "B\\setminus A"), same_sets("A+B", "A")
        (True, False, None)
        >>> same_sets("\\overline{A\\cup B}", "A^c \\cap B^c"), same_sets("A \\land B", "A \\cap B")
        (True, False)
    """
    if not all(
        re.search(r"\\(?:cup|cap|(?:small)?setminus|backslash|land|lor|wedge|vee)", one) for one in (first, second)
    ):
        return None
    try:
        one, other = _Reader(first), _Reader(second)
    except Ambiguous:
        return False
    except NotUnderstood:
        return None
    names = sorted(one.names | other.names)
    if len(names) > _MOST_NAMES or bool(_LOGIC.search(first)) != bool(_LOGIC.search(second)):
        return False
    held = (dict(zip(names, values)) for values in itertools.product((False, True), repeat=len(names)))
    return all(one.holds(at) == other.holds(at) for at in held)


class _Reader:
    def __init__(self, text: str):
        self.text, self.at, self.names = text.replace("~", " "), 0, set[str]()
        self.holds = self.total()
        if self.at != len(self.text):
            raise NotUnderstood(self.text[self.at :])

    def peek(self) -> re.Match[str] | None:
        return _TOKEN.match(self.text, self.at)

    def take(self) -> tuple[str, str]:
        token = self.peek()
        if token is None:
            raise NotUnderstood(self.text[self.at :])
        self.at = token.end()
        kind = str(token.lastgroup)
        return kind, _SAME.get(token[kind], token[kind])

    def sign(self) -> str:
        token = self.peek()
        return _SAME.get(token["command"], token["command"]) if token and token["command"] else ""

    def total(self) -> "Callable[[dict[str, bool]], bool]":
        value, used = self.atom(), ""
        while (sign := self.sign()) in _BINARY:
            if used and (sign != used or sign == "setminus"):
                raise Ambiguous("signs without brackets")
            used = self.take()[1]
            value = self._joined(_BINARY[used], value, self.atom())
        return value

    @staticmethod
    def _joined(sign, one, other):
        return lambda at: sign(one(at), other(at))

    def atom(self) -> "Callable[[dict[str, bool]], bool]":
        kind, value = self.take()
        if kind == "name":
            self.names.add(value)
            held = lambda at: at[value]  # noqa: E731
        elif value in ("(", "{"):
            held = self.closed({"(": ")", "{": "}"}[value])
        elif value in ("overline", "bar", "neg"):
            inner = self.atom()
            held = lambda at: not inner(at)  # noqa: E731
        else:
            raise NotUnderstood(value)
        token = self.peek()
        while token and token["sign"] and token["sign"][0] in "^'":
            self.take()
            held = (lambda before: lambda at: not before(at))(held)
            token = self.peek()
        return held

    def closed(self, bracket: str) -> "Callable[[dict[str, bool]], bool]":
        value = self.total()
        if self.take() != ("sign", bracket):
            raise NotUnderstood(bracket)
        return value
