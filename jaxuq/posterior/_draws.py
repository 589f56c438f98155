"""Random numbers in the shape of a pytree, and keys that do not depend on how many samples are drawn."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jaxuq.posterior._model import Params


def sample_keys(rng_key: Key[Array, ""], num_samples: int) -> Key[Array, "samples"]:
    """One key per sample; key `i` is the same whatever `num_samples` is."""
    if num_samples < 1:
        raise ValueError(f"num_samples is {num_samples}; ask for at least one sample")
    return jax.vmap(functools.partial(jax.random.fold_in, rng_key))(jnp.arange(num_samples))


def normal_like(rng_key: Key[Array, ""], tree: Params) -> Params:
    """Independent standard normal numbers with the shapes and dtypes of the leaves of `tree`."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(rng_key, len(leaves))
    return structure.unflatten([jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves)])
