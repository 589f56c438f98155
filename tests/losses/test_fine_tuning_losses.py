"""Losses for fine-tuning against worked numbers, optax, closed forms, and each other where they coincide."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxuq.losses import homoscedastic_weighting, uncertainty_aware_clm_loss, uncertainty_smoothing
from tests.losses.means import (
    bernoulli_cross_entropy,
    categorical_cross_entropy,
    categorical_focal_loss,
    entropy_regularised_cross_entropy,
    focal_loss,
    smoothed_cross_entropy,
    stated_confidence_loss,
    ual_loss,
)

Z1 = np.array([2, 1, 0.5, -1], np.float32)
THREE = jnp.asarray(np.stack([Z1, [0.2, 1.4, 0.1, 0], [3, 0, 0, -1]]).astype(np.float32))
UNCERTAINTY = jnp.array([10.0, 30.0, 50.0, 80.0])


def test_smoothing_of_worked_uncertainties():
    expected = [0.023529, 0.070588, 0.117647, 0.188235]
    np.testing.assert_allclose(uncertainty_smoothing(UNCERTAINTY), expected, atol=5e-7)
    cut = uncertainty_smoothing(UNCERTAINTY, largest=0.15)
    np.testing.assert_allclose(cut, [*expected[:3], 0.15], atol=5e-7)
    np.testing.assert_allclose(cut.mean(), 0.090441, atol=5e-7)
    again = uncertainty_smoothing(UNCERTAINTY, largest=0.15, recentred=True)
    np.testing.assert_allclose(again, [0.027778, 0.083333, 0.138889, 0.15], atol=1e-6)
    reverse = uncertainty_smoothing(UNCERTAINTY / 100, direction="decreasing")
    np.testing.assert_allclose(reverse, [0.156522, 0.121739, 0.086957, 0.034783], atol=5e-7)


def test_recentring_goes_on_where_it_makes_another_value_meet_the_bound():
    u = jnp.array([1.0, 1.0, 4.0, 5.0, 20.0])
    values = uncertainty_smoothing(u, mean=0.1, largest=0.15, recentred=True)
    assert float(values.max()) <= 0.15 + 1e-7 and (np.diff(values) >= 0).all()
    np.testing.assert_allclose(values.mean(), 0.1, rtol=1e-5)
    steep = jnp.asarray(3.0 ** np.arange(14), jnp.float32)  # one after the other meets it
    values = uncertainty_smoothing(steep, mean=0.1, largest=0.11, recentred=True)
    np.testing.assert_allclose(values.mean(), 0.1, rtol=1e-5)
    np.testing.assert_allclose(values[:2], values[1] * jnp.array([1 / 3, 1]), rtol=1e-5)
    assert float(values.max()) <= 0.11 + 1e-7
    values = uncertainty_smoothing(jnp.array([0.0, 0.0, 5.0]), mean=0.1, largest=0.15, recentred=True)
    np.testing.assert_allclose(values, [0, 0, 0.15], rtol=1e-6)  # as far as the bound allows


def test_one_class_alone_has_no_loss_however_it_is_smoothed():
    for spread in ("all", "others"):
        assert smoothed_cross_entropy(jnp.ones((2, 1)), jnp.zeros(2, int), 0.1, spread=spread) == 0


def test_missing_and_constant_uncertainties_give_plain_smoothing():
    where = jnp.array([True, True, False, True])
    values = uncertainty_smoothing(UNCERTAINTY.at[2].set(jnp.nan), where=where)
    np.testing.assert_allclose(values, [0.025, 0.075, 0.1, 0.2], rtol=1e-6)
    for constant in (0.0, 3.0):
        np.testing.assert_allclose(uncertainty_smoothing(jnp.full(3, constant)), 0.1, rtol=1e-6)


def test_ual_of_worked_numbers_and_its_mean_of_means():
    smoothing = uncertainty_smoothing(UNCERTAINTY)
    each = [float(ual_loss(jnp.asarray(Z1)[None, None], jnp.array([[0]]), v[None])) for v in smoothing]
    np.testing.assert_allclose(each, [0.527535, 0.592241, 0.656947, 0.754005], atol=2e-6)
    # Two samples of three and one tokens: the short one weighs as much as the long one; an empty one nothing.
    logits, tokens = jnp.stack([THREE, THREE, THREE]), jnp.zeros((3, 3), int)
    where = jnp.array([[True] * 3, [True, False, False], [False] * 3])
    v = jnp.array([0.2, 0.05, 0.4])
    long = smoothed_cross_entropy(THREE, tokens[0], 0.2)
    short = smoothed_cross_entropy(THREE[:1], tokens[0, :1], 0.05)
    spoiled = jnp.where(where[..., None], logits, jnp.nan)
    np.testing.assert_allclose(ual_loss(spoiled, tokens, v, where=where), (long + short) / 2, rtol=1e-6)


def test_smoothing_equals_optax_and_ual_without_spread_equals_smoothing(rng):
    logits, targets = jnp.asarray(rng.normal(size=(5, 4, 7)), jnp.float32), jnp.asarray(rng.integers(0, 7, (5, 4)))
    soft = optax.smooth_labels(jax.nn.one_hot(targets, 7), 0.1)
    plain = smoothed_cross_entropy(logits, targets, 0.1)
    np.testing.assert_allclose(plain, optax.softmax_cross_entropy(logits, soft).mean(), rtol=1e-6)
    np.testing.assert_allclose(ual_loss(logits, targets, uncertainty_smoothing(jnp.ones(5))), plain, rtol=1e-6)
    np.testing.assert_allclose(
        smoothed_cross_entropy(logits, targets, 0.0), categorical_cross_entropy(logits, targets), rtol=1e-6
    )
    others = smoothed_cross_entropy(logits, targets, 0.1 * 6 / 7, spread="others")
    np.testing.assert_allclose(others, plain, rtol=1e-6)
    for v, spread, expected in ((0.2, "all", 0.770182), (0.2, "others", 0.861849), (0.1, "others", 0.678515)):
        actual = smoothed_cross_entropy(jnp.asarray(Z1)[None], jnp.array([0]), v, spread=spread)
        np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_uncertainty_aware_clm_of_worked_numbers_and_its_stable_tails():
    targets = jnp.zeros(3, int)
    np.testing.assert_allclose(uncertainty_aware_clm_loss(THREE, targets), 0.417061, atol=2e-6)
    by_target = uncertainty_aware_clm_loss(THREE, targets, wrong_probability="target")
    np.testing.assert_allclose(by_target, 0.344621, atol=2e-6)
    right = uncertainty_aware_clm_loss(THREE, targets, where=jnp.array([True, False, True]))
    np.testing.assert_allclose(right, 0.313399, atol=2e-6)
    certain = jnp.array([[80.0, 0.0], [0.0, 80.0]])  # right and wrong, both without any entropy
    value, slope = jax.value_and_grad(uncertainty_aware_clm_loss)(certain, jnp.zeros(2, int))
    np.testing.assert_allclose(value, -np.log(np.tanh(1e-6)), rtol=1e-5)
    assert np.isfinite(slope).all()


def test_it_raises_the_entropy_of_wrong_tokens_and_lowers_that_of_right_ones():
    def entropy(logits):
        return float(-(jax.nn.softmax(logits) * jax.nn.log_softmax(logits)).sum())

    for target, sign in ((0, -1), (2, 1)):
        logits = jnp.asarray(Z1)
        slope = jax.grad(lambda z, y=target: uncertainty_aware_clm_loss(z[None], jnp.array([y])))(logits)
        assert sign * (entropy(logits - 0.1 * slope) - entropy(logits)) > 0


def test_focal_loss_of_two_classes_is_the_binary_one_and_of_gamma_zero_cross_entropy(rng):
    z, y = jnp.asarray(rng.normal(size=12) * 4, jnp.float32), jnp.asarray(rng.integers(0, 2, 12))
    pairs = jnp.stack([jnp.zeros_like(z), z], axis=-1)
    for transform in (lambda f: f, jax.grad):
        ours = transform(lambda z: categorical_focal_loss(jnp.stack([jnp.zeros_like(z), z], -1), y, gamma=1.5))(z)
        np.testing.assert_allclose(
            ours, transform(lambda z: focal_loss(z, y, alpha=None, gamma=1.5))(z), rtol=2e-5, atol=1e-9
        )
    np.testing.assert_allclose(categorical_focal_loss(pairs, y, gamma=0.0), bernoulli_cross_entropy(z, y), rtol=1e-6)


def test_the_entropy_term_is_the_divergence_from_uniform(rng):
    logits, targets = jnp.asarray(rng.normal(size=(6, 5)), jnp.float32), jnp.asarray(rng.integers(0, 5, 6))
    p = np.asarray(jax.nn.softmax(logits), np.float64)
    divergence = (p * np.log(p * 5)).sum(1).mean()  # log K - H
    expected = categorical_cross_entropy(logits, targets) + 0.3 * (divergence - np.log(5))
    actual = entropy_regularised_cross_entropy(logits, targets, strength=0.3)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_stated_confidence_of_worked_numbers_and_its_gradient():
    logits = jnp.array([[-2, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 1, 0]])
    q = np.asarray(jax.nn.softmax(logits[0]))
    np.testing.assert_allclose((q * np.linspace(0, 1, 11)).sum(), 0.720641, atol=1e-6)
    value, slope = jax.value_and_grad(stated_confidence_loss)(logits, jnp.array([1]))
    np.testing.assert_allclose(value, 0.116478, atol=1e-6)
    np.testing.assert_allclose(slope[0, [0, -1]], [0.007953, -0.007747], atol=1e-6)
    np.testing.assert_allclose(slope[0], q * ((1 - np.linspace(0, 1, 11)) ** 2 - float(value)), atol=1e-6)


def test_the_best_statement_is_the_level_nearest_to_the_truth():
    correct = jnp.array([1.0] * 7 + [0.0] * 3)

    @jax.jit
    def descend(logits):
        loss = lambda z: stated_confidence_loss(jnp.broadcast_to(z, (10, 6)), correct)  # noqa: E731
        return jax.lax.fori_loop(0, 3000, lambda _, z: z - 20.0 * jax.grad(loss)(z), logits)

    assert jax.nn.softmax(descend(jnp.zeros(6)))[jnp.array([3, 4])].sum() > 0.95  # of 0, .2, .4, .6, .8, 1


def test_task_weights_of_worked_numbers_and_their_minimum():
    losses, kinds = jnp.array([0.8, 1.5]), jnp.array([True, False])
    value, slope = jax.value_and_grad(lambda s: homoscedastic_weighting(losses, s, regression=kinds))(
        jnp.array([0.0, 0.7])
    )
    np.testing.assert_allclose(value, 1.494878, atol=1e-6)
    np.testing.assert_allclose(slope, [0.1, -0.244878], atol=1e-6)
    best = jnp.log(jnp.array([0.8, 3.0]))
    np.testing.assert_allclose(best, [-0.223144, 1.098612], atol=1e-6)
    value, slope = jax.value_and_grad(lambda s: homoscedastic_weighting(losses, s, regression=kinds))(best)
    np.testing.assert_allclose(value, 1.437734, atol=1e-6)
    np.testing.assert_allclose(slope, 0, atol=1e-6)


def test_options_are_validated():
    with pytest.raises(ValueError, match="spread is 'some'"):
        ual_loss(THREE[None], jnp.zeros((1, 3), int), jnp.array([0.1]), spread="some")
    with pytest.raises(ValueError, match="smoothing is 1"):
        smoothed_cross_entropy(THREE, jnp.zeros(3, int), 1.0)
    with pytest.raises(ValueError, match=r"mean is 0\.6"):
        uncertainty_smoothing(UNCERTAINTY, mean=0.6)
    with pytest.raises(ValueError, match="direction is 'up'"):
        uncertainty_smoothing(UNCERTAINTY, direction="up")
    with pytest.raises(ValueError, match="wrong_probability is 'mine'"):
        uncertainty_aware_clm_loss(THREE, jnp.zeros(3, int), wrong_probability="mine")
    with pytest.raises(ValueError, match="gamma is -1"):
        categorical_focal_loss(THREE, jnp.zeros(3, int), gamma=-1.0)
    with pytest.raises(ValueError, match="logits of 1 level"):
        stated_confidence_loss(jnp.zeros((2, 1)), jnp.zeros(2))
