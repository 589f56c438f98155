"""The emissions of Sparse-CHMM from its parameters, and what its second stage is first fitted to."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxuq.tagging.emission_prior import (
    emission_addon_prior,
    emission_base_prior,
    emission_concentration,
    log_dirichlet_mean,
    log_dirichlet_sample,
)
from jaxuq.tagging.sparse_parameters import SparseCHMMParams, SparseOptions
from jaxuq.tagging.sparse_reliability import reliability_head


def addon_scale(
    params: SparseCHMMParams, sentences: Float[Array, "row width"], functions: int
) -> Float[Array, "row function label"]:
    r"""$C = \sigma(\mathrm{FC}(e^{(0)}))$ for each label that a function says, Eq. 4.8; 0 for `O`, which needs none."""
    scale = jax.nn.sigmoid(params.addon(sentences)).reshape(sentences.shape[0], functions, -1)
    return jnp.pad(scale, ((0, 0), (0, 0), (1, 0)))


def sparse_log_emissions(
    params: SparseCHMMParams,
    sentences: Float[Array, "row width"],
    sparse: SparseOptions,
    rng_key: Key[Array, ""] | None,
) -> Float[Array, "row function state label"]:
    r"""$\log\Phi$, Eq. 4.1 to 4.11: a draw with a key, the mean of the Dirichlet distribution without one."""
    reliability = reliability_head(params, sentences, sparse)
    power = sparse.silence_power
    prior = emission_base_prior(reliability, split=params.split, power=power, naive=sparse.naive)
    prior = prior + emission_addon_prior(addon_scale(params, sentences, reliability.shape[1]), params.wxor)
    if not sparse.dirichlet:
        return log_dirichlet_mean(prior + 1e-9)
    concentration = emission_concentration(prior, base=sparse.base, expansion=sparse.expansion)
    return log_dirichlet_mean(concentration) if rng_key is None else log_dirichlet_sample(rng_key, concentration)


def second_target(
    observed: Float[Array, "function state label"], learned: Float[Array, "function state label"], weight: float
) -> Float[Array, "function state label"]:
    r"""$\Phi' = \lambda \Phi^* + (1 - \lambda) \frac1M \sum_m \Phi_m^{(I)}$: statistics and the mean of stage 1."""
    return weight * observed + (1 - weight) * learned
