"""Isotonic calibration against scikit-learn, and its behaviour where that has none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from jaxuq.calibration import isotonic_calibration
from jaxuq.posterior import BernoulliForecast

CALIBRATOR = isotonic_calibration()


def test_applied_to_new_data_equals_scikit_learn(binary, rng):
    forecast, labels, where = binary
    state = CALIBRATOR.fit(forecast, labels, where=where)
    logits = jnp.asarray(rng.normal(0, 5, (90, 2)), jnp.float32)
    new = BernoulliForecast(logits, jnp.full_like(logits, 0.3), jnp.full_like(logits, 0.1))
    calibrated = jax.jit(CALIBRATOR.apply)(state, new)
    for task in range(2):
        keep = np.asarray(where[:, task])
        model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        model.fit(np.asarray(forecast.probabilities)[keep, task], np.asarray(labels)[keep, task])
        expected = model.predict(np.asarray(new.probabilities)[:, task])
        np.testing.assert_allclose(calibrated.probabilities[:, task], expected, atol=3e-6)


def test_state_has_the_shape_of_the_calibration_rows_whatever_the_data(binary):
    forecast, labels, where = binary
    for mask in (None, where):
        state = CALIBRATOR.fit(forecast, labels, where=mask)
        assert state.predicted.shape == state.observed.shape == (300, 2)
        assert (jnp.diff(state.observed, axis=0) >= 0).all()


def test_one_class_keeps_the_forecast():
    logits = jnp.linspace(-2, 3, 8)[:, None]
    forecast = BernoulliForecast(logits, jnp.full_like(logits, 0.3), jnp.full_like(logits, 0.1))
    calibrated = CALIBRATOR.apply(CALIBRATOR.fit(forecast, jnp.ones((8, 1), jnp.int32)), forecast)
    np.testing.assert_allclose(calibrated.logits, logits, rtol=1e-5, atol=1e-6)


def test_masked_rows_may_be_nan(binary):
    forecast, labels, where = binary
    poisoned = forecast._replace(logits=jnp.where(where, forecast.logits, jnp.nan))
    expected = CALIBRATOR.fit(forecast, labels, where=where)
    jax.tree.map(np.testing.assert_array_equal, CALIBRATOR.fit(poisoned, labels, where=where), expected)


def test_wrong_uses_are_refused():
    with pytest.raises(ValueError, match=r"min_probability is 0\.7"):
        isotonic_calibration(min_probability=0.7)
