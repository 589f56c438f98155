"""Teaching a model, from its own graded answers, to say how sure it is; and asking it. Ways of both, by name."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from jaxuq._arguments import typed
from jaxuq._entries import Entries, Entry, entry_of
from jaxuq._errors import OptionError
from jaxuq.language import Instruction, encode_prompt, encode_reply, stack_adapters
from jaxuq.questions import Question
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.honesty.grading import Graded
from jaxuq.tuning.honesty.head import head_confidence
from jaxuq.tuning.honesty.refusal import refusal_records, stated_confidence_records
from jaxuq.tuning.honesty.verdicts import LEVELS, VERDICTS, refusal_prompts, verdict_prompts, verdict_records
from jaxuq.tuning.predicting import forecast_answers
from jaxuq.tuning.prompts import Encoded, training_examples
from jaxuq.tuning.token_losses import TokenLoss, stated_token_loss, token_loss

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from jaxuq.language import LanguageModel


@typed()
def taught_examples(
    way: str | Entry, tokenizer: "PreTrainedTokenizerBase", records: Sequence[Question], graded: Graded
) -> tuple[list[Instruction], TokenLoss]:
    """What is learnt in the second stage, and with which loss.

    - `sure`: right answers, and after each whether the model's own was right (R-Tuning): `refusal_records`.
    - `refuse`: right answers, and refusals where the model's own was wrong.
    - `true`, `known`: verdicts alone, on the model's own answer, or on the question: `verdict_records`.
    - `stated`: a digit after the model's own answer, by the Brier score of all ten (`stated_confidence_loss`).

    Args:
        way: one of these, or an entry of the form of those in `WAYS`.
        tokenizer: of the model.
        records: questions.
        graded: the answers of the model before tuning.

    Returns:
        Examples and loss, for `jaxuq.language.finetune`.

    Raises:
        TuningError: all answers are right, or none is; a digit is not one token.
        OptionError: an unknown way, or one that tunes nothing.
    """
    entry = entry_of(WAYS, way)
    if "examples" not in entry.functions:
        raise OptionError(f"the way {entry.name!r} tunes nothing")
    return entry.functions["examples"](tokenizer, records, graded)


@typed()
def asked_confidence(
    way: str | Entry | Callable[..., Any],
    model: "LanguageModel",
    lora: PyTree,
    records: Sequence[Question],
    asked: Encoded,
    answers: Sequence[str],
) -> Float[np.ndarray, " questions"]:
    """How sure a taught model is of answers, from one pass over each.

    Args:
        way: see `taught_examples`; or a function of yours of the other arguments.
        model: its decoder has the adapters' configuration.
        lora: what it learnt.
        records: questions.
        asked: the same, encoded.
        answers: to judge.

    Returns:
        Of `sure`, `true`, `known`: probability of the first word against the second; of `refuse`: one minus that of a
        refusal against the answers to choose from; of `stated`: the mean of the digits' values under their
        probabilities. Clipped to [0, 1].

    Raises:
        OptionError: an unknown way, or one that asks nothing.
    """
    entry = entry_of(WAYS, way)
    if "confidence" not in entry.functions:
        raise OptionError(f"the way {entry.name!r} asks the model nothing")
    found = np.asarray(entry.functions["confidence"](model, lora, records, asked, answers), np.float32)
    if found.shape != (len(records),):
        raise OptionError(f"{entry.name} gives confidences of shape {found.shape} for {len(records)} answers")
    return found.clip(0, 1)


def _sure(tokenizer: Any, records: Sequence[Question], graded: Graded) -> tuple[list[Instruction], TokenLoss]:
    learnt = [*records, *refusal_records(records, graded.correct.tolist())]
    return training_examples(tokenizer, learnt), token_loss("plain")


def _refusing(tokenizer: Any, records: Sequence[Question], graded: Graded) -> tuple[list[Instruction], TokenLoss]:
    learnt = refusal_records(records, graded.correct.tolist(), style="unknown")
    return training_examples(tokenizer, learnt), token_loss("plain")


def _judging(way: str) -> Callable[..., tuple[list[Instruction], TokenLoss]]:
    def examples(tokenizer: Any, records: Sequence[Question], graded: Graded) -> tuple[list[Instruction], TokenLoss]:
        learnt = verdict_records(records, graded.answers, graded.correct.tolist(), way=way)
        return training_examples(tokenizer, learnt), token_loss("plain")

    return examples


def _stating(tokenizer: Any, records: Sequence[Question], graded: Graded) -> tuple[list[Instruction], TokenLoss]:
    levels, correct = _level_tokens(tokenizer), graded.correct.tolist()
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


def _not_refused(
    model: "LanguageModel", lora: PyTree, records: Sequence[Question], asked: Encoded, answers: Sequence[str]
) -> np.ndarray:
    prompts, refusals = refusal_prompts(model.tokenizer, [one.prompt for one in records], asked.options)
    log_probs = forecast_answers(model, stack_adapters([lora]), prompts).log_probs
    return 1 - np.exp(log_probs[:, :refusals]).sum(1).clip(0, 1)


def _verdict(way: str) -> Callable[..., np.ndarray]:
    verdict = VERDICTS[way]

    def confidence(
        model: "LanguageModel", lora: PyTree, records: Sequence[Question], asked: Encoded, answers: Sequence[str]
    ) -> np.ndarray:
        texts = [verdict.asked(one.prompt, answer) for one, answer in zip(records, answers)]
        prompts = verdict_prompts(model.tokenizer, texts, verdict.words)
        probabilities = np.exp(forecast_answers(model, stack_adapters([lora]), prompts).log_probs)
        return probabilities @ np.array(verdict.values, np.float32)

    return confidence


def _way(name: str, title: str, examples: Callable[..., Any], confidence: Callable[..., Any], **about: Any) -> Entry:
    return Entry(name, title, {"examples": examples, "confidence": confidence}, about=about)


WAYS: Entries[Entry] = Entries(
    "way of teaching",
    "jaxuq.ways_of_teaching",
    {
        "sure": _way("sure", "R-Tuning: sure or unsure", _sure, _verdict("sure"), answers=True),
        "refuse": _way("refuse", "R-Tuning: refusals", _refusing, _not_refused, answers=True),
        "true": _way("true", "True or false (calibration tuning)", _judging("true"), _verdict("true")),
        "known": _way("known", "P(IK), before answering", _judging("known"), _verdict("known")),
        "stated": _way("stated", "Stated digit (ConfTuner)", _stating, _verdict("stated")),
        "head": Entry("head", "Linear head", {"head": head_confidence}),
    },
    role="confidence",
)
"""Ways by name. The functions of an entry hold `confidence(model, lora, records, asked, answers)`, and
`examples(tokenizer, records, graded)`, which gives what is tuned on before and its loss; without the second the model
is asked as it is. Or `head`, see `head_confidence`. `about` says `answers: True` if it teaches answers too, so that it
judges the tuned model's. Put yours in, or declare an entry point of the group."""
