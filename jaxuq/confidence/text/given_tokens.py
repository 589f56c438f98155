"""Assessing answers that are tokens already, such as those that a server has just given."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq.confidence.measures import chosen_measures, needs_of
from jaxuq.confidence.text.answering import locate_answer
from jaxuq.confidence.text.assess import Assessment, Clock, Plan, Work, assessed, check_model
from jaxuq.confidence.text.passes import Pass, Texts, seen_pass
from jaxuq.language import AnswerStates
from jaxuq.questions import Question

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


class SeenTokens(NamedTuple):
    """What a `RunningBatch` knows of an answer that it has just given.

    Attributes:
        states: `states(width)`, as wide as the text is padded to; see `RunningBatch.states`.
        log_probs: of its tokens.
        entropies: of the distributions that they came from.
    """

    states: Callable[[int], AnswerStates]
    log_probs: np.ndarray
    entropies: np.ndarray


def assess_tokens(
    model: "LanguageModel",
    batch: Sequence[Question],
    prompts: Sequence[Sequence[int]],
    replies: Sequence[Sequence[int]],
    *,
    plan: Plan,
    rows: int,
) -> list[Assessment]:
    """Assess answers that are tokens already: one pass over them.

    Args:
        model: that gave them.
        batch: the questions; each says by its kind how its answer is read.
        prompts: tokens of the prompts.
        replies: tokens of the answers, at least one each.
        plan: what to do; no samples, and nothing asked.
        rows: see `assess`.

    Returns:
        One `Assessment` for each question.

    Raises:
        CapabilityError: see `assess`.
    """
    measures = chosen_measures(["single"]) if plan.measures is None else plan.measures
    check_model(model, measures)
    responses = [
        locate_answer(model, np.asarray(prompt, np.int32), np.asarray(reply, np.int32), one)
        for one, prompt, reply in zip(batch, prompts, replies)
    ]
    listed = [list(prompt) for prompt in prompts]
    work = Work(model, batch, listed, responses, rows, plan, needs_of(measures), Clock())
    return assessed(work, None, jax.random.key(0), measures)


def assess_seen(
    model: "LanguageModel",
    question: Question,
    prompt: Sequence[int],
    reply: Sequence[int],
    seen: SeenTokens,
    *,
    plan: Plan,
) -> Assessment:
    """`assess_tokens` of one answer by what was seen while it was given, in place of another pass.

    Args:
        model: that gave it.
        question: says by its kind how the answer is read.
        prompt: tokens of the prompt.
        reply: tokens of the answer, at least one.
        seen: of the answer.
        plan: what to do; no samples, and nothing asked.

    Returns:
        The same to rounding.

    Raises:
        CapabilityError: see `assess`.
    """
    measures = chosen_measures(["single"]) if plan.measures is None else plan.measures
    check_model(model, measures)
    response = locate_answer(model, np.asarray(prompt, np.int32), np.asarray(reply, np.int32), question)

    def kept(texts: Texts) -> Pass:
        time, at = texts.tokens.shape[1], slice(len(prompt), len(prompt) + len(reply))
        scores = np.zeros((2, 1, time), np.float32)
        scores[0, 0, at], scores[1, 0, at] = seen.log_probs, seen.entropies
        return seen_pass(seen.states(time), (jnp.asarray(scores[0]), jnp.asarray(scores[1])))

    work = Work(model, [question], [list(prompt)], [response], 1, plan, needs_of(measures), Clock())
    return assessed(work, kept, jax.random.key(0), measures)[0]
