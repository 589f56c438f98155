"""Measures of one answer: worked numbers, NumPy, and what must hold of any model."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxuq import confidence as c
from tests.confidence.calling import call
from tests.confidence.fixtures import CHOSEN, LOGS, ROWS

LOGITS = np.log(ROWS) + 3.0


def close(actual, expected):
    np.testing.assert_allclose(np.asarray(actual), expected, atol=2e-6)


def test_probabilities_of_the_answer():
    close(call(c.token_log_probs, LOGITS, CHOSEN), LOGS)
    close(call(c.sequence_log_probability, LOGS), -1.848330)
    close(call(c.mean_log_probability, LOGS), -0.616110)
    close(np.exp(call(c.mean_log_probability, LOGS)), 0.540041)
    close(call(c.mean_probability, LOGS), 0.616667)
    close(call(c.minimum_probability, LOGS), 0.25)
    close(call(c.perplexity, LOGS), 1.851711)
    close(call(c.greedy_negative_log_likelihood, np.log(ROWS.max(1))), 1.155183)


def test_entropies():
    entropies = call(c.token_entropy, LOGITS)
    close(entropies, [0.871133, 1.207974, 0.428048])
    close(call(c.predictive_entropy, entropies), 2.507155)
    close(call(c.predictive_entropy, entropies, normalise=True), 0.835718)
    close(np.mean(call(c.token_entropy, LOGITS, log_base=2.0)), 1.205687)
    close(np.mean(call(c.token_entropy, LOGITS, log_base=4.0)), 0.602843)
    two = call(c.token_entropy, LOGITS, top_k=2)
    close(call(c.predictive_entropy, two, normalise=True), 0.503106)
    likeliest = np.log(np.sort(ROWS, axis=1)[:, :1:-1])
    close(np.mean(call(c.alternatives_confidence, likeliest)), 0.340009)
    close(np.mean(call(c.alternatives_confidence, likeliest, kind="margin")), 0.533333)


def test_distances_from_uniform():
    renyi = call(c.renyi_divergence, LOGITS)
    close(renyi, [0.079259, 0.023165, 0.170838])
    close(np.mean(call(c.renyi_divergence, LOGITS, temperature=1.0)), 0.324369)
    # LM-Polygraph's number, which is 2 log V below
    close(np.mean(renyi) - 2 * np.log(4), -2.681501)
    fisher_rao = call(c.fisher_rao_distance, LOGITS)
    close(fisher_rao, [0.178046, 0.096707, 0.259402])
    close(np.mean(call(c.fisher_rao_distance, LOGITS, temperature=1.0)), 0.330448)
    close(call(c.self_certainty, LOGITS), [0.603100, 0.183492, 1.243624])
    near, at = (call(c.renyi_divergence, LOGITS, order=order, temperature=1.0) for order in (1.001, 1.0))
    np.testing.assert_allclose(near, at, rtol=2e-3)
    np.testing.assert_allclose(at, [scipy.stats.entropy(row, np.full(4, 0.25)) for row in ROWS], rtol=1e-5)


@pytest.mark.parametrize("suppressed", [0, 3])
def test_uniform_and_one_hot_rows(suppressed):
    """Suppressed tokens (logit -inf) leave every measure as it is on the smaller vocabulary."""
    uniform = np.concatenate([np.zeros(4), np.full(suppressed, -np.inf)])
    close(call(c.token_entropy, uniform), np.log(4))
    for measure in (c.renyi_divergence, c.fisher_rao_distance, c.self_certainty):
        close(call(measure, uniform), 0.0)
    one_hot = np.concatenate([[60.0], np.full(3, -60.0), np.full(suppressed, -np.inf)])
    close(call(c.token_entropy, one_hot), 0.0)
    close(call(c.renyi_divergence, one_hot), np.log(4))
    close(call(c.fisher_rao_distance, one_hot), 2 / 3)


def test_mutual_information():
    unprompted, entropies = np.log([0.40, 0.30, 0.20]), np.array([0.871133, 1.207974, 0.428048])
    close(call(c.pointwise_mutual_information, LOGS, unprompted), 0.321694)
    conditional = call(c.pointwise_mutual_information, LOGS, unprompted, entropies, weight=0.5, threshold=1.0)
    close(conditional, -0.415448)
    close(call(c.pointwise_mutual_information, LOGS, unprompted, entropies, weight=0.065602), -0.616110)
    swapped = call(c.pointwise_mutual_information, LOGS, unprompted, entropies, weight=3.599, threshold=0.0656)
    np.testing.assert_allclose(swapped, 2.759045, atol=4e-6)
    masked = call(
        c.pointwise_mutual_information,
        np.r_[np.nan, LOGS, np.nan],
        np.r_[np.nan, unprompted, np.nan],
        where=np.array([0, 1, 1, 1, 0], bool),
    )
    close(masked, 0.321694)


def test_boosted_probability():
    close(call(c.boosted_probability, LOGITS, CHOSEN), [0.9, 0.9, 0.98])
    row = np.tile(np.log([0.45, 0.40, 0.10, 0.05]), (4, 1))
    close(call(c.boosted_probability, row, np.arange(4)), [0.95, 0.95, 0.95, 0.05])
    flat = np.zeros((1, 400))
    close(call(c.boosted_probability, flat, np.array([7])), [1 / 400])  # no jump, no dominant token


def test_the_published_code_sees_five_tokens():
    row = np.log([0.3, 0.2, 0.15, 0.15, 0.12, 0.08])
    logits = np.tile(row, (2, 1))
    close(np.exp(call(c.token_log_probs, logits, np.array([5, 2]), convention="published")), [0.3, 0.15])


def test_token_relevance():
    close(call(c.token_sar, LOGS, np.array([0.9, 0.4, 0.8])), 0.987240)
    close(call(c.token_sar, LOGS, np.ones(3)), 0.616110)  # nothing is relevant: the plain mean
    probabilities = np.array([[0.70, 0.05, 0], [0.25, 0.15, 0.50], [0.90, 0, 0]])
    relations = np.array([[1, -1, 0], [1, 1, -1], [1, 0, 0]])
    close(call(c.claim_conditioned_probability, probabilities, relations), 0.585185)


def test_attention_measures():
    diagonals = np.array([[1, 0.6, 0.5], [1, 0.3, 0.25]])
    close(call(c.attention_score, diagonals), -1.264747)
    close(call(c.attention_score, diagonals, over_heads="mean"), -0.632373)
    heads = np.array([[0.02, 0.05, 0.03], [0.10, 0.10, 0.40]])
    close(call(c.contextualised_sequence_likelihood, LOGS, heads), -0.578413)
    close(call(c.contextualised_sequence_likelihood, LOGS, heads, convention="pooled"), -0.422929)


def test_rauq():
    attention = np.array([[[np.nan, 0.3, 0.5], [np.nan, 0.2, 0.9]]])
    close(call(c.rauq, LOGS, attention), 1.130690)
    entropy_variant = np.log(np.log(4) - np.array([0.871133, 1.207974, 0.428048]) + 1e-10)
    close(call(c.rauq, entropy_variant, attention, mixing=0.8), 0.901282)  # published numbers add one
    close(call(c.rauq, LOGS[:1], attention[:, :, :1]), -np.log(0.7))
    two_layers = np.concatenate([attention, np.full((1, 2, 3), 0.99)])
    close(call(c.rauq, LOGS, two_layers), 1.130690)  # the least sure layer decides


def test_focus():
    frequencies, attention = np.array([1, 2, 0.5, 3]), np.zeros((3, 3))
    attention[2, :2] = 0.5, 0.2
    keywords = np.array([True, False, True])
    result = call(c.focus, ROWS, np.eye(4)[CHOSEN], frequencies, attention, keywords, least=0.1)
    np.testing.assert_allclose(result, 3.021792, atol=5e-5)  # the row's sum has 1e-6 added
    assert np.isnan(call(c.focus, ROWS, np.eye(4)[CHOSEN], frequencies, attention, np.zeros(3, bool)))


def test_undefined_is_nan():
    nothing = jnp.zeros(3, bool)
    for measure in (c.sequence_log_probability, c.mean_log_probability, c.mean_probability, c.minimum_probability):
        assert np.isnan(measure(jnp.asarray(LOGS, jnp.float32), where=nothing))
    assert np.isnan(c.mean_probability(jnp.array([0.1, jnp.nan])))


def test_options_are_checked():
    with pytest.raises(ValueError, match="mixing is 0"):
        c.rauq(jnp.zeros(2), jnp.zeros((1, 1, 2)), mixing=0.0)
    with pytest.raises(ValueError, match="log_base is 1"):
        c.token_entropy(jnp.zeros(3), log_base=1.0)
    with pytest.raises(ValueError, match="1 alternative"):
        c.alternatives_confidence(jnp.zeros((2, 1)))
