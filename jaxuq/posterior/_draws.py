"""Random numbers in the shape of a pytree, and keys that do not depend on how many samples are drawn."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jaxuq._arrays import widest
from jaxuq._options import check_count
from jaxuq.posterior._model import Params, Samples, is_number


def sample_keys(rng_key: Key[Array, ""], num_samples: int) -> Key[Array, "samples"]:
    """One key per sample; key `i` is the same whatever `num_samples` is."""
    check_count("num_samples", num_samples)
    return jax.vmap(functools.partial(jax.random.fold_in, rng_key))(jnp.arange(num_samples))


def draw_each(
    one: Callable[[Key[Array, ""], Any], Params], rng_key: Key[Array, ""], state: Any, num_samples: int
) -> Samples:
    """`one(key, state)` for each of the samples' keys, side by side; the state may come from the host."""
    return jax.vmap(one, in_axes=(0, None))(sample_keys(rng_key, num_samples), jax.tree.map(jnp.asarray, state))


def normal_like(rng_key: Key[Array, ""], tree: Params) -> Params:
    """Independent standard normal numbers with the shapes and dtypes of the floating leaves of a frozen tree.

    A leaf that is divided over a mesh gets its noise divided alike; the others stay as they are.
    """
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(rng_key, max(len(leaves), 1))
    return structure.unflatten([normal_as(key, leaf) if is_number(leaf) else leaf for key, leaf in zip(keys, leaves)])


def normal_as(rng_key: Key[Array, ""], leaf: Any) -> Any:
    """Standard normal numbers like one leaf, drawn in at least single precision and rounded to its type.

    Numbers drawn in bfloat16 have few values, none beyond 2.9, and a mean of -0.012.
    """
    sharding = jax.typeof(leaf).sharding
    explicit = any(part is not None for part in sharding.spec) and not sharding.mesh.are_all_axes_auto
    placement = {"out_sharding": sharding} if explicit else {}
    return jax.random.normal(rng_key, leaf.shape, widest(leaf), **placement).astype(leaf.dtype)
