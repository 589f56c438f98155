"""Evidential classification against simulation from the Dirichlet and numpyro's divergence."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from jaxuq.losses import dirichlet_concentrations, dirichlet_moments
from tests.losses.means import evidential_classification_loss

ALPHA = np.array([1.5, 4.0, 2.5])
LOGITS = jnp.log(jnp.expm1(jnp.asarray(ALPHA - 1, jnp.float32)))


def test_concentrations_invert_the_softplus():
    np.testing.assert_allclose(dirichlet_concentrations(LOGITS), ALPHA, rtol=1e-6)
    np.testing.assert_allclose(dirichlet_concentrations(jnp.array([-1.0, 2.0]), activation=jax.nn.relu), [1, 3])


@pytest.mark.parametrize("label", [0, 1, 2])
def test_error_term_is_the_expected_squared_error_of_samples(rng, label):
    samples = rng.dirichlet(ALPHA, 400_000)
    expected = np.square(samples - np.eye(3)[label]).sum(-1).mean()
    actual = evidential_classification_loss(LOGITS, jnp.array(label), kl_weight=0.0)
    np.testing.assert_allclose(actual, expected, rtol=0.01)


@pytest.mark.parametrize("label", [0, 1, 2])
def test_divergence_term_is_that_of_the_misleading_evidence(label):
    misleading = np.where(np.arange(3) == label, 1.0, ALPHA)
    # KL(p || uniform) = -entropy of p - log density of the uniform Dirichlet, which is log Gamma(3) = log 2.
    expected = -stats.dirichlet.entropy(misleading) - np.log(2)
    difference = evidential_classification_loss(LOGITS, jnp.array(label), kl_weight=0.5)
    difference -= evidential_classification_loss(LOGITS, jnp.array(label), kl_weight=0.0)
    np.testing.assert_allclose(difference, 0.5 * expected, rtol=1e-5)
    numpyro = dist.kl_divergence(dist.Dirichlet(jnp.asarray(misleading, jnp.float32)), dist.Dirichlet(jnp.ones(3)))
    np.testing.assert_allclose(numpyro, expected, rtol=1e-5)


def test_annealing_weight_may_be_traced():
    traces = []

    @jax.jit
    def loss(weight):
        traces.append(weight)
        return evidential_classification_loss(LOGITS, jnp.array(0), kl_weight=weight)

    first, last = loss(jnp.array(0.0)), loss(jnp.array(1.0))
    assert len(traces) == 1
    assert last > first


def test_evidence_for_the_right_class_costs_no_divergence():
    logits = jnp.array([[50.0, -50.0, -50.0]])
    strong = evidential_classification_loss(logits, jnp.array([0]), kl_weight=1.0)
    np.testing.assert_allclose(strong, evidential_classification_loss(logits, jnp.array([0]), kl_weight=0.0), atol=1e-5)


def test_moments_are_those_of_samples(rng):
    samples = rng.dirichlet(ALPHA, 400_000)
    moments = dirichlet_moments(jnp.asarray(ALPHA, jnp.float32))
    mean = samples.mean(0)
    aleatoric = -(samples * np.log(samples)).sum(-1).mean()
    np.testing.assert_allclose(moments.probabilities, mean, rtol=0.01)
    np.testing.assert_allclose(moments.aleatoric, aleatoric, rtol=0.01)
    np.testing.assert_allclose(moments.epistemic, -(mean * np.log(mean)).sum() - aleatoric, rtol=0.03)


def test_epistemic_part_vanishes_with_evidence():
    moments = dirichlet_moments(jnp.asarray(ALPHA, jnp.float32) * 1e5)
    np.testing.assert_allclose(moments.epistemic, 0, atol=1e-5)
    np.testing.assert_allclose(moments.aleatoric, stats.entropy(ALPHA / ALPHA.sum()), rtol=1e-5)
