"""All measures of one answer, from one reading of it."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxuq.confidence.attention_measures import attention_score, rauq
from jaxuq.confidence.cascade import log_probability_quantile
from jaxuq.confidence.relevance import token_sar
from jaxuq.confidence.text.passes import Texts, inner_mask, response_mask
from jaxuq.confidence.text.reading import Reading
from jaxuq.confidence.token_distributions import predictive_entropy
from jaxuq.confidence.token_probabilities import (
    greedy_negative_log_likelihood,
    mean_log_probability,
    mean_probability,
    minimum_probability,
    perplexity,
    sequence_log_probability,
)

_QUANTILE = 0.25


def _mean(values: Array, where: Array) -> Array:
    count = jnp.sum(where)
    total = jnp.sum(jnp.where(where, values, 0.0))
    return jnp.where(count > 0, total / jnp.maximum(count, 1).astype(total.dtype), jnp.nan)


def _one(reading: Reading, response: Array, inner: Array, answer: Array) -> dict[str, Array]:
    quantities = reading.quantities
    log_probs = quantities.log_probs
    whole, end = functools.partial(_mean, where=response), {"where": answer}
    joint = sequence_log_probability(log_probs, where=response)
    return {
        "answer_probability": jnp.exp(sequence_log_probability(log_probs, **end)),
        "mean_answer_probability": mean_probability(log_probs, **end),
        "minimum_answer_probability": minimum_probability(log_probs, **end),
        "answer_entropy": predictive_entropy(quantities.entropies, normalise=True, **end),
        "response_probability": jnp.exp(joint),
        "mean_response_probability": mean_probability(log_probs, where=response),
        "minimum_probability": minimum_probability(log_probs, where=response),
        "sequence_log_probability": joint,
        "mean_log_probability": mean_log_probability(log_probs, where=response),
        "log_probability_quantile": log_probability_quantile(log_probs, quantile=_QUANTILE, where=response),
        "perplexity": perplexity(log_probs, where=response),
        "greedy_negative_log_likelihood": greedy_negative_log_likelihood(log_probs, where=response),
        "predictive_entropy": predictive_entropy(quantities.entropies, where=response),
        "normalised_predictive_entropy": predictive_entropy(quantities.entropies, normalise=True, where=response),
        "renyi_divergence": whole(quantities.renyi),
        "fisher_rao_distance": whole(quantities.fisher_rao),
        "self_certainty": whole(quantities.self_certainty),
        "boosted_probability": whole(quantities.boosted),
        "attention_score": attention_score(reading.itself, where=inner),
        "rauq": rauq(log_probs, reading.back, where=inner),
        "token_sar": token_sar(log_probs, reading.without, where=inner),
        "uqac_attention": reading.confidence.attention,
        "uqac_similarity": reading.confidence.similarity,
    }


@jax.jit
def single_answer_measures(texts: Texts, reading: Reading) -> dict[str, Float[Array, " batch"]]:
    """Every measure of one answer but $\\tilde P$ (`marginal_confidence`), a value for each text.

    Relevance in `token_sar` is by the model's own mean hidden state, so that no second model is needed. Measures of the
    final answer are NaN where none was found. Those of attention and of hidden states leave the last token out, which
    is usually the one that ends the response and which nothing has followed; they are NaN for a response of one token.
    """
    return jax.vmap(_one)(reading, response_mask(texts), inner_mask(texts), texts.answer)
