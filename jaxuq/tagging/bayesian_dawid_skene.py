"""Dawid and Skene's model with a posterior over its confusion matrices, by NUTS: a yardstick for the EM estimates."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxuq.tagging.evidence import observation_log_evidence
from jaxuq.tagging.label_model import (
    Fitted,
    LabelForecast,
    LabelModel,
    Lengths,
    Observations,
    check_counts,
    forecast,
    inside,
)
from jaxuq.tagging.token_models import dawid_skene


class BayesianTokenParams(NamedTuple):
    """Posterior draws of the parameters, and the key they come from.

    Attributes:
        rng_key: a key.
        log_prior: `[sample, state]` log-probability of each true label; no samples before `fit`.
        log_emission: `[sample, function, state, label]`.
    """

    rng_key: Key[Array, ""]
    log_prior: Float[Array, "sample state"]
    log_emission: Float[Array, "sample function state label"]


def bayesian_dawid_skene(
    num_labels: int, *, num_samples: int = 500, num_warmup: int = 300, concentration: float = 1.0, diagonal: float = 3.0
) -> LabelModel:
    r"""`dawid_skene` with Dirichlet priors, the true labels summed out, sampled by NumPyro's NUTS.

    $\pi \sim \mathrm{Dir}(a)$, $\Phi_{k,i} \sim \mathrm{Dir}(a + d\, e_i)$,
    $p(x) = \prod_t \sum_i \pi_i \prod_k \Phi_{k,i,x_k^{(t)}}$

    `predict` averages the label probabilities over the draws, so what is not known of the functions shows in them. The
    extra weight $d$ on the diagonal and a start at the votes keep the labels from changing names. It is a yardstick
    for small data: minutes where EM takes seconds. `fit` runs on the host and cannot be compiled into other code.

    Args:
        num_labels: number of labels.
        num_samples: draws that are kept.
        num_warmup: draws for the adaptation of the sampler.
        concentration: $a$, above 0.
        diagonal: $d$, at least 0.

    Returns:
        `LabelModel` with `BayesianTokenParams`. The objective is the log-likelihood of each draw.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> model = bayesian_dawid_skene(2, num_samples=100)
        >>> sorted(model._fields)
        ['fit', 'init', 'predict']

    References:
        Paun, Carpenter, Chamberlain, Hovy, Kruschwitz, Poesio. Comparing Bayesian models of annotation. TACL 2018,
        section 3.2.
        Hoffman, Gelman. The No-U-Turn sampler. JMLR 2014.
    """
    check_counts(num_labels, num_warmup, diagonal)
    if num_samples < 1 or concentration <= 0:
        raise ValueError(
            f"num_samples is {num_samples} and concentration {concentration}; expected at least 1 and a positive number"
        )

    def init(rng_key: Key[Array, ""], observations: Observations, lengths: Lengths) -> BayesianTokenParams:
        functions = observations.shape[2]
        return BayesianTokenParams(
            rng_key, jnp.zeros((0, num_labels)), jnp.zeros((0, functions, num_labels, num_labels))
        )

    def fit(params: BayesianTokenParams, observations: Observations, lengths: Lengths) -> Fitted:
        import numpyro
        from numpyro.distributions import Dirichlet

        # Tokens that all functions see alike are one row with a weight: there are few different ones.
        votes = np.asarray(observations)[np.asarray(inside(observations, lengths))]
        rows, counts = np.unique(votes, axis=0, return_counts=True)
        rows, weights = jnp.asarray(rows, jnp.int32), jnp.asarray(counts, jnp.float32)
        pseudo_counts = jnp.full((num_labels, num_labels), concentration) + diagonal * jnp.eye(num_labels)

        def model() -> None:
            prior = numpyro.sample("prior", Dirichlet(jnp.full(num_labels, concentration)))
            with numpyro.plate("function", rows.shape[1], dim=-2), numpyro.plate("state", num_labels, dim=-1):
                emission = numpyro.sample("emission", Dirichlet(pseudo_counts))
            evidence = observation_log_evidence(jnp.log(emission), rows[None])[0]
            joint = jax.nn.logsumexp(jnp.log(prior)[None] + evidence, axis=-1)
            numpyro.factor("tokens", numpyro.deterministic("log_likelihood", jnp.sum(weights * joint)))

        voted = dawid_skene(num_labels, pseudo_count=1.0).init(params.rng_key, observations, lengths)
        start = {"prior": jnp.exp(voted.log_prior), "emission": jnp.exp(voted.log_emission)}
        kernel = numpyro.infer.NUTS(model, init_strategy=numpyro.infer.init_to_value(values=start))
        sampler = numpyro.infer.MCMC(kernel, num_warmup=num_warmup, num_samples=num_samples, progress_bar=False)
        # NumPyro's own code relies on both promotions.
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            sampler.run(params.rng_key)
        draws = sampler.get_samples()
        fitted = BayesianTokenParams(params.rng_key, jnp.log(draws["prior"]), jnp.log(draws["emission"]))
        return Fitted(fitted, draws["log_likelihood"])

    def predict(params: BayesianTokenParams, observations: Observations, lengths: Lengths) -> LabelForecast:
        if params.log_prior.shape[0] == 0:
            raise ValueError("the parameters hold no posterior draws; call fit before predict")

        def add(total: Array, draw: tuple[Array, Array]) -> tuple[Array, None]:
            joint = draw[0][None, None] + observation_log_evidence(draw[1], observations)
            return total + jax.nn.softmax(joint), None

        start = jnp.zeros((*observations.shape[:2], num_labels))
        total, _ = jax.lax.scan(add, start, (params.log_prior, params.log_emission))
        probabilities = total / params.log_prior.shape[0]
        return forecast(jnp.argmax(probabilities, axis=-1), probabilities, inside(observations, lengths))

    return LabelModel(init, fit, predict)
