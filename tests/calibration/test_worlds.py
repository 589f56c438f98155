"""Guarantees in 500 simulated worlds each: what is promised of new examples holds over worlds, and is not idle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxuq import calibration as c

pytestmark = pytest.mark.long
WORLDS = 500


def _at_most(hits, share):
    """No more worlds than a binomial allows at that share."""
    assert np.sum(hits) <= stats.binom.ppf(0.9999, len(hits), share)


def test_the_expected_loss_of_the_chosen_setting():
    """Shares of missed labels at falling thresholds; loss of one new example a world, and on average near the level."""
    rng, n, level = np.random.default_rng(0), 60, 0.15
    settings = np.linspace(1, 0, 41)
    ease = rng.random((WORLDS, n + 1, 1, 1))
    found = rng.random((WORLDS, n + 1, 5, 1)) ** (0.3 + 2 * ease)
    losses = np.mean(found < settings, axis=2)  # of settings that grow more lenient: never larger
    assert (np.diff(losses, axis=-1) <= 0).all()
    risks = jnp.asarray(losses[:, :n].mean(axis=1), jnp.float32)
    chosen = np.asarray(jax.vmap(lambda one: c.conformal_risk_control(one, n, level=level))(risks))
    assert chosen.max() < len(settings)
    paid = losses[np.arange(WORLDS), n, chosen]
    error = paid.std() / np.sqrt(WORLDS)
    assert level - 2 / (n + 1) - 0.02 - 4 * error <= paid.mean() <= level + 4 * error


@pytest.mark.parametrize("procedure", ["fixed_sequence", "bonferroni", "holm"])
@pytest.mark.parametrize("loss", ["binary", "bounded"])
def test_settings_that_break_the_level_are_let_through_as_seldom_as_promised(procedure, loss):
    """True risks on both sides of the level, in an order that is no order; one bad setting let through is a failure."""
    rng, n, level, delta = np.random.default_rng(1), 300, 0.2, 0.2
    true = np.array([0.05, 0.15, 0.2001, 0.1, 0.22, 0.3, 0.12])
    if loss == "binary":
        risks = rng.binomial(n, true, (WORLDS, len(true))) / n
    else:  # in [0, 1], with means as they are
        risks = rng.beta(true * 3, (1 - true) * 3, (WORLDS, n, len(true))).mean(axis=1)
    counts = jnp.full(len(true), float(n))

    def passed(one):
        p_values = c.risk_p_values(one, counts, level=level, loss=loss)
        return c.learn_then_test(p_values, delta=delta, procedure=procedure)

    let = np.asarray(jax.vmap(passed)(jnp.asarray(risks, jnp.float32)))
    _at_most(let[:, true > level].any(axis=1), delta)
    assert let[:, 0].mean() > 0.95  # and the best is used


def test_a_bound_of_the_mean_is_exceeded_as_seldom_as_promised():
    rng, n, delta, mean = np.random.default_rng(2), 40, 0.1, 0.5
    risks = rng.binomial(n, mean, WORLDS) / n  # the loss that varies most
    bounds = np.asarray(c.hoeffding_bound(jnp.asarray(risks, jnp.float32), n, delta=delta))
    _at_most(bounds < mean, delta)
    assert bounds.mean() < 0.5 + 0.2


def test_sets_of_sampled_answers_hold_the_right_one():
    """One new question a world; an answer that was never sampled counts as missed."""
    rng, n, samples, level = np.random.default_rng(3), 50, 12, 0.7
    chances = rng.dirichlet([3, 1, 1, 0.5], (WORLDS, n + 1))
    drawn = (rng.random((WORLDS, n + 1, samples, 1)) > np.cumsum(chances, axis=-1)[:, :, None]).sum(axis=-1)
    truth = (rng.random((WORLDS, n + 1, 1)) > np.cumsum(chances, axis=-1)).sum(axis=-1)
    right = drawn == truth[..., None]

    def covered(clusters, correct):
        scores = jax.vmap(c.answer_nonconformity)(clusters[:n], correct[:n])
        kept = c.answer_set(clusters[n], c.conformal_threshold(scores, level=level)[0])
        return jnp.any(kept & correct[n]), jnp.mean(kept)

    hit, size = map(np.asarray, jax.vmap(covered)(jnp.asarray(drawn, jnp.int32), jnp.asarray(right)))
    _at_most(~hit, 1 - level)
    assert size.mean() < 0.95  # and they are not all that was drawn


def test_claims_that_are_kept_are_all_right():
    rng, n, level = np.random.default_rng(4), 60, 0.8
    confidence = rng.random((WORLDS, n + 1, 6))
    true = rng.random(confidence.shape) < confidence

    def all_right(told, right):
        scores = jax.vmap(c.claim_nonconformity)(told[:n], right[:n])
        kept = told[n] > c.conformal_threshold(scores, level=level)[0]
        return jnp.all(right[n] | ~kept), jnp.mean(kept)

    fine, kept = map(np.asarray, jax.vmap(all_right)(jnp.asarray(confidence, jnp.float32), jnp.asarray(true)))
    _at_most(~fine, 1 - level)
    assert kept.mean() > 0.1


def test_every_group_is_covered_by_itself():
    """Groups of which one is four times as wide: coverage of one new example of each, exactly the rank's."""
    rng, level, count = np.random.default_rng(5), 0.8, 29
    wide = np.array([1.0, 4.0])
    scores = np.abs(rng.normal(size=(WORLDS, 2, count + 1))) * wide[:, None]
    groups = jnp.repeat(jnp.arange(2), count)

    def thresholds(one):
        return c.conformal_threshold(one.reshape(-1), level=level, groups=groups, num_groups=2)

    given = jnp.asarray(scores[:, :, :count], jnp.float32)
    held = scores[:, :, count] <= np.asarray(jax.vmap(thresholds)(given)).reshape(WORLDS, 2)
    low, high = stats.binom.interval(0.9999, WORLDS, 24 / 30)
    assert ((low <= held.sum(axis=0)) & (held.sum(axis=0) <= high)).all()
