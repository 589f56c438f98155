"""Forecasts of answers from samples of the adapters, question by question in batches of one shape."""

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxuq.networks import Decoder
from jaxuq.posterior import Draws, predict, predict_forecast, summarise
from jaxuq.tuning.answers import bind_answers
from jaxuq.tuning.prompts import AnswerPrompts

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


class AnswerForecast(NamedTuple):
    """Distributions over the answers to choose from, and the two parts of their entropy, nats.

    Attributes:
        log_probs: of the averaged distribution.
        aleatoric: mean entropy of the samples' distributions.
        epistemic: mutual information of answer and adapters.
    """

    log_probs: Float[np.ndarray, "questions options"]
    aleatoric: Float[np.ndarray, " questions"]
    epistemic: Float[np.ndarray, " questions"]


@functools.partial(jax.jit, static_argnames=("decoder", "sample_chunk"))
def _forecast(decoder: Decoder, params: PyTree, samples: PyTree, prompts: AnswerPrompts, sample_chunk: int) -> Any:
    return predict_forecast(bind_answers(decoder, params), samples, prompts, "categorical", sample_chunk=sample_chunk)


@functools.partial(jax.jit, static_argnames="decoder")
def _each(decoder: Decoder, params: PyTree, samples: PyTree, prompts: AnswerPrompts) -> Array:
    return jax.nn.log_softmax(predict(bind_answers(decoder, params), samples, prompts))


def forecast_answers(
    model: "LanguageModel",
    samples: PyTree,
    prompts: AnswerPrompts,
    *,
    batch_size: int = 16,
    sample_chunk: int | None = None,
) -> AnswerForecast:
    """The averaged distribution over answers under samples of the adapters, with epistemic and aleatoric part.

    Samples share the base parameters and run side by side; questions run in batches of one shape.

    Args:
        model: its decoder has the adapters' configuration; its own adapters are not read.
        samples: adapters with a leading sample axis, or `jaxuq.posterior.Draws`, which say how they are read.
        prompts: the questions.
        batch_size: questions that run together.
        sample_chunk: samples that run together; None: all.

    Returns:
        `AnswerForecast`, on the host. On the device: activations of `batch_size * sample_chunk` prompts, and their
        logits at one token each.
    """
    numbers, parts = [], []
    varying = samples.varying if isinstance(samples, Draws) else samples
    together = sample_chunk or jax.tree.leaves(varying)[0].shape[0]
    for rows, batch in question_batches(prompts, batch_size):
        found = _forecast(model.decoder, model.params, samples, batch, together)
        numbers.append(rows)
        parts.append([np.asarray(part)[: len(rows)] for part in found])
    order = np.argsort(np.concatenate(numbers))
    return AnswerForecast(*(np.concatenate(part)[order] for part in zip(*parts)))


def sample_answers(
    model: "LanguageModel", samples: PyTree, prompts: AnswerPrompts, *, batch_size: int = 16
) -> Float[np.ndarray, "samples questions options"]:
    """The distribution over answers of every sample on its own, for what needs their disagreement (`batch_bald`).

    Args:
        model: see `forecast_answers`, which averages the samples away.
        samples: adapters with a leading sample axis, or `jaxuq.posterior.Draws`, which say how they are read.
        prompts: the questions.
        batch_size: questions that run together.

    Returns:
        Log-probabilities, on the host; `average_answers` makes them a forecast.
    """
    numbers, parts = [], []
    for rows, batch in question_batches(prompts, batch_size):
        found = _each(model.decoder, model.params, samples, batch)
        numbers.append(rows)
        parts.append(np.asarray(found)[:, : len(rows)])
    return np.concatenate(parts, axis=1)[:, np.argsort(np.concatenate(numbers))]


def average_answers(log_probs: Float[Array | np.ndarray, "samples questions options"]) -> AnswerForecast:
    """The forecast of samples that are there already.

    Args:
        log_probs: from `sample_answers`.

    Returns:
        `AnswerForecast`.

    Example:
        >>> import numpy as np
        >>> forecast = average_answers(np.log(np.array([[[0.9, 0.1]], [[0.2, 0.8]]], np.float32)))
        >>> [f"{p:.2f}" for p in np.exp(forecast.log_probs[0])], f"{forecast.epistemic[0]:.4f}"
        (['0.55', '0.45'], '0.2754')
    """
    return AnswerForecast(*map(np.asarray, _summary(jnp.asarray(log_probs))))


@jax.jit
def _summary(log_probs: Array) -> Any:
    return tuple(summarise(log_probs, "categorical"))


def question_batches(prompts: AnswerPrompts, batch_size: int) -> Iterator[tuple[np.ndarray, AnswerPrompts]]:
    """Questions of similar length together, in batches of few shapes: lengths are multiples of eight.

    Args:
        prompts: the questions.
        batch_size: rows of a batch; the last one repeats its last question to fill them.

    Yields:
        Numbers of the questions, and the batch, whose further rows are to be left out.
    """
    lengths = np.asarray(prompts.lengths)
    order = np.argsort(lengths, kind="stable")
    tokens = np.pad(np.asarray(prompts.tokens), ((0, 0), (0, -prompts.tokens.shape[1] % 8)))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        filled = np.concatenate([rows, np.full(batch_size - len(rows), rows[-1])])
        longest = -(-int(lengths[rows].max()) // 8) * 8
        arrays = (tokens[filled, :longest], *(np.asarray(array)[filled] for array in prompts[1:]))
        yield rows, AnswerPrompts(*(jnp.asarray(array) for array in arrays))
