r"""SWAG: a Gaussian through the weights that SGD visits, diagonal plus low rank.

$\theta \sim \mathcal{N}\left(\bar\theta,\; \frac12\left(\mathrm{diag}(\overline{\theta^2} - \bar\theta^2)
+ \frac{1}{K-1} \hat D \hat D^\top\right)\right)$ from snapshots $\theta_1, \dots, \theta_T$ of a run at a high learning
rate.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from jaxuq.posterior._draws import normal_like, sample_keys
from jaxuq.posterior._model import ApplyFn, Params, Samples, at_least_float32, bind_parameters

Convention = Literal["paper", "muben"]


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


class SWAG(NamedTuple):
    """The functions of `swag`.

    `init(params)`, `update(state, params)`, `sample(rng_key, state, num_samples)`, `bind(apply_fn, state)`.
    """

    init: Callable[[Params], SWAGState]
    update: Callable[[SWAGState, Params], SWAGState]
    sample: Callable[[Key[Array, ""], SWAGState, int], Samples]
    bind: Callable[[ApplyFn, SWAGState], ApplyFn]


def swag(rank: int = 20, *, scale: float = 1.0, convention: Convention = "paper") -> SWAG:
    r"""Stochastic weight averaging, Gaussian.

    `update` takes a snapshot (Eq. A.7 of the dissertation):

    $\bar\theta_t = \frac{t\bar\theta_{t-1} + \theta_t}{t+1}$, $\overline{\theta^2}_t$ alike, and
    $\hat D_{:,t} = \theta_t - \bar\theta_t$, the deviation from the mean that already holds $\theta_t$.

    `sample` draws (Eq. A.8)

    $\bar\theta + \sqrt{\tfrac12}\,\sqrt{\overline{\theta^2} - \bar\theta^2} \odot \epsilon_1
    + \sqrt{\tfrac{1}{2(K-1)}}\, \hat D \epsilon_2$, $\epsilon_2 \in \mathbb{R}^K$ the same for all parameters.

    $K$ is the number of columns in use, `min(snapshots, rank)`. Eq. A.8 writes $1/(T-1)$ for it, since there every
    snapshot keeps its column ($T = K = 20$); with more snapshots than `rank` the sum has only `rank` columns, and the
    divisor is `rank - 1` as in the method's paper. Before the second snapshot the low-rank part is zero (its divisor
    would be), and before the first the samples equal the weights given to `init`.

    Use it after training, with one snapshot per epoch at a constant learning rate (half of the training rate, 20
    epochs). The spread is that of the SGD path: it grows with the learning rate and is no posterior variance by itself.
    Batch normalisation statistics belong to no average and must be computed anew for each sample.

    Args:
        rank: most columns kept, at least 2; the state is `rank + 2` times the parameters.
        scale: factor on the covariance; 0 gives the mean (SWA).
        convention: `"paper"`, or `"muben"` for what the published MUBen code does: the mean starts at the first
            snapshot rather than at the weights given to `init` (whose column is then zero), the divisor is `rank - 1`
            however many columns there are, and $\epsilon_2$ is drawn anew for each parameter array, which drops the
            covariance between arrays.

    Returns:
        `SWAG(init, update, sample, bind)`. Samples have the dtype of the parameters.

    Raises:
        ValueError: when `rank` or `scale` is out of range or the convention unknown.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> method = swag(rank=20)
        >>> state = method.init({"bias": jnp.zeros(2)})
        >>> for value in (1.0, 2.0):
        ...     state = method.update(state, {"bias": jnp.full(2, value)})
        >>> state.mean["bias"], state.deviations["bias"][:2, 0]
        (Array([1., 1.], dtype=float32), Array([0.5, 1. ], dtype=float32))
        >>> method.sample(jax.random.key(0), state, 30)["bias"].shape
        (30, 2)

    References:
        Maddox, Garipov, Izmailov, Vetrov, Wilson. A simple baseline for Bayesian uncertainty in deep learning.
        NeurIPS 2019, algorithm 1 and Eq. 1.
        Welford. Note on a method for calculating corrected sums of squares and products. Technometrics 1962.
    """
    if rank < 2 or scale < 0:
        raise ValueError(f"rank is {rank} and scale {scale}; expected a rank of at least 2 and a scale of at least 0")
    if convention not in get_args(Convention):
        raise ValueError(f"convention is {convention!r}; expected one of {', '.join(get_args(Convention))}")
    counts_start = 1 if convention == "paper" else 0

    def init(params: Params) -> SWAGState:
        mean = jax.tree.map(at_least_float32, params)
        deviations = jax.tree.map(lambda leaf: jnp.zeros((rank, *leaf.shape), leaf.dtype), params)
        return SWAGState(jnp.zeros((), jnp.int32), mean, jax.tree.map(jnp.zeros_like, mean), deviations)

    def update(state: SWAGState, params: Params) -> SWAGState:
        count = state.step + counts_start

        def moments(mean, variance, leaf):
            n = count.astype(mean.dtype)
            before = leaf.astype(mean.dtype) - mean
            mean = mean + before / (n + 1)
            return mean, (n * variance + before * (leaf.astype(mean.dtype) - mean)) / (n + 1)

        both = jax.tree.map(moments, state.mean, state.variance, params)
        mean, variance = jax.tree.transpose(jax.tree.structure(params), jax.tree.structure((0, 0)), both)

        def store(columns, leaf, mean):
            column = (leaf.astype(mean.dtype) - mean).astype(columns.dtype)
            return jax.lax.dynamic_update_index_in_dim(columns, column, state.step % rank, axis=0)

        return SWAGState(state.step + 1, mean, variance, jax.tree.map(store, state.deviations, params, mean))

    def sample(rng_key: Key[Array, ""], state: SWAGState, num_samples: int) -> Samples:
        columns = jnp.minimum(state.step, rank) if convention == "paper" else jnp.full_like(state.step, rank)
        divisor = 2 * jnp.maximum(columns - 1, 1).astype(jnp.float32)
        weight = jnp.where(columns > 1, jnp.sqrt(scale / divisor), 0.0)

        def one(key: Key[Array, ""]) -> Params:
            diagonal_key, low_rank_key = jax.random.split(key)
            shared = jax.random.normal(low_rank_key, (rank,))
            leaves, structure = jax.tree.flatten(state.deviations)
            if convention == "paper":
                coefficients = structure.unflatten([shared] * len(leaves))
            else:
                keys = jax.random.split(low_rank_key, len(leaves))
                coefficients = structure.unflatten([jax.random.normal(k, (rank,)) for k in keys])

            def combine(mean, variance, columns, normal, coefficient):
                low_rank = jnp.tensordot(coefficient.astype(mean.dtype), columns.astype(mean.dtype), axes=1)
                diagonal = jnp.sqrt(scale / 2 * jnp.maximum(variance, 0.0)) * normal
                return (mean + diagonal + weight.astype(mean.dtype) * low_rank).astype(columns.dtype)

            normals = normal_like(diagonal_key, state.mean)
            return jax.tree.map(combine, state.mean, state.variance, state.deviations, normals, coefficients)

        return jax.vmap(one)(sample_keys(rng_key, num_samples))

    return SWAG(init, update, sample, bind_parameters)
