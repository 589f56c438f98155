"""Quantile recalibration against scikit-learn's isotonic regression, NumPy quantiles and simulated moments."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats
from sklearn.isotonic import IsotonicRegression

from jaxuq.calibration import isotonic_quantiles
from jaxuq.posterior import GaussianForecast

CALIBRATOR = isotonic_quantiles()
FIT = jax.jit(CALIBRATOR.fit)


def test_levels_at_the_knots_are_the_isotonic_regression_of_the_paper(gaussian):
    forecast, labels, where = gaussian
    recalibrated = CALIBRATOR.cdf(CALIBRATOR.fit(forecast, labels, where=where), forecast, labels)
    for task in range(2):
        keep = np.asarray(where[:, task])
        mean, total, y = (np.asarray(a, np.float64)[keep, task] for a in (forecast.mean, forecast.total, labels))
        predicted = stats.norm.cdf(y, mean, np.sqrt(total))
        observed = (predicted[None, :] <= predicted[:, None]).mean(axis=1)
        expected = IsotonicRegression(out_of_bounds="clip").fit(predicted, observed).predict(predicted)
        resolved = predicted < 1 - 1e-9  # nearer to 1 the levels of the oracle merge
        assert resolved.sum() > 150
        np.testing.assert_allclose(recalibrated[keep, task][resolved], expected[resolved], atol=1e-5)


def test_quantile_inverts_the_cdf_and_has_the_observed_frequency(gaussian):
    forecast, labels, _ = gaussian
    state = FIT(forecast, labels)
    for level in (0.1, 0.5, 0.904):
        values = CALIBRATOR.quantile(state, forecast, level)
        np.testing.assert_allclose(CALIBRATOR.cdf(state, forecast, values), level, atol=1e-4)
        np.testing.assert_allclose((labels <= values + 1e-5).mean(0), level, atol=1 / 250 + 1e-6)


def test_overconfident_residuals_do_not_saturate():
    mean = jnp.zeros((100, 1))
    labels = jnp.asarray(20 * stats.norm.ppf((np.arange(100) + 0.5) / 100)[:, None], jnp.float32)
    forecast = GaussianForecast(mean, mean + 1, mean)
    upper = CALIBRATOR.quantile(FIT(forecast, labels), forecast, 0.9)
    np.testing.assert_allclose(upper[0, 0], 20 * stats.norm.ppf(0.9), rtol=0.05)


def test_moments_are_those_of_the_recalibrated_law(gaussian, rng):
    forecast, labels, _ = gaussian
    state = FIT(forecast, labels)
    calibrated = CALIBRATOR.apply(state, forecast)
    # The step form of R: draw a level, take the smallest knot that reaches it.
    rows = np.searchsorted(np.asarray(state.levels[:, 0]), rng.random(200_000))
    draws = np.asarray(state.residuals)[rows, 0] * np.sqrt(forecast.total[0, 0]) + forecast.mean[0, 0]
    np.testing.assert_allclose(calibrated.mean[0, 0], draws.mean(), rtol=0.02)
    np.testing.assert_allclose(calibrated.total[0, 0], draws.var(), rtol=0.02)
    np.testing.assert_allclose(calibrated.epistemic / calibrated.total, 0.25, rtol=1e-5)


def test_ties_count_as_at_or_below():
    mean = jnp.zeros((4, 1))
    forecast = GaussianForecast(mean, mean + 1, mean)
    state = FIT(forecast, jnp.array([[1.0], [2.0], [2.0], [3.0]]))
    np.testing.assert_allclose(
        CALIBRATOR.cdf(state, forecast, jnp.array([[0.9], [1.0], [2.0], [3.5]]))[:, 0], [0, 0.25, 0.75, 1]
    )


def test_a_task_without_labels_keeps_the_gaussian(gaussian):
    forecast, labels, _ = gaussian
    state = FIT(forecast, labels, where=jnp.zeros(labels.shape, bool))
    jax.tree.map(np.testing.assert_array_equal, CALIBRATOR.apply(state, forecast), forecast)
    values = forecast.mean + 0.7 * jnp.sqrt(forecast.total)
    np.testing.assert_allclose(CALIBRATOR.cdf(state, forecast, values), stats.norm.cdf(0.7), atol=1e-3)
