"""Conformal regression: hand examples, coverage by simulation, adaptivity, groups, honesty."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.calibration import ConformalState, Interval, conformal_regression
from jaxuq.posterior import GaussianForecast

SETS, CALIBRATION, TEST, LEVEL = 800, 20, 20, 0.9


def _gaussian(mean, variance):
    return GaussianForecast(mean, variance, jnp.zeros_like(mean))


def _data(rng_key, n):
    """Labels with noise that grows with the input, and a forecast whose deviation is wrong by a factor of 3."""
    key_x, key_y = jax.random.split(rng_key)
    deviation = jax.random.uniform(key_x, (n, 1), minval=0.1, maxval=2.0)
    return deviation, deviation * jax.random.normal(key_y, (n, 1))


@pytest.mark.long
@pytest.mark.parametrize("score", ["absolute", "normalised", "quantile"])
def test_marginal_coverage_is_exact_over_many_calibration_sets(score):
    method = conformal_regression(score)

    def forecast(deviation):
        if score == "quantile":
            return Interval(-deviation, deviation)
        return _gaussian(jnp.zeros_like(deviation), jnp.square(deviation / 3))

    def covered(rng_key):
        key_calibration, key_test = jax.random.split(rng_key)
        deviation, labels = _data(key_calibration, CALIBRATION)
        state = method.fit(forecast(deviation), labels, level=LEVEL)
        deviation, labels = _data(key_test, TEST)
        interval = method.interval(state, forecast(deviation))
        return jnp.mean((interval.lower <= labels) & (labels <= interval.upper))

    coverage = jax.jit(jax.vmap(covered))(jax.random.split(jax.random.key(7), SETS))
    error = coverage.std() / np.sqrt(SETS)
    assert error < 0.005
    np.testing.assert_allclose(coverage.mean(), 19 / 21, atol=4 * float(error))  # the naive rank gives 18 / 21
    assert LEVEL - 4 * error <= coverage.mean() <= LEVEL + 1 / (CALIBRATION + 1) + 4 * error


def test_normalised_intervals_adapt_and_absolute_ones_do_not(rng_key):
    deviation, labels = _data(rng_key, 4000)
    forecast = _gaussian(jnp.zeros_like(deviation), jnp.square(deviation / 3))
    easy = deviation < 0.5
    for score, adapts in (("absolute", False), ("normalised", True)):
        method = conformal_regression(score)
        interval = method.interval(method.fit(forecast, labels, level=0.9), forecast)
        width, covered = interval.upper - interval.lower, jnp.abs(labels) <= interval.upper
        assert (width.std() > 0.1) == adapts
        assert bool(abs(covered.mean(where=easy) - 0.9) < 0.03) == adapts


def test_quantile_score_by_hand():
    # The scores max(l - y, y - u) are -1, 0, 2, 3, 5: level 0.5 takes the third of them, 2.
    predicted = Interval(jnp.zeros((5, 1)), jnp.full((5, 1), 2.0))
    labels = jnp.array([[1.0], [2.0], [-2.0], [5.0], [7.0]])
    method = conformal_regression("quantile")
    interval = method.interval(method.fit(predicted, labels, level=0.5), predicted)
    np.testing.assert_array_equal([interval.lower[0, 0], interval.upper[0, 0]], [-2.0, 4.0])


def test_too_few_labels_give_an_infinite_interval():
    forecast = _gaussian(jnp.zeros((8, 1)), jnp.ones((8, 1)))
    for score in ("absolute", "normalised"):
        method = conformal_regression(score)
        interval = method.interval(method.fit(forecast, jnp.ones((8, 1)), level=0.9), forecast)
        assert (interval.lower == -jnp.inf).all()
        assert (interval.upper == jnp.inf).all()


def test_every_group_is_covered(rng_key):
    key_group, key_noise = jax.random.split(rng_key)
    groups = jax.random.bernoulli(key_group, 0.2, (6000,)).astype(jnp.int32)
    labels = jnp.where(groups == 1, 5.0, 1.0)[:, None] * jax.random.normal(key_noise, (6000, 1))
    forecast = _gaussian(jnp.zeros((6000, 1)), jnp.ones((6000, 1)))
    calibration, test = np.arange(3000), np.arange(3000, 6000)

    def coverage_of_the_noisy_group(method, chosen):
        fitted = {} if chosen is None else {"groups": chosen[calibration]}
        applied = {} if chosen is None else {"groups": chosen[test]}
        state = method.fit(jax.tree.map(lambda a: a[calibration], forecast), labels[calibration], level=0.9, **fitted)
        interval = method.interval(state, jax.tree.map(lambda a: a[test], forecast), **applied)
        inside = jnp.abs(labels[test]) <= interval.upper
        return float(inside.mean(where=(groups[test] == 1)[:, None]))

    assert coverage_of_the_noisy_group(conformal_regression("absolute"), None) < 0.75
    grouped = coverage_of_the_noisy_group(conformal_regression("absolute", num_groups=2), groups)
    np.testing.assert_allclose(grouped, 0.9, atol=0.05)


def test_an_unknown_group_gets_an_infinite_interval():
    method = conformal_regression("absolute", num_groups=2)
    forecast = _gaussian(jnp.zeros((4, 1)), jnp.ones((4, 1)))
    state = ConformalState(jnp.array([[1.0], [2.0]]))
    upper = method.interval(state, forecast, groups=jnp.array([0, 1, 2, -1])).upper
    np.testing.assert_array_equal(upper[:, 0], [1.0, 2.0, jnp.inf, jnp.inf])
    with pytest.raises(ValueError, match=r"fitted with 2 group\(s\), but groups are none"):
        method.interval(state, forecast)


def test_a_forecast_of_the_wrong_kind_is_refused():
    zeros = jnp.zeros((4, 1))
    with pytest.raises(TypeError, match="takes a Interval, got GaussianForecast"):
        conformal_regression("quantile").fit(_gaussian(zeros, zeros), zeros, level=0.5)
