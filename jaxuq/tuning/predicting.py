"""Forecasts of answers from samples of the adapters, question by question in batches of one shape."""

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxuq._arguments import typed
from jaxuq.networks import Decoder
from jaxuq.parallel import RowBatch, divide_rows, in_order, on_every_device, on_host, pad_rows, plan_rows, row_parts
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


@typed()
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
    varying = samples.varying if isinstance(samples, Draws) else samples
    together = sample_chunk or jax.tree.leaves(varying)[0].shape[0]
    samples = on_every_device(samples, model.mesh)
    plans, parts = [], []
    for plan, batch in question_batches(prompts, batch_size, model.mesh):
        plans.append(plan)
        parts.append(on_host(_forecast(model.decoder, model.params, samples, batch, together)))
    return AnswerForecast(*(in_order(plans, part) for part in zip(*parts)))


@typed()
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
    samples = on_every_device(samples, model.mesh)
    plans, parts = [], []
    for plan, batch in question_batches(prompts, batch_size, model.mesh):
        plans.append(plan)
        parts.append(np.asarray(_each(model.decoder, model.params, samples, batch)).swapaxes(0, 1))
    return in_order(plans, parts).swapaxes(0, 1)


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


def question_batches(
    prompts: AnswerPrompts, batch_size: int, mesh: jax.sharding.Mesh | None = None
) -> Iterator[tuple[RowBatch, AnswerPrompts]]:
    """Questions of similar length together, in batches of few shapes, see `plan_rows`.

    Args:
        prompts: the questions.
        batch_size: rows of a batch; the last one repeats its last question to fill them.
        mesh: devices that the rows are divided over, of which a batch has a multiple of rows; None: one.

    Yields:
        Which questions, and the batch, whose further rows are to be left out.
    """
    lengths, tokens = np.asarray(prompts.lengths), np.asarray(prompts.tokens)
    for batch in plan_rows(lengths, max_rows=batch_size, full=True, devices=row_parts(mesh)):
        filled = np.pad(batch.rows, (0, batch.size - len(batch.rows)), mode="edge")
        texts, _ = pad_rows([tokens[row, : lengths[row]] for row in filled], batch)
        arrays = (texts, *(np.asarray(array)[filled] for array in prompts[1:]))
        yield batch, divide_rows(AnswerPrompts(*arrays), mesh)
