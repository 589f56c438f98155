"""Where formulas stop: infinite logits, variances of 0, labels of any size, and shapes that would only broadcast."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import metrics
from jaxuq._errors import ArrayError

INF = jnp.inf


def test_crps_of_no_variance_is_the_absolute_error_with_a_finite_slope():
    mean, labels = jnp.array([1.0, 2.0, 0.0]), jnp.array([3.0, 2.0, 0.5])
    variance = jnp.array([0.0, 0.0, 0.25])

    def score(mean, variance):
        return metrics.gaussian_crps(mean, variance, labels)

    value, slopes = jax.jit(jax.value_and_grad(score, argnums=(0, 1)))(mean, variance)
    third = metrics.gaussian_crps(mean[2:], variance[2:], labels[2:])
    np.testing.assert_allclose(value, (2 + 0 + third) / 3, rtol=1e-6)
    assert all(np.isfinite(slope).all() for slope in slopes)
    np.testing.assert_allclose(slopes[0][0], -1 / 3, rtol=1e-6)


def test_likelihoods_of_certain_answers():
    right = metrics.categorical_negative_log_likelihood(jnp.array([[INF, 0.0], [0.0, -INF]]), jnp.array([0, 0]))
    wrong = metrics.categorical_negative_log_likelihood(jnp.array([[INF, 0.0], [0.0, -INF]]), jnp.array([0, 1]))
    assert (right, wrong) == (0, INF)
    gaussian = metrics.gaussian_negative_log_likelihood
    assert gaussian(jnp.zeros(1), jnp.zeros(1), jnp.zeros(1)) == -INF
    assert gaussian(jnp.zeros(1), jnp.zeros(1), jnp.ones(1)) == INF


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1.0, 1e20, 1e30])
def test_explained_variance_and_error_know_no_scale(rng, size):
    labels, predictions = rng.normal(size=(2, 50))
    expected = 1 - np.sum((labels - predictions) ** 2) / np.sum((labels - labels.mean()) ** 2)
    scaled = [jnp.asarray(size * values, jnp.float32) for values in (predictions, labels)]
    np.testing.assert_allclose(metrics.r2_score(*scaled), expected, rtol=2e-5)
    error = size * np.sqrt(np.mean((labels - predictions) ** 2))
    np.testing.assert_allclose(metrics.root_mean_squared_error(*scaled), error, rtol=2e-5)
    ranks = metrics.spearman_correlation(*scaled)
    np.testing.assert_allclose(ranks, metrics.spearman_correlation(*(s / size for s in scaled)), rtol=1e-5)


def test_the_error_of_a_perfect_fit_has_a_slope():
    np.testing.assert_array_equal(jax.grad(metrics.root_mean_squared_error)(jnp.ones(3), jnp.ones(3)), 0)


def test_a_column_is_not_broadcast_to_all_pairs():
    mean, variance, labels = jnp.zeros(200), jnp.ones(200), jnp.zeros((200, 1))
    message = r"labels has shape \(200, 1\) where mean has \(200,\); pass labels\[:, 0\]"
    with pytest.raises(ArrayError, match=message):
        metrics.gaussian_negative_log_likelihood(mean, variance, labels)
    with pytest.raises(ArrayError, match=r"mean has shape \(200, 1\); expected .*jax.vmap"):
        metrics.gaussian_crps(labels, labels, labels)


def test_labels_of_a_narrow_type_are_not_cast(rng):
    probabilities = rng.dirichlet(np.ones(1000), 20).astype(np.float16)
    labels = rng.integers(0, 127, 20)
    for dtype in (jnp.int8, jnp.uint8, jnp.int32):
        for metric in (metrics.multiclass_brier_score, metrics.classwise_calibration_error):
            wide = metric(jnp.asarray(probabilities, jnp.float32), jnp.asarray(labels))
            np.testing.assert_allclose(metric(jnp.asarray(probabilities), jnp.asarray(labels, dtype)), wide, rtol=1e-6)
    certain = jnp.where(jnp.arange(1000) == 999, 5.0, 0.0).astype(jnp.bfloat16)[None]
    nll = metrics.categorical_negative_log_likelihood(certain, jnp.array([999]))
    np.testing.assert_allclose(nll, np.log(np.exp(5) + 999) - 5, rtol=1e-5)
