r"""Are two LaTeX answers equal? Lists, tuples and sets part by part, words as words, values by a reader."""

import re
from collections.abc import Sequence
from typing import Literal

from jaxuq.questions.characters import plain_words, visible
from jaxuq.questions.matrices import Matrix, matrix_of
from jaxuq.questions.measures import is_known, same_measure
from jaxuq.questions.notation import base_of, clean, divisor_of, modulus_of, plain, unpacked
from jaxuq.questions.quantities import parse_quantity
from jaxuq.questions.tree import FUNCTIONS, GREEK, OF_SEVERAL, Ambiguous, NotUnderstood, is_name, read_tree
from jaxuq.questions.units import without_unit
from jaxuq.questions.values import equal_trees, names_of
from jaxuq.questions.verifying import verified

LONGEST = 1000
_MOST_PARTS = 24
_DECIDED = ("text", "words", "reader", "math-verify")
_OR = re.compile(r"(?<=[\d)}\sA-Za-z])\s+(?:or|and|\\lor|\\vee)\s+(?=[-\d(\\A-Za-z])")
_MEMBER = re.compile(r"^[a-z]\s*\\in(?![a-z])\s*(?=\\\{|[(\[])")
_CHEMICAL = re.compile(r"(?:[A-Z][a-z]?\d*|\((?:[A-Z][a-z]?\d*)+\)\d*)+")
_WORDS = re.compile(r"\.?[^\W\d_]+(?:(?:[\s'.&]+|-)[^\W\d_]+)*[.!?]?")


def are_words(text: str) -> bool:
    """Whether an answer is words, or a name, and no product of variables; `xy` is a product, `no` and `AB` are none."""
    if not _WORDS.fullmatch(text) or text in (*FUNCTIONS, *OF_SEVERAL, "pi"):
        return False
    words = re.findall(r"[^\W\d_]+", text)
    return any(len(word) > 1 and (is_name(word) or not set(word) <= set("xyz")) for word in words)


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
    kinds = {_kind_of(one) for one in answers}
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
    parts = [part for part in _list(_OR.sub(", ", cleaned))[1] if part]
    if matrix_of(cleaned) or (
        parts and all(map(_is_formula, parts)) and (digits or "\\" in cleaned or len(parts) == 1)
    ):
        return "expression"
    return "text"


def _is_formula(text: str) -> bool:
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


def _split(text: str, sign: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for place, character in enumerate(text):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(character, 0)
        if depth == 0 and text.startswith(sign, place):
            parts.append(text[start:place].strip())
            start = place + len(sign)
    return [*parts, text[start:].strip()]


def _list(text: str) -> tuple[str, list[str]]:
    r"""Outer brackets, and what they hold: `(1, 2]`, `\{1, 2\}`, `1, 2`, `x = 1 or x = 2`, `3 \pm 1`."""
    outer = re.fullmatch(r"(\\\{|[(\[]|\\langle)(.*)(\\\}|[)\]]|\\rangle)", text, re.S)
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
    if are_words(one) and are_words(other):
        return plain_words(one) == plain_words(other), "words"
    formulas = [re.sub(r"_\{(\d+)\}|_(\d)", r"\1\2", text) for text in (one, other)]
    if all(_CHEMICAL.fullmatch(text) and any(map(str.isdigit, text)) for text in formulas):  # H_2O
        return formulas[0] == formulas[1], "text"
    one, other = (_OR.sub(", ", text) for text in (one, other))
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
    return _compare_lists(_list(one), _list(other), (one, other), verify)


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


def _last_sides(one: str, other: str) -> tuple[str, str]:
    """Without `x =` where the other has none, or the same; of a chain its last side."""
    sides = _split(one, "="), _split(other, "=")
    if any(not part or part[-1] in "<>!:" for side in sides for part in side):
        return one, other
    if len(sides[0]) == len(sides[1]) == 2 and plain(sides[0][0]) == plain(sides[1][0]):
        return sides[0][1], sides[1][1]
    if len(sides[0]) == 1 or len(sides[1]) == 1:
        return (one, other) if "," in one + other else (sides[0][-1], sides[1][-1])
    return one, other


def _compare_lists(
    one: tuple[str, Sequence[str]], other: tuple[str, Sequence[str]], whole: tuple[str, str], verify: bool
) -> tuple[bool, str]:
    ordered = one[0] not in ("", "\\{\\}")
    united = any(sign in text for sign in ("\\cup", "\\cap", "\\setminus") for text in whole)
    if united or (len(one[1]) == len(other[1]) == 1 and not one[0] and not other[0]):
        return _compare_values(*whole, verify)
    sets = {one[0], other[0]} <= {"", "\\{\\}"}
    if not sets and (one[0] != other[0] or len(one[1]) != len(other[1])):
        if "" in (one[0], other[0]):  # an interval, and an inequality
            return _compare_values(*whole, verify)
        return False, "reader"
    if len(one[1]) != len(other[1]) or len(one[1]) > _MOST_PARTS:
        return False, "reader"
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


def _part(one: str, other: str, verify: bool) -> tuple[bool, str]:
    if are_words(one) and are_words(other):
        return plain_words(one) == plain_words(other), "words"
    return _compare_values(*_last_sides(one, other), verify)


def _compare_values(one: str, other: str, verify: bool) -> tuple[bool, str]:
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
