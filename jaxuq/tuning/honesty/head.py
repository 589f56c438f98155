"""A correctness head: how sure a model is, read from its last hidden state; the model itself is not tuned."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxuq._arguments import typed
from jaxuq.networks import Model
from jaxuq.parallel import in_order
from jaxuq.questions import Question
from jaxuq.tuning.answers import placed_prompts
from jaxuq.tuning.honesty.grading import Graded
from jaxuq.tuning.honesty.probe import fit_linear_probe, probe_confidence
from jaxuq.tuning.honesty.verdicts import verdict_prompts
from jaxuq.tuning.predicting import question_batches
from jaxuq.tuning.prompts import AnswerPrompts

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


@typed()
def head_confidence(
    model: "LanguageModel", lora: PyTree, records: Sequence[Question], graded: Graded, asked: dict[str, tuple]
) -> dict[str, Float[np.ndarray, " questions"]]:
    """How sure a model is by a linear head on the last hidden state of question and answer, fitted to its grades.

    Args:
        model: before tuning.
        lora: adapters that change nothing.
        records: questions to learn from.
        graded: the model's answers to them.
        asked: of each part, records and the model's answers.

    Returns:
        Confidences of each part.
    """
    probe = jax.jit(fit_linear_probe)(
        jnp.asarray(last_states(model, lora, records, graded.answers)), jnp.asarray(graded.correct, jnp.float32)
    )
    return {
        part: np.asarray(probe_confidence(probe, jnp.asarray(last_states(model, lora, *questions))))
        for part, questions in asked.items()
    }


@typed()
def last_states(
    model: "LanguageModel", lora: PyTree, records: Sequence[Question], answers: Sequence[str]
) -> Float[np.ndarray, "questions hidden"]:
    """The last hidden state of each question with an answer to it.

    Args:
        model: its decoder has the adapters' configuration.
        lora: the adapters to read it with.
        records: questions.
        answers: to them.

    Returns:
        Features for `fit_linear_probe`.
    """
    texts = [f"{one.prompt}{answer}" for one, answer in zip(records, answers)]
    prompts = verdict_prompts(model.tokenizer, texts)
    variables, plans, found = {"params": model.params, "lora": lora}, [], []
    for plan, batch in question_batches(prompts, 16, model.mesh):
        plans.append(plan)
        found.append(np.asarray(_last_states(model.functions, variables, batch)))
    return in_order(plans, found)


@functools.partial(jax.jit, static_argnums=0)
def _last_states(model: Model, params: PyTree, prompts: AnswerPrompts) -> Array:
    hidden, _, _ = model.hidden_of(params, *placed_prompts(prompts))
    return jnp.take_along_axis(hidden, (jnp.asarray(prompts.lengths) - 1)[:, None, None], axis=1)[:, 0]
