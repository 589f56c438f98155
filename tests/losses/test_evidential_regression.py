"""Evidential regression against scipy's Student t, numeric integration and simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from jaxuq.losses import NormalInverseGamma, normal_inverse_gamma_parameters
from tests.losses.means import evidential_regression_loss


def _outputs(gamma, nu, alpha, beta):
    raw = [np.log(np.expm1(v - 1e-6)) for v in (nu, alpha - 1, beta)]
    return jnp.asarray([[gamma, *raw]], jnp.float32)


def test_parameters_invert_the_softplus():
    parameters = normal_inverse_gamma_parameters(_outputs(0.3, 2.0, 3.5, 0.7)[0])
    np.testing.assert_allclose(np.array(parameters), [0.3, 2.0, 3.5, 0.7], rtol=1e-6)


@pytest.mark.parametrize("values", [(0.3, 2.0, 3.5, 0.7), (-1.0, 0.05, 1.2, 4.0), (0.0, 30.0, 12.0, 0.1)])
@pytest.mark.parametrize("target", [-4.0, 0.1, 6.0])
def test_likelihood_is_a_student_t(values, target):
    gamma, nu, alpha, beta = values
    expected = -stats.t.logpdf(target, 2 * alpha, gamma, np.sqrt(beta * (1 + nu) / (nu * alpha)))
    actual = evidential_regression_loss(_outputs(*values), jnp.array([target]), regularisation=0.0)
    np.testing.assert_allclose(actual, expected, rtol=2e-5)


def test_likelihood_is_the_integral_over_mean_and_variance():
    gamma, nu, alpha, beta = 0.3, 2.0, 3.5, 0.7

    def integrand(variance):  # the mean is integrated in closed form: y | variance ~ N(gamma, variance (1 + 1/nu))
        marginal = stats.norm.pdf(1.0, gamma, np.sqrt(variance * (1 + 1 / nu)))
        return marginal * stats.invgamma.pdf(variance, alpha, scale=beta)

    expected = -np.log(integrate.quad(integrand, 0, np.inf)[0])
    actual = evidential_regression_loss(_outputs(gamma, nu, alpha, beta), jnp.array([1.0]), regularisation=0.0)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_regulariser_prices_evidence_times_error():
    outputs, targets = _outputs(0.5, 2.0, 3.5, 0.7), jnp.array([-1.5])
    with_price = evidential_regression_loss(outputs, targets, regularisation=0.1)
    without = evidential_regression_loss(outputs, targets, regularisation=0.0)
    np.testing.assert_allclose(with_price - without, 0.1 * 2.0 * (2 * 2.0 + 3.5), rtol=1e-5)


def test_large_evidence_tends_to_the_gaussian_without_loss_of_precision():
    alpha, noise = 2e4, 0.09
    outputs = jnp.array([[0.0, 1e6, alpha, noise * alpha]])
    actual = evidential_regression_loss(outputs, jnp.array([0.2]), regularisation=0.0)
    np.testing.assert_allclose(actual, -stats.norm.logpdf(0.2, 0, 0.3), atol=2e-3)


def test_the_two_variances_are_those_of_samples(rng):
    gamma, nu, alpha, beta = 0.3, 2.0, 4.5, 0.7
    variance = stats.invgamma.rvs(alpha, scale=beta, size=400_000, random_state=rng)
    mean = rng.normal(gamma, np.sqrt(variance / nu))
    parameters = NormalInverseGamma(*(jnp.array(v) for v in (gamma, nu, alpha, beta)))
    np.testing.assert_allclose(parameters.aleatoric, variance.mean(), rtol=0.01)
    np.testing.assert_allclose(parameters.epistemic, mean.var(), rtol=0.02)
    student = stats.t.var(2 * alpha, gamma, np.sqrt(beta * (1 + nu) / (nu * alpha)))
    np.testing.assert_allclose(parameters.aleatoric + parameters.epistemic, student, rtol=1e-6)


def test_extreme_outputs_stay_finite():
    outputs = jnp.array([[0.0, -200.0, -200.0, -200.0], [1e3, 200.0, 200.0, 200.0]])
    value, gradient = jax.value_and_grad(evidential_regression_loss)(outputs, jnp.zeros(2))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_negative_regularisation_is_refused():
    with pytest.raises(ValueError, match="regularisation is -1"):
        evidential_regression_loss(jnp.zeros((1, 4)), jnp.zeros(1), regularisation=-1.0)
