"""The finite-sample quantile: exact ranks, exact coverage, masks and groups."""

import fractions
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxuq.calibration import conformal_threshold


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.sampled_from(["0.5", "0.7", "0.8", "0.9", "0.95", "0.99"]))
def test_rank_is_exact_in_rational_arithmetic(n, level):
    rank = math.ceil((n + 1) * fractions.Fraction(level))
    expected = rank if rank <= n else np.inf
    scores = jnp.asarray(np.random.default_rng(n).permutation(40), jnp.float32) + 1
    assert conformal_threshold(scores, level=float(level), where=scores <= n)[0] == expected


@pytest.mark.long
@pytest.mark.parametrize(("n", "level"), [(20, 0.9), (19, 0.9), (12, 0.5), (50, 0.95)])
def test_coverage_averaged_over_calibration_sets_is_exactly_the_rank_over_n_plus_one(n, level):
    sets = 6000
    scores = jax.random.uniform(jax.random.key(n), (n, sets))  # each column one calibration set
    coverage = conformal_threshold(scores, level=level)[0]  # a new uniform score is <= q with probability q
    rank = math.ceil(round((n + 1) * level, 9))
    exact = rank / (n + 1)
    spread = math.sqrt(exact * (1 - exact) / (n + 2) / sets)  # the k-th smallest of n is Beta(k, n + 1 - k)
    assert level <= exact < level + 1 / (n + 1)
    np.testing.assert_allclose(coverage.mean(), exact, atol=4 * spread)
    naive = jnp.quantile(scores, level, axis=0).mean()
    assert naive < level - 4 * spread or level == 0.5


def test_masked_scores_are_as_if_absent(rng):
    scores = rng.normal(size=(30, 3)).astype(np.float32)
    where = rng.random((30, 3)) < np.array([0.3, 0.6, 0.0])
    poisoned = np.where(where, scores, np.nan)
    thresholds = conformal_threshold(jnp.asarray(poisoned), level=0.75, where=jnp.asarray(where))[0]
    for task in range(2):
        alone = conformal_threshold(jnp.asarray(scores[where[:, task], task]), level=0.75)[0]
        assert thresholds[task] == alone
    assert thresholds[2] == jnp.inf


def test_groups_have_their_own_thresholds(rng):
    scores, groups = jnp.asarray(rng.normal(size=(60, 2)), jnp.float32), jnp.asarray(rng.integers(0, 3, 60))
    thresholds = conformal_threshold(scores, level=0.8, groups=groups, num_groups=3)
    for group in range(3):
        alone = conformal_threshold(scores[np.asarray(groups) == group], level=0.8)[0]
        np.testing.assert_array_equal(thresholds[group], alone)


def test_wrong_uses_are_refused():
    scores = jnp.zeros(4)
    with pytest.raises(ValueError, match=r"level is 1\.0"):
        conformal_threshold(scores, level=1.0)
    with pytest.raises(ValueError, match="num_groups is 3 and groups are none"):
        conformal_threshold(scores, level=0.5, num_groups=3)
    with pytest.raises(ValueError, match="num_groups is 1 and groups are given"):
        conformal_threshold(scores, level=0.5, groups=jnp.zeros(4, jnp.int32))
