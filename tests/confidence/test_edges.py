"""At the edge of the range: no probability at all, scales beyond squares, ties, equal answers, NaN that counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from jaxuq import confidence as c
from tests.confidence.calling import call

INF, NAN = np.inf, np.nan


def close(actual, expected, rtol=2e-5, atol=2e-6):
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=rtol, atol=atol)


def test_rare_answers_do_not_make_the_information_infinite():
    """The product of marginals underflows long before the joint probability does."""
    joint = np.exp([-0.0, -60.0, -61.0]) / np.exp([-0.0, -60.0, -61.0]).sum()
    expected = sum(p * (np.log(p) - 2 * np.log(p)) for p in joint)
    tuples = np.array([[0, 0], [1, 1], [2, 2]])
    close(call(c.tuple_mutual_information, [0.0, -60.0, -61.0], tuples), expected, rtol=1e-4, atol=0)
    copied = np.where(np.eye(3, dtype=bool), 0.0, -INF)
    found = call(c.iterated_mutual_information, [0.0, -60.0, -61.0], copied)
    close(found.mutual_information, expected, rtol=1e-4, atol=0)
    three = np.repeat([[0], [1]], 3, axis=1)
    joint = np.exp([0.0, -40.0]) / np.exp([0.0, -40.0]).sum()
    floors = {"joint_floor": 1e-3, "product_floor": 2e-3}
    close(call(c.tuple_mutual_information, [0.0, -40.0], three), sum(p * -2 * np.log(p) for p in joint), rtol=1e-4)
    expected = sum(p * np.log((p + 1e-3) / (p**3 + 2e-3)) for p in joint)
    close(call(c.tuple_mutual_information, [0.0, -40.0], three, **floors), expected)


def test_any_numbers_name_clusters():
    for numbers in ([5, 5, 7], [0, 0, 1], [2**30, 2**30, 3]):
        assert float(call(c.number_of_sets, numbers)) == 2
        close(call(c.self_consistency, numbers), 2 / 3)
        close(call(c.self_consistency, numbers, np.array([0.5, 0.25, 1.0])), 1 / 3)
    where = np.array([True, False, True])
    close(call(c.self_consistency, [9, 9, -1], where=where), 1 / 2)
    assert np.isnan(call(c.number_of_sets, [-1, -1]))


def test_what_is_impossible_is_infinite_and_weighs_nothing_with_weight_0():
    close(call(c.token_sar, [-INF, -1.0], [1.0, 0.5]), 1.0)
    close(call(c.contextualised_sequence_likelihood, [-INF, -1.0], [[0.0, 0.5]]), -1.0)
    assert call(c.log_probability_quantile, [-INF, -INF, -1.0]) == -INF
    close(call(c.log_probability_quantile, [-INF, -2.0, -1.0], quantile=0.5), -2.0)
    assert call(c.sentence_sar, [-INF, -1.0], np.zeros((2, 2))) == INF
    for estimator, expected in (("rao_blackwell", 0), ("samples", INF), ("clusters", INF), ("direct", np.exp(-1))):
        close(call(c.semantic_entropy, [-INF, -1.0], np.array([0, 1]), estimator=estimator), expected)
    assert np.isnan(call(c.semantic_density, [-INF, -INF], [0.0, 0.5]))
    given = call(c.ensemble_sequence_uncertainty, [[-1.0, -INF, -2.0], [-1.5, -INF, -1.0]])
    without = call(c.ensemble_sequence_uncertainty, [[-1.0, -2.0], [-1.5, -1.0]])
    close((given.total, given.reverse_mutual_information), (without.total, without.reverse_mutual_information))
    with np.errstate(divide="ignore"):
        some, none = np.log([[0.7, 0.3, 0.0], [0.4, 0.5, 0.1]]), np.log([[0.7, 0.3, 0.0], [0.4, 0.6, 0.0]])
    found = call(c.ensemble_uncertainty, some)
    assert found.pairwise_divergence == INF and found.reverse_mutual_information == INF
    close(call(c.ensemble_uncertainty, none), call(c.ensemble_uncertainty, none[:, :2]))
    found = call(c.order_average, [[0.0, -INF, -INF], [0.0, 0.0, -INF]])
    close(found.log_probs, [np.log(0.75), np.log(0.25), -INF])
    close(found.gap, [np.log(0.75) + np.log(2) / 2, INF, 0])


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e12, 1e30])
def test_the_unit_of_features_and_scores_is_nothing(scale):
    rows = np.array([[1.0, 0, 0, 1], [0.9, 0.1, 0, 1], [0, 1, 1, 0]])
    close(call(c.semantic_volume, scale * rows), call(c.semantic_volume, rows), rtol=1e-5)
    chain, answer = np.array([True, True, False]), np.array([False, False, True])
    close(call(c.similarity_filter, scale * rows, chain, answer).similarities,
          call(c.similarity_filter, rows, chain, answer).similarities)  # fmt: skip
    scores, right = np.arange(1, 9) / 8, np.array([0, 0, 1, 0, 1, 0, 1, 1])
    for method in ("platt", "isotonic", "histogram", "quantile", "minimum_maximum"):
        ours = c.calibrate_scores(method, bins=4)
        found = [
            ours.apply(ours.fit(jnp.asarray(unit * scores, jnp.float32), jnp.asarray(right)),
                       jnp.asarray(unit * scores, jnp.float32))
            for unit in (scale, 1.0)
        ]  # fmt: skip
        close(*found, rtol=1e-4)
    features = np.stack([scores, scores**2], axis=1)

    def fitted(features):
        return c.logistic_confidence(c.fit_logistic(features, jnp.asarray(right)), features)

    close(call(fitted, scale * features), call(fitted, features), rtol=1e-4)


def test_equal_answers_and_masked_ones_leave_a_gradient():
    """The kernel's gradient against differences of a matrix exponential in double precision."""
    weights = np.ones((4, 4))
    weights[3] = weights[:, 3] = 0.25

    def literal(weights, kernel):
        weights = (weights + weights.T) / 2
        laplacian = np.diag(weights.sum(1)) - weights
        matrix = scipy.linalg.expm(-0.3 * laplacian) if kernel == "heat" else np.linalg.inv(2 * np.eye(4) + laplacian)
        diagonal = np.sqrt(np.diag(matrix))
        spectrum = np.linalg.eigvalsh(matrix / diagonal[:, None] / diagonal[None] / 4)
        return -sum(value * np.log(value) for value in spectrum if value > 1e-8)

    for kernel in ("heat", "matern"):
        found = np.asarray(jax.grad(lambda w: c.kernel_language_entropy(w, kernel=kernel))(jnp.asarray(weights)))  # noqa: B023
        for i, j in ((0, 1), (1, 3), (2, 0)):
            step = 1e-5 * (np.arange(16).reshape(4, 4) == 4 * i + j)
            expected = (literal(weights + step, kernel) - literal(weights - step, kernel)) / 2e-5
            np.testing.assert_allclose(found[i, j], expected, rtol=2e-3, atol=2e-5)
    where = jnp.array([True, True, False, False])
    masked = jax.grad(lambda w: c.kernel_language_entropy(w, where=where))(jnp.asarray(weights))
    alone = jax.grad(c.kernel_language_entropy)(jnp.ones((2, 2)))
    np.testing.assert_allclose(masked, np.pad(np.asarray(alone), (0, 2)), atol=1e-6)


