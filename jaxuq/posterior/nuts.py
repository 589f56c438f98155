r"""Exact sampling of a last layer by Hamiltonian Monte Carlo: the yardstick for every approximation.

Draws from $p(W \mid D) \propto \mathcal{N}(W; 0, \sigma_p^2 I) \prod_n p(y_n \mid \phi_n^\top W)$.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, Shaped

from jaxuq.posterior._likelihood import Likelihood, check_likelihood, log_likelihood
from jaxuq.posterior._model import Params, Samples
from jaxuq.posterior.bbp import dense


def nuts_last_layer(
    rng_key: Key[Array, ""],
    params: Params,
    features: Float[Array, "batch features"],
    labels: Shaped[Array, "batch *tasks"],
    likelihood: Likelihood,
    *,
    prior_scale: float = 1.0,
    noise_scale: float | None = None,
    where: Bool[Array, "batch *tasks"] | None = None,
    num_samples: int = 500,
    num_warmup: int = 500,
    num_chains: int = 1,
) -> Samples:
    r"""Samples of a dense layer's exact posterior by NumPyro's no-U-turn sampler.

    $\log p(W \mid D) = \sum_n \log p(y_n \mid \phi_n^\top W) - \frac{\|W\|^2}{2\sigma_p^2} + \mathrm{const}$

    Use it on a few hundred or thousand examples to see how far `bbp`, `laplace`, `sgld` or `swag` are from the truth:
    every gradient passes over all data, so it is no method for large sets. It runs outside `jit` (it compiles its own
    loop). One chain after another; compare chains before trusting them, as for any Markov chain.

    Args:
        rng_key: key of the sampler.
        params: where the chain starts, `{"kernel": [features, outputs], "bias": [outputs]}`, such as the trained layer.
        features: inputs of the layer.
        labels: `[batch, tasks]`, or integers `[batch]` for `"categorical"`.
        likelihood: `"gaussian"`, `"bernoulli"` or `"categorical"`; outputs are read as by `laplace`.
        prior_scale: standard deviation $\sigma_p$ of every weight and bias; `prior_precision = 1 / prior_scale**2`.
        noise_scale: standard deviation of the labels' noise for `"gaussian"`, where outputs are means alone.
        where: mask of the labels that count; None for all.
        num_samples: kept draws per chain.
        num_warmup: draws spent on the step size and the mass matrix.
        num_chains: chains, all started at `params`.

    Returns:
        Dense parameters with a leading axis of `num_chains * num_samples`, chains in turn.

    Raises:
        ValueError: on an unknown likelihood or a scale that is not positive.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> samples = nuts_last_layer(
        ...     jax.random.key(0),
        ...     {"kernel": jnp.zeros((1, 1))},
        ...     jnp.ones((4, 1)),
        ...     jnp.ones((4, 1)),
        ...     "bernoulli",
        ...     num_samples=20,
        ...     num_warmup=20,
        ... )
        >>> samples["kernel"].shape
        (20, 1, 1)

    References:
        Hoffman, Gelman. The no-U-turn sampler: adaptively setting path lengths in Hamiltonian Monte Carlo. JMLR 2014,
        algorithm 6.
        Phan, Pradhan, Jankowiak. Composable effects for flexible and accelerated probabilistic programming in NumPyro.
        arXiv:1912.11554, 2019.
    """
    from numpyro.infer import MCMC, NUTS

    check_likelihood(likelihood)
    if prior_scale <= 0 or (noise_scale is not None and noise_scale <= 0):
        raise ValueError(f"prior_scale is {prior_scale} and noise_scale {noise_scale}; scales must be positive")
    where = jnp.ones(labels.shape, bool) if where is None else where
    rows = jnp.any(where, axis=tuple(range(1, where.ndim)))
    features = jnp.where(rows[:, None], features, jnp.zeros_like(features))

    def potential(weights: Params) -> Float[Array, ""]:
        fit = log_likelihood(dense(weights, features), labels, likelihood, noise_scale, where)
        squares = jnp.sum(jnp.stack([jnp.sum(leaf**2) for leaf in jax.tree.leaves(weights)]))
        return squares / (2 * prior_scale**2) - fit

    start = params if num_chains == 1 else jax.tree.map(lambda leaf: jnp.stack([leaf] * num_chains), params)
    # NumPyro mixes ranks and dtypes on purpose; the caller's strictness must not stop it.
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        sampler = MCMC(
            NUTS(potential_fn=potential),
            num_warmup=num_warmup,
            num_samples=num_samples,
            num_chains=num_chains,
            chain_method="sequential",
            progress_bar=False,
        )
        sampler.run(rng_key, init_params=start)
        return sampler.get_samples()
