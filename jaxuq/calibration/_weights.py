"""Weights of examples beside that of a new one, whatever their size."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def relative_weights(
    weights: Float[Array, "n *tasks"], others: Float[Array, "..."]
) -> tuple[Float[Array, "n *tasks"], Float[Array, "..."]]:
    """Both in units of the greatest of the first; if that is infinite, what is infinite counts 1, all else nothing.

    Sums of them are finite, and shares of sums are the limits of what large weights give.
    """
    largest = jnp.max(weights, axis=0, initial=0)
    endless, scale = largest == jnp.inf, jnp.where((largest > 0) & (largest < jnp.inf), largest, 1)

    def one(values: Array, endless: Array, scale: Array) -> Array:
        unit = 1 / jnp.sqrt(scale)  # twice: the reciprocal of a large number is rounded to 0
        return jnp.where(endless & ~jnp.isnan(values), (values == jnp.inf).astype(values.dtype), values * unit * unit)

    return one(weights, endless[None], scale[None]) if weights.ndim > 1 else one(weights, endless, scale), one(
        others, endless, scale
    )
