"""Two answers: whether they say the same, and what decided."""

import re
from fractions import Fraction
from typing import NamedTuple

from jaxuq._options import check_choice
from jaxuq.questions.amounts import read_measured
from jaxuq.questions.answers import KINDS, AnswerKind
from jaxuq.questions.bounds import bounded
from jaxuq.questions.characters import fold, plain_words, visible
from jaxuq.questions.clocks import same_time
from jaxuq.questions.expressions import compare_expressions
from jaxuq.questions.letters import as_letters, find_letter
from jaxuq.questions.measures import ratio_of
from jaxuq.questions.notation import EMPTY_SIGNS, unpacked
from jaxuq.questions.quantities import parse_quantity
from jaxuq.questions.spelled import find_spelled, in_digits
from jaxuq.questions.units import FONT, currency_of, without_unit


class Verdict(NamedTuple):
    """Whether two answers say the same.

    Attributes:
        equal: whether they do.
        by: what decided: `number` (exact fractions), `letter`, `words`, `text` (the same characters, or nothing that
            could be read), `reader` (our reader of expressions), `math-verify`; of a response that has no final answer
            `nothing`, and of a line that holds the right one among its words `words within`.
    """

    equal: bool
    by: str


class _Amount(NamedTuple):
    """One reading of an answer that is a number: its value, 1/100 for percent, and its unit or currency."""

    value: Fraction
    factor: Fraction
    unit: str


def compare_answers(first: str, second: str, kind: AnswerKind = "number") -> Verdict:
    r"""Whether two answers say the same, and what decided.

    Numbers: exact comparison of fractions (1,200 = 1200.0; 0.5 = 1/2; 2 1/2 = 2.5; twelve = 12; 5k = 5000); where one
    has a percent sign and the other has not, it counts as written and as what it means. Units are left out where one
    has none; else they are converted (2 hours = 120 minutes, 5 cents = $0.05), and what measures something else
    differs (dollars and euros). What adds up (3 hours and 30 minutes) is, beside a number without a unit, so much of
    any of its units: 3.5 or 210. A bound (at least 3, > 3) equals the same bound, a remainder (3 R 1) the same
    remainder, and neither of them a number. Times of a day are such (10:30 PM = 22:30); a range (5–6) is no difference.
    Expressions: part by part in lists, tuples and sets, as text, or in value (see `compare_expressions`). Choices: the
    letter, or all letters (`A and B`). Text: words, without case, articles, spelling of accents and outer punctuation.
    Whole responses: everything but case and spaces. Nothing of an answer is run.

    Args:
        first: an answer.
        second: another, such as the truth.
        kind: see `find_answer`.

    Returns:
        `Verdict`.

    Raises:
        ValueError: if `kind` is unknown.

    Example:
        >>> compare_answers("1,200", "1200.00"), compare_answers("\\frac{\\sqrt8}{2}", "\\sqrt2", "expression")
        (Verdict(equal=True, by='number'), Verdict(equal=True, by='reader'))
        >>> compare_answers("(A)", "a", "choice").equal, compare_answers("The Paris.", "paris", "text").equal
        (True, True)

    References:
        Hendrycks et al. Measuring Mathematical Problem Solving With the MATH Dataset. NeurIPS 2021.
    """
    check_choice("kind", kind, KINDS)
    if kind == "whole":
        one, other = (" ".join(text.split()).casefold() for text in (first, second))
        return Verdict(one == other != "", "text")
    if kind == "choice":
        letters = [letters_in(text) for text in (first, second)]
        if all(letters):
            return Verdict(letters[0] == letters[1], "letter")
    if kind in ("choice", "text"):
        if any(text.strip("$ ") in EMPTY_SIGNS for text in (first, second)):
            return Verdict(*compare_expressions(first, second, verify=False))
        if not any(one.isalnum() for one in first + second):  # brackets, say: each sign counts
            signs, others = ("".join(fold(text).split()) for text in (first, second))
            return Verdict(signs == others != "", "text")
        words = plain_words(first)
        return Verdict(bool(words) and words == plain_words(second), "words")
    bare = [_bare(text) for text in (first, second)]
    if (same := same_time(*(re.sub(FONT, r"\1", text) for text in bare))) is not None:
        return Verdict(same, "number")
    (mark, one), (mark_of_other, other) = map(bounded, bare)
    if mark != mark_of_other and kind == "number":
        return Verdict(False, "number")
    if mark and mark == mark_of_other:
        first, second = one, other
    readings = [_amounts(text, kind == "number") for text in (one, other)] if mark == mark_of_other else [[], []]
    if kind != "number" and len({bool(each and each[0].unit) for each in readings}) > 1:
        readings = [_amounts(text, True) for text in (one, other)]  # 5 m is 5 metres, but 5 x is no number
    if all(readings):
        equal = any(_same_amount(mine, theirs) for mine in readings[0] for theirs in readings[1])
        if equal or kind == "number" or "," not in first + second:
            return Verdict(equal, "number")
    if kind == "number" and not all(any(letter.isdigit() or letter == "\\" for letter in text) for text in bare):
        return Verdict(False, "text")
    return Verdict(*compare_expressions(first, second, verify=kind == "expression" or "\\" in first + second))


