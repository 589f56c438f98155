"""The one way in which every loss leaves entries out: fill them before the formula, drop them after it."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped


def filled(
    where: Bool[Array, "*batch"] | None, array: Shaped[Array, "..."], value: float | int
) -> Shaped[Array, "..."]:
    """Replace the entries that `where` leaves out by a harmless `value`, so that no NaN enters the formula.

    The axes of `where` are the leading axes of `array`. Filling before the formula and dropping after it is what keeps
    the gradient finite: `0 * NaN` would be NaN.
    """
    if where is None:
        return array
    mask = where.reshape(where.shape + (1,) * (array.ndim - where.ndim))
    return jnp.where(mask, array, jnp.asarray(value, array.dtype))


def masked_mean(losses: Float[Array, "*batch"], where: Bool[Array, "*batch"] | None) -> Float[Array, ""]:
    """Mean of the entries that `where` keeps; 0, with gradient 0, where it keeps none."""
    if where is None:
        return jnp.sum(losses) / max(losses.size, 1)
    kept = jnp.maximum(jnp.sum(where, dtype=losses.dtype), 1)
    return jnp.sum(jnp.where(where, losses, 0)) / kept
