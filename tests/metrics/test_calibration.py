"""Calibration errors against brute force, uncertainty-toolbox, and what is known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from jaxuq import metrics


def brute_bins(confidence, correct, edges, closed="right"):
    confidence, rows = np.float32(confidence), []
    for low, high in zip(np.float32(edges[:-1]), np.float32(edges[1:])):
        inside = (confidence > low) & (confidence <= high)
        if closed == "left":
            inside = (confidence >= low) & (confidence < high)
        elif low == 0:
            inside |= confidence == 0
        if inside.any():
            rows.append((inside.mean(), confidence[inside].mean(), correct[inside].mean()))
    return np.array(rows).T


@pytest.fixture
def predictions(rng):
    confidence = np.round(rng.random(240), 2)
    confidence[:30] = np.arange(30) % 16 / 15  # on the edges themselves
    return confidence, (rng.random(240) < confidence**2).astype(np.int32), rng.random(240) < 0.7


def test_binned_errors_equal_brute_force(run, predictions):
    confidence, correct, keep = predictions
    for where in (keep, np.ones(240, bool)):
        weight, mean, hits = brute_bins(confidence[where], correct[where], np.arange(16) / 15)
        ece = run(metrics.expected_calibration_error, confidence, correct, where=where)
        mce = run(metrics.maximum_calibration_error, confidence, correct, where=where)
        assert ece == pytest.approx(np.sum(weight * np.abs(hits - mean)), abs=1e-6)
        assert mce == pytest.approx(np.max(np.abs(hits - mean)), abs=1e-6)
        rows = run(metrics.reliability_bins, confidence, correct, where=where)
        np.testing.assert_allclose(rows.confidence, mean, rtol=1e-5)
        np.testing.assert_allclose(rows.accuracy, hits, rtol=1e-5)
        np.testing.assert_allclose(rows.weight, weight, rtol=1e-5)


def test_empty_bins_are_undefined_and_weigh_nothing(run):
    rows = run(metrics.reliability_bins, [0.9, 0.8], [1, 0], bins=2)
    np.testing.assert_allclose(rows, [[np.nan, 0.85], [np.nan, 0.5], [0, 1]], rtol=1e-6)


def test_binary_error_is_that_of_the_top_class(run, predictions):
    probability, label, _ = predictions
    probability[:5] = 1.0
    top, hit = np.maximum(probability, 1 - probability), (probability > 0.5) == label
    ours = run(metrics.binary_calibration_error, probability, label)
    assert ours == pytest.approx(float(run(metrics.expected_calibration_error, top, hit)), abs=1e-6)
    largest = run(metrics.binary_calibration_error, probability, label, norm="maximum")
    assert largest == pytest.approx(float(run(metrics.maximum_calibration_error, top, hit)), abs=1e-6)


def test_bins_may_be_closed_on_the_left(run, predictions):
    probability, label, _ = predictions
    probability[:5] = 1.0
    edges = np.append(np.arange(16) / 15, np.inf)  # the last bin holds exactly 1
    weight, mean, hits = brute_bins(probability, label, edges, closed="left")
    ours = run(metrics.expected_calibration_error, probability, label, closed="left")
    assert ours == pytest.approx(np.sum(weight * np.abs(hits - mean)), abs=1e-6)


def test_adaptive_error_equals_equal_runs_and_ignores_the_order_of_ties(run, rng):
    confidence, correct = rng.permutation(60) / 60, rng.integers(0, 2, 60)
    order = np.argsort(confidence)
    runs = np.abs((correct - confidence)[order].reshape(5, 12).mean(axis=1)).mean()
    assert run(metrics.adaptive_calibration_error, confidence, correct, bins=5) == pytest.approx(runs, abs=1e-6)
    tied, shuffle = np.round(confidence, 1), rng.permutation(60)
    first = run(metrics.adaptive_calibration_error, tied, correct, bins=7)
    assert first == pytest.approx(
        float(run(metrics.adaptive_calibration_error, tied[shuffle], correct[shuffle], bins=7)), abs=1e-6
    )
    expectation = []
    for _ in range(400):  # ties broken at random, averaged inside each bin
        order = np.lexsort((rng.random(60), tied))
        index = np.arange(60) * 7 // 60
        expectation.append(np.bincount(index, (correct - tied)[order]))
    assert first == pytest.approx(np.abs(np.mean(expectation, axis=0)).sum() / 60, abs=0.01)


def test_classwise_error_is_the_mean_over_columns(run, rng):
    logits, labels, keep = (
        rng.normal(size=(100, 4)) * 2,
        rng.integers(0, 4, 100).astype(np.int32),
        rng.random(100) < 0.8,
    )
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    columns = [
        run(metrics.expected_calibration_error, probabilities[:, k], labels == k, where=keep, bins=10) for k in range(4)
    ]
    ours = run(metrics.classwise_calibration_error, probabilities, labels, where=keep, bins=10)
    assert ours == pytest.approx(np.mean(columns), rel=1e-5)


def brute_smooth_error(confidence, correct, points=1000):
    """Reflected kernel by images, integral by midpoints, root by bisection, all in double precision."""
    grid = (np.arange(points) + 0.5) / points
    images = np.concatenate([2 * k + sign * confidence for k in range(-2, 3) for sign in (1, -1)])
    residuals = np.tile(correct - confidence, 10)

    def error(width):
        return np.abs(norm.pdf(grid[:, None], images, width) @ residuals / len(confidence)).mean()

    low, high = 1e-3, 1.0
    for _ in range(18):
        middle = (low + high) / 2
        low, high = (middle, high) if error(middle) > middle else (low, middle)
    return low


def test_smooth_error_equals_kernel_integral(run, rng):
    confidence = rng.random(80)
    for correct in (rng.random(80) < confidence**3, rng.random(80) < confidence):
        expected = brute_smooth_error(confidence, correct)
        assert run(metrics.smooth_calibration_error, confidence, correct) == pytest.approx(expected, rel=2e-3)
        padded = run(
            metrics.smooth_calibration_error,
            np.append(confidence, [0.3, np.nan]),
            np.append(correct, [True, True]),
            where=np.arange(82) < 80,
        )
        assert padded == pytest.approx(expected, rel=2e-3)


def test_smooth_error_of_one_gap_is_the_gap(run):
    assert run(metrics.smooth_calibration_error, np.full(8, 0.9), np.arange(8) < 4) == pytest.approx(0.4, abs=1e-3)


def test_smooth_error_gradient_follows_the_fixed_point(rng):
    confidence = jnp.asarray(rng.random(40), jnp.float32)
    correct = jnp.asarray(rng.random(40) < np.asarray(confidence) ** 3)
    direction = jnp.asarray(rng.normal(size=40), jnp.float32)
    along = jax.jit(lambda t: metrics.smooth_calibration_error(confidence + t * direction, correct, grid_size=512))
    difference = (along(4e-3) - along(-4e-3)) / 8e-3
    assert jax.grad(along)(0.0) == pytest.approx(float(difference), rel=0.05)


@pytest.fixture
def gaussians(rng):
    mean, variance = rng.normal(size=150), np.exp(rng.normal(size=150))
    return mean, variance, mean + 1.5 * np.sqrt(variance) * rng.normal(size=150) + 0.2


def test_regression_error_equals_its_equation(run, gaussians, rng):
    mean, variance, labels = gaussians
    keep = rng.random(150) < 0.7
    quantiles = norm.cdf(labels, mean, np.sqrt(variance))[keep]
    levels = np.arange(1, 20) / 20
    expected = np.mean([(q - np.mean(quantiles <= q)) ** 2 for q in levels])
    assert run(metrics.regression_calibration_error, *gaussians, where=keep) == pytest.approx(expected, rel=1e-4)


def test_miscalibration_area_equals_uncertainty_toolbox(run, gaussians):
    from uncertainty_toolbox.metrics_calibration import get_proportion_lists_vectorized, miscalibration_area

    mean, variance, labels = gaussians
    expected = miscalibration_area(mean, np.sqrt(variance), labels)
    assert run(metrics.miscalibration_area, *gaussians) == pytest.approx(expected, rel=1e-4)
    _, observed = get_proportion_lists_vectorized(mean, np.sqrt(variance), labels)
    curve = run(metrics.regression_calibration_curve, *gaussians, num_quantiles=99, kind="central")
    np.testing.assert_allclose(curve.observed, observed, atol=1e-6)


def test_area_of_a_curve_that_crosses_the_diagonal(run):
    labels = norm.ppf([0.1, 0.2, 0.9, 0.95])  # observed is 0, 1/2, 1 at the levels 0, 1/2, 1 and off in between
    area = run(metrics.miscalibration_area, np.zeros(4), np.ones(4), labels, num_quantiles=3, kind="quantile")
    gaps = np.array([0, 1 / 2 - 1 / 3, 1 / 2 - 2 / 3, 0])
    fine = np.interp(np.linspace(0, 3, 300001), np.arange(4), gaps)
    assert area == pytest.approx(np.abs(fine).mean(), rel=1e-4)


def test_normalised_error_equals_its_equation_and_vanishes_for_true_variances(run, rng):
    variance = np.exp(rng.normal(size=120))
    labels, mean = rng.normal(size=120), rng.normal(size=120)
    order = np.argsort(variance)
    predicted = np.sqrt(variance[order].reshape(6, 20).mean(axis=1))
    actual = np.sqrt(((labels - mean) ** 2)[order].reshape(6, 20).mean(axis=1))
    expected = np.mean(np.abs(predicted - actual) / predicted)
    ours = run(metrics.expected_normalised_calibration_error, mean, variance, labels, bins=6)
    assert ours == pytest.approx(expected, rel=1e-5)
    exact = run(metrics.expected_normalised_calibration_error, mean, variance, mean + np.sqrt(variance))
    assert exact == pytest.approx(0, abs=1e-6)
    assert run(metrics.sharpness, variance) == pytest.approx(np.sqrt(variance.mean()), rel=1e-5)


def test_normalised_error_ignores_the_order_of_ties(run, rng):
    variance, labels = np.repeat([1.0, 2.0], 25), rng.normal(size=50)
    shuffle = rng.permutation(50)
    first = run(metrics.expected_normalised_calibration_error, np.zeros(50), variance, labels, bins=7)
    other = run(metrics.expected_normalised_calibration_error, np.zeros(50), variance[shuffle], labels[shuffle], bins=7)
    assert first == pytest.approx(float(other), rel=1e-5)
