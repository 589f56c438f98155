"""Conformal prediction under shift, without a calibration set, along time, and as a distribution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxuq import calibration
from jaxuq.posterior import CategoricalForecast, GaussianForecast


def test_shifted_thresholds_by_loops():
    rng = np.random.default_rng(0)
    scores, ratios, new = rng.normal(size=(30, 2)), rng.integers(1, 5, 30), rng.integers(0, 60, 12)
    where = rng.random((30, 2)) < 0.8
    found = calibration.shifted_thresholds(
        *(jnp.asarray(x, jnp.float32) for x in (scores, ratios, new)), level=0.75, where=jnp.asarray(where)
    )
    for task in range(2):
        kept = np.flatnonzero(where[:, task])
        for row, weight in enumerate(new):
            total, reached, expected = ratios[kept].sum() + weight, 0, np.inf
            for i in kept[np.argsort(scores[kept, task])]:
                reached += ratios[i]
                if reached >= 0.75 * total:
                    expected = scores[i, task]
                    break
            np.testing.assert_allclose(found[row, task], expected, rtol=1e-6)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.97])
def test_equal_ratios_are_split_conformal(level):
    scores = jnp.asarray(np.random.default_rng(1).normal(size=19), jnp.float32)
    found = calibration.shifted_thresholds(scores, jnp.full(19, 0.37), jnp.full(3, 0.37), level=level)
    np.testing.assert_array_equal(found, jnp.broadcast_to(calibration.conformal_threshold(scores, level=level), 3))


def test_nothing_known_is_infinite_and_nan_is_nan():
    scores, ones = jnp.array([1.0, 2.0]), jnp.ones(2)
    nothing = calibration.shifted_thresholds(scores, ones, jnp.array([0.0, 1.0]), level=0.5, where=jnp.zeros(2, bool))
    np.testing.assert_array_equal(nothing, np.inf)
    assert np.isnan(calibration.shifted_thresholds(scores.at[0].set(jnp.nan), ones, ones, level=0.5)).all()


def test_infinite_and_huge_ratios_are_their_limits():
    """A certain classifier gives infinite ratios: examples that have one share the mass, others have none."""
    scores, new = jnp.array([0.1, 0.9, 0.5, 0.2]), jnp.array([1.0, jnp.inf, 0.0])
    found = calibration.shifted_thresholds(scores, jnp.array([jnp.inf, jnp.inf, 1.0, 0.0]), new, level=0.6)
    np.testing.assert_array_equal(found, np.array([0.9, 0.9, 0.9], np.float32))
    found = calibration.shifted_thresholds(scores, jnp.array([jnp.inf, jnp.inf, 1.0, 0.0]), new, level=0.7)
    np.testing.assert_array_equal(found, np.array([0.9, np.inf, 0.9], np.float32))
    found = calibration.shifted_thresholds(scores, jnp.ones(4), new, level=0.6)
    np.testing.assert_array_equal(found, np.array([0.5, np.inf, 0.5], np.float32))
    for factor in (1e-35, 1.0, 2e38):  # whose sum is beyond single precision
        found = calibration.shifted_thresholds(scores, factor * jnp.ones(4), factor * new, level=0.4)
        np.testing.assert_array_equal(found, np.array([0.2, np.inf, 0.2], np.float32))
        np.testing.assert_allclose(calibration.effective_sample_size(factor * jnp.ones(40)), 40, rtol=1e-6)
    assert float(calibration.effective_sample_size(jnp.array([jnp.inf, 3.0, jnp.inf]))) == 2

    weights = jnp.array([jnp.inf, jnp.inf, 1.0, 0.0])[:, None]
    for level, expected in ((0.5, 0.1), (0.6, 0.9)):
        found = calibration.conformal_threshold(scores[:, None], level=level, weights=weights)
        np.testing.assert_array_equal(found, np.full((1, 1), expected, np.float32))
    for factor, level, expected in ((2e38, 0.5, 0.2), (2e38, 0.51, 0.5), (1e-30, 0.5, np.inf)):
        found = calibration.conformal_threshold(scores[:, None], level=level, weights=factor * jnp.ones((4, 1)))
        np.testing.assert_array_equal(found, np.full((1, 1), expected, np.float32))


@pytest.mark.long
def test_weighted_conformal_covers_where_plain_does_not():
    """Inputs N(0, 1) at calibration and N(1, 1) afterwards, exact ratios: about .91 against .83 at level .9."""
    worlds, n = 2000, 200
    rng = np.random.default_rng(0)
    x, x_new = rng.normal(size=(worlds, n)), rng.normal(1, 1, (worlds, 1))

    def label(x):
        return x**2 * 0.5 + (0.5 + np.abs(x)) * rng.normal(size=x.shape)

    scores, score = np.abs(label(x)), np.abs(label(x_new))[:, 0]
    ratio = lambda x: jnp.exp(jnp.asarray(x, jnp.float32) - 0.5)  # noqa: E731
    each = jax.vmap(lambda s, w, v: calibration.shifted_thresholds(s, w, v, level=0.9)[0])
    weighted = score <= np.asarray(each(jnp.asarray(scores, jnp.float32), ratio(x), ratio(x_new)))
    plain = jax.vmap(lambda s: calibration.conformal_threshold(s, level=0.9)[0])(jnp.asarray(scores, jnp.float32))
    low, high = stats.binom.interval(0.9999, worlds, 0.9)
    assert weighted.sum() >= low
    assert (score <= np.asarray(plain)).sum() < low < high


def test_effective_sample_size_and_ratios():
    assert calibration.effective_sample_size(jnp.array([1.0, 1.0, 2.0, 1.0, 1.0])) == 4.5
    assert np.isnan(calibration.effective_sample_size(jnp.zeros(3)))
    found = calibration.density_ratios(jnp.array([0.2, 0.5, 0.8, 1.0, 1.1]), num_calibration=100, num_new=50)
    np.testing.assert_allclose(found, [0.5, 2.0, 8.0, np.inf, np.nan], rtol=1e-6)


def test_jackknife_plus_by_sorting():
    rng = np.random.default_rng(2)
    predictions, residuals = rng.normal(size=(25, 6)), rng.exponential(size=25)
    where = rng.random(25) < 0.8
    for level in (0.5, 0.8, 0.95):
        found = calibration.jackknife_plus(
            jnp.asarray(predictions, jnp.float32),
            jnp.asarray(residuals, jnp.float32),
            level=level,
            where=jnp.asarray(where),
        )
        n = int(where.sum())
        low, high = int(np.floor(round((1 - level) * (n + 1), 9))), int(np.ceil(round(level * (n + 1), 9)))
        for column in range(6):
            lower = sorted(predictions[where, column] - residuals[where])
            upper = sorted(predictions[where, column] + residuals[where])
            np.testing.assert_allclose(found.lower[column], lower[low - 1] if low else -np.inf, rtol=1e-5)
            np.testing.assert_allclose(found.upper[column], upper[high - 1] if high <= n else np.inf, rtol=1e-5)


@pytest.mark.long
def test_jackknife_plus_covers_with_fewer_examples_than_a_split_needs():
    """Least squares in 2,000 worlds of 30 examples and 5 features; leaving one out in closed form."""
    rng, level, worlds, n = np.random.default_rng(3), 0.8, 2000, 30
    x, x_new, beta = rng.normal(size=(worlds, n, 5)), rng.normal(size=(worlds, 5)), rng.normal(size=(worlds, 5))
    y = np.einsum("wnd,wd->wn", x, beta) + rng.normal(size=(worlds, n))
    y_new = np.einsum("wd,wd->w", x_new, beta) + rng.normal(size=worlds)
    inverse = np.linalg.inv(np.einsum("wnd,wne->wde", x, x))
    fitted = np.einsum("wde,wne,wn->wd", inverse, x, y)
    leverage = np.einsum("wnd,wde,wne->wn", x, inverse, x)
    errors = (y - np.einsum("wnd,wd->wn", x, fitted)) / (1 - leverage)  # without the example
    moved = np.einsum("wd,wde,wne->wn", x_new, inverse, x) * errors
    predictions = np.einsum("wd,wd->w", x_new, fitted)[:, None] - moved
    left_out = np.delete(x[0], 4, axis=0), np.delete(y[0], 4)
    np.testing.assert_allclose(predictions[0, 4], x_new[0] @ np.linalg.lstsq(*left_out, rcond=None)[0])
    given = jnp.asarray(predictions[..., None], jnp.float32), jnp.asarray(np.abs(errors), jnp.float32)
    hits = []
    for minmax in (False, True):
        each = jax.vmap(lambda p, r, m=minmax: calibration.jackknife_plus(p, r, level=level, minmax=m))
        lower, upper = each(*given)
        hits.append(int(((np.asarray(lower)[:, 0] <= y_new) & (y_new <= np.asarray(upper)[:, 0])).sum()))
    low, _ = stats.binom.interval(0.9999, worlds, level)
    assert hits[0] >= low and hits[1] >= hits[0]


def test_coverage_over_time_whatever_happens():
    method, rate, level = calibration.adaptive_conformal(0.9, step_size=0.02), 0.02, 0.9
    rng = np.random.default_rng(4)
    scores = jnp.asarray(rng.normal(size=1500) * np.where(np.arange(1500) < 700, 1, 4), jnp.float32)  # a jump

    def step(state, t):
        threshold = calibration.adaptive_threshold(scores, state, where=jnp.arange(1500) < t)
        covered = scores[t] <= threshold
        return method.update(state, covered), covered

    _, covered = jax.lax.scan(step, method.init(), jnp.arange(1500))
    bound = (level + rate) / (rate * 1500)
    assert abs(1 - np.mean(covered) - 0.1) <= bound


def test_adaptive_threshold_is_the_conformal_one():
    scores = jnp.asarray(np.random.default_rng(5).normal(size=30), jnp.float32)
    for level in (0.3, 0.5, 0.8, 0.9, 0.96, 0.98):
        found = calibration.adaptive_threshold(scores, jnp.asarray(1 - level))
        assert found == calibration.conformal_threshold(scores, level=level)[0]


@pytest.mark.long
def test_the_end_of_the_level_is_infinite_for_millions():
    assert calibration.adaptive_threshold(jnp.ones(2_000_000), jnp.float32(0)) == np.inf


def test_intervals_of_no_example_are_infinite():
    for nothing in (jnp.zeros(3, bool), None):
        numbers = jnp.zeros((3 if nothing is not None else 0, 2))
        for minmax in (False, True):
            ends = calibration.jackknife_plus(numbers, numbers[:, 0], level=0.8, minmax=minmax, where=nothing)
            np.testing.assert_array_equal(jnp.stack(ends), [[-np.inf] * 2, [np.inf] * 2])


def test_wealth_by_loops_and_what_an_honest_game_pays():
    rng = np.random.default_rng(6)
    p_values = rng.random(40)
    shares, expected = {-1: 1 / 3, 0: 1 / 3, 1: 1 / 3}, []
    for p_value in p_values:
        total = sum(shares.values())
        shares = {bet: (0.99 * share + 0.01 * total / 3) * (1 + bet * (p_value - 0.5)) for bet, share in shares.items()}
        expected.append(np.log(sum(shares.values())))
    found = calibration.exchangeability_wealth(jnp.asarray(p_values, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    honest = jax.vmap(calibration.exchangeability_wealth)(jnp.asarray(rng.random((2000, 200)), jnp.float32))
    ruined = (np.asarray(honest).max(axis=1) >= np.log(20)).mean()  # Ville: at most 1 in 20
    assert ruined <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 2000)
    changed = np.where(np.arange(200) < 100, 1, 0.2) * rng.random((200, 200))
    wealth = jax.vmap(calibration.exchangeability_wealth)(jnp.asarray(changed, jnp.float32))
    assert (np.asarray(wealth)[:, -1] >= np.log(100)).mean() > 0.95


def test_predictive_system_by_counting():
    rng = np.random.default_rng(7)
    mean, variance = np.round(rng.normal(size=(21, 2)), 1), np.full((21, 2), 4.0)
    labels, where = np.round(mean + rng.normal(size=(21, 2)), 1), rng.random((21, 2)) < 0.8
    zeros = jnp.zeros((21, 2))
    forecast = GaussianForecast(jnp.asarray(mean, jnp.float32), jnp.asarray(variance, jnp.float32), zeros)
    for normalised in (False, True):
        method = calibration.predictive_system(normalised=normalised)
        state = method.fit(forecast, jnp.asarray(labels, jnp.float32), where=jnp.asarray(where))
        value = rng.normal(size=(21, 2)) * 2
        found = method.cdf(state, forecast, jnp.asarray(value, jnp.float32))
        ends = method.interval(state, forecast, level=0.6)
        for task in range(2):
            residuals = (labels - mean)[where[:, task], task]
            n = len(residuals)
            for row in range(21):
                cloud = sorted(mean[row, task] + residuals)
                expected = (sum(c < value[row, task] for c in cloud) + 0.5) / (n + 1)
                np.testing.assert_allclose(found[row, task], expected, rtol=1e-5)
                low, high = int(np.floor(round(0.2 * (n + 1), 9))), int(np.ceil(round(0.8 * (n + 1), 9)))
                np.testing.assert_allclose(ends.lower[row, task], cloud[low - 1], rtol=1e-4, atol=1e-5)
                np.testing.assert_allclose(ends.upper[row, task], cloud[high - 1], rtol=1e-4, atol=1e-5)


def test_randomised_predictive_probabilities_are_uniform():
    """Of exchangeable examples, though the model is wrong everywhere; ties between labels included."""
    rng, worlds, n = np.random.default_rng(8), 3000, 15
    labels = np.round(rng.gamma(1.0, size=(n + 1, worlds)), 1)
    zeros = jnp.zeros((n, worlds))
    method = calibration.predictive_system()
    state = method.fit(GaussianForecast(zeros, zeros + 1, zeros), jnp.asarray(labels[:n], jnp.float32))
    new = GaussianForecast(zeros[:1], zeros[:1] + 1, zeros[:1])
    ties = jnp.asarray(rng.random((1, worlds)), jnp.float32)
    values = method.cdf(state, new, jnp.asarray(labels[n:], jnp.float32), ties=ties)
    assert stats.kstest(np.asarray(values)[0], "uniform").pvalue > 1e-3


def test_sets_by_class_and_by_rank():
    """Worked: scores .1 .2 .3 .9 of one class, .05 .1 .6 .7 .8 of the other, at level .8."""
    scores, labels = [0.1, 0.2, 0.3, 0.9, 0.05, 0.1, 0.6, 0.7, 0.8], [0] * 4 + [1] * 5
    probabilities = np.array([[1 - s, s] if label == 0 else [s, 1 - s] for s, label in zip(scores, labels)])
    zeros = jnp.zeros(9)
    forecast = CategoricalForecast(jnp.asarray(np.log(probabilities), jnp.float32), zeros, zeros)
    method = calibration.conformal_classification("lac", by_class=True)
    state = method.fit(forecast, jnp.asarray(labels), level=0.8)
    np.testing.assert_allclose(state.thresholds, [0.9, 0.8], rtol=1e-5)
    new = CategoricalForecast(jnp.log(jnp.array([[0.15, 0.85], [0.09, 0.91]])), zeros[:2], zeros[:2])
    assert method.prediction_set(state, new).tolist() == [[True, True], [False, True]]
    few = method.fit(forecast, jnp.asarray(labels), level=0.9)  # neither class has the nine labels that it needs
    assert np.isinf(few.thresholds).all()

    ranks = calibration.conformal_classification("saps", penalty=0.2, randomised=True)
    key = jax.random.key(0)
    share = float(jax.random.uniform(key, (1,))[0])
    three = CategoricalForecast(jnp.log(jnp.array([[0.3, 0.5, 0.2]])), zeros[:1], zeros[:1])
    for label, expected in ((1, 0.5 * share), (0, 0.5 + 0.2 * share), (2, 0.5 + 0.2 * (1 + share))):
        found = ranks.fit(three, jnp.array([label]), level=0.5, rng_key=key).thresholds[0]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("wrong", [np.nan, -1.0])
def test_a_weight_that_is_none_makes_its_task_nan_and_one_that_does_not_count_nothing(wrong):
    scores = jnp.arange(20.0)[:, None] * jnp.array([[1.0, 2.0]])
    weights = jnp.ones((20, 2)).at[3, 1].set(wrong)
    found = calibration.conformal_threshold(scores, level=0.8, weights=weights)
    assert jnp.isfinite(found[0, 0]) and jnp.isnan(found[0, 1])
    kept = jnp.ones((20, 2), bool).at[3].set(False)
    assert jnp.isfinite(calibration.conformal_threshold(scores, level=0.8, weights=weights, where=kept)).all()
    ratios = jnp.ones(20).at[3].set(wrong)
    assert jnp.isnan(calibration.shifted_thresholds(scores, ratios, jnp.ones(4), level=0.8)).all()
    assert jnp.isfinite(calibration.shifted_thresholds(scores, ratios, jnp.ones(4), level=0.8, where=kept)).all()
    new = jnp.ones(4).at[1].set(wrong)
    assert jnp.isnan(calibration.shifted_thresholds(scores, jnp.ones(20), new, level=0.8))[:, 0].tolist() == [
        0,
        1,
        0,
        0,
    ]
    assert jnp.isnan(calibration.effective_sample_size(ratios))


def test_a_certain_forecast_that_is_right_is_not_off_and_has_an_interval():
    method = calibration.predictive_system(normalised=True)
    mean, variance = jnp.arange(9.0)[:, None], jnp.ones((9, 1)).at[2].set(0.0)
    state = method.fit(GaussianForecast(mean, variance, jnp.zeros((9, 1))), mean + jnp.zeros((9, 1)).at[5].set(0.5))
    assert state.count.tolist() == [9.0]
    certain = GaussianForecast(jnp.array([[3.0]]), jnp.zeros((1, 1)), jnp.zeros((1, 1)))
    assert [float(end[0, 0]) for end in method.interval(state, certain, level=0.6)] == [3.0, 3.0]
    assert [float(end[0, 0]) for end in method.interval(state, certain, level=0.95)] == [-np.inf, np.inf]
    assert float(method.cdf(state, certain, jnp.array([[3.0]]))[0, 0]) == pytest.approx(0.5 * 9 / 10)
