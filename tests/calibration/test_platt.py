"""Platt scaling against scikit-learn's logistic regression and scipy's optimum of Platt's own objective."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize
from sklearn.linear_model import LogisticRegression

from jaxuq.calibration import platt_scaling
from jaxuq.posterior import BernoulliForecast

SMOOTH, HARD = platt_scaling(), platt_scaling(smooth_targets=False)
FIT_SMOOTH, FIT_HARD = jax.jit(SMOOTH.fit), jax.jit(HARD.fit)


def _forecast(logits):
    return BernoulliForecast(logits, jnp.full_like(logits, 0.3), jnp.full_like(logits, 0.1))


def test_hard_targets_are_logistic_regression(binary):
    forecast, labels, where = binary
    state = FIT_HARD(forecast, labels, where=where)
    for task in range(2):
        keep = np.asarray(where[:, task])
        model = LogisticRegression(C=np.inf, tol=1e-10)
        model.fit(np.asarray(forecast.logits, np.float64)[keep, task, None], np.asarray(labels)[keep, task])
        np.testing.assert_allclose(state.slope[task], model.coef_[0, 0], rtol=1e-4)
        np.testing.assert_allclose(state.intercept[task], model.intercept_[0], rtol=1e-3)


def test_smooth_targets_are_platts_objective(binary):
    forecast, labels, _ = binary
    forecast, labels = jax.tree.map(lambda a: a[:25], (forecast, labels))
    state = FIT_SMOOTH(forecast, labels)
    for task in range(2):
        z, y = np.asarray(forecast.logits, np.float64)[:, task], np.asarray(labels)[:, task]
        target = np.where(y == 1, (y.sum() + 1) / (y.sum() + 2), 1 / ((1 - y).sum() + 2))

        def loss(line, z=z, target=target):
            return np.sum(np.logaddexp(0, line[0] * z + line[1]) - target * (line[0] * z + line[1]))

        expected = optimize.minimize(loss, [1.0, 0.0], tol=1e-10).x
        np.testing.assert_allclose([state.slope[task], state.intercept[task]], expected, rtol=1e-3, atol=1e-4)


def test_intercept_survives_logits_far_from_zero(binary):
    forecast, labels, _ = binary
    near = FIT_HARD(forecast, labels)
    far = FIT_HARD(forecast._replace(logits=forecast.logits + 500), labels)
    np.testing.assert_allclose(far.slope, near.slope, rtol=1e-3)
    np.testing.assert_allclose(far.intercept, near.intercept - 500 * near.slope, rtol=1e-3)


def test_separated_scores_have_a_finite_line():
    # two distinct scores: the fitted probabilities are the smoothed targets themselves, 1/4 and 3/4.
    forecast = _forecast(jnp.array([[-3.0], [-3.0], [5.0], [5.0]]))
    state = FIT_SMOOTH(forecast, jnp.array([[0], [0], [1], [1]]))
    np.testing.assert_allclose(state.slope * 8, 2 * np.log(3), rtol=1e-5)
    np.testing.assert_allclose(SMOOTH.apply(state, forecast).probabilities[:, 0], [0.25, 0.25, 0.75, 0.75], rtol=1e-5)


def test_constant_scores_give_the_base_rate():
    forecast = _forecast(jnp.full((4, 1), 2.0))
    calibrated = HARD.apply(FIT_HARD(forecast, jnp.array([[0], [1], [0], [0]])), forecast)
    np.testing.assert_allclose(calibrated.probabilities, 0.25, rtol=1e-5)


def test_one_class_keeps_the_forecast():
    forecast = _forecast(jnp.linspace(-2, 3, 8)[:, None])
    for fit in (FIT_HARD, FIT_SMOOTH):
        state = fit(forecast, jnp.ones((8, 1), jnp.int32))
        np.testing.assert_array_equal([state.slope, state.intercept], [[1.0], [0.0]])


def test_fit_is_differentiable(binary):
    forecast, labels, where = binary

    @jax.jit
    def fitted(shift):
        logits = forecast.logits + shift * jnp.sin(forecast.logits)
        state = SMOOTH.fit(forecast._replace(logits=logits), labels, where=where)
        return jnp.sum(state.slope + 0.5 * state.intercept)

    numeric = (fitted(0.01) - fitted(-0.01)) / 0.02
    np.testing.assert_allclose(jax.grad(fitted)(0.0), numeric, rtol=5e-3)
