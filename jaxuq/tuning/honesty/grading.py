"""What a model itself answers, and whether that is right: what it can learn about itself from."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, PyTree

from jaxuq._arguments import typed
from jaxuq.language import GREEDY, generate, stack_adapters
from jaxuq.questions import Question, grade
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.predicting import forecast_answers
from jaxuq.tuning.prompts import Encoded

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


_LONGEST_ANSWER = 16


class Graded(NamedTuple):
    """Answers of a model, graded.

    Attributes:
        answers: as text, each with a leading space.
        correct: whether they are right.
        confidence: their probability.
    """

    answers: list[str]
    correct: Bool[np.ndarray, " questions"]
    confidence: Float[np.ndarray, " questions"]


@typed()
def graded_answers(model: "LanguageModel", lora: PyTree, asked: Encoded) -> Graded:
    """Let a model choose among answers, as it is scored anywhere else, and grade it.

    Args:
        model: its decoder has the adapters' configuration; its own adapters are not read.
        lora: the adapters to answer with.
        asked: the questions.

    Returns:
        `Graded`; the confidence is the probability among the answers to choose from.
    """
    log_probs = forecast_answers(model, stack_adapters([lora]), asked.prompts).log_probs
    chosen = log_probs.argmax(1)
    answers = [options[at] for options, at in zip(asked.options, chosen)]
    return Graded(answers, chosen == asked.labels, np.exp(log_probs.max(1)).clip(0, 1))


@typed()
def written_answers(model: "LanguageModel", lora: PyTree, records: Sequence[Question]) -> Graded:
    """Let a model write its answers, each a line, and grade them, see `jaxuq.questions.grade`.

    Args:
        model: its decoder has the adapters' configuration.
        lora: the adapters to answer with.
        records: the questions.

    Returns:
        `Graded`; the confidence is the geometric mean of the tokens' probabilities.

    References:
        H. Zhang et al., "R-Tuning: Instructing Large Language Models to Say 'I Don't Know'", NAACL 2024, section 3
        (this confidence, in the released code).
    """
    written = generate(
        model._replace(lora=lora), [one.prompt for one in records], chat=False, sampling=GREEDY, stop="\n",
        max_new_tokens=_LONGEST_ANSWER,
    )  # fmt: skip
    texts = [one.text.strip().rstrip(".") for one in written]
    correct = [grade(text, one, bare=True).correct is True for text, one in zip(texts, records)]
    confidence = [float(np.exp(one.log_probs.mean())) if len(one.log_probs) else 0.0 for one in written]
    return Graded([f" {text}" for text in texts], np.array(correct, bool), np.array(confidence, np.float32).clip(0, 1))


def need_both_grades(correct: Bool[np.ndarray, " questions"]) -> None:
    """Refuse grades of one class only.

    Args:
        correct: grades.

    Raises:
        TuningError: all answers are right, or none is.

    Example:
        >>> import numpy as np
        >>> need_both_grades(np.array([True, True]))
        Traceback (most recent call last):
        jaxuq.tuning.errors.TuningError: all 2 answers of the model are right: there is nothing to tell apart ...
    """
    if correct.all() or not correct.any():
        which = "right" if correct.any() else "wrong"
        raise TuningError(
            f"all {len(correct)} answers of the model are {which}: there is nothing to tell apart (give it questions "
            "of which it knows some and not others)"
        )
