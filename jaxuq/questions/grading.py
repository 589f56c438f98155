"""Whether answers are right: the one place where two answers are compared, and responses are graded."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from jaxuq._options import check_choice
from jaxuq.questions.amounts import Quantity
from jaxuq.questions.answers import KINDS, AnswerKind, FoundAnswer, find_answer
from jaxuq.questions.characters import fold, plain_words, visible
from jaxuq.questions.choices import letters_of
from jaxuq.questions.clocks import same_time
from jaxuq.questions.expressions import compare_expressions
from jaxuq.questions.letters import as_letters, find_letter
from jaxuq.questions.measures import same_measure
from jaxuq.questions.notation import unpacked
from jaxuq.questions.quantities import parse_quantity
from jaxuq.questions.records import Question
from jaxuq.questions.spelled import find_spelled
from jaxuq.questions.units import FONT, currency_of, without_unit

_LEAD = "Answer: "
_DENIED = re.compile(r"(?:\b(?:not|never|neither|nor|cannot(?: be)?|rather than|instead of)|n't)$")


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


class Grade(NamedTuple):
    """A graded response.

    Attributes:
        correct: whether it is right; None where no answer was found: leave it out, and report the share.
        answer: what was found, with its place.
        by: what decided, see `Verdict`.
    """

    correct: bool | None
    answer: FoundAnswer | None
    by: str


class Grades(NamedTuple):
    """Graded responses, see `Grade`.

    Attributes:
        correct: of each response; None where no answer was found.
        answers: what was found.
        failures: positions of the responses without an answer.
        decided: what decided.
    """

    correct: list[bool | None]
    answers: list[FoundAnswer | None]
    failures: list[int]
    decided: list[str]


def compare_answers(first: str, second: str, kind: AnswerKind = "number") -> Verdict:
    r"""Whether two answers say the same, and what decided.

    Numbers: exact comparison of fractions (1,200 = 1200.0; 0.5 = 1/2; 2 1/2 = 2.5; twelve = 12); where one has a
    percent sign, or says million, and the other has not, it counts as written and as what it means; units are left out
    where one has none, but centimetres are no metres, mW no MW, and dollars no euros; nothing is converted. Times of a
    day are such (10:30 PM = 22:30); a range (5–6) is no difference.
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
        letters = [_letters(text) for text in (first, second)]
        if all(letters):
            return Verdict(letters[0] == letters[1], "letter")
    if kind in ("choice", "text"):
        if not any(one.isalnum() for one in first + second):  # brackets, say: each sign counts
            signs, others = ("".join(fold(text).split()) for text in (first, second))
            return Verdict(signs == others != "", "text")
        words = plain_words(first)
        return Verdict(bool(words) and words == plain_words(second), "words")
    bare = [_bare(text) for text in (first, second)]
    if (same := same_time(*(re.sub(FONT, r"\1", text) for text in bare))) is not None:
        return Verdict(same, "number")
    (one, unit), (other, unit_of_other) = (_measured(text, kind == "number") for text in bare)
    if kind != "number" and bool(unit) != bool(unit_of_other):  # 5 m is 5 metres, but 5 x is no number
        (one, unit), (other, unit_of_other) = (_measured(text, True) for text in bare)
    if one is not None and other is not None and one.value is not None and other.value is not None:
        if unit and unit_of_other and not same_measure(unit, unit_of_other):
            return Verdict(False, "number")
        equal = one.value * one.factor == other.value * other.factor
        equal |= one.value == other.value and 1 in (one.factor, other.factor)
        if equal or kind == "number" or "," not in first + second:
            return Verdict(equal, "number")
    if kind == "number" and not all(any(letter.isdigit() or letter == "\\" for letter in text) for text in bare):
        return Verdict(False, "text")
    return Verdict(*compare_expressions(first, second, verify=kind == "expression" or "\\" in first + second))


def _measured(text: str, loose: bool) -> tuple[Quantity | None, str]:
    """A text as a quantity, and its unit or currency; of a single letter, and without a space, where `loose`."""
    rest, unit = without_unit(text)
    quantity = parse_quantity(rest)
    if quantity is None and loose:
        rest, unit = without_unit(text, loose=True)
        quantity = parse_quantity(rest)
    spelled = find_spelled(text) if quantity is None else None
    if spelled and spelled.value is not None and re.fullmatch(r"(?:\s[A-Za-z]+){1,3}", text[spelled.end :]):
        rest, unit = text[: spelled.end], text[spelled.end :].strip()
        quantity = parse_quantity(rest)
    if quantity is not None and "%" in rest[-2:] and not unit:
        unit = "%"
    return quantity, unit or currency_of(text)


def _bare(text: str) -> str:
    """Without invisible characters, what ends a sentence, and the signs around a formula, but with a currency."""
    text = visible(text)[0].strip(" \n\t").rstrip(" .,;\n\t")
    return unpacked(text.strip("$").rstrip(" .,;\n\t$") if text.endswith("$") else text)


