"""Gaussian likelihoods against scipy's normal density, and the limits of the beta weighting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxuq.losses import censored_negative_log_likelihood, softplus_variance
from tests.losses.means import beta_negative_log_likelihood, gaussian_negative_log_likelihood


@pytest.fixture
def data(rng):
    return tuple(jnp.asarray(rng.normal(size=(11, 2)), jnp.float32) for _ in range(3))


def _variance(raw):
    return np.log1p(np.exp(np.asarray(raw, np.float64))) + 1e-6


def test_likelihood_is_the_full_density_of_scipy(data):
    mean, raw, targets = data
    expected = -stats.norm.logpdf(targets, mean, np.sqrt(_variance(raw))).mean()
    np.testing.assert_allclose(gaussian_negative_log_likelihood(*data), expected, rtol=1e-6)


def test_variance_is_floored():
    np.testing.assert_allclose(softplus_variance(jnp.array([-1e4])), 1e-6, rtol=1e-6)
    np.testing.assert_allclose(softplus_variance(jnp.array([-1e4]), min_variance=0.5), 0.5)
    np.testing.assert_allclose(softplus_variance(jnp.array([1e4])), 1e4)


def test_beta_zero_is_the_likelihood_in_value_and_gradient(data):
    for function in (lambda f: f, jax.grad):
        weighted = function(lambda *a: beta_negative_log_likelihood(*a, beta=0.0))(*data)
        np.testing.assert_allclose(weighted, function(gaussian_negative_log_likelihood)(*data), rtol=1e-5)


def test_beta_one_gives_the_mean_the_gradient_of_half_the_squared_error(data):
    mean, raw, targets = data
    gradient = jax.grad(beta_negative_log_likelihood)(mean, raw, targets, beta=1.0)
    np.testing.assert_allclose(gradient, (mean - targets) / mean.size, rtol=1e-5)


def test_beta_weights_both_gradients_by_the_stopped_variance(data):
    mean, raw, targets = (array[0, 0] for array in data)
    plain = jax.grad(gaussian_negative_log_likelihood, argnums=(0, 1))(mean, raw, targets)
    weighted = jax.grad(beta_negative_log_likelihood, argnums=(0, 1))(mean, raw, targets, beta=0.3)
    np.testing.assert_allclose(np.array(weighted), np.array(plain) * _variance(raw) ** 0.3, rtol=1e-5)


def test_options_are_validated(data):
    with pytest.raises(ValueError, match=r"beta is 1\.5; expected a finite number in \[0, 1\]"):
        beta_negative_log_likelihood(*data, beta=1.5)


def test_bounds_have_the_probability_of_all_that_lies_beyond_them(data, rng):
    mean, raw, targets = data
    variance, bounds = _variance(raw), rng.integers(-1, 2, mean.shape)
    found = censored_negative_log_likelihood(mean, jnp.asarray(variance, jnp.float32), targets, jnp.asarray(bounds))
    for at in np.ndindex(mean.shape):
        label = stats.norm(float(mean[at]), np.sqrt(variance[at]))
        expected = {0: label.logpdf, 1: label.logsf, -1: label.logcdf}[int(bounds[at])](float(targets[at]))
        np.testing.assert_allclose(found[at], -expected, rtol=2e-5)
    far = censored_negative_log_likelihood(jnp.zeros(2), jnp.ones(2), jnp.array([30.0, -30.0]), jnp.array([1, -1]))
    np.testing.assert_allclose(far, -stats.norm.logsf(30), rtol=1e-5)  # beyond what a float32 holds as a probability
    assert np.isnan(censored_negative_log_likelihood(jnp.zeros(1), jnp.ones(1), jnp.zeros(1), jnp.array([2]))[0])


def test_bounds_take_the_bias_off_an_estimate(rng):
    """Labels above 0.3 are known as such alone: Tobit's estimates against those of the whole sample."""
    labels = rng.normal(0.5, 2.0, 4000)
    seen, bounds = jnp.asarray(np.minimum(labels, 0.3), jnp.float32), jnp.asarray(labels > 0.3, jnp.int32)

    def loss(parameters):
        mean, variance = (jnp.full_like(seen, value) for value in (parameters[0], jnp.exp(parameters[1])))
        return jnp.mean(censored_negative_log_likelihood(mean, variance, seen, bounds))

    found = jnp.zeros(2)
    for _ in range(20):
        found -= jnp.linalg.solve(jax.hessian(loss)(found), jax.grad(loss)(found))
    np.testing.assert_allclose((found[0], jnp.exp(found[1] / 2)), (labels.mean(), labels.std()), atol=0.12)
    assert labels.mean() - seen.mean() > 0.5  # what it would be without


def test_bounds_of_every_type_of_integers():
    arrays = jnp.zeros(2), jnp.ones(2), jnp.array([1.0, 1.0])
    expected = censored_negative_log_likelihood(*arrays, jnp.array([0, 1]))
    for dtype in (jnp.uint8, jnp.int8):
        np.testing.assert_allclose(censored_negative_log_likelihood(*arrays, jnp.array([0, 1], dtype)), expected)
    assert np.isnan(censored_negative_log_likelihood(*arrays, jnp.array([0, 255], jnp.uint8))[1])
