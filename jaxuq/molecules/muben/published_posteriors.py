"""What the published MUBen code does otherwise than the methods' papers, for runs that follow it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from jaxuq.posterior import BBPState, SWAGState


def published_start(rng_key: Key[Array, ""], state: BBPState) -> BBPState:
    """Bayes by Backprop with its means drawn from U(-0.1, 0.1), not where the layer is.

    Args:
        rng_key: the one that the state was made with.
        state: of `bbp().init`.

    Returns:
        The state with other means.
    """
    leaves, structure = jax.tree.flatten(state.mean)
    keys = jax.random.split(jax.random.split(rng_key)[0], len(leaves))
    drawn = [jax.random.uniform(key, leaf.shape, leaf.dtype, -0.1, 0.1) for key, leaf in zip(keys, leaves)]
    return state._replace(mean=structure.unflatten(drawn))


def published_swag_samples(rng_key: Key[Array, ""], state: SWAGState, num_samples: int) -> PyTree:
    r"""SWAG samples whose low-rank noise is drawn anew for each array, which drops the covariance between arrays.

    The divisor is `rank - 1` however many columns there are.

    Args:
        rng_key: of the samples.
        state: of `swag`, without the start counted.
        num_samples: how many.

    Returns:
        Parameters with a leading sample axis.
    """
    leaves, structure = jax.tree.flatten(state.mean)
    rank = jax.tree.leaves(state.deviations)[0].shape[0]

    def one(number: Array) -> PyTree:
        diagonal_key, low_rank_key = jax.random.split(jax.random.fold_in(rng_key, number))
        drawn = []
        for mean, variance, columns, white, shared in zip(
            leaves,
            jax.tree.leaves(state.variance),
            jax.tree.leaves(state.deviations),
            jax.random.split(diagonal_key, len(leaves)),
            jax.random.split(low_rank_key, len(leaves)),
        ):
            diagonal = jnp.sqrt(0.5 * jnp.maximum(variance, 0.0)) * jax.random.normal(white, mean.shape, mean.dtype)
            coefficients = jax.random.normal(shared, (rank,)) / jnp.sqrt(2.0 * (rank - 1))
            low_rank = jnp.tensordot(coefficients.astype(mean.dtype), columns.astype(mean.dtype), axes=1)
            drawn.append((mean + diagonal + low_rank).astype(columns.dtype))
        return structure.unflatten(drawn)

    return jax.vmap(one)(jnp.arange(num_samples))