@pytest.mark.parametrize("method", ["platt", "isotonic", "histogram", "quantile", "minimum_maximum"])
def test_calibrated_scores_of_little_or_nothing(method):
    calibrator = c.calibrate_scores(method, bins=10)

    def probabilities(scores, correct, new, **options):
        state = calibrator.fit(jnp.asarray(scores, jnp.float32), jnp.asarray(correct), **options)
        return np.asarray(calibrator.apply(state, jnp.asarray(new, jnp.float32)))

    whole = probabilities([0.1, 0.2, 0.3], [0, 1, 1], [NAN, 0.3])
    assert np.isnan(whole[0]) and np.isfinite(whole[1])  # and not the highest
    assert np.isnan(probabilities([0.1, NAN, 0.3], [1, 1, 0], [0.1]))
    assert np.isnan(probabilities([0.1, 0.3], [1, 0], [0.1], where=jnp.zeros(2, bool)))
    if method not in ("quantile", "minimum_maximum"):
        assert np.isnan(probabilities([0.1, 0.2], [0, 2], [0.1]))
        share = {"platt": (4 / 5, 1 / 5)}.get(method, (1.0, 0.0))
        close(probabilities([0.1, 0.2, 0.7], [1, 1, 1], [0.0, 0.2, 9.0]), share[0], atol=2e-6)
        close(probabilities([0.1, 0.2, 0.7], [0, 0, 0], [0.0, 0.2, 9.0]), share[1], atol=2e-6)
        equal = probabilities(np.full(7, 0.1), [1, 1, 1, 1, 0, 0, 0], [0.1])
        close(equal, np.log(1) + {"platt": (4 * 5 / 6 + 3 / 5) / 7}.get(method, 4 / 7), atol=1e-3)


