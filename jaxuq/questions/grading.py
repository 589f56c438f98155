"""Whether answers are right: the one place where two answers are compared, and responses are graded."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from jaxuq.questions.answers import AnswerKind, FoundAnswer, find_answer
from jaxuq.questions.characters import plain_words, visible
from jaxuq.questions.choices import choices_of, find_choice, letter_of
from jaxuq.questions.comparing import Verdict, compare_answers
from jaxuq.questions.denials import denied, one_of_several
from jaxuq.questions.measures import is_known
from jaxuq.questions.records import Question
from jaxuq.questions.units import FONT, currency_of, without_unit

_LEAD = "Answer: "
_UNIT = re.compile(rf"\s?(?:{FONT}(?:\s*\^\s*\d)?|[A-Za-z°¢µ%][\w/^°²³]*(?:\s[A-Za-z][\w/^²³]*){{0,3}})")


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
    if bare is None:
        bare = not question.chat and question.reply.strip() in question.answers
    if not bare or question.kind in ("number", "whole"):
        return find_choice(response, question) if question.kind == "choice" else find_answer(response, question.kind)
    said = _LEAD + response.lstrip()  # its own last cue, or box, comes after this one
    found = find_choice(said, question) if question.kind == "choice" else find_answer(said, question.kind)
    said = said[len(_LEAD) :]
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
        answers = (question.answers,) if isinstance(question.answers, str) else question.answers
        return tuple(letter_of(one, question) or one for one in answers) if choices_of(question) else answers
    found = read_answer(question.solution, question, bare=False)
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
    if choices_of(question) and question.kind == "choice":
        answer = letter_of(answer, question) or answer
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
    verdict = judge_answer(with_unit(response, found, question), question)
    if bare and question.kind == "text" and verdict.by == "words":
        line = visible(response)[0].strip()
        if verdict.equal:
            verdict = Verdict(not _is_doubted(line, found.text), "words")
        elif any(_holds(visible(found.text)[0], one) for one in right_answers(question)):
            verdict = Verdict(True, "words within")
    return Grade(verdict.equal, found, verdict.by)


def with_unit(response: str, found: FoundAnswer, question: Question) -> str:
    """A number that was found, with the unit that stands behind it, where the right answer has one.

    Args:
        response: what the model wrote.
        found: in it.
        question: with its truth.

    Returns:
        The answer, to be judged.

    Example:
        >>> with_unit("It is 5 cents.", FoundAnswer("5", 6, 7), Question("a", "?", ("$5",), "number"))
        '5 cents'
    """
    if question.kind != "number" or not any(_unit_of(one) for one in right_answers(question)) or _unit_of(found.text):
        return found.text
    after = _UNIT.match(visible(response[found.end : found.end + 80])[0])
    words = re.sub(FONT, r"\1", after[0]).split() if after else []
    known = next((words[:count] for count in range(len(words), 0, -1) if is_known(" ".join(words[:count]))), [])
    return " ".join((found.text, *known))


def _unit_of(answer: str) -> str:
    text = visible(answer)[0].strip()
    return currency_of(text) or without_unit(text, loose=True)[1]


def _is_doubted(line: str, answer: str) -> bool:
    """Whether an answer that opens a line is taken back behind it: `Paris? No.`"""
    place = line.casefold().find(answer.casefold())
    return place >= 0 and denied(line, place, place + len(answer))


def _holds(text: str, answer: str) -> bool:
    """Whether a text has the words of an answer in a row, and neither denies them nor names others beside them."""
    pieces = [(found.start(), found.end(), plain_words(found[0])) for found in re.finditer(r"\S+", text)]
    words = plain_words(answer)
    said = [(start, end, word) for start, end, each in pieces for word in each if not (word == "" or each == ["the"])]
    for at in range(len(said) - len(words) + 1 if words else 0):
        row = said[at : at + len(words)]
        start, end = row[0][0], row[-1][1]
        end -= len(text[start:end]) - len(text[start:end].rstrip(".,;:!?\"')]}*_"))
        if [one[2] for one in row] == words and not (denied(text, start, end) or one_of_several(text, start, end)):
            return True
    return False


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
