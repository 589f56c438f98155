"""Variance scaling against scipy's optimum of the Gaussian likelihood."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize, stats

from jaxuq.calibration import variance_scaling

CALIBRATOR = variance_scaling()


def test_factor_maximises_the_likelihood(gaussian):
    forecast, labels, where = gaussian
    factor = jax.jit(CALIBRATOR.fit)(forecast, labels, where=where).factor
    for task in range(2):
        mean, total, y = (
            np.asarray(a, np.float64)[np.asarray(where[:, task]), task] for a in (forecast.mean, forecast.total, labels)
        )

        def loss(log_factor, mean=mean, total=total, y=y):
            return -stats.norm.logpdf(y, mean, np.sqrt(np.exp(log_factor) * total)).mean()

        expected = np.exp(optimize.minimize_scalar(loss, bounds=(-6, 6), method="bounded", options={"xatol": 1e-9}).x)
        np.testing.assert_allclose(factor[task], expected, rtol=1e-4)


def test_both_parts_scale_and_the_residuals_are_standard_afterwards(gaussian):
    forecast, labels, where = gaussian
    scaled = CALIBRATOR.apply(CALIBRATOR.fit(forecast, labels, where=where), forecast)
    np.testing.assert_array_equal(scaled.mean, forecast.mean)
    np.testing.assert_allclose(scaled.epistemic / scaled.total, 0.25, rtol=1e-5)
    np.testing.assert_allclose(CALIBRATOR.fit(scaled, labels, where=where).factor, 1, rtol=1e-5)


def test_a_task_without_labels_keeps_its_variance(gaussian):
    forecast, labels, _ = gaussian
    state = CALIBRATOR.fit(forecast, labels * jnp.nan, where=jnp.zeros(labels.shape, bool))
    np.testing.assert_array_equal(state.factor, [1.0, 1.0])
