"""What a model itself answers, and whether that is right: what it can learn about itself from."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, PyTree

from jaxuq.language import stack_adapters
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.predicting import Draws, forecast_answers
from jaxuq.tuning.prompts import Encoded

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


class Graded(NamedTuple):
    """Answers of a model, graded.

    Attributes:
        answers: that it found likeliest among those to choose from, as text.
        correct: whether they are right.
        confidence: their probability among those to choose from.
    """

    answers: list[str]
    correct: Bool[np.ndarray, " questions"]
    confidence: Float[np.ndarray, " questions"]


def graded_answers(model: "LanguageModel", lora: PyTree, asked: Encoded) -> Graded:
    """Let a model answer questions, as it is scored anywhere else, and grade it.

    Args:
        model: its decoder has the adapters' configuration; its own adapters are not read.
        lora: the adapters to answer with.
        asked: the questions.

    Returns:
        `Graded`.
    """
    log_probs = forecast_answers(model, Draws(stack_adapters([lora])), asked.prompts).log_probs
    chosen = log_probs.argmax(1)
    answers = [options[at] for options, at in zip(asked.options, chosen)]
    return Graded(answers, chosen == asked.labels, np.exp(log_probs.max(1)).clip(0, 1))


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
