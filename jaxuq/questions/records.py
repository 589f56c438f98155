"""What a question with its truth is: one record from the file to the grade, in every command."""

from typing import Any, NamedTuple

from jaxuq._errors import JaxuqError
from jaxuq.questions.answers import AnswerKind


class QuestionError(JaxuqError, ValueError):
    """A set of questions cannot be found or read; the message says what is missing and what to do."""


class Rejected(NamedTuple):
    """A question that was left out.

    Attributes:
        place: its line in its file, or its id.
        reason: in words, with the field and the remedy.
    """

    place: str
    reason: str


class Question(NamedTuple):
    """A question, what counts as right, and how it is put to a model.

    The last five fields are of a question that was laid out, see `lay_out`; a file may bring a prompt of its own.

    Attributes:
        id: unique within its set.
        question: what is asked, by itself.
        answers: right answers; one is enough. With `choices` their letters. Empty: what the solution ends with.
        kind: how an answer is read, see `find_answer`.
        choices: answers to choose from, as text.
        solution: the right answer written out; empty: there is none.
        category: subject, task or type.
        source: data set that it comes from, where a file holds several.
        part: `train`, `valid`, `calibrate` or `test`; empty: not divided.
        weight: of the sample in tuning.
        uncertainty: of the right answer, for smoothing by uncertainty; None: unknown.
        examples: worked examples to come before it.
        response: what a model answered, to be scored; None: nothing yet.
        prompt: text or chat messages for the model; None: not laid out yet.
        chat: whether a prompt of text goes into the model's chat template.
        reply: what a model should write after the prompt, letter by letter.
        wrong: what else it may choose to write; empty: anything.
    """

    id: str
    question: str
    answers: tuple[str, ...] = ()
    kind: AnswerKind = "text"
    choices: tuple[str, ...] = ()
    solution: str = ""
    category: str = ""
    source: str = ""
    part: str = ""
    weight: float = 1.0
    uncertainty: float | None = None
    examples: str = ""
    response: str | None = None
    prompt: Any = None
    chat: bool = True
    reply: str = ""
    wrong: tuple[str, ...] = ()


class QuestionSet(NamedTuple):
    """Questions that can be asked, and what could not be read.

    Attributes:
        name: of the set.
        questions: in the order of the file.
        rejected: what was left out.
        layout: how they were laid out, by name.
        one_line: whether answers end with their line then.
    """

    name: str
    questions: list[Question]
    rejected: list[Rejected]
    layout: str = ""
    one_line: bool = False
