"""Damped Newton steps for convex losses of a few numbers, in `jit`: about ten suffice, the rest cost little."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxuq._meshes import vary_like

_STEPS = 50


def damped(
    step: Callable[[Array, Array], Array], loss: Callable[[Array], Array], start: Array, *varying: Array
) -> Array:
    """The numbers of least loss, by `step(numbers, damping)`; a step that raises the loss is taken back.

    `varying` are the arrays that the loss is of, for `shard_map`'s checks.
    """

    def improve(_: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        numbers, value, damping = carry
        trial = step(numbers, damping)
        trial_value = loss(trial)
        better = trial_value <= value + 4 * jnp.finfo(value.dtype).eps * jnp.abs(value)  # rounding decides nothing
        damping = jnp.clip(jnp.where(better, damping / 10, damping * 10), 1e-7, 1e7)
        return jnp.where(better, trial, numbers), jnp.where(better, trial_value, value), damping

    first = vary_like((start, loss(start), jnp.asarray(1e-3, start.dtype)), *varying)
    return jax.lax.fori_loop(0, _STEPS, improve, first)[0]


def solved(
    curvature: Float[Array, "size size"], gradient: Float[Array, " size"], damping: Float[Array, ""]
) -> Float[Array, " size"]:
    """The step of Newton's method, with the greatest diagonal of the curvature times `damping` added to it."""
    ridge = damping * jnp.maximum(jnp.max(jnp.diag(curvature)), jnp.finfo(curvature.dtype).tiny)
    return jnp.linalg.solve(curvature + ridge * jnp.eye(gradient.size, dtype=curvature.dtype), gradient)
