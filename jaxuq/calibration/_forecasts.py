"""Array work that several calibrators share: masks, types, new logits in a forecast, interpolation per task."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from jaxuq.posterior import BernoulliForecast, CategoricalForecast

_Classification = TypeVar("_Classification", BernoulliForecast, CategoricalForecast)


def expect(forecast: Any, kinds: tuple[type, ...], method: str, instead: str) -> None:
    """Raise a TypeError that names the method, what it got, what it takes and what to use instead."""
    if not isinstance(forecast, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{method} takes a {names}, got {type(forecast).__name__}; use {instead}")


def filled(
    where: Bool[Array, "*batch"] | None, array: Shaped[Array, "..."], value: float | int
) -> Shaped[Array, "..."]:
    """Replace what `where` leaves out by a harmless value; the axes of `where` are the leading ones of `array`."""
    if where is None:
        return array
    return jnp.where(
        where.reshape(where.shape + (1,) * (array.ndim - where.ndim)), array, jnp.asarray(value, array.dtype)
    )


def known(where: Bool[Array, "*batch"] | None, shape: tuple[int, ...]) -> Bool[Array, "*batch"]:
    """The mask itself, or all True."""
    return jnp.ones(shape, bool) if where is None else where


def with_logits(forecast: _Classification, logits: Float[Array, "..."]) -> _Classification:
    """The forecast with new logits; the entropy of the new probabilities is split in the proportion of the old parts.

    The samples behind the two parts are gone, so their own recalibrated entropies cannot be computed. Keeping the
    proportion keeps both parts >= 0, keeps their sum the entropy of the probabilities, and a certain forecast (total 0)
    counts as wholly aleatoric.
    """
    if isinstance(forecast, CategoricalForecast):
        logits = jax.nn.log_softmax(logits, axis=-1)
        entropy = -jnp.sum(jnp.exp(logits) * logits, axis=-1)
    else:
        entropy = -jax.nn.sigmoid(logits) * jax.nn.log_sigmoid(logits)
        entropy = entropy - jax.nn.sigmoid(-logits) * jax.nn.log_sigmoid(-logits)
    uncertain = forecast.total > 0
    share = jnp.where(uncertain, forecast.epistemic / jnp.where(uncertain, forecast.total, 1), 0)
    return forecast._replace(logits=logits, aleatoric=entropy * (1 - share), epistemic=entropy * share)


def interpolate_per_task(
    values: Float[Array, "n *tasks"],
    knots: Float[Array, "knots *tasks"],
    heights: Float[Array, "knots *tasks"],
    left: float | None = None,
) -> Float[Array, "n *tasks"]:
    """`jnp.interp` along axis 0, each task with its own knots."""

    def one(column, x, y):
        return jnp.interp(column, x, y, left=left)

    flat = (array.reshape(array.shape[0], -1) for array in (values, knots, heights))
    return jax.vmap(one, in_axes=1, out_axes=1)(*flat).reshape(values.shape)
