"""Conformal p-values against counting, the ranks of SciPy, and what exchangeable scores do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxuq import calibration
from jaxuq.posterior import CategoricalForecast


def test_p_values_by_counting():
    rng = np.random.default_rng(0)
    scores, new = rng.integers(0, 5, (9, 2)).astype(np.float32), rng.integers(0, 6, (7, 2)).astype(np.float32)
    where, ties = rng.random((9, 2)) < 0.7, rng.random((7, 2)).astype(np.float32)
    given = map(jnp.asarray, (scores, new))
    found = calibration.conformal_p_values(*given, where=jnp.asarray(where), ties=jnp.asarray(ties))
    for row, task in np.ndindex(7, 2):
        others = [*scores[where[:, task], task], new[row, task]]
        expected = sum((s > new[row, task]) + ties[row, task] * (s == new[row, task]) for s in others) / len(others)
        np.testing.assert_allclose(found[row, task], expected, rtol=1e-6)


def test_scores_up_to_each_by_ranks():
    rng = np.random.default_rng(1)
    scores, where = rng.integers(0, 4, 25).astype(np.float32), rng.random(25) < 0.8
    found = calibration.p_values_along(jnp.asarray(scores), where=jnp.asarray(where), ties=1.0)
    for t in range(25):
        seen = scores[: t + 1][where[: t + 1]]
        expected = stats.rankdata(-seen, "max")[-1] / len(seen) if where[t] else np.nan
        np.testing.assert_allclose(found[t], expected, rtol=1e-6)


def test_labels_above_alpha_are_the_conformal_set():
    level, rng = 0.8, np.random.default_rng(2)
    logits, labels = jnp.asarray(rng.normal(size=(23, 4)), jnp.float32), jnp.asarray(rng.integers(0, 4, 23))
    forecast = CategoricalForecast(logits, jnp.zeros(23), jnp.zeros(23))
    method = calibration.conformal_classification("lac")
    sets = method.prediction_set(method.fit(forecast, labels, level=level), forecast)
    strange = 1 - jnp.exp(jax.nn.log_softmax(logits))
    own = jnp.take_along_axis(strange, labels[:, None], axis=1)
    p = calibration.conformal_p_values(jnp.broadcast_to(own, (23, 4)), strange)
    np.testing.assert_array_equal(p > 1 - level + 1e-6, sets)


def test_labels_that_hold_are_given_and_p_values_are_uniform():
    """Several labels at once, of different rarity: each is found in its share, and uniform with random ties."""
    worlds, n, tasks = 2000, 40, 3
    keys = jax.random.split(jax.random.key(3), 4)
    scores = jnp.round(jax.random.normal(keys[0], (worlds, n, tasks)), 1)  # with ties
    where = jax.random.uniform(keys[1], (worlds, n, tasks)) < jnp.array([[[0.9, 0.5, 0.2]]])
    new = jnp.round(jax.random.normal(keys[2], (worlds, 1, tasks)), 1)
    each = jax.jit(jax.vmap(lambda s, x, w, u: calibration.conformal_p_values(s, x, where=w, ties=u)[0]))
    safe = each(scores, new, where, jnp.ones_like(new))
    missed = np.asarray(safe <= 0.2).sum(axis=0)
    assert (missed <= stats.binom.ppf(0.999, worlds, 0.2)).all()
    exact = np.asarray(each(scores, new, where, jax.random.uniform(keys[3], new.shape)))
    assert all(stats.kstest(exact[:, task], "uniform").pvalue > 1e-3 for task in range(tasks))


def test_a_score_that_is_none_and_a_tie_out_of_range():
    scores, new = jnp.array([1.0, jnp.nan, jnp.inf]), jnp.array([2.0, jnp.inf, jnp.nan])
    assert np.isnan(calibration.conformal_p_values(scores, new)).all()
    found = calibration.conformal_p_values(scores, new, where=jnp.array([True, False, True]))
    np.testing.assert_allclose(found, [2 / 3, 2 / 3, np.nan], rtol=1e-6)
    np.testing.assert_array_equal(calibration.conformal_p_values(scores, new, where=jnp.zeros(3, bool))[:2], 1)
    np.testing.assert_array_equal(np.isnan(calibration.p_values_along(scores)), [False, True, True])
    with pytest.raises(ValueError, match="ties"):
        calibration.conformal_p_values(scores, new, ties=1.5)
    assert np.isnan(calibration.p_values_along(jnp.ones(2), ties=jnp.array([0.5, 2.0]))).tolist() == [False, True]