def _letters(text: str) -> str:
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


def read_answer(response: str, question: Question, *, bare: bool | None = None) -> FoundAnswer | None:
    """The final answer of a response to a question, see `find_answer`; of choices, one of its letters.

    Args:
        response: what the model wrote.
        question: that it was asked.
        bare: whether the response is the answer itself unless it says which part is, as after `A:` on the same line;
            None: if the layout of the question asks for just that, as `line` does.

    Returns:
        The answer; None if there is none.

    Example:
        >>> read_answer("Paris.", Question("a", "What is the capital?", ("Paris",)), bare=True).text
        'Paris'
    """
    letters = letters_of(question)
    if bare is None:
        bare = not question.chat and question.reply.strip() in question.answers
    if not bare or question.kind in ("number", "whole"):
        return find_answer(response, question.kind, letters=letters)
    said = response.lstrip()
    found = find_answer(_LEAD + said, question.kind, letters=letters)  # its own last cue, or box, comes after this one
    moved = len(response) - len(said) - len(_LEAD)
    return found and FoundAnswer(found.text, found.start + moved, found.end + moved)


def right_answers(question: Question) -> tuple[str, ...]:
    """What counts as right: the answers of a question, or else what its solution ends with, or says as a whole.

    Args:
        question: with `answers` or a `solution`.

    Returns:
        Answers; one is enough.

    Example:
        >>> right_answers(Question("a", "6 + 3?", kind="number", solution="6 + 3 = 9. The answer is 9."))
        ('9',)
    """
    if question.answers or not question.solution:
        return (question.answers,) if isinstance(question.answers, str) else question.answers
    found = find_answer(question.solution, question.kind, letters=letters_of(question))
    return (found.text if found else " ".join(question.solution.split()),)


def judge_answer(answer: str, question: Question) -> Verdict:
    """Whether an answer says the same as one of the right ones, and what decided.

    Args:
        answer: of `read_answer`.
        question: that it is to.

    Returns:
        `Verdict`: the first that is equal, or else of the first right answer.

    Example:
        >>> judge_answer("7", Question("a", "Days of a week?", ("seven", "7")))
        Verdict(equal=True, by='words')
    """
    verdicts = [compare_answers(answer, truth, question.kind) for truth in right_answers(question)]
    return next((one for one in verdicts if one.equal), verdicts[0] if verdicts else Verdict(False, "nothing"))


def grade(response: str, question: Question, *, bare: bool | None = None) -> Grade:
    r"""Find the final answer of a response, and say whether it is right.

    Args:
        response: what the model wrote.
        question: with its truth.
        bare: see `read_answer`; where it is True a line of words counts as right, too, if it holds the right ones in a
            row, and does not deny them.

    Returns:
        `Grade`; a response without an answer is none, not wrong.

    Example:
        >>> four = Question("a", "2 + 2?", ("4",), "number")
        >>> grade("It is 4.", four).correct, grade("no idea", four).correct, grade("5", four).correct
        (True, None, False)
        >>> grade("It is Paris.", Question("b", "The capital?", ("Paris",)), bare=True)
        Grade(correct=True, answer=FoundAnswer(text='It is Paris', start=0, end=11), by='words within')

    References:
        Cobbe et al. Training Verifiers to Solve Math Word Problems. arXiv 2110.14168, 2021 (the `####` convention).
        H. Zhang et al. R-Tuning. NAACL 2024 (in the released code a line is right that holds the answer).
    """
    found = read_answer(response, question, bare=bare)
    if found is None:
        return Grade(None, None, "nothing")
    verdict = judge_answer(found.text, question)
    if not verdict.equal and bare and question.kind == "text":
        said = plain_words(found.text)
        if any(_holds(said, plain_words(one)) for one in right_answers(question)):
            verdict = Verdict(True, "words within")
    return Grade(verdict.equal, found, verdict.by)


def _holds(said: list[str], words: list[str]) -> bool:
    """Whether words are among others in a row, and not denied there."""
    return any(
        said[at : at + len(words)] == words and not _DENIED.search(" ".join(said[:at]))
        for at in range(len(said) - len(words) + 1 if words else 0)
    )


def grade_answers(responses: Sequence[str], truths: Sequence[str], kind: AnswerKind = "number") -> Grades:
    r"""`grade` for many, where there are truths alone.

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
    derived = ["####" in truth or "\\boxed" in truth for truth in truths]
    asked = [
        Question("", "", (), kind, solution=truth) if long else Question("", "", (truth,), kind)
        for truth, long in zip(truths, derived)
    ]
    grades = [grade(response, one) for response, one in zip(responses, asked)]
    missing = [place for place, one in enumerate(grades) if one.answer is None]
    return Grades([one.correct for one in grades], [one.answer for one in grades], missing, [one.by for one in grades])
