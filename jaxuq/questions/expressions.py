r"""Are two LaTeX answers equal? Lists, tuples and sets part by part, words as words, values by a reader."""

import re
from collections.abc import Sequence

from jaxuq.questions.characters import plain_words
from jaxuq.questions.matrices import Matrix, matrix_of
from jaxuq.questions.measures import same_measure
from jaxuq.questions.notation import base_of, clean, divisor_of, modulus_of, plain
from jaxuq.questions.set_algebra import same_sets
from jaxuq.questions.tokens import FUNCTIONS, GREEK, OF_SEVERAL, Ambiguous, NotUnderstood, is_name
from jaxuq.questions.tree import read_tree
from jaxuq.questions.values import equal_trees, names_of
from jaxuq.questions.verifying import verified

LONGEST = 1000
_MOST_PARTS = 24
_DECIDED = ("text", "words", "reader", "math-verify")
_NAMED = re.compile(
    r"(?:m?\\(?:angle|triangle|measuredangle|overline|overrightarrow|vec|hat|bar|tilde|mathbf|lvert|,)\s*|\|)*"
    r"(?:\{?\s*(?:[A-Za-z]+|\\[A-Za-z]+)\s*\}?)(?:_(?:\w|\{[^{}]*\}))?'*(?:\s*\([^()=]*\))?(?:\||\\rvert)?'*"
    r"|\[[A-Z]+\]|\(\s*[a-zA-Z]\w*(?:\s*,\s*[a-zA-Z]\w*)+\s*\)|(?:[A-Za-z]{3,}|[A-Z][A-Za-z]*)(?:\s+[A-Za-z]+)*"
    r"|\\frac\s*\{d\^?\d?\w*\}\s*\{d\w\^?\d?\}|\\(?:lim|sum|int|prod|max|min)(?![a-z]).*"
    r"|\\?(?:sin|cos|tan|log|ln|Pr)(?![a-z])\s*\(?\s*\\?[A-Za-z]+\s*\)?"
)
OR = re.compile(r"(?<=[\d)}\sA-Za-z])\s+(?:or|and|\\lor|\\vee)\s+(?=[-\d(\\A-Za-z])")
_MEMBER = re.compile(r"^[a-z]\s*(?:\\in(?![a-z])|=)\s*(?=\\\{|[(\[]|\\emptyset)")
_CHEMICAL = re.compile(r"(?:[A-Z][a-z]?\d*|\((?:[A-Z][a-z]?\d*)+\)\d*)+")
_WORDS = re.compile(r"\.?[^\W\d_]+(?:(?:[\s'.&]+|-)[^\W\d_]+)*[.!?]?")


def are_words(text: str) -> bool:
    """Whether an answer is words, or a name, and no product of variables; `xy` is a product, `no` and `AB` are none."""
    if not _WORDS.fullmatch(text) or text in (*FUNCTIONS, *OF_SEVERAL, "pi"):
        return False
    words = re.findall(r"[^\W\d_]+", text)
    return any(len(word) > 1 and (is_name(word) or not set(word) <= set("xyz")) for word in words)


