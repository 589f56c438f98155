"""What a question with its truth is, and what can be wrong with a set of them."""

from typing import Any, NamedTuple

from jaxuq._errors import JaxuqError
from jaxuq.questions.answers import AnswerKind
from jaxuq.questions.grading import equivalent_answers


class QuestionError(JaxuqError, ValueError):
    """A set of questions cannot be found or read; the message says what is missing and what to do."""


class Question(NamedTuple):
    """A question and what counts as right.

    Attributes:
        id: unique within its set.
        question: as asked.
        answers: right answers; one is enough.
        kind: how an answer is read, see `find_answer`.
        category: of the question, for the reader.
        prompt: text or chat messages to give to the model.
        chat: whether a prompt of text goes into the model's chat template.
        response: a response that is there already; None: the model answers.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    kind: AnswerKind
    category: str
    prompt: Any
    chat: bool = True
    response: str | None = None


class QuestionSet(NamedTuple):
    """Questions that can be asked, and lines that could not be read.

    Attributes:
        name: of the set.
        questions: in the order of the file.
        one_line: whether an answer ends with its line.
        rejected: place and reason of each line that was left out.
    """

    name: str
    questions: list[Question]
    one_line: bool
    rejected: list[tuple[str, str]]


def is_right(answer: str, question: Question) -> bool:
    """Whether an answer says the same as one of the right ones."""
    return any(equivalent_answers(answer, truth, question.kind) for truth in question.answers)