def _amounts(text: str, loose: bool) -> list[_Amount]:
    """The readings of a text as a number with a unit; units of a single letter, and without a space, where `loose`."""
    written = re.sub(FONT, r" \1 ", text)
    if measured := _measured(written) or _measured(in_digits(written)):
        return measured
    rest, unit = without_unit(text)
    quantity = parse_quantity(rest)
    if quantity is None and loose:
        rest, unit = without_unit(text, loose=True)
        quantity = parse_quantity(rest)
    spelled = find_spelled(text) if quantity is None else None
    if spelled and spelled.value is not None and re.fullmatch(r"(?:\s[A-Za-z]+){1,3}", text[spelled.end :]):
        rest, unit = text[: spelled.end], re.sub(r"^\s(?:of\s)?(?:an?\s)?", "", text[spelled.end :])
        quantity = parse_quantity(rest)
    if quantity is None or quantity.value is None:
        return []
    if "%" in rest[-2:] and not unit:
        unit = "%"
    return [_Amount(quantity.value, quantity.factor, unit or currency_of(text))]


def _measured(text: str) -> list[_Amount]:
    """What adds up, in each of its units."""
    text = text.strip(" ()")
    begin = re.match(r"-?\\?[$€£]?(?=\d)", text)
    found = read_measured(text, begin.end()) if begin else None
    if begin is None or found is None or text[found.end :].strip(" ."):
        return []
    sign = -1 if begin[0].startswith("-") else 1
    sums = [
        (sum((number * (ratio_of(other, unit) or 0) for number, other in found.parts), Fraction(0)), unit)
        for _, unit in found.parts
    ]
    return [_Amount(sign * total, Fraction(1), unit) for total, unit in sums]


def _same_amount(one: _Amount, other: _Amount) -> bool:
    ratio = ratio_of(one.unit, other.unit) if one.unit and other.unit else Fraction(1)
    if ratio is None:
        return False
    if one.value * one.factor * ratio == other.value * other.factor:
        return True
    return ratio == 1 and one.value == other.value and Fraction(1) in (one.factor, other.factor)


def _bare(text: str) -> str:
    """Without invisible characters, what ends a sentence, and the signs around a formula, but with a currency."""
    text = visible(text)[0].strip(" \n\t").rstrip(" .,;\n\t")
    return unpacked(text.strip("$").rstrip(" .,;\n\t$") if text.endswith("$") else text)


def letters_in(text: str) -> str:
    """The letters of choices that an answer is: `A`, `(b)`, `A and B`; empty: it is no letter."""
    folded = as_letters(visible(text)[0].strip())
    found = find_letter(folded, 0, len(folded), cue="is")
    return found.letters if found else ""


def equivalent_answers(first: str, second: str, kind: AnswerKind = "number") -> bool:
    r"""Whether two answers say the same: `compare_answers(...).equal`.

    Args:
        first: an answer.
        second: another, such as the truth.
        kind: see `find_answer`.

    Returns:
        True if they are equivalent.

    Raises:
        ValueError: if `kind` is unknown.

    Example:
        >>> equivalent_answers("1,200", "1200.00"), equivalent_answers("\\frac12", "0.5", "expression")
        (True, True)
    """
    return compare_answers(first, second, kind).equal
