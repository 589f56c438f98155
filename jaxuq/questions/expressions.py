r"""Are two LaTeX answers equal? Lists, tuples and sets part by part, words as words, values by a reader."""

import re
from collections.abc import Sequence

from jaxuq.questions.characters import THIN, fold, plain_words
from jaxuq.questions.tree import FUNCTIONS, GREEK, NotUnderstood, is_name, read_tree
from jaxuq.questions.values import equal_trees
from jaxuq.questions.verifying import verified

LONGEST = 1000
_MOST_PARTS = 24
_FONT = (
    r"\\(?:text(?:bf|it|rm|normal|sf|tt)?|mbox|hbox|mathrm|mathbf|mathit|mathsf|operatorname|boldsymbol|bm)"
    r"\s*\{([^{}]*)\}"
)
_POWER = r"(?:\s*\^\s*(?:\{\s*-?\d+\s*\}|-?\d)|[²³])?"
_GAP = rf"(?:[\s{THIN}~]|\\[,!;: ])*"
_UNIT = re.compile(rf"(?<=[\d)\]}}%])(?:{_GAP}(?:(?:/|\\cdot|\*){_GAP})?{_FONT}{_POWER})+{_GAP}$")
_PLAIN_UNIT = re.compile(
    rf"(?<=[\d)\]}}%])(?:[\s{THIN}~]|\\[,; ])+([A-Za-zµ]+{_POWER}(?:[\s/.]+[A-Za-zµ]+{_POWER})*)[\s/.]*$"
)
_DEGREES = re.compile(r"\s*(?:\^\s*\{?\s*\\circ\s*\}?|\\degree|°)")
_DEGREES_OF = re.compile(rf"(\d+(?:\.\d+)?){_DEGREES.pattern}")
_MONEY = re.compile(r"\\?[$€£¥₹]|\\[()\[\]](?!\d)|\\(?:left|right)(?![a-zA-Z])")
_WORDS = re.compile(r"[^\W\d_]+(?:(?:[\s'.&]+|-)[^\W\d_]+)*[.!?]?")
_MEASURES = {
    name: number
    for number, names in enumerate(
        (
            "mm millimeter millimetre", "cm centimeter centimetre", "m meter metre", "km kilometer kilometre",
            "mg milligram", "g gram", "kg kilogram", "ml milliliter millilitre", "l liter litre", "s sec second",
            "min minute", "h hr hour", "day", "week", "month", "year", "inch", "ft foot feet", "yard", "mile", "cent",
            "dollar", "degree", "radian",
        )
    )
    for name in names.split()
}  # fmt: skip


def without_unit(text: str) -> tuple[str, str]:
    r"""An answer without its unit, and the unit.

    Args:
        text: of `fold`.

    Returns:
        The rest, and the unit without LaTeX, in small letters.

    Example:
        >>> without_unit("20\\text{ cm}^3"), without_unit("18 eggs"), without_unit("2\\pi")
        (('20', 'cm^3'), ('18', 'eggs'), ('2\\pi', ''))
    """
    for form in (_UNIT, _PLAIN_UNIT):
        found = form.search(text)
        if found and (form is _UNIT or _is_unit(found[1])):
            unit = re.sub(rf"{_GAP}", "", re.sub(_FONT, r"\1", found[0]).replace("\\cdot", "")).lower()
            return text[: found.start()].rstrip(), unit.translate({0xB2: "^2", 0xB3: "^3"}).strip(".{}")
    return text, ""


def _is_unit(text: str) -> bool:
    words = re.findall(r"[A-Za-zµ]+", text)
    known = {*FUNCTIONS, *GREEK, "pi", "or", "and", "e", "i", "percent", "per"}
    return not known & set(words) and any(len(word) > 1 for word in words)


def same_measure(first: str, second: str) -> bool:
    """Whether two units may be the same: unknown ones may."""
    numbers = [
        (_MEASURES.get(re.sub(r"s$", "", name)) if name not in _MEASURES else _MEASURES[name], power)
        for name, _, power in (unit.partition("^") for unit in (first, second))
    ]
    return any(number is None for number, _ in numbers) or numbers[0] == numbers[1]


def _clean(text: str) -> tuple[str, str]:
    r"""Without fonts, sizes, currencies, and the unit, which comes second."""
    text = _MONEY.sub(" ", fold(text)).strip(" \n\t.,;:" + THIN)
    text, unit = without_unit(text)
    for _ in range(3):  # fonts in fonts
        text = re.sub(_FONT, r" \1 ", text)
    if any(f"\\{name}" in text for name in FUNCTIONS[:9]):
        text = _DEGREES_OF.sub(r"(\\frac{\1\\pi}{180})", text)
    text = _DEGREES.sub("", text)
    text = re.sub(r"\\[dtc]frac", r"\\frac", text)
    text = re.sub(r"\\(?:approx|simeq|sim|equiv)(?![a-zA-Z])|≈|≡", "=", text)
    return text.strip(), unit


