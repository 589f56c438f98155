"""The worked numbers of losses of fine-tuning, computed elsewhere in float64, one test a paper."""

import functools

import jax.numpy as jnp
import numpy as np

from jaxuq import losses

close = functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-6)


def test_calibration_tuning():
    logits, label = jnp.array([[0.2, 1.1]]), jnp.array([1])
    close(losses.categorical_cross_entropy(logits, label)[0], 0.341154)
    close(losses.categorical_cross_entropy(logits / 2, label)[0], 0.493249)
    p, q = jnp.log(jnp.array([[0.7, 0.2, 0.1]])), jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
    for kind, value in (("jensen-shannon", 0.021901), ("forward", 0.085123), ("reverse", 0.092033)):
        close(losses.behaviour_divergence(p, q, kind=kind), value, atol=1e-6)


def test_first():
    student = jnp.log(jnp.array([[0.4, 0.25, 0.1, 0.1, 0.05, 0.1]]))
    teacher, tokens = jnp.array([[0.6, 0.15, 0.1, 0.05, 0.02]]), jnp.arange(5)[None]
    for normalise, value in (("linear", 0.101578), ("softmax", 0.006605), ("rest", 0.095821)):
        close(losses.top_token_distillation(student, tokens, teacher, normalise=normalise), value, atol=2e-6)
    warm = teacher**0.5 / jnp.sum(teacher**0.5)
    close(warm[0], [0.420257, 0.210128, 0.171569, 0.121318, 0.076728], atol=1e-6)
    close(losses.top_token_distillation(student, tokens, warm), 0.027810, atol=2e-6)
    smoothed = teacher / jnp.sum(teacher) + jnp.array([[-0.1, 0.025, 0.025, 0.025, 0.025]])
    close(losses.top_token_distillation(student, tokens, smoothed), 0.036424, atol=2e-6)


def test_emo():
    loss = functools.partial(
        losses.earth_mover_loss, jnp.array([[1.0, 0.5, -0.5]]), jnp.array([0]),
        jnp.array([[1.0, 0], [0.6, 0.8], [0, 1]]),
    )  # fmt: skip
    close(loss(), 0.254551)
    close(loss(convention="published"), 0.801101)
    close(loss(mixing="first", convention="published"), 0.604131)
    close(loss(mixing="second", convention="published"), 1.602201)
    close(loss(mixing="second"), 2 * 0.254551)


def test_confidence_rewards():
    g, c = jnp.array([1.0, 0.0, 0.0]), jnp.array([0.7, 0.7, 1.0])
    close(losses.confidence_reward(g, c, kind="sayself"), [0.82, 0.02, -1], atol=1e-6)
    g, c = jnp.array([1.0, 0.0, 0.0]), jnp.array([0.7, 0.7, 0.2])
    close(losses.confidence_reward(g, c), [0.91, -0.49, -0.04], atol=1e-6)
    close(losses.confidence_reward(g, c, kind="rlcr-published"), [1.455, 0.755, 0.98], atol=1e-6)
    expected = losses.confidence_reward(jnp.array([1.0, 0.0]), jnp.array([0.7, 0.7])) @ jnp.array([0.7, 0.3])
    close(expected, 0.49, atol=1e-6)
    malformed = losses.confidence_reward(jnp.ones(2), jnp.array([jnp.nan, 0.5]), well_formed=jnp.array([True, False]))
    assert malformed.tolist() == [0, 0]


def test_uncertainties_outside_the_unit_interval_have_no_complement():
    for wrong in (-0.5, 1.5):
        smoothing = losses.uncertainty_smoothing(jnp.array([0.2, wrong]), direction="decreasing")
        assert np.isnan(smoothing).all()
