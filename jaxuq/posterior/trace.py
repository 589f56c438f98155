"""A trace of parameter sets with fixed capacity: what a chain has visited, or the members of an ensemble."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from jaxuq._options import check_count
from jaxuq.posterior._model import Params, Samples, aligned, is_number


class Trace(NamedTuple):
    """Parameters collected one after another; a ring buffer that keeps the last `capacity` of them.

    Attributes:
        samples: `[capacity, ...]` per leaf; NaN where nothing has been collected yet.
        count: how many have been collected in all, including those that were overwritten.
    """

    samples: Samples
    count: Int[Array, ""]


def start(params: Params, capacity: int) -> Trace:
    """An empty trace: `capacity` times the memory of the frozen parameters, filled with NaN."""

    def empty(leaf: Array) -> Array:
        room = jnp.broadcast_to(leaf[None], (capacity, *leaf.shape))
        return jnp.full_like(room, jnp.nan) if is_number(leaf) else room

    return Trace(jax.tree.map(empty, params), jnp.zeros((), jnp.int32))


def collect(trace: Trace, params: Params, due: Bool[Array, ""] | bool = True) -> Trace:
    """Store one parameter set if it is due; when the trace is full, the oldest one makes room."""
    leaves, structure = jax.tree.flatten(trace.samples)
    due = jnp.asarray(due)

    def store(buffer: Array, leaf: Array) -> Array:
        place = trace.count % buffer.shape[0]
        kept = jax.lax.dynamic_index_in_dim(buffer, place, keepdims=False)
        return jax.lax.dynamic_update_index_in_dim(buffer, jnp.where(due, leaf, kept), place, axis=0)

    stored = [store(buffer, leaf) for buffer, leaf in zip(leaves, aligned(trace.samples, params, stacked=True))]
    return Trace(structure.unflatten(stored), trace.count + due.astype(jnp.int32))


def draw(trace: Trace, num_samples: int) -> Samples:
    """Evenly spaced members of the trace, oldest first, the newest always among them.

    With fewer collected than asked for, members repeat, each as often as the others give or take one; with none
    collected, the samples are NaN.
    """
    check_count("num_samples", num_samples)
    capacity = jax.tree.leaves(trace.samples)[0].shape[0]
    stored = jnp.minimum(trace.count, capacity)
    age_order = ((jnp.arange(num_samples) + 1) * stored + num_samples - 1) // num_samples - 1
    places = (trace.count - stored + age_order) % capacity
    return jax.tree.map(lambda buffer: jnp.take(buffer, places, axis=0), trace.samples)
