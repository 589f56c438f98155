"""Linear maps of logits against scikit-learn's and SciPy's optima of the same likelihood."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from jaxuq.calibration import dirichlet_calibration, matrix_scaling, vector_scaling
from jaxuq.posterior import CategoricalForecast


def _data(n=600, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 3))
    labels = np.argmax(logits * [0.3, 0.6, 0.4] + [0.0, 0.5, -0.5] + rng.gumbel(size=logits.shape), axis=-1)
    return logits, labels


def _forecast(logits):
    return CategoricalForecast(jnp.asarray(logits, jnp.float32), *[jnp.zeros(logits.shape[:-1])] * 2)


def _loss(theta, features, labels, weights, full, off_diagonal=0.0, intercept=0.0):
    classes = features.shape[1]
    maps = theta[:-classes].reshape(classes, classes) if full else np.diag(theta[:-classes])
    offsets, total = theta[-classes:], 0.0
    for feature, label, weight in zip(features, labels, weights):
        mapped = maps @ feature + offsets
        total += weight * (np.log(np.sum(np.exp(mapped))) - mapped[label])
    total /= np.sum(weights)
    for row in range(classes):
        for column in range(classes):
            if row != column:
                total += off_diagonal * maps[row, column] ** 2 / (classes * (classes - 1))
        total += intercept * offsets[row] ** 2 / classes
    return total


def test_vector_scaling_reaches_the_optimum_with_weights():
    logits, labels = _data(150)
    weights = np.random.default_rng(1).integers(0, 3, 150)
    state = vector_scaling().fit(_forecast(logits), jnp.asarray(labels), weights=jnp.asarray(weights))
    best = minimize(_loss, [1, 1, 1, 0, 0, 0], (logits, labels, weights, False), "BFGS", options={"gtol": 1e-7}).x
    np.testing.assert_allclose(state.weights, best[:3], atol=2e-4)
    np.testing.assert_allclose(state.intercepts, best[3:] - best[3:].mean(), atol=2e-4)


@pytest.mark.long
def test_matrix_scaling_is_the_regression_of_labels_on_logits():
    logits, labels = _data()
    method = matrix_scaling()
    state = method.fit(_forecast(logits), jnp.asarray(labels))
    expected = LogisticRegression(C=np.inf, tol=1e-10, max_iter=5000).fit(logits, labels).predict_proba(logits)
    np.testing.assert_allclose(np.exp(method.apply(state, _forecast(logits)).logits), expected, atol=5e-4)


@pytest.mark.long
def test_the_penalties_of_dirichlet_calibration():
    logits, labels = _data(100)
    method = dirichlet_calibration(off_diagonal=0.3, intercept=0.7)
    state = method.fit(_forecast(logits), jnp.asarray(labels))
    features = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    start = [*np.eye(3).ravel(), 0, 0, 0]
    best = minimize(_loss, start, (features, labels, np.ones(100), True, 0.3, 0.7), "BFGS", options={"gtol": 1e-6}).x
    np.testing.assert_allclose(state.weights.ravel(), best[:9], atol=1e-3)
    np.testing.assert_allclose(state.intercepts, best[9:], atol=1e-3)


def test_an_impossible_class_stays_impossible_and_has_no_say():
    logits, labels = _data(150)
    wide = np.concatenate([logits, np.full((150, 1), -np.inf)], axis=1)
    state = vector_scaling().fit(_forecast(wide), jnp.asarray(labels))
    alone = vector_scaling().fit(_forecast(logits), jnp.asarray(labels))
    np.testing.assert_allclose(state.weights[:3], alone.weights, atol=1e-4)
    applied = vector_scaling().apply(state, _forecast(wide))
    np.testing.assert_array_equal(applied.logits[:, 3], -np.inf)
    np.testing.assert_allclose(np.exp(applied.logits).sum(-1), 1, rtol=1e-5)