def _split(text: str, sign: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for place, character in enumerate(text):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(character, 0)
        if depth == 0 and text.startswith(sign, place):
            parts.append(text[start:place].strip())
            start = place + len(sign)
    return [*parts, text[start:].strip()]


def parts_of(text: str) -> tuple[str, list[str]]:
    r"""Outer brackets, and what they hold: `(1, 2]`, `\{1, 2\}`, `1, 2`, `x = 1 or x = 2`, `3 \pm 1`."""
    text = re.sub(r"^(?:\\langle(?![a-z])|<)(.*,.*)(?:\\rangle|>)$", r"(\1)", text, flags=re.S)  # of a vector
    outer = re.fullmatch(r"(\\\{|[(\[])(.*)(\\\}|[)\]])", text, re.S)
    if outer and len(_split(outer[2], ",")) > 1 and _closed(outer[2]):
        brackets, inner = outer[1] + outer[3], outer[2]
    elif outer and outer[1] == "\\{" and _closed(outer[2]):
        brackets, inner = "\\{\\}", outer[2]
    else:
        brackets, inner = "", text
    parts = [part for one in _split(inner, ",") for part in _both_signs(one)]
    return brackets, parts


def _closed(text: str) -> bool:
    depth = 0
    for character in text:
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


def _both_signs(text: str) -> list[str]:
    if text.count("\\pm") != 1:
        return [text]
    return [text.replace("\\pm", "+"), text.replace("\\pm", "-")]


def compare_expressions(first: str, second: str, *, verify: bool = True) -> tuple[bool, str]:
    r"""Whether two LaTeX answers are equal, and what decided: `words`, `text`, `reader`, `math-verify`.

    Lists and sets are compared in any order, each part as often as it is there (`\{1, 1\}` is no `\{1\}`); tuples,
    intervals (`]0, 1[` is `(0, 1)`) and matrices in theirs. What people read in two ways (`\sin(x)^2`, `1/2x`) is only
    equal to itself.

    Args:
        first: an answer.
        second: another.
        verify: whether `math-verify` is asked about what our reader does not read; never about what has two readings.

    Returns:
        The verdict, and who gave it.

    Example:
        >>> compare_expressions("\\frac{\\sqrt{8}}{2}", "\\sqrt2"), compare_expressions("(1, 2]", "(1,2)")
        ((True, 'reader'), (False, 'reader'))
        >>> compare_expressions("AB", "BA"), compare_expressions("(1,2) \\cup (3,4)", "(3,4)\\cup(1,2)")
        ((False, 'words'), (True, 'math-verify'))
    """
    if max(len(first), len(second)) > LONGEST:
        return first == second, "text"
    (one, unit), (other, unit_of_other) = clean(first), clean(second)
    if not one or not other:
        return False, "text"
    if unit and unit_of_other and not same_measure(unit, unit_of_other):
        return False, "reader"
    (one, base), (other, base_of_other) = base_of(one), base_of(other)
    divisors = divisor_of(one), divisor_of(other)
    (one, modulus), (other, modulus_of_other) = modulus_of(one), modulus_of(other)
    if any(mine and theirs and mine != theirs for mine, theirs in ((base, base_of_other), divisors)):
        return False, "reader"
    if "\\emptyset" in (one, other):
        one, other = (_MEMBER.sub("", text) for text in (one, other))
        return one == other, "words"
    if (same := same_sets(one, other)) is not None:
        return same, "reader"
    if are_words(one) and are_words(other):
        return plain_words(one) == plain_words(other), "words"
    formulas = [re.sub(r"_\{(\d+)\}|_(\d)", r"\1\2", text) for text in (one, other)]
    if all(_CHEMICAL.fullmatch(text) and any(map(str.isdigit, text)) for text in formulas):  # H_2O
        return formulas[0] == formulas[1], "text"
    one, other = (OR.sub(", ", text) for text in (one, other))
    if "–" in one + other:  # a range is no difference
        return plain(one).replace("–", "-") == plain(other).replace("–", "-"), "text"
    if ("\\in" in one) != ("\\in" in other):
        one, other = (_MEMBER.sub("", text) for text in (one, other))
    matrices = matrix_of(one), matrix_of(other)
    if matrices[0] and matrices[1]:
        return _compare_matrices(matrices[0], matrices[1], verify)
    one, other = _last_sides(one, other)
    if plain(one) == plain(other):
        return True, "text"
    if modulus and modulus_of_other and re.fullmatch(r"-?\d+,-?\d+,[1-9]\d*", f"{one},{other},{modulus}"):
        return (int(one) - int(other)) % int(modulus) == 0, "reader"
    return _compare_lists(_in_order(parts_of(one)), _in_order(parts_of(other)), (one, other), verify)


def _compare_matrices(one: Matrix, other: Matrix, verify: bool) -> tuple[bool, str]:
    if one[0] != other[0] or [len(row) for row in one[1]] != [len(row) for row in other[1]]:
        return False, "reader"
    by, cells = "text", [pair for rows in zip(one[1], other[1]) for pair in zip(*rows)]
    if len(cells) > _MOST_PARTS:
        return one == other, "text"
    for cell, candidate in cells:
        equal, how = (True, "text") if plain(cell) == plain(candidate) else _part(cell, candidate, verify)
        by = max(by, how, key=_DECIDED.index)
        if not equal:
            return False, by
    return True, by


def is_named(side: str) -> bool:
    r"""Whether the left of an equation only says what the right is: a name, a function of something, or a number.

    `x`, `f(x)`, `AB`, `\angle A`, `P(A)`, `\text{area}` and `3 + 4` are; `2x`, `xy` and `x^2 + y^2` are to be solved.

    Args:
        side: of `clean`.

    Returns:
        True if it is.

    Example:
        >>> [is_named(side) for side in ("x_1", "f(x)", "AB", "\\frac{dy}{dx}", "3 + 4", "2x", "xy", "x^2 + y^2")]
        [True, True, True, True, True, False, False, False]
    """
    side = side.strip()
    if _NAMED.fullmatch(side):
        return not re.fullmatch(r"[a-z]{2}", side)
    try:
        return not names_of(read_tree(side))
    except NotUnderstood:
        return False


def is_formula(text: str) -> bool:
    """Whether a text is arithmetic, and neither words nor a name with a number."""
    text = text.strip("()[]")
    sides = [side for side in re.split(r"\\[lg]e(?![a-z])|[=<>]", text) if side.strip()]
    try:
        names = set().union(*(names_of(read_tree(side)) for side in sides))
    except (NotUnderstood, RecursionError):
        return re.search(r"\\[a-zA-Z]{2}", text) is not None
    if any(len(name) > 1 and not name.startswith(GREEK) and "_" not in name for name in names):
        return False
    plain_number = not names and re.fullmatch(r"[-+\d.,/ ()]+", text)
    clear = re.search(r"[\\^=<>_]|[a-z]\s*[-+*/]|[-+*/]\s*[a-z]|\d[a-z](?![a-z])", text)
    return bool(sides and (plain_number or clear))


def _last_sides(one: str, other: str) -> tuple[str, str]:
    """Without `x =` where the other has none, or the same; of a chain its last side."""
    sides = _split(one, "="), _split(other, "=")
    if any(not part for side in sides for part in side) or any(
        part[-1] in "<>!:" for side in sides for part in side[:-1]
    ):
        return one, other
    if len(sides[0]) == len(sides[1]) == 2 and plain(sides[0][0]) == plain(sides[1][0]):
        return sides[0][1], sides[1][1]
    if len(sides[0]) == 1 or len(sides[1]) == 1:
        if any(len(_split(text, ",")) > 1 for text in (one, other)) or not all(
            is_named(side) for each in sides for side in each[:-1]
        ):
            return one, other
        return sides[0][-1], sides[1][-1]
    return one, other


def _compare_lists(
    one: tuple[str, Sequence[str]], other: tuple[str, Sequence[str]], whole: tuple[str, str], verify: bool
) -> tuple[bool, str]:
    ordered = one[0] not in ("", "\\{\\}")
    united = any(sign in text for sign in ("\\cup", "\\cap", "\\setminus") for text in whole)
    if united or (len(one[1]) == len(other[1]) == 1 and not one[0] and not other[0]):
        return _compare_values(*whole, verify)
    sets = {one[0], other[0]} <= {"", "\\{\\}"}
    pair = {one[0], other[0]} == {"", "()"} and bool(_distinct(one[1])) != bool(_distinct(other[1]))
    if not sets and not pair and (one[0] != other[0] or len(one[1]) != len(other[1])):
        if "" in (one[0], other[0]):  # an interval, and an inequality
            return _compare_values(*whole, verify)
        return False, "reader"
    if len(one[1]) != len(other[1]) or len(one[1]) > _MOST_PARTS:
        return False, "reader"
    named = [bool(_distinct(parts)) for parts in (one[1], other[1])]
    ordered = ordered or named[0] != named[1]  # x = 5, y = 6 beside 5, 6
    by, left = "text", list(other[1])
    for part in one[1]:
        for place, candidate in enumerate(left[:1] if ordered else left):
            equal, how = (True, "text") if plain(part) == plain(candidate) else _part(part, candidate, verify)
            by = max(by, how, key=_DECIDED.index)
            if equal:
                del left[place]
                break
        else:
            return False, by
    return True, by


def _in_order(listed: tuple[str, list[str]]) -> tuple[str, list[str]]:
    """Names and values in the order of the names: `y = 5, x = 4` is `(4, 5)`."""
    return listed[0], sorted(listed[1], key=lambda part: part.partition("=")[0]) if _distinct(listed[1]) else listed[1]


def _distinct(parts: Sequence[str]) -> set[str]:
    """The variables of equations, if they are different ones."""
    names = [re.match(r"\s*([A-Za-z])\s*=", part) for part in parts]
    found = {name[1] for name in names if name}
    return found if len(found) == len(parts) > 1 else set()


def _part(one: str, other: str, verify: bool) -> tuple[bool, str]:
    if are_words(one) and are_words(other):
        return plain_words(one) == plain_words(other), "words"
    return _compare_values(*_last_sides(one, other), verify)


def _compare_values(one: str, other: str, verify: bool) -> tuple[bool, str]:
    if len(_split(one, "=")) != len(_split(other, "=")) and not re.search(
        r"[<>]|\\[lgn]e(?![a-z])|\\cup|\\in", one + other
    ):
        return False, "text"  # an equation, and none
    try:
        equal = equal_trees(read_tree(one), read_tree(other))
        if equal is not None:
            return equal, "reader"
    except Ambiguous:
        return False, "text"
    except NotUnderstood:
        pass
    equal = verified(one, other) if verify else None
    return (False, "text") if equal is None else (equal, "math-verify")
