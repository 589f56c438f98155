"""Sorting with a mask, and groups of equal values: what makes rank metrics exact and independent of the input order."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from jaxuq._arrays import as_float, select
from jaxuq._meshes import whole


class Sorted(NamedTuple):
    """Entries in ascending order of their keys, the masked ones last.

    Attributes:
        keys: the sorted keys.
        values: what was sorted along with them.
        valid: True for the first `count` positions.
        first: position of the first member of each entry's group of equal keys.
        last: position of the last member of that group.
    """

    keys: Float[Array, " n"]
    values: tuple[Shaped[Array, " n"], ...]
    valid: Bool[Array, " n"]
    first: Int[Array, " n"]
    last: Int[Array, " n"]


def sort_with_ties(keys: Float[Array, " n"], valid: Bool[Array, " n"], *values: Shaped[Array, " n"]) -> Sorted:
    """Sort by key, masked entries last, and find the groups of equal keys. O(n log n) time, O(n) memory.

    Only the keys are sorted and the values are fetched, so that under `vmap` many values share one sort of their keys.
    """
    n = keys.shape[0]
    position = jnp.arange(n, dtype=jnp.int32)
    masked, keys, order = jax.lax.sort((whole(~valid), whole(select(keys, valid)), position), num_keys=2)
    others = [whole(array)[order] for array in values]
    changes = (keys[1:] != keys[:-1]) | (masked[1:] != masked[:-1])
    edge = jnp.ones((min(n, 1),), bool)
    first = jax.lax.cummax(jnp.where(jnp.concatenate([edge, changes]), position, 0))
    last = jax.lax.cummin(jnp.where(jnp.concatenate([changes, edge]), position, n - 1), reverse=True)
    return Sorted(keys, tuple(others), ~masked, first, last)


def orderable(
    keys: Shaped[Array, " n"], where: Bool[Array, " n"] | None
) -> tuple[Float[Array, " n"], Bool[Array, " n"]]:
    """Keys as they are, and which have a place in an order, whatever they weigh: all resamples share that order.

    An entry of weight 0 in the middle of it changes no sum; a NaN that weighs something is for the caller to notice.
    """
    keys = as_float(keys)
    return keys, select(~jnp.isnan(keys), where, False)


def group_means(values: Float[Array, " n"], groups: Sorted, factors: Float[Array, " n"]) -> Float[Array, " n"]:
    """Replace each sorted value by the weighted mean over its tie group: its expectation under a random order."""

    def total(array):
        return jax.ops.segment_sum(array, groups.first, num_segments=values.shape[0])[groups.first]

    sizes = total(factors)
    return total(factors * values) / jnp.where(sizes == 0, 1.0, sizes)


def middle_ranks(values: Float[Array, " n"], factors: Float[Array, " n"]) -> Float[Array, " n"]:
    """The weight below each entry plus half of that of its ties, ascending; 0 where the factor is 0."""
    position = jnp.arange(values.shape[0], dtype=jnp.int32)
    groups = sort_with_ties(values, factors != 0, position, factors)
    order, sorted_factors = groups.values
    below = jnp.concatenate([jnp.zeros((1,), factors.dtype), jnp.cumsum(sorted_factors)])
    ranks = 0.5 * (below[groups.first] + below[groups.last + 1])
    return select(jnp.zeros_like(values).at[order].set(ranks), factors != 0)
