"""What all label models have in common: their three functions, what they return, and the counts they are fitted to."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from jaxuq._meshes import vary_like

Params = Any
Observations = Int[Array, "batch time function"]
Lengths = Int[Array, " batch"]


class LabelForecast(NamedTuple):
    """Labels that a label model puts together.

    Attributes:
        labels: `[batch, time]` label indices, -1 in padding.
        probabilities: `[batch, time, label]`, zero in padding.
    """

    labels: Int[Array, "batch time"]
    probabilities: Float[Array, "batch time label"]


class Fitted(NamedTuple):
    """What `fit` returns.

    Attributes:
        params: the fitted parameters.
        objective: `[steps]` what was maximised (log-likelihood plus log-prior, up to a constant) before each step.
    """

    params: Params
    objective: Float[Array, " steps"]


class LabelModel(NamedTuple):
    """The functions of every label model, on the arrays of `WeakLabels`.

    `init(rng_key, observations, lengths)` gives parameters, `fit(params, observations, lengths)` a `Fitted`, and
    `predict(params, observations, lengths)` a `LabelForecast`. None of them sees gold labels.
    """

    init: Callable[[Key[Array, ""], Observations, Lengths], Params]
    fit: Callable[[Params, Observations, Lengths], Fitted]
    predict: Callable[[Params, Observations, Lengths], LabelForecast]


def inside(observations: Observations, lengths: Lengths) -> Bool[Array, "batch time"]:
    """True where there is a token."""
    return jnp.arange(observations.shape[1], dtype=lengths.dtype)[None, :] < lengths[:, None]


def forecast(labels: Array, probabilities: Array, valid: Bool[Array, "batch time"]) -> LabelForecast:
    """Blank the padding; a token of which nothing is possible is `O`, since -1 would be the last label's name."""
    labels = jnp.where(valid, jnp.maximum(labels.astype(jnp.int32), 0), -1)
    return LabelForecast(labels, jnp.where(valid[..., None], probabilities, 0.0))


def vote_shares(observations: Observations, num_labels: int) -> Float[Array, "batch time label"]:
    """The share of each label among the functions that mark a token as anything but `O`; `O` where none does."""

    def add(total: Array, votes: Array) -> tuple[Array, None]:
        return total + jax.nn.one_hot(votes, num_labels, dtype=total.dtype), None

    votes = jnp.moveaxis(observations, 2, 0)
    counts, _ = jax.lax.scan(add, vary_like(jnp.zeros((*observations.shape[:2], num_labels)), votes), votes)
    entity = counts.at[..., 0].set(0.0)
    total = jnp.sum(entity, axis=-1, keepdims=True)
    only_outside = jax.nn.one_hot(jnp.zeros(observations.shape[:2], jnp.int32), num_labels, dtype=counts.dtype)
    return jnp.where(total > 0, entity / jnp.maximum(total, 1.0), only_outside)


def emission_counts(
    marginals: Float[Array, "batch time state"], observations: Observations, num_labels: int
) -> Float[Array, "function state label"]:
    """How often each function is expected to say each label in each state; one function at a time."""

    def count(votes: Array) -> Array:
        return jnp.einsum("bts,btl->sl", marginals, jax.nn.one_hot(votes, num_labels, dtype=marginals.dtype))

    return jax.lax.map(count, jnp.moveaxis(observations, 2, 0))


def shares(counts: Float[Array, "... label"]) -> Float[Array, "... label"]:
    """Counts divided by their sum along the last axis; even where there are none, of which nothing is known."""
    counts = jnp.where(jnp.sum(counts, axis=-1, keepdims=True) == 0, 1.0, counts)
    return counts / jnp.sum(counts, axis=-1, keepdims=True)


def log_normalise(counts: Float[Array, "... label"]) -> Float[Array, "... label"]:
    """Counts as log-probabilities along the last axis: minus infinity at a count of zero, even where all are zero."""
    counts = jnp.where(jnp.sum(counts, axis=-1, keepdims=True) == 0, 1.0, counts)
    return jnp.log(counts) - jnp.log(jnp.sum(counts, axis=-1, keepdims=True))


def log_prior(log_probabilities: Array, pseudo_counts: Array | float) -> Float[Array, ""]:
    """The logarithm of the Dirichlet density, up to a constant, whose mode adds `pseudo_counts` to the counts."""
    finite = log_probabilities > -jnp.inf
    return jnp.sum(pseudo_counts * jnp.where(finite, log_probabilities, 0.0))


def expectation_maximisation(
    e_step: Callable[[Params], tuple[Any, Array]], m_step: Callable[[Any], Params], params: Params, num_steps: int
) -> Fitted:
    """`num_steps` of EM in one compiled loop."""

    def step(params, _):
        counts, objective = e_step(params)
        return m_step(counts), objective

    return Fitted(*jax.lax.scan(step, params, length=num_steps))


def check_counts(num_labels: int, num_steps: int, pseudo_count: float) -> None:
    """Refuse what cannot be meant."""
    if num_labels < 1 or num_steps < 0 or pseudo_count < 0:
        raise ValueError(
            f"num_labels is {num_labels}, num_steps {num_steps} and pseudo_count {pseudo_count}; expected at least one "
            "label and neither of the others negative"
        )
