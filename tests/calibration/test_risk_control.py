"""Answer sets, risk control and abstention against SciPy, worked numbers and simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from jaxuq import calibration as c
from tests.confidence.calling import call


def close(actual, expected, atol=1e-5):
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-5, atol=atol)


def test_conformal_numbers():
    scores = np.array([0.05, 0.10, 0.20, 0.25, 0.30, 0.45, 0.60, 0.80, 0.90])
    close(c.conformal_threshold(jnp.asarray(scores, jnp.float32), level=0.8), [0.8])
    claims = np.array([0.1, 0.3, 0, 0.5, 0.2, 0.4, 0, 0.6, 0.3])
    close(c.conformal_threshold(jnp.asarray(claims, jnp.float32), level=0.8), [0.5])
    assert call(c.conformal_risk_control, np.array([4, 2, 1, 0]) / 9, n=9, level=0.2) == 2
    assert call(c.conformal_risk_control, np.array([4, 2, 1, 1]) / 9, n=9, level=0.05) == 4  # none
    close(call(c.hoeffding_bound, np.array(0.05), n=100, delta=0.1), 0.157298)
    close(call(c.claim_nonconformity, np.array([0.9, 0.4, 0.6]), np.array([1, 1, 1])), -np.inf)


def test_answer_sets_cover():
    """Split-conformal sets of sampled answers hold the right one as often as asked, and are not everything."""
    rng = np.random.default_rng(2)
    probabilities = rng.dirichlet([3, 1, 1], size=3000)
    clusters = np.stack([rng.choice(3, 10, p=p) for p in probabilities])
    truth = np.array([rng.choice(3, p=p) for p in probabilities])
    correct = clusters == truth[:, None]
    scores = np.asarray(call(jax.vmap(c.answer_nonconformity), clusters, correct))
    assert np.isinf(scores).mean() < 0.2
    threshold = c.conformal_threshold(jnp.asarray(scores[:1500]), level=0.7)[0]
    kept = np.asarray(call(jax.vmap(c.answer_set, in_axes=(0, None)), clusters[1500:], np.asarray(threshold)))
    coverage = np.mean(np.any(kept & correct[1500:], axis=1))
    assert 0.66 < coverage < 0.80 and kept.mean() < 0.95  # ties make it conservative


def test_p_values_equal_the_binomial():
    counts = np.array([100, 100, 100, 45, 80, 120, 20, 0])
    errors = np.array([2, 5, 8, 1, 4, 9, 0, 0])
    expected = [0.001945, 0.057577, 0.320874, 0.052368, 0.087971, 0.228592, 0.121577, 1.0]
    risks = errors / np.maximum(counts, 1)
    ours = call(c.risk_p_values, risks, counts.astype(float), level=0.1)
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    np.testing.assert_allclose(ours[:-1], scipy.stats.binom.cdf(errors, counts, 0.1)[:-1], rtol=2e-4)
    bounded = call(c.risk_p_values, np.array([0.05, 0.02]), np.array([100.0, 100.0]), level=0.1, loss="bounded")
    close(bounded, [0.156510, 0.005287], atol=1e-5)


def test_learn_then_test_procedures():
    p_values = np.array([0.01, 0.04, 0.001, 0.06])
    assert call(c.learn_then_test, p_values, delta=0.1).tolist() == [True] * 4
    assert call(c.learn_then_test, p_values, delta=0.05).tolist() == [True, True, True, False]
    assert call(c.learn_then_test, p_values, delta=0.05, procedure="bonferroni").tolist() == [True, False, True, False]
    assert call(c.learn_then_test, p_values, delta=0.1, procedure="holm").tolist() == [True, True, True, True]
    assert call(c.learn_then_test, p_values, delta=0.05, procedure="holm").tolist() == [True, False, True, False]


def test_abstention_keeps_its_promise():
    """Over many calibration sets the error rate of what is accepted exceeds the level in at most a share delta."""
    rng = np.random.default_rng(3)
    confidence = rng.random((400, 300))
    correct = rng.random(confidence.shape) < 0.5 + 0.5 * confidence
    thresholds = np.linspace(0.9, 0.0, 19)

    def chosen(confidence, correct, thresholds):
        one = lambda a, b: c.abstention_threshold(a, b, thresholds, level=0.2, delta=0.1)  # noqa: E731
        return jax.vmap(one)(confidence, correct)

    found = np.asarray(call(chosen, confidence, correct, thresholds))
    risk = np.where(np.isfinite(found), 0.5 - 0.25 * (1 + np.minimum(found, 1.0)), 0.0)  # of confidence above it
    assert np.mean(risk > 0.2 + 1e-6) <= 0.1 + 3 * np.sqrt(0.09 / 400)
    assert np.median(found) < 0.6  # and it is of use: the best threshold is 0.2


def test_a_nan_is_never_let_through():
    p_values = np.array([0.01, np.nan, 0.01])
    for procedure, expected in (("fixed_sequence", [1, 0, 0]), ("bonferroni", [1, 0, 1]), ("holm", [1, 0, 1])):
        assert call(c.learn_then_test, p_values, delta=0.1, procedure=procedure).tolist() == [bool(e) for e in expected]
    confidence, right = np.full(40, 0.9), np.ones(40)
    thresholds = np.array([0.5])
    assert call(c.abstention_threshold, confidence, right, thresholds, level=0.1, delta=0.1) == 0.5
    right[:20] = np.nan
    from_here = call(c.abstention_threshold, confidence, right, thresholds, level=0.1, delta=0.1)
    assert np.isnan(from_here) and not (confidence >= from_here).any()


def test_what_is_half_right_is_not_right():
    confidence, right = np.linspace(1, 0, 40), np.full(40, 0.5)
    assert call(c.abstention_threshold, confidence, right, np.array([0.5]), level=0.4, delta=0.1) == np.inf
    assert call(c.claim_nonconformity, np.array([0.9, 0.5, 0.7]), np.array([1.0, 0.0, 0.5])) == np.float32(0.7)
    close(call(c.answer_nonconformity, np.array([0, 0, 1]), np.array([0.5, 0.5, 1.0])), 2 / 3)


def test_nothing_to_choose_from_is_no_choice():
    nothing = np.zeros(0)
    assert call(c.conformal_risk_control, nothing, n=5, level=0.1) == 0  # the number of settings: none
    assert call(c.learn_then_test, nothing, delta=0.1).tolist() == []
    assert call(c.claim_nonconformity, nothing, nothing) == -np.inf
    assert call(c.answer_nonconformity, nothing.astype(int), nothing > 0) == np.inf
    assert call(c.abstention_threshold, nothing, nothing, np.array([0.5]), level=0.1, delta=0.1) == np.inf
