"""How network outputs are read: as a Gaussian, as independent coins, or as one choice among classes.

Written once for summaries (`moments.py`), the Laplace approximation and exact sampling.
"""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

Likelihood = Literal["gaussian", "bernoulli", "categorical"]
VARIANCE_FLOOR = 1e-6


def check_likelihood(likelihood: str) -> None:
    """Raise when the name is not one of the three."""
    if likelihood not in get_args(Likelihood):
        raise ValueError(f"likelihood is {likelihood!r}; expected one of {', '.join(get_args(Likelihood))}")


def gaussian_moments(outputs: Float[Array, "*batch 2"]) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """Mean and variance of a Gaussian head: `mean, softplus(raw) + 1e-6`."""
    return outputs[..., 0], jax.nn.softplus(outputs[..., 1]) + VARIANCE_FLOOR


def head_moments(
    outputs: Float[Array, "batch outputs"], noise_scale: float | None
) -> tuple[Float[Array, "batch tasks"], Float[Array, "batch tasks"]]:
    """Mean and variance from the flat outputs of a Gaussian layer, whose noise is an output or a known constant."""
    if noise_scale is None:
        return gaussian_moments(outputs.reshape(outputs.shape[0], -1, 2))
    return outputs, jnp.full_like(outputs, noise_scale**2)


def log_likelihood(
    outputs: Float[Array, "batch outputs"],
    labels: Shaped[Array, "batch *tasks"],
    likelihood: Likelihood,
    noise_scale: float | None,
    where: Bool[Array, "batch *tasks"] | None,
) -> Float[Array, ""]:
    """Sum of the log likelihood of all unmasked labels under flat network outputs."""
    where = jnp.ones(labels.shape, bool) if where is None else where
    labels = jnp.where(where, labels, jnp.zeros_like(labels))
    if likelihood == "gaussian":
        mean, variance = head_moments(outputs, noise_scale)
        terms = jax.scipy.stats.norm.logpdf(labels.astype(outputs.dtype), mean, jnp.sqrt(variance))
    elif likelihood == "bernoulli":
        labels = labels.astype(outputs.dtype)
        terms = labels * jax.nn.log_sigmoid(outputs) + (1 - labels) * jax.nn.log_sigmoid(-outputs)
    else:
        log_probabilities = jax.nn.log_softmax(outputs)
        terms = jnp.take_along_axis(log_probabilities, labels[:, None].astype(jnp.int32), axis=1)[:, 0]
    return jnp.sum(jnp.where(where, terms, jnp.zeros_like(terms)))


def output_curvature(
    outputs: Float[Array, "batch outputs"], likelihood: Likelihood, noise_scale: float | None
) -> Float[Array, "batch outputs *outputs"]:
    r"""Fisher information of each example's outputs: `[batch, outputs]` where it is diagonal, else a matrix each.

    Gaussian: $1/\sigma^2$ for the mean and $(\partial\sigma^2/\partial s)^2 / (2\sigma^4)$ for the raw variance $s$;
    Bernoulli: $p(1-p)$; categorical: $\mathrm{diag}(p) - pp^\top$.
    """
    if likelihood == "gaussian":
        _, variance = head_moments(outputs, noise_scale)
        if noise_scale is not None:
            return 1 / variance
        slope = jax.nn.sigmoid(outputs.reshape(outputs.shape[0], -1, 2)[..., 1])
        return jnp.stack([1 / variance, slope**2 / (2 * variance**2)], axis=-1).reshape(outputs.shape)
    if likelihood == "bernoulli":
        return jax.nn.sigmoid(outputs) * jax.nn.sigmoid(-outputs)
    probabilities = jax.nn.softmax(outputs)
    diagonal = jax.vmap(jnp.diag)(probabilities)
    return diagonal - probabilities[:, :, None] * probabilities[:, None, :]
