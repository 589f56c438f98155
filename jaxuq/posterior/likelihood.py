r"""Likelihoods as values: how the outputs of a network are read as a distribution of the label.

A `Likelihood` is four functions. Those that come with jaxuq have names (`jaxuq.posterior.likelihoods`); wherever a name
is taken, a record of the user's own is taken too:

    laplace_noise = Likelihood(log_prob, moments, predictive, curvature)
    forecast = predict_forecast(apply_fn, samples, inputs, laplace_noise)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree, Shaped

from jaxuq._arrays import as_float, check_shapes
from jaxuq._errors import ArrayError


class Spread(NamedTuple):
    """Mean and variance over the samples of what `Moments.spread` holds of each.

    Attributes:
        mean: over samples.
        variance: over samples, divided by their number.
    """

    mean: PyTree
    variance: PyTree


class Moments(NamedTuple):
    """What a sample says about the label, by how it is averaged; each field a pytree of arrays, `()` for nothing.

    Attributes:
        average: averaged.
        spread: averaged, and its variance kept beside: `predictive` gets a `Spread`.
        log_average: logarithms of what is averaged, such as log probabilities; of the average again a logarithm.
    """

    average: Any = ()
    spread: Any = ()
    log_average: Any = ()


class Likelihood(NamedTuple):
    """How network outputs are read. Outputs are `[*batch, *event]` for labels `[*batch]`, tasks among the batch axes.

    Attributes:
        log_prob: `log_prob(outputs, labels) -> [*batch]`, nats; NaN for a label that cannot be.
        moments: `moments(outputs) -> Moments`, what one parameter sample says.
        predictive: `predictive(moments) -> forecast`, from the moments averaged over all samples.
        curvature: `curvature(outputs) -> [*batch, *event, roots]`, a square root $R$ of each label's Fisher information
            in its own outputs, $R R^\\top = \\mathbb{E}_y[\\nabla \\log p\\, \\nabla \\log p^\\top]$. One form serves
            all structures: products $J^\\top R (R^\\top J v)$, and the columns $J^\\top r_k$.
    """

    log_prob: Callable[[Array, Array], Array]
    moments: Callable[[Array], Moments]
    predictive: Callable[[Moments], Any]
    curvature: Callable[[Array], Array]


def total_log_prob(
    likelihood: Likelihood,
    outputs: Float[Array, "..."],
    labels: Shaped[Array, "*batch"],
    where: Any = None,
) -> Float[Array, ""]:
    """Sum of the log likelihood of all labels that `where` keeps; the outputs of the others may be anything finite."""
    check_shapes(labels=labels, where=where)
    if where is None:
        return jnp.sum(likelihood.log_prob(outputs, labels))
    labels = jnp.where(where, labels, jnp.zeros_like(labels))
    terms = likelihood.log_prob(outputs, labels)
    return jnp.sum(jnp.where(where, terms, jnp.zeros_like(terms)))


def checked_outputs(outputs: Array, width: int, meaning: str) -> Array:
    """The outputs in at least single precision; an ArrayError unless their last axis has `width` numbers."""
    if outputs.ndim == 0 or outputs.shape[-1] != width:
        raise ArrayError(
            f"outputs have shape {outputs.shape}; the last axis must hold {width} numbers a label: {meaning}"
        )
    return as_float(outputs)


def independent_roots(information: Array) -> Array:
    """Roots of independent outputs, `[..., k, k]` from their information `[..., k]`."""
    positive = information > 0
    root = jnp.where(positive, jnp.sqrt(jnp.where(positive, information, 1.0)), 0.0)
    return root[..., None] * jnp.eye(information.shape[-1], dtype=root.dtype).reshape(
        (1,) * (root.ndim - 1) + (information.shape[-1],) * 2
    )
