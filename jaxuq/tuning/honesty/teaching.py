"""Teaching a model, from its own graded answers, to say how sure it is; and asking it."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxuq.language import Instruction, encode_prompt, encode_reply, stack_adapters
from jaxuq.networks import Model
from jaxuq.questions import Question
from jaxuq.tuning.answers import placed_prompts
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.honesty.grading import Graded
from jaxuq.tuning.honesty.probe import fit_linear_probe, probe_confidence
from jaxuq.tuning.honesty.refusal import refusal_records, stated_confidence_records
from jaxuq.tuning.honesty.verdicts import LEVELS, VERDICTS, refusal_prompts, verdict_prompts, verdict_records
from jaxuq.tuning.predicting import forecast_answers, question_batches
from jaxuq.tuning.prompts import AnswerPrompts, Encoded, training_examples
from jaxuq.tuning.token_losses import TokenLoss, stated_token_loss, token_loss

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from jaxuq.language import LanguageModel


def taught_examples(
    way: str, tokenizer: "PreTrainedTokenizerBase", records: Sequence[Question], graded: Graded
) -> tuple[list[Instruction], TokenLoss]:
    """What is learnt in the second stage, and with which loss.

    - `sure`: right answers, and after each whether the model's own was right (R-Tuning): `refusal_records`.
    - `refuse`: right answers, and refusals where the model's own was wrong.
    - `true`, `known`: verdicts alone, on the model's own answer, or on the question: `verdict_records`.
    - `stated`: a digit after the model's own answer, by the Brier score of all ten (`stated_confidence_loss`).

    Args:
        way: one of these.
        tokenizer: of the model.
        records: questions.
        graded: the answers of the model before tuning.

    Returns:
        Examples and loss, for `jaxuq.language.finetune`.

    Raises:
        TuningError: all answers are right, or none is; a digit is not one token.
    """
    correct = graded.correct.tolist()
    if way == "sure":
        return training_examples(tokenizer, [*records, *refusal_records(records, correct)]), token_loss("plain")
    if way == "refuse":
        return training_examples(tokenizer, refusal_records(records, correct, style="unknown")), token_loss("plain")
    if way in ("true", "known"):
        made = verdict_records(records, graded.answers, correct, way=way)
        return training_examples(tokenizer, made), token_loss("plain")
    levels = _level_tokens(tokenizer)
    own = [one._replace(reply=answer) for one, answer in zip(records, graded.answers)]
    examples = []
    for one, right in zip(stated_confidence_records(own, [float(value) for value in correct]), correct):
        tokens = np.array([*encode_prompt(tokenizer, one.prompt, chat=False), levels[-1 if right else 0]], np.int32)
        examples.append(Instruction(tokens, np.arange(len(tokens)) == len(tokens) - 1))
    return examples, stated_token_loss(jnp.asarray(levels), jnp.asarray(graded.correct, jnp.float32))


def _level_tokens(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    encoded = [encode_reply(tokenizer, level) for level in LEVELS]
    if any(len(one) != 1 for one in encoded) or len({one[0] for one in encoded}) < len(LEVELS):
        raise TuningError("the tokenizer does not write each digit as a token of its own: --teach stated needs that")
    return [one[0] for one in encoded]


def asked_confidence(
    way: str, model: "LanguageModel", lora: PyTree, records: Sequence[Question], asked: Encoded, answers: Sequence[str]
) -> Float[np.ndarray, " questions"]:
    """How sure a taught model is of answers, from one pass over each.

    Args:
        way: see `taught_examples`.
        model: its decoder has the adapters' configuration.
        lora: what it learnt.
        records: questions.
        asked: the same, encoded.
        answers: to judge.

    Returns:
        Of `sure`, `true`, `known`: probability of the first word against the second; of `refuse`: one minus that of a
        refusal against the answers to choose from; of `stated`: the mean of the digits' values under their
        probabilities.
    """
    draws = stack_adapters([lora])
    if way == "refuse":
        prompts, refusals = refusal_prompts(model.tokenizer, [one.prompt for one in records], asked.options)
        return 1 - np.exp(forecast_answers(model, draws, prompts).log_probs[:, :refusals]).sum(1).clip(0, 1)
    verdict = VERDICTS[way]
    texts = [verdict.asked(one.prompt, answer) for one, answer in zip(records, answers)]
    probabilities = np.exp(
        forecast_answers(model, draws, verdict_prompts(model.tokenizer, texts, verdict.words)).log_probs
    )
    return (probabilities @ np.array(verdict.values, np.float32)).clip(0, 1)


def head_confidence(
    model: "LanguageModel", lora: PyTree, records: Sequence[Question], graded: Graded, asked: dict[str, tuple]
) -> dict[str, Float[np.ndarray, " questions"]]:
    """The same from a linear head on the last hidden state of question and answer; the model itself is not tuned.

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
    variables, found, numbers = {"params": model.params, "lora": lora}, [], []
    for rows, batch in question_batches(prompts, 16):
        found.append(np.asarray(_last_states(model.functions, variables, batch))[: len(rows)])
        numbers.append(rows)
    return np.concatenate(found)[np.argsort(np.concatenate(numbers))]


@functools.partial(jax.jit, static_argnums=0)
def _last_states(model: Model, params: PyTree, prompts: AnswerPrompts) -> Array:
    hidden, _, _ = model.read(params, *placed_prompts(prompts))
    return jnp.take_along_axis(hidden, (jnp.asarray(prompts.lengths) - 1)[:, None, None], axis=1)[:, 0]
