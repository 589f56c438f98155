r"""Exact sampling by Hamiltonian Monte Carlo: the yardstick for every approximation.

Draws from $p(\theta \mid D) \propto \mathcal{N}(\theta; 0, \sigma_p^2 I) \prod_n p(y_n \mid f(x_n; \theta))$.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree, Shaped

from jaxuq._options import check_count, check_number
from jaxuq.posterior._model import ApplyFn, Params, Samples, freeze_numbers, map_numbers, split_numbers, stacked, thaw
from jaxuq.posterior._rows import kept_rows, without_rows
from jaxuq.posterior.likelihood import Likelihood, total_log_prob
from jaxuq.posterior.likelihoods import likelihood_of


def nuts(
    rng_key: Key[Array, ""],
    apply_fn: ApplyFn,
    params: Params,
    inputs: PyTree[Shaped[Array, "batch ..."]],
    labels: Shaped[Array, "batch *tasks"],
    likelihood: str | Likelihood,
    *,
    prior_scale: float = 1.0,
    where: Bool[Array, "batch *tasks"] | None = None,
    num_samples: int = 500,
    num_warmup: int = 500,
    num_chains: int = 1,
) -> Samples:
    r"""Samples of the exact posterior of a small model, such as a last layer, by NumPyro's no-U-turn sampler.

    $\log p(\theta \mid D) = \sum_n \log p(y_n \mid f(x_n; \theta)) - \frac{\|\theta\|^2}{2\sigma_p^2} +
    \mathrm{const}$

    Use it on a few hundred or thousand examples to see how far `bbp`, `laplace`, `sgld` or `swag` are from the truth:
    every gradient passes over all data, so it is no method for large sets. It runs outside `jit` (it compiles its own
    loop). One chain after another; compare chains before trusting them, as for any Markov chain.

    Args:
        rng_key: key of the sampler.
        apply_fn: the model, such as `dense` for a layer on features.
        params: where the chain starts, such as the trained ones; all are sampled.
        inputs: of the model.
        labels: `[batch, *tasks]`.
        likelihood: a name or a record; outputs are read as by `summarise`.
        prior_scale: standard deviation $\sigma_p$ of every parameter; `prior_precision = 1 / prior_scale**2`.
        where: mask of the labels that count; None for all.
        num_samples: kept draws per chain.
        num_warmup: draws spent on the step size and the mass matrix.
        num_chains: chains, all started at `params`.

    Returns:
        Parameters with a leading axis of `num_chains * num_samples`, chains in turn.

    Raises:
        OptionError: on an unknown likelihood or a number out of its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> samples = nuts(
        ...     jax.random.key(0),
        ...     lambda params, x: x @ params["kernel"],
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

    read = likelihood_of(likelihood)
    check_number("prior_scale", prior_scale, 0.0, open_low=True)
    for name, count in (("num_samples", num_samples), ("num_warmup", num_warmup), ("num_chains", num_chains)):
        check_count(name, count)
    frozen = freeze_numbers(params)
    numbers, whole = split_numbers(frozen)
    inputs = without_rows(inputs, kept_rows(labels, where))

    def potential(numbers: list[Array]) -> Float[Array, ""]:
        fit = total_log_prob(read, apply_fn(whole(numbers), inputs), labels, where)
        squares = jnp.sum(jnp.stack([jnp.sum(leaf**2) for leaf in numbers]))
        return squares / (2 * prior_scale**2) - fit

    start = numbers if num_chains == 1 else [jnp.stack([leaf] * num_chains) for leaf in numbers]
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
        drawn = sampler.get_samples()
    taken = iter(drawn)
    everywhere = stacked(frozen, num_chains * num_samples)
    return thaw(map_numbers(lambda leaf: next(taken).astype(leaf.dtype), everywhere))
