"""Detection at a recall, cumulative calibration, and scores of mixtures and vectors, by loops and other libraries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from sklearn.metrics import roc_curve

from jaxuq import metrics


@pytest.mark.parametrize("recall", [0.5, 0.8, 0.95, 1.0])
def test_false_positive_rate_is_read_off_the_roc_curve(recall):
    rng = np.random.default_rng(0)
    scores, labels = np.round(rng.normal(size=80), 1), rng.random(80) < 0.4
    weights = rng.integers(0, 3, 80)
    rates, recalls, _ = roc_curve(labels, scores, sample_weight=weights, drop_intermediate=False)
    expected = rates[np.argmax(recalls >= recall - 1e-12)]
    found = metrics.false_positive_rate(
        jnp.asarray(scores, jnp.float32), jnp.asarray(labels), recall=recall, weights=jnp.asarray(weights)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_no_false_positive_rate_of_one_class():
    assert np.isnan(metrics.false_positive_rate(jnp.array([0.1, 0.2]), jnp.array([1, 1])))
    assert np.isnan(metrics.false_positive_rate(jnp.zeros(0), jnp.zeros(0)))


def test_cumulative_errors_by_loops_whatever_the_order():
    rng = np.random.default_rng(1)
    confidence, correct = np.round(rng.random(50), 1), rng.random(50) < 0.6
    where, order = rng.random(50) < 0.8, rng.permutation(50)
    running, total, sums = 0.0, where.sum(), [0.0]
    for value in sorted(set(confidence[where])):
        for c, a, counts in zip(confidence, correct, where):
            running += (float(a) - c) / total if counts and c == value else 0.0
        sums.append(running)
    for statistic, expected in (("maximum", max(map(abs, sums))), ("range", max(sums) - min(sums))):
        for rows in (np.arange(50), order):
            found = metrics.cumulative_calibration_error(
                jnp.asarray(confidence[rows], jnp.float32), jnp.asarray(correct[rows]), statistic=statistic,
                where=jnp.asarray(where[rows]),
            )  # fmt: skip
            np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_a_calibrated_maximum_follows_kolmogorov():
    """The scaled maximum of a calibrated forecast's residuals is that of a Brownian motion, 95 % of it below 2.2414."""
    rng, worlds, n = np.random.default_rng(2), 400, 2000
    confidence = jnp.asarray(np.full((worlds, n), 0.5) + rng.uniform(-1e-3, 1e-3, (worlds, n)), jnp.float32)
    correct = jnp.asarray(rng.random((worlds, n)) < np.asarray(confidence))
    errors = np.asarray(jax.jit(jax.vmap(metrics.cumulative_calibration_error))(confidence, correct))
    share = (errors * np.sqrt(n) / 0.5 <= 2.2414).mean()
    low, high = stats.binom.interval(0.9999, worlds, 0.95)
    assert low <= share * worlds <= high


def test_mixture_crps_is_the_integral_of_its_definition():
    rng = np.random.default_rng(3)
    mean, deviation, labels = rng.normal(size=(3, 4)), rng.uniform(0.3, 2, (3, 4)), rng.normal(size=4)
    expected = []
    for column in range(4):

        def square(t, column=column):
            below = np.mean(stats.norm.cdf(t, mean[:, column], deviation[:, column]))
            return (below - (t >= labels[column])) ** 2

        parts = [integrate.quad(square, *ends, limit=200)[0] for ends in ((-15, labels[column]), (labels[column], 15))]
        expected.append(sum(parts))
    arrays = [jnp.asarray(x, jnp.float32) for x in (mean, deviation**2, labels)]
    np.testing.assert_allclose(metrics.mixture_crps(*arrays), np.mean(expected), rtol=1e-4)
    one = [x[:1] for x in arrays[:2]]
    single = metrics.gaussian_crps(one[0][0], one[1][0], arrays[2])
    np.testing.assert_allclose(metrics.mixture_crps(*one, arrays[2]), single, rtol=1e-5)
    points = metrics.sample_crps(arrays[0], arrays[2])
    np.testing.assert_allclose(metrics.mixture_crps(arrays[0], 0 * arrays[1], arrays[2]), points, rtol=1e-5)


def test_energy_score_by_loops_and_in_one_dimension():
    rng = np.random.default_rng(4)
    samples, labels, weights = rng.normal(size=(5, 6, 3)), rng.normal(size=(6, 3)), rng.integers(0, 3, 6)
    for exponent in (1.0, 0.5):
        scores = []
        for n in range(6):
            error = np.mean([np.linalg.norm(samples[i, n] - labels[n]) ** exponent for i in range(5)])
            pairs = [np.linalg.norm(samples[i, n] - samples[j, n]) ** exponent for i in range(5) for j in range(5)]
            scores.append(error - np.mean(pairs) / 2)
        arrays = (jnp.asarray(samples, jnp.float32), jnp.asarray(labels, jnp.float32))
        found = metrics.energy_score(*arrays, exponent=exponent, weights=jnp.asarray(weights))
        np.testing.assert_allclose(found, np.average(scores, weights=weights), rtol=1e-5)
    flat = metrics.energy_score(arrays[0][..., :1], arrays[1][:, :1])
    np.testing.assert_allclose(flat, metrics.sample_crps(arrays[0][..., 0], arrays[1][:, 0]), rtol=1e-5)