def _plain(text: str) -> str:
    """Spelt in one way: spaces only where they part numbers or words."""
    text = re.sub(rf"(?:[\s{THIN}~]|\\[,!;: ](?<!\\\\ )|\\q?quad(?![a-zA-Z]))+", " ", text)
    text = re.sub(r"(?<![0-9A-Za-z]) | (?![0-9A-Za-z])|(?<=[0-9]) (?=[A-Za-z])|(?<=[A-Za-z]) (?=[0-9])", "", text)
    text = re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\sqrt(\w)", r"\\sqrt{\1}", text)
    return re.sub(r"\\(?:cdot|times)", "*", text)


def are_words(text: str) -> bool:
    """Whether an answer is words, or a name, and no product of variables; `xy` is a product, `no` and `AB` are none."""
    if not _WORDS.fullmatch(text) or text in (*FUNCTIONS, "pi"):
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


def _list(text: str) -> tuple[str, list[str]]:
    r"""Outer brackets, and what they hold: `(1, 2]`, `\{1, 2\}`, `1, 2`, `x = 1 or x = 2`, `3 \pm 1`."""
    text = re.sub(r"(?<=[\d)}\sA-Za-z])\s+(?:or|and)\s+(?=[-\d(\\A-Za-z])", ", ", text)
    outer = re.fullmatch(r"(\\\{|[(\[])(.*)(\\\}|[)\]])", text, re.S)
    if outer and len(_split(outer[2], ",")) > 1 and _closed(outer[2]):
        brackets, inner = outer[1] + outer[3], outer[2]
    elif outer and outer[1] == "\\{":
        brackets, inner = "\\{\\}", outer[2]
    else:
        brackets, inner = "", text
    parts = [part for one in _split(inner, ",") for part in _both_signs(one)]
    return brackets, parts


def _closed(text: str) -> bool:
    depth = 0
    for character in text:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


def _both_signs(text: str) -> list[str]:
    if text.count("\\pm") != 1:
        return [text]
    return [text.replace("\\pm", "+"), text.replace("\\pm", "-")]


def compare_expressions(first: str, second: str, *, verify: bool = True) -> tuple[bool, str]:
    r"""Whether two LaTeX answers are equal, and what decided: `words`, `text`, `reader`, `math-verify`.

    Args:
        first: an answer.
        second: another.
        verify: whether `math-verify` is asked about what our reader does not read.

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
    (one, unit), (other, unit_of_other) = _clean(first), _clean(second)
    if not one or not other:
        return False, "text"
    if unit and unit_of_other and not same_measure(unit, unit_of_other):
        return False, "reader"
    if are_words(one) and are_words(other):
        return plain_words(one) == plain_words(other), "words"
    one, other = _last_sides(one, other)
    if _plain(one) == _plain(other):
        return True, "text"
    return _compare_lists(_list(one), _list(other), (one, other), verify)


def _last_sides(one: str, other: str) -> tuple[str, str]:
    """Without `x =` where the other has none, or the same; of a chain its last side."""
    sides = _split(one, "="), _split(other, "=")
    if any(not part or part[-1] in "<>!:" for side in sides for part in side):
        return one, other
    if len(sides[0]) == len(sides[1]) == 2 and _plain(sides[0][0]) == _plain(sides[1][0]):
        return sides[0][1], sides[1][1]
    if len(sides[0]) == 1 or len(sides[1]) == 1:
        return (one, other) if "," in one + other else (sides[0][-1], sides[1][-1])
    return one, other


def _compare_lists(
    one: tuple[str, Sequence[str]], other: tuple[str, Sequence[str]], whole: tuple[str, str], verify: bool
) -> tuple[bool, str]:
    ordered = one[0] not in ("", "\\{\\}")
    if len(one[1]) == len(other[1]) == 1 and not one[0] and not other[0]:
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
            equal, how = (True, "text") if _plain(part) == _plain(candidate) else _part(part, candidate, verify)
            by = max(by, how, key=("text", "words", "reader", "math-verify").index)
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
    except NotUnderstood:
        pass
    equal = verified(one, other) if verify else None
    return (False, "text") if equal is None else (equal, "math-verify")
