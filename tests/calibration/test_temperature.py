"""Temperature scaling against scikit-learn's logistic regression, scipy's optimiser and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special
from sklearn.linear_model import LogisticRegression

from jaxuq.calibration import temperature_scaling
from jaxuq.posterior import BernoulliForecast, CategoricalForecast, GaussianForecast

CALIBRATOR = temperature_scaling()
FIT = jax.jit(CALIBRATOR.fit)


def _forecast(logits):
    logits = jnp.asarray(logits, jnp.float32)
    return BernoulliForecast(logits, jnp.full_like(logits, 0.3), jnp.full_like(logits, 0.1))


def test_equals_logistic_regression_without_intercept_and_penalty(binary):
    forecast, labels, where = binary
    fitted = FIT(forecast, labels, where=where).temperature
    for task in range(2):
        keep = np.asarray(where[:, task])
        model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10)
        model.fit(np.asarray(forecast.logits, np.float64)[keep, task, None], np.asarray(labels)[keep, task])
        np.testing.assert_allclose(1 / fitted[task], model.coef_[0, 0], rtol=1e-5)


def test_categorical_is_the_optimum_of_scipy(categorical):
    forecast, labels = categorical
    logits, classes = np.asarray(forecast.logits, np.float64), np.asarray(labels)

    def loss(log_temperature):
        scaled = special.log_softmax(logits / np.exp(log_temperature), axis=-1)
        return -scaled[np.arange(len(classes)), classes].mean()

    expected = np.exp(optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-9}).x)
    np.testing.assert_allclose(FIT(forecast, labels).temperature, expected, rtol=1e-4)


def test_closed_form_of_one_repeated_logit():
    # logit 4 in four rows with three positives: the NLL is least where sigmoid(4 / h) = 3/4, so h = 4 / log 3.
    state = FIT(_forecast(jnp.full((4, 1), 4.0)), jnp.array([[1], [1], [0], [1]]))
    np.testing.assert_allclose(state.temperature, [4 / np.log(3)], rtol=1e-6)


def test_probabilities_and_entropies_after_scaling(binary):
    forecast, labels, _ = binary
    state = FIT(forecast, labels)
    scaled = CALIBRATOR.apply(state, forecast)
    probability = special.expit(np.asarray(forecast.logits, np.float64) / np.asarray(state.temperature))
    np.testing.assert_allclose(scaled.probabilities, probability, rtol=1e-5)
    entropy = special.entr(probability) + special.entr(1 - probability)
    np.testing.assert_allclose(scaled.total, entropy, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scaled.epistemic, 0.25 * scaled.total, rtol=1e-5)


def test_categorical_forecast_stays_normalised(categorical):
    forecast, labels = categorical
    scaled = CALIBRATOR.apply(FIT(forecast, labels), forecast)
    np.testing.assert_allclose(jax.nn.logsumexp(scaled.logits, axis=-1), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.total, special.entr(np.asarray(scaled.probabilities)).sum(-1), rtol=1e-5)


def test_two_classes_are_one_binary_task(binary):
    forecast, labels, where = binary
    two = jnp.stack([jnp.zeros_like(forecast.logits), forecast.logits], axis=-1)
    classes = CategoricalForecast(two, forecast.aleatoric, forecast.epistemic)
    expected = FIT(forecast, labels, where=where).temperature
    np.testing.assert_allclose(FIT(classes, labels, where=where).temperature, expected, rtol=1e-5)


def test_a_task_without_two_labels_keeps_temperature_one():
    logits = jnp.linspace(-2, 3, 8)[:, None] * jnp.ones((1, 4))
    labels = jnp.asarray(np.stack([np.ones(8), np.zeros(8), np.arange(8) % 2, np.arange(8) % 2], axis=1), jnp.int32)
    where = jnp.ones((8, 4), bool).at[:, 2].set(jnp.arange(8) % 2 == 0).at[:, 3].set(False)
    np.testing.assert_array_equal(FIT(_forecast(logits), labels, where=where).temperature, jnp.ones(4))
    np.testing.assert_array_equal(FIT(_forecast(jnp.zeros((2, 1))), jnp.array([[0], [1]])).temperature, [1.0])


def test_separable_and_reversed_scores_stop_at_the_bounds():
    logits = jnp.array([[1.0, 1.0], [-1.0, -1.0]])
    state = temperature_scaling(bounds=(0.1, 20.0)).fit(_forecast(logits), jnp.array([[1, 0], [0, 1]]))
    np.testing.assert_allclose(state.temperature, [0.1, 20.0], rtol=1e-5)


def test_fit_is_differentiable(binary):
    forecast, labels, where = binary

    @jax.jit
    def fitted(shift):
        logits = forecast.logits + shift * jnp.sin(forecast.logits)
        return jnp.sum(CALIBRATOR.fit(forecast._replace(logits=logits), labels, where=where).temperature)

    step = 0.01
    numeric = (fitted(step) - fitted(-step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(fitted)(0.0), numeric, rtol=2e-3)


def test_wrong_uses_are_refused():
    with pytest.raises(ValueError, match="bounds are"):
        temperature_scaling(bounds=(2.0, 1.0))
    zeros = jnp.zeros((2, 1))
    with pytest.raises(TypeError, match="got GaussianForecast; use variance_scaling"):
        CALIBRATOR.apply(CALIBRATOR.fit(_forecast(zeros), zeros), GaussianForecast(zeros, zeros, zeros))