def test_equal_scores_share_a_bin():
    """Of scores with ties, each has the accuracy of the bin that its first like is in, all of whose likes are in it."""
    rng = np.random.default_rng(5)
    for count in (2, 3, 7, 40, 200):
        scores, correct = rng.integers(0, 4, count) / 3, rng.random(count) < 0.5
        places = {s: min(int((scores < s).sum()) * 10 // count, 9) for s in scores.tolist()}
        bins = [[r for s, r in zip(scores.tolist(), correct) if places[s] == one] for one in range(10)]
        order = rng.permutation(count)
        calibrator = c.calibrate_scores("histogram", bins=10)
        state = calibrator.fit(jnp.asarray(scores[order], jnp.float32), jnp.asarray(correct[order]))
        close(calibrator.apply(state, jnp.asarray(scores, jnp.float32)), [np.mean(bins[places[s]]) for s in scores])
        lowest = calibrator.apply(state, jnp.array([-1.0, 2.0]))
        close(lowest, [np.mean(bins[places[s]]) for s in (scores.min(), scores.max())])


def test_nan_that_counts_is_not_the_highest():
    assert np.isnan(call(c.log_probability_quantile, [NAN, -1.0, -2.0]))
    assert np.isnan(call(c.stopping_threshold, [NAN, 1.0, 2.0]))
    assert np.isnan(call(c.deferral_curve, [NAN, 0.5], np.array([1, 0]), np.array([1, 1])).area)
    counts = np.array([False, True, True])
    close(call(c.log_probability_quantile, [NAN, -1.0, -2.0], where=counts), -2.0)


def test_rauq_of_tokens_whose_probability_is_below_the_range():
    log_probs, attention = np.array([-0.3, -120.0, -200.0, -0.1]), np.array([[[0, 0.3, 0.0, 0.4], [0, 0.2, 0.0, 0.1]]])
    before, total = log_probs[0], -log_probs[0]
    for log_prob, weight in zip(log_probs[1:], attention[0, 0, 1:]):
        terms = [np.log(0.2) + log_prob] + ([np.log(0.8 * weight) + before] if weight else [])
        before = np.logaddexp.reduce(terms)
        total -= before
    close(call(c.rauq, log_probs, attention), total / 4, rtol=1e-5)
    slopes = jax.grad(c.rauq)(jnp.asarray(log_probs, jnp.float32), jnp.asarray(attention, jnp.float32))
    assert np.isfinite(np.asarray(slopes)).all() and (np.asarray(slopes)[2] < -0.2)


@pytest.mark.parametrize(
    "reply", ["95 percent", "I am 95 per cent sure.", "Confidence: 95 percent", "95 percent, not 9"]
)
def test_percent_in_words_is_a_percentage(reply):
    assert c.parse_confidence([reply]).values == [0.95]
