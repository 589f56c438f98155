"""Whether answers are right: the one place where two answers are compared."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxuq._options import check_choice
from jaxuq.questions.answers import KINDS, AnswerKind, FoundAnswer, find_answer
from jaxuq.questions.characters import fold, plain_words
from jaxuq.questions.expressions import compare_expressions, same_measure, without_unit
from jaxuq.questions.letters import find_letter
from jaxuq.questions.quantities import parse_quantity


class Verdict(NamedTuple):
    """Whether two answers say the same.

    Attributes:
        equal: whether they do.
        by: what decided: `number` (exact fractions), `letter`, `words`, `text` (the same characters, or nothing that
            could be read), `reader` (our reader of expressions), `math-verify`.
    """

    equal: bool
    by: str


class Grades(NamedTuple):
    """Graded responses.

    Attributes:
        correct: for each response; None where no answer was found.
        answers: what was found, with its place.
        failures: positions of the responses without an answer: leave them out of an evaluation and report their share.
        decided: for each response what decided, see `Verdict`; empty where no answer was found.
    """

    correct: list[bool | None]
    answers: list[FoundAnswer | None]
    failures: list[int]
    decided: list[str]


def compare_answers(first: str, second: str, kind: AnswerKind = "number") -> Verdict:
    r"""Whether two answers say the same, and what decided.

    Numbers: exact comparison of fractions (1,200 = 1200.0; 0.5 = 1/2; 2 1/2 = 2.5); where one has a percent sign and
    the other has not, both as written and divided by 100 count; units are left out, but centimetres are no metres.
    Expressions: part by part in lists, tuples and sets, as text, or in value (see `compare_expressions`). Choices: the
    letter. Text: words, without case, articles, spelling of accents and outer punctuation. Nothing of an answer is run.

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
    if kind == "choice":
        letters = [_letter(text) for text in (first, second)]
        if all(letters):
            return Verdict(letters[0] == letters[1], "letter")
    if kind in ("choice", "text"):
        words = plain_words(first)
        return Verdict(bool(words) and words == plain_words(second), "words")
    stripped = [without_unit(fold(text).strip(" \n\t$").rstrip(" .,;\n\t$")) for text in (first, second)]
    one, other = (parse_quantity(text) for text, _ in stripped)
    if one is not None and other is not None and one.value is not None and other.value is not None:
        measures = [unit for _, unit in stripped]
        if not all(measures) or same_measure(measures[0], measures[1]):
            values = [
                value / 100 if each.percent else value for each, value in ((one, one.value), (other, other.value))
            ]
            equal = one.value == other.value or (one.percent != other.percent and values[0] == values[1])
            if equal or kind == "number" or "," not in first + second:
                return Verdict(equal, "number")
        else:
            return Verdict(False, "number")
    if kind == "number" and not all(
        any(letter.isdigit() or letter == "\\" for letter in text) for text in (first, second)
    ):
        return Verdict(False, "text")
    return Verdict(*compare_expressions(first, second, verify=kind == "expression"))


def _letter(text: str) -> str:
    folded = fold(text).strip()
    found = find_letter(folded, 0, len(folded), cue="is")
    return found.text.upper() if found else ""


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


def grade_answers(responses: Sequence[str], truths: Sequence[str], kind: AnswerKind = "number") -> Grades:
    r"""Find the answer of each response and compare it with the truth.

    Args:
        responses: what the model wrote.
        truths: the right answers; a truth with its own derivation (`... #### 18`) is read like a response.
        kind: see `find_answer`.

    Returns:
        `Grades`; a response without an answer is counted, not guessed.

    Raises:
        ValueError: if the numbers of responses and truths differ, or `kind` is unknown.

    Example:
        >>> grades = grade_answers(["It is 4.", "no idea", "5"], ["4", "4", "4"])
        >>> grades.correct, grades.failures
        ([True, None, False], [1])
    """
    if len(responses) != len(truths):
        raise ValueError(f"{len(responses)} responses and {len(truths)} truths; expected one truth for each response")
    answers = [find_answer(response, kind) for response in responses]
    verdicts: list[Verdict | None] = []
    for answer, truth in zip(answers, truths):
        derived = "####" in truth or "\\boxed" in truth
        found = find_answer(truth, kind) if derived else None
        verdicts.append(None if answer is None else compare_answers(answer.text, found.text if found else truth, kind))
    return Grades(
        [one.equal if one else None for one in verdicts], answers,
        [place for place, answer in enumerate(answers) if answer is None], [one.by if one else "" for one in verdicts],
    )  # fmt: skip
