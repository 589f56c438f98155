"""Point errors and proper scores against scikit-learn, properscoring, uncertainty-toolbox and their definitions."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import properscoring
import pytest
from scipy.stats import norm
from sklearn import metrics as sk

from jaxuq import metrics


@pytest.fixture
def regression(rng):
    mean, variance = rng.normal(size=200), np.exp(rng.normal(size=200))
    return mean, variance, mean + np.sqrt(variance) * rng.normal(size=200)


@pytest.fixture
def keep(rng):
    return rng.random(200) < 0.6


def test_point_errors_equal_sklearn(run, regression, keep):
    mean, _, labels = regression
    for metric, oracle in (
        (metrics.root_mean_squared_error, sk.root_mean_squared_error),
        (metrics.mean_absolute_error, sk.mean_absolute_error),
        (metrics.r2_score, sk.r2_score),
    ):
        assert run(metric, mean, labels) == pytest.approx(oracle(labels, mean), rel=1e-5)
        assert run(metric, mean, labels, where=keep) == pytest.approx(oracle(labels[keep], mean[keep]), rel=1e-5)


def test_r2_of_equal_labels_is_undefined(run):
    assert np.isnan(run(metrics.r2_score, np.arange(7.0), np.full(7, 0.1)))


def test_accuracy_counts_hits_of_kept_entries(run):
    predictions, labels = np.array([2, 1, 0, 1]), np.array([2, 1, 1, 0])
    assert run(metrics.accuracy, predictions, labels, where=np.array([True, True, True, False])) == pytest.approx(2 / 3)


def test_binary_scores_equal_sklearn(run, rng, keep):
    logits = rng.normal(size=200) * 3
    labels = (rng.random(200) < 0.3).astype(np.int32)
    probabilities = 1 / (1 + np.exp(-logits))
    for kept in (keep, np.ones(200, bool)):
        loss = run(metrics.bernoulli_negative_log_likelihood, logits, labels, where=kept)
        assert loss == pytest.approx(sk.log_loss(labels[kept], probabilities[kept]), rel=1e-5)
        half = run(metrics.brier_score, probabilities, labels, where=kept)
        assert half == pytest.approx(sk.brier_score_loss(labels[kept], probabilities[kept]), rel=1e-5)
        both = run(metrics.brier_score, probabilities, labels, where=kept, scale_by_half=False)
        oracle = sk.brier_score_loss(labels[kept], probabilities[kept], scale_by_half=False)
        assert both == pytest.approx(oracle, rel=1e-5)
        two_classes = np.stack([1 - probabilities, probabilities], axis=1)
        assert both == pytest.approx(2 * half, rel=1e-6)
        assert both == pytest.approx(run(metrics.multiclass_brier_score, two_classes, labels, where=kept), rel=1e-5)


def test_extreme_logits_are_scored_exactly(run):
    logits = np.array([200.0, -200.0, np.inf, -np.inf])
    assert run(metrics.bernoulli_negative_log_likelihood, logits, np.array([1, 0, 1, 0])) == 0
    assert run(metrics.bernoulli_negative_log_likelihood, logits[:2], np.array([0, 1])) == 200
    assert run(metrics.bernoulli_negative_log_likelihood, logits[2:], np.array([0, 0])) == np.inf


def test_class_scores_equal_sklearn(run, rng, keep):
    logits, labels = rng.normal(size=(200, 5)), rng.integers(0, 5, 200).astype(np.int32)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = sk.log_loss(labels[keep], probabilities[keep], labels=np.arange(5))
    assert run(metrics.categorical_negative_log_likelihood, logits, labels, where=keep) == pytest.approx(expected)
    expected = np.sum((probabilities - np.eye(5)[labels])[keep] ** 2) / keep.sum()
    assert run(metrics.multiclass_brier_score, probabilities, labels, where=keep) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("metric", [metrics.categorical_negative_log_likelihood, metrics.multiclass_brier_score])
@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_outside_the_classes_is_not_scored(run, metric, label):
    assert np.isnan(run(metric, np.full((2, 3), 1 / 3), np.array([0, label])))


def test_gaussian_likelihood_equals_scipy(run, regression, keep):
    mean, variance, labels = regression
    expected = -norm.logpdf(labels, mean, np.sqrt(variance))[keep].mean()
    full = run(metrics.gaussian_negative_log_likelihood, mean, variance, labels, where=keep)
    assert full == pytest.approx(expected, rel=1e-5)


def test_crps_equals_properscoring(run, regression, keep, rng):
    mean, variance, labels = regression
    expected = properscoring.crps_gaussian(labels, mean, np.sqrt(variance))
    assert run(metrics.gaussian_crps, mean, variance, labels) == pytest.approx(expected.mean(), rel=1e-5)
    samples = np.round(mean + np.sqrt(variance) * rng.normal(size=(11, 200)), 1)
    expected = properscoring.crps_ensemble(labels, samples.T)
    assert run(metrics.sample_crps, samples, labels) == pytest.approx(expected.mean(), rel=1e-5)
    assert run(metrics.sample_crps, samples, labels, where=keep) == pytest.approx(expected[keep].mean(), rel=1e-5)
    gaps = np.abs(samples[:, None] - samples[None]).sum(axis=(0, 1)) / 2
    fair = np.abs(samples - labels).mean(axis=0) - gaps / (11 * 10)
    assert run(metrics.sample_crps, samples, labels, estimator="fair") == pytest.approx(fair.mean(), rel=1e-5)


def test_crps_of_large_offsets_loses_nothing(run, rng):
    samples = rng.integers(0, 64, (32, 50)) / 8
    labels = rng.integers(0, 64, 50) / 8
    near, far = run(metrics.sample_crps, samples, labels), run(metrics.sample_crps, samples + 65536, labels + 65536)
    assert near == pytest.approx(far, rel=1e-6)


def test_interval_score_equals_uncertainty_toolbox(run, regression):
    from uncertainty_toolbox.metrics_scoring_rule import interval_score

    mean, variance, labels = regression
    levels, ours = np.linspace(0.01, 0.99, 9), []
    for level in levels:
        half = norm.ppf(0.5 + level / 2) * np.sqrt(variance)
        ours.append(run(metrics.interval_score, mean - half, mean + half, labels, level=float(level)))
    expected = interval_score(mean, np.sqrt(variance), labels, resolution=9)
    assert np.mean(ours) == pytest.approx(expected, rel=1e-5)


def test_pinball_equals_sklearn_and_integrates_to_crps(run, regression, keep):
    mean, variance, labels = regression
    loss = run(metrics.pinball_loss, mean, labels, quantile=0.8, where=keep)
    assert loss == pytest.approx(sk.mean_pinball_loss(labels[keep], mean[keep], alpha=0.8), rel=1e-5)
    levels = (np.arange(200) + 0.5) / 200
    losses = [
        float(metrics.pinball_loss(jnp.asarray(norm.ppf(q, mean, np.sqrt(variance))), jnp.asarray(labels), quantile=q))
        for q in levels
    ]
    assert 2 * np.mean(losses) == pytest.approx(float(run(metrics.gaussian_crps, mean, variance, labels)), rel=2e-3)


def test_interval_coverage_and_width(run):
    lower, upper, labels = [0.0, 0.0, 0.0, 5.0], [1.0, 2.0, np.inf, 6.0], [1.0, 2.5, 9.0, 4.0]
    assert run(metrics.interval_coverage, lower, upper, labels) == 0.5
    assert run(metrics.interval_width, lower, upper) == np.inf
    assert run(metrics.interval_width, lower, upper, where=np.array([True, True, False, True])) == pytest.approx(4 / 3)


def test_options_are_checked():
    one = jnp.ones(3)
    with pytest.raises(ValueError, match="closed is 'both'; expected one of 'right', 'left'"):
        inspect.unwrap(metrics.expected_calibration_error)(one, one, closed="both")  # past the type checks of the tests
    with pytest.raises(ValueError, match=r"level is 90.0; expected a finite number in \(0, 1\)"):
        metrics.interval_score(one, one, one, level=90.0)
    with pytest.raises(ValueError, match="bins is 0; expected an integer of at least 1"):
        metrics.expected_calibration_error(one, one, bins=0)
    with pytest.raises(ValueError, match="fair estimator needs at least 2"):
        metrics.sample_crps(one[None], one, estimator="fair")


def test_a_task_with_constant_labels_leaves_the_gradients_of_the_others():
    labels = jnp.array([[1.0, 2.0], [1.0, 3.0], [1.0, 5.0]])
    scores = jnp.array([[0.5, 2.5], [1.5, 3.0], [1.0, 4.0]])

    def mean(scores):
        return metrics.average_over_tasks(metrics.r2_score, scores, labels).mean

    gradient = jax.grad(mean)(scores)
    # of the second task alone: -2 (prediction - label) over the labels' squared deviations, 14/3
    np.testing.assert_allclose(gradient[:, 1], -2 * (scores - labels)[:, 1] / (14 / 3), rtol=1e-5)
    np.testing.assert_array_equal(gradient[:, 0], 0)
