r"""SWAG: a Gaussian through the weights that SGD visits, diagonal plus low rank.

$\theta \sim \mathcal{N}\left(\bar\theta,\; \frac12\left(\mathrm{diag}(\overline{\theta^2} - \bar\theta^2)
+ \frac{1}{K-1} \hat D \hat D^\top\right)\right)$ from snapshots $\theta_1, \dots, \theta_T$ of a run at a high learning
rate.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from jaxuq._options import check_count, check_number
from jaxuq.posterior._draws import draw_each, normal_like
from jaxuq.posterior._model import Params, Samples, aligned, freeze, freeze_numbers, is_number, map_numbers, thaw, wide
from jaxuq.posterior.method import Method
from jaxuq.posterior.optax_form import observing


class SWAGState(NamedTuple):
    """Running moments of the snapshots.

    Attributes:
        step: snapshots taken, $T$.
        mean: running mean $\\bar\\theta$ (float32 or wider).
        variance: running mean of squares minus squared mean, kept as one centred number: the difference of two large
            ones would be lost to rounding.
        deviations: `[rank, ...]` per leaf, the last `rank` columns of $\\hat D$, each $\\theta_t - \\bar\\theta_t$;
            zero where there have been fewer snapshots. In the dtype of the parameters.
    """

    step: Int[Array, ""]
    mean: Params
    variance: Params
    deviations: Samples


def swag(rank: int = 20, *, scale: float = 1.0, count_start: bool = False) -> Method:
    r"""Stochastic weight averaging, Gaussian.

    `update` takes a snapshot (Eq. A.7 of the dissertation, without its first term):

    $\bar\theta_t = \frac{(t-1)\bar\theta_{t-1} + \theta_t}{t}$, $\overline{\theta^2}_t$ alike, and
    $\hat D_{:,t} = \theta_t - \bar\theta_t$, the deviation from the mean that already holds $\theta_t$. The weights
    given to `init` are where the run starts and count for nothing, so each snapshot is counted once.

    `sample` draws (Eq. A.8)

    $\bar\theta + \sqrt{\tfrac12}\,\sqrt{\overline{\theta^2} - \bar\theta^2} \odot \epsilon_1
    + \sqrt{\tfrac{1}{2(K-1)}}\, \hat D \epsilon_2$, $\epsilon_2 \in \mathbb{R}^K$ the same for all parameters.

    $K$ is the number of columns in use, `min(snapshots, rank)`. Eq. A.8 writes $1/(T-1)$ for it, since there every
    snapshot keeps its column ($T = K = 20$); with more snapshots than `rank` the sum has only `rank` columns, and the
    divisor is `rank - 1` as in the method's paper. Before the second snapshot there is no spread, and before the first
    the samples equal the weights given to `init`.

    Use it after training, with one snapshot per epoch at a constant learning rate (half of the training rate, 20
    epochs). The spread is that of the SGD path: it grows with the learning rate and is no posterior variance by itself.
    Batch normalisation statistics belong to no average and must be computed anew for each sample.

    Args:
        rank: most columns kept, at least 2; the state is `rank + 2` times the parameters.
        scale: factor on the covariance; 0 gives the mean (SWA).
        count_start: count the weights given to `init` as one more term of the moments, $t\bar\theta_{t-1} + \theta_t$
            over $t + 1$, as Eq. A.7 does; they have no column.

    Returns:
        A `Method` that observes snapshots, with an optax form. Samples have the dtype of the parameters.

    Raises:
        OptionError: when `rank` or `scale` is out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> method = swag(rank=20)
        >>> state = method.init(jax.random.key(0), {"bias": jnp.zeros(2)})
        >>> for value in (1.0, 2.0):
        ...     state = method.update(jax.random.key(1), state, {"bias": jnp.full(2, value)})
        >>> state.mean["bias"], state.deviations["bias"][:2, 0]
        (Array([1.5, 1.5], dtype=float32), Array([0. , 0.5], dtype=float32))
        >>> method.sample(jax.random.key(2), state, 30)["bias"].shape
        (30, 2)

    References:
        Maddox, Garipov, Izmailov, Vetrov, Wilson. A simple baseline for Bayesian uncertainty in deep learning.
        NeurIPS 2019, algorithm 1 and Eq. 1.
        Welford. Note on a method for calculating corrected sums of squares and products. Technometrics 1962.
    """
    check_count("rank", rank, 2)
    check_number("scale", scale, 0.0)

    def init(rng_key: Key[Array, ""], params: Params) -> SWAGState:
        del rng_key
        params = freeze_numbers(params)
        mean = jax.tree.map(wide, params)
        columns = map_numbers(lambda leaf: jnp.zeros_like(jnp.broadcast_to(leaf[None], (rank, *leaf.shape))), params)
        return SWAGState(jnp.zeros((), jnp.int32), mean, map_numbers(jnp.zeros_like, mean), columns)

    def update(rng_key: Key[Array, ""], state: SWAGState, params: Params) -> SWAGState:
        del rng_key
        count = state.step + int(count_start)
        snapshot = aligned(state.mean, freeze(params))
        columns, structure = jax.tree.flatten(state.deviations)
        after = []
        for mean, variance, stored, leaf in zip(
            jax.tree.leaves(state.mean), jax.tree.leaves(state.variance), columns, snapshot
        ):
            if not is_number(mean):
                after.append((leaf, leaf, leaf))
                continue
            n = count.astype(mean.dtype)
            exact = leaf.astype(mean.dtype)
            before = exact - mean
            mean = mean + before / (n + 1)
            variance = (n * variance + before * (exact - mean)) / (n + 1)
            column = (exact - mean).astype(stored.dtype)
            stored = jax.lax.dynamic_update_index_in_dim(stored, column, state.step % rank, axis=0)
            after.append((mean, variance, stored))
        mean, variance, deviations = (structure.unflatten(column) for column in zip(*after))
        return SWAGState(state.step + 1, mean, variance, deviations)

    def sample(rng_key: Key[Array, ""], state: SWAGState, num_samples: int) -> Samples:
        def one(key: Key[Array, ""], state: SWAGState) -> Params:
            columns = jnp.minimum(state.step, rank)
            divisor = 2 * jnp.maximum(columns - 1, 1).astype(jnp.float32)
            weight = jnp.where(columns > 1, jnp.sqrt(scale / divisor), 0.0)
            diagonal_key, low_rank_key = jax.random.split(key)
            normals = normal_like(diagonal_key, state.mean)
            coefficients = weight * jax.random.normal(low_rank_key, (rank,))
            return map_numbers(
                lambda mean, variance, columns, white: _combined(mean, variance, columns, white, coefficients, scale),
                state.mean,
                state.variance,
                state.deviations,
                normals,
            )

        return thaw(draw_each(one, rng_key, state, num_samples))

    return Method(init, update, sample, "snapshots", observing(init, update))


def _combined(mean: Array, variance: Array, columns: Array, normals: Array, coefficients: Array, scale: float) -> Array:
    """One array of a draw: mean, diagonal noise, and the columns weighted by their coefficients."""
    low_rank = jnp.tensordot(coefficients.astype(mean.dtype), columns.astype(mean.dtype), axes=1)
    diagonal = jnp.sqrt(scale / 2 * jnp.maximum(variance, 0.0)) * normals
    return (mean + diagonal + low_rank).astype(columns.dtype)
