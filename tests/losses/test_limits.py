"""Losses where formulas stop: half precision, infinite logits, next to no mass, labels out of range; the one mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import losses
from jaxuq._errors import ArrayError, OptionError
from jaxuq._options import check_count, check_number

INF = jnp.inf


def test_many_entries_of_half_precision_are_summed():
    def loss(logits):
        return losses.mean_loss(losses.bernoulli_cross_entropy(logits, jnp.ones(100_000)))

    value, slope = jax.value_and_grad(loss)(jnp.zeros(100_000, jnp.float16))
    np.testing.assert_allclose(value, np.log(2), rtol=1e-6)
    np.testing.assert_allclose(slope, -0.5 / 100_000, rtol=0.02)  # 5e-6 has few bits in half precision
    outputs = jnp.asarray(np.random.default_rng(0).normal(size=(50, 4)), jnp.bfloat16)
    single = losses.evidential_regression_loss(outputs.astype(jnp.float32), jnp.ones(50))
    np.testing.assert_array_equal(losses.evidential_regression_loss(outputs, jnp.ones(50)), single)


def test_certain_binary_answers_and_their_slopes():
    logits, labels = jnp.array([INF, -INF, INF, -INF]), jnp.array([1, 0, 0, 1])
    for loss in (losses.bernoulli_cross_entropy, lambda z, y: losses.focal_loss(z, y, alpha=None, gamma=1.5)):
        each, back = jax.vjp(lambda z, loss=loss: loss(z, labels), logits)
        np.testing.assert_array_equal(each, [0, 0, INF, INF])
        np.testing.assert_array_equal(back(jnp.ones(4))[0], [0, 0, 1, -1])


def test_certain_classes_and_their_slopes():
    logits, labels = jnp.array([[INF, 0.0, 1.0], [INF, 0.0, 1.0], [-INF, 0.0, 0.0]]), jnp.array([0, 1, 1])
    for loss in (losses.categorical_cross_entropy, losses.categorical_focal_loss):
        each, back = jax.vjp(lambda z, loss=loss: loss(z, labels), logits)
        assert each[0] == 0 and each[1] == INF and np.isfinite(each[2])
        (slope,) = back(jnp.ones(3))
        assert np.isfinite(slope).all()
        np.testing.assert_array_equal(slope[:2], [[0, 0, 0], [1, -1, 0]])
    smoothed = losses.smoothed_cross_entropy(logits, labels, jnp.array([0.0, 0.0, 0.1]))
    np.testing.assert_array_equal(smoothed, [0, INF, INF])


def test_impossible_tokens_do_not_spoil_divergences():
    p, q = jnp.array([[0.0, 1.0, -INF]]), jnp.array([[0.5, 0.0, -INF]])
    for kind in ("jensen-shannon", "forward", "reverse"):
        ours = losses.behaviour_divergence(p, q, kind=kind)
        np.testing.assert_allclose(ours, losses.behaviour_divergence(p[:, :2], q[:, :2], kind=kind), rtol=1e-6)
        assert np.isfinite(jax.grad(lambda p, k=kind: losses.behaviour_divergence(p, q, kind=k)[0])(p)).all()


@pytest.mark.parametrize("normalise", ["linear", "rest"])
def test_distillation_needs_no_mass_at_the_kept_tokens(normalise):
    logits = np.array([[0.0, 0.5, -0.3, 60.0]])
    log_p = logits - np.log(np.exp(logits).sum())
    teacher = np.array([0.5, 0.3, 0.1])
    if normalise == "linear":
        t, log_s = teacher / teacher.sum(), log_p[0, :3] - np.log(np.exp(log_p[0, :3]).sum())
    else:
        t, log_s = np.append(teacher, 0.1), log_p[0]
    expected = np.sum(t * (np.log(t) - log_s))
    ours = losses.top_token_distillation(
        jnp.asarray(logits, jnp.float32),
        jnp.arange(3)[None],
        jnp.asarray(teacher, jnp.float32)[None],
        normalise=normalise,
    )
    np.testing.assert_allclose(ours, [expected], rtol=1e-5)


def test_a_certain_token_of_the_student_is_a_limit():
    """One logit that grows: the loss tends to what an infinite one gives, and so does its slope."""
    teacher = jnp.array([0.5, 0.3, 0.0])

    def loss(last, place, normalise):
        logits = jnp.array([0.0, 0.5, -0.3, 0.2]).at[place].set(last)
        return losses.top_token_distillation(logits[None], jnp.arange(3)[None], teacher[None], normalise=normalise)[0]

    for normalise in ("linear", "softmax", "rest"):
        for place in (2, 3):  # a kept token and another one
            large, slope = jax.value_and_grad(loss)(1e4, place, normalise)
            limit, slope_there = jax.value_and_grad(loss)(INF, place, normalise)
            assert (large > 1e3 and limit == INF) or abs(large - limit) < 1e-6, normalise
            assert abs(slope - slope_there) < 1e-6


def test_narrow_integers_name_their_classes():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(5, 1000)), jnp.bfloat16)
    labels = np.array([0, 3, 100, 126, 127])
    for loss in (
        losses.categorical_cross_entropy,
        losses.categorical_focal_loss,
        losses.evidential_classification_loss,
        lambda z, y: losses.smoothed_cross_entropy(z, y, 0.1, spread="others"),
    ):
        np.testing.assert_array_equal(loss(logits, jnp.asarray(labels, jnp.int8)), loss(logits, jnp.asarray(labels)))


def test_the_mean_weighs_and_leaves_out():
    each = jnp.array([1.0, 2.0, jnp.nan, 7.0])
    where, weights = jnp.array([True, True, True, False]), jnp.array([1, 3, 0, 5])
    assert losses.mean_loss(each, where=where, weights=weights) == 1.75
    assert losses.mean_loss(jnp.zeros(0)) == 0
    assert np.isnan(losses.mean_loss(each[:2], weights=jnp.array([-1.0, 1.0])))


def test_shapes_and_options_are_refused_by_name():
    with pytest.raises(ArrayError, match=r"targets has shape \(4, 1\) where logits has \(4,\); pass targets\[:, 0\]"):
        losses.bernoulli_cross_entropy(jnp.zeros(4), jnp.zeros((4, 1)))
    with pytest.raises(ArrayError, match=r"targets has shape \(4, 1\) where \[\*batch\] is \(4,\), for logits has"):
        losses.categorical_cross_entropy(jnp.zeros((4, 3)), jnp.zeros((4, 1), int))
    for bad in (np.nan, np.inf, -1):
        with pytest.raises(OptionError, match="gamma is"):
            losses.categorical_focal_loss(jnp.zeros((4, 3)), jnp.zeros(4, int), gamma=float(bad))
    assert check_number("beta", np.float32(0.5), 0.0, 1.0) == 0.5 and check_count("bins", np.int64(3)) == 3


def test_beta_likelihood_of_zero_variance_is_what_small_ones_tend_to():
    mean, targets = jnp.array([0.0, 0.0]), jnp.array([0.0, 2.0])
    for beta in (0.25, 0.5, 1.0):
        small = losses.beta_negative_log_likelihood(mean, jnp.full(2, 1e-36), targets, beta=beta)
        limit = losses.beta_negative_log_likelihood(mean, jnp.zeros(2), targets, beta=beta)
        assert abs(float(small[0] - limit[0])) < 1e-4
        if beta == 1:  # half the squared error
            np.testing.assert_allclose((small[1], limit[1]), 2.0, rtol=1e-5)
        else:
            assert limit[1] == jnp.inf and small[1] > 1e8


def test_beta_likelihood_of_infinite_variance_has_the_slopes_that_large_ones_tend_to():
    for beta, in_variance, in_mean in ((0.5, 0.0, 0.0), (1.0, 0.5, -2.0)):

        def loss(mean, variance, beta=beta):
            return losses.beta_negative_log_likelihood(mean, variance, jnp.array(2.0), beta=beta)

        for variance in (1e30, INF):
            slopes = jax.grad(loss, (0, 1))(jnp.array(0.0), jnp.array(variance))
            np.testing.assert_allclose(slopes, (in_mean, in_variance), atol=1e-9)
        assert loss(jnp.array(0.0), jnp.array(INF)) == INF
