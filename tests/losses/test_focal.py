"""Focal loss against torchvision's published formula in float64, its limits, and its tails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses.means import bernoulli_cross_entropy, focal_loss


def _torchvision(logits, labels, alpha, gamma):
    """The formula behind torchvision.ops.sigmoid_focal_loss, in double precision."""
    logits = np.asarray(logits, np.float64)
    probability = 1 / (1 + np.exp(-logits))
    cross_entropy = np.where(labels == 1, np.logaddexp(0, -logits), np.logaddexp(0, logits))
    true_probability = np.where(labels == 1, probability, 1 - probability)
    weight = 1.0 if alpha is None else np.where(labels == 1, alpha, 1 - alpha)
    return np.mean(weight * cross_entropy * (1 - true_probability) ** gamma)


@pytest.mark.parametrize("alpha", [0.25, 0.9, None])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_equals_torchvision(rng, alpha, gamma):
    logits, labels = rng.normal(0, 4, 40).astype(np.float32), rng.integers(0, 2, 40)
    actual = focal_loss(jnp.asarray(logits), jnp.asarray(labels), alpha=alpha, gamma=gamma)
    np.testing.assert_allclose(actual, _torchvision(logits, labels, alpha, gamma), rtol=2e-6)


def test_by_hand():
    # p = 3/4: positive label 1/4 * (1/4)**2 * log(4/3), negative label 3/4 * (3/4)**2 * log 4.
    logits = jnp.log(jnp.array([3.0, 3.0]))
    expected = (np.log(4 / 3) / 64 + 27 / 64 * np.log(4)) / 2
    np.testing.assert_allclose(focal_loss(logits, jnp.array([1, 0])), expected, rtol=1e-6)


def test_gamma_zero_without_class_weights_is_cross_entropy(rng):
    logits, labels = jnp.asarray(rng.normal(size=20), jnp.float32), jnp.asarray(rng.random(20), jnp.float32)
    for function in (lambda f: f, jax.grad):
        focal = function(lambda z: focal_loss(z, labels, alpha=None, gamma=0.0))(logits)
        np.testing.assert_allclose(focal, function(lambda z: bernoulli_cross_entropy(z, labels))(logits), rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0])
def test_gradients_at_extreme_logits_are_the_limits(gamma):
    logits = jnp.array([-1e4, -90.0, 90.0, 1e4])
    gradient = jax.grad(lambda z: focal_loss(z, jnp.ones(4), alpha=None, gamma=gamma))(logits) * 4
    np.testing.assert_allclose(gradient, [-1, -1, 0, 0], atol=1e-6)


def test_gradient_keeps_its_relative_precision_in_the_easy_tail():
    # For z -> inf the loss is e**(-(gamma + 1) z), so its slope is -(gamma + 1) times the loss.
    value, slope = jax.value_and_grad(lambda z: focal_loss(z, jnp.ones(()), alpha=None, gamma=1.0))(jnp.array(25.0))
    np.testing.assert_allclose(value, np.exp(-50), rtol=1e-4)
    np.testing.assert_allclose(slope, -2 * np.exp(-50), rtol=1e-4)


def test_options_are_validated():
    with pytest.raises(ValueError, match="alpha is -1"):
        focal_loss(jnp.zeros(1), jnp.zeros(1), alpha=-1.0)
    with pytest.raises(ValueError, match="gamma is -2"):
        focal_loss(jnp.zeros(1), jnp.zeros(1), gamma=-2.0)
