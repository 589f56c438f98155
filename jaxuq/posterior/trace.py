"""What stochastic-gradient samplers share: a trace of fixed capacity, and the shape of the method."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from jaxuq.posterior._model import ApplyFn, Params, Samples, bind_parameters

StepSize = float | Float[Array, ""] | optax.Schedule


class Trace(NamedTuple):
    """Parameters collected along a chain; a ring buffer that keeps the last `capacity` of them.

    Attributes:
        samples: `[capacity, ...]` per leaf; NaN where nothing has been collected yet.
        count: how many have been collected in all, including those that were overwritten.
    """

    samples: Samples
    count: Int[Array, ""]


class StochasticGradientMCMC(NamedTuple):
    """The functions of `sgld`, `psgld` and `sghmc`.

    Attributes:
        init: `init(rng_key, params) -> state`.
        update: `update(gradients, state, params) -> (updates, state)`, the call of an optax transformation.
        start: `start(params) -> trace`, empty, with room for `capacity` parameter sets.
        collect: `collect(trace, params) -> trace`; call it once every so many steps, after burn-in.
        sample: `sample(rng_key, trace, num_samples) -> samples`; see `draw`. The key is not used.
        bind: `bind(apply_fn, trace)` is `apply_fn`.
    """

    init: Callable[[Key[Array, ""], Params], Any]
    update: Callable[..., tuple[Params, Any]]
    start: Callable[[Params], Trace]
    collect: Callable[[Trace, Params], Trace]
    sample: Callable[[Key[Array, ""], Trace, int], Samples]
    bind: Callable[[ApplyFn, Trace], ApplyFn]

    def as_optax(self, rng_key: Key[Array, ""]) -> optax.GradientTransformation:
        """The sampler as an optax transformation whose `init` already has its key.

        It takes the place of the whole optimiser of the parameters that it samples:
        `optax.multi_transform({"last": method.as_optax(rng_key), "rest": optax.adamw(1e-4)}, labels)`. Anything chained
        after it would scale its noise as well.
        """
        return optax.GradientTransformation(lambda params: self.init(rng_key, params), self.update)


def build(
    init: Callable[[Key[Array, ""], Params], Any], update: Callable[..., tuple[Params, Any]], capacity: int
) -> StochasticGradientMCMC:
    """Add the trace to the two functions that differ between samplers."""
    if capacity < 1:
        raise ValueError(f"capacity is {capacity}; the trace must have room for at least one sample")
    return StochasticGradientMCMC(
        init, update, functools.partial(start, capacity=capacity), collect, draw, bind_parameters
    )


def start(params: Params, *, capacity: int) -> Trace:
    """An empty trace: `capacity` times the memory of the parameters, filled with NaN."""
    samples = jax.tree.map(lambda leaf: jnp.full((capacity, *leaf.shape), jnp.nan, leaf.dtype), params)
    return Trace(samples, jnp.zeros((), jnp.int32))


def collect(trace: Trace, params: Params) -> Trace:
    """Store one parameter set; when the trace is full, the oldest one makes room."""

    def store(buffer: Float[Array, "capacity ..."], leaf: Float[Array, "..."]) -> Float[Array, "capacity ..."]:
        return jax.lax.dynamic_update_index_in_dim(buffer, leaf, trace.count % buffer.shape[0], axis=0)

    return Trace(jax.tree.map(store, trace.samples, params), trace.count + 1)


def draw(rng_key: Key[Array, ""], trace: Trace, num_samples: int) -> Samples:
    """Evenly spaced members of the trace, oldest first, the newest always among them.

    With fewer collected than asked for, members repeat; with none collected, the samples are NaN.

    Args:
        rng_key: not used; there so that every method is sampled by the same call.
        trace: what `collect` returned.
        num_samples: how many, at most the capacity of the trace.

    Returns:
        Parameters with a leading axis of `num_samples`.

    Raises:
        ValueError: when `num_samples` exceeds the capacity.
    """
    del rng_key
    capacity = jax.tree.leaves(trace.samples)[0].shape[0]
    if not 1 <= num_samples <= capacity:
        raise ValueError(f"num_samples is {num_samples}, but the trace holds at most {capacity}; raise `capacity`")
    stored = jnp.minimum(trace.count, capacity)
    age_order = ((jnp.arange(num_samples) + 1) * stored + num_samples - 1) // num_samples - 1
    places = (trace.count - stored + age_order) % capacity
    return jax.tree.map(lambda buffer: jnp.take(buffer, places, axis=0), trace.samples)


def step_size_at(step_size: StepSize, step: Int[Array, ""]) -> Float[Array, ""]:
    """The step size of this step, from a number or a schedule."""
    if not callable(step_size):
        return jnp.asarray(step_size, jnp.float32)
    with jax.numpy_dtype_promotion("standard"):  # schedules mix integer steps with floats
        return jnp.asarray(step_size(step), jnp.float32)


def add_prior(gradients: Params, params: Params | None, prior_scale: float | None) -> Params:
    """Add the gradient `params / prior_scale**2` of a Gaussian prior's negative log density."""
    if prior_scale is None:
        return gradients
    if params is None:
        raise ValueError("prior_scale needs the parameters; call update(gradients, state, params)")
    return jax.tree.map(lambda gradient, leaf: gradient + leaf / prior_scale**2, gradients, params)
