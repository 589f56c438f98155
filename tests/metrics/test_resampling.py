"""Averages over tasks and bootstrap intervals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from jaxuq import metrics
from jaxuq._errors import OptionError


def mean_value(values, *, where):
    return jnp.sum(jnp.where(where, values, 0.0)) / jnp.maximum(jnp.sum(where), 1).astype(values.dtype)


def mean_area(scores, labels, *, where):
    return metrics.average_over_tasks(metrics.area_under_roc, scores, labels, where=where).mean


def test_tasks_without_a_value_are_left_out(rng):
    scores, labels = rng.normal(size=(50, 4)).astype(np.float32), rng.integers(0, 2, (50, 4))
    keep = rng.random((50, 4)) < 0.7
    keep[:, 1], labels[:, 2] = False, 1
    expected = [roc_auc_score(labels[keep[:, t], t], scores[keep[:, t], t]) for t in (0, 3)]
    run = jax.jit(
        lambda where: metrics.average_over_tasks(
            metrics.area_under_roc, *map(jnp.asarray, (scores, labels)), where=where
        )
    )
    result = run(where=keep)
    assert result.mean == pytest.approx(np.mean(expected), abs=1e-6)
    np.testing.assert_allclose(result.per_task, [expected[0], np.nan, np.nan, expected[1]], rtol=1e-5)
    np.testing.assert_array_equal(result.defined, [True, False, False, True])
    nothing = run(where=jnp.zeros((50, 4), bool))
    assert np.isnan(nothing.mean)


def test_tasks_may_have_trailing_axes(rng):
    logits, labels = rng.normal(size=(20, 3, 5)).astype(np.float32), rng.integers(0, 5, (20, 3)).astype(np.int32)
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    loss = metrics.categorical_negative_log_likelihood
    result = jax.jit(functools.partial(metrics.average_over_tasks, loss))(logits, labels)
    whole = jax.jit(loss)(logits.reshape(60, 5), labels.reshape(60))
    assert result.mean == pytest.approx(float(whole), rel=1e-5)


def test_bootstrap_has_the_moments_of_resampling(rng_key, rng):
    values = rng.exponential(size=80).astype(np.float32)
    result = metrics.bootstrap(
        rng_key, mean_value, jnp.asarray(values), num_resamples=4000, level=0.9, batch_size=500, interval="percentile"
    )
    resamples = values[rng.integers(0, 80, (20000, 80))].mean(axis=1)
    assert result.estimate == pytest.approx(values.mean(), rel=1e-6)
    assert result.num_defined == 4000
    assert result.standard_error == pytest.approx(values.std() / np.sqrt(80), rel=0.05)
    low, high = np.quantile(resamples, [0.05, 0.95])
    tolerance = 0.1 * float(resamples.std())
    assert result.lower == pytest.approx(low, abs=tolerance) and result.upper == pytest.approx(high, abs=tolerance)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_is_between_nothing_and_everything(rng_key, level):
    with pytest.raises(OptionError, match="level is"):
        metrics.bootstrap(rng_key, metrics.accuracy, jnp.zeros(4, int), jnp.zeros(4, int), level=level)


def test_bootstrap_interval_covers_at_its_level(rng_key, rng):
    data = rng.normal(size=(600, 60)).astype(np.float32)
    keys = jax.random.split(rng_key, 600)
    interval = functools.partial(metrics.bootstrap, num_resamples=200, level=0.9, batch_size=200)
    result = jax.jit(jax.vmap(lambda key, values: interval(key, mean_value, values)))(keys, data)
    coverage = np.mean((result.lower <= 0) & (result.upper >= 0))
    assert 0.85 < coverage < 0.93


def test_bootstrap_draws_counted_rows_only_and_as_many(rng_key):
    values = jnp.concatenate([jnp.arange(30.0), jnp.full(50, jnp.nan)])
    count = functools.partial(metrics.bootstrap, num_resamples=300, batch_size=300, where=jnp.arange(80) < 30)
    size = count(rng_key, lambda v, *, where: jnp.sum(where).astype(v.dtype), values)
    assert size.lower == size.upper == 30
    spread = count(rng_key, mean_value, values)
    assert spread.standard_error == pytest.approx(np.arange(30).std() / np.sqrt(30), rel=0.15)
    assert spread.estimate == 14.5


def test_bootstrap_keeps_rows_of_tasks_together(rng_key, rng):
    labels = rng.integers(0, 2, (60, 1))
    scores = (labels + rng.normal(size=(60, 1))).astype(np.float32)
    one, two = (
        metrics.bootstrap(
            rng_key,
            mean_area,
            *(jnp.repeat(jnp.asarray(a), tasks, axis=1) for a in (scores, labels)),
            where=jnp.ones((60, tasks), bool),
            num_resamples=64,
        )
        for tasks in (1, 2)
    )
    # A copied task brings no information: drawn together, the interval stays exactly as wide.
    np.testing.assert_allclose(one[:4], two[:4], rtol=1e-5)


def test_undefined_resamples_are_ignored_and_counted(rng_key):
    scores, labels = jnp.array([0.1, 0.4, 0.8]), jnp.array([0, 0, 1])
    result = metrics.bootstrap(rng_key, metrics.area_under_roc, scores, labels, num_resamples=2000, batch_size=500)
    # Both classes are drawn with probability 1 - (2/3)^3 - (1/3)^3 = 2/3.
    assert result.num_defined == pytest.approx(2000 * 2 / 3, rel=0.06)
    assert result.lower == result.upper == 1


def test_asking_for_more_resamples_keeps_the_first(rng_key):
    values = jnp.arange(20.0)
    seen = [
        metrics.bootstrap(rng_key, mean_value, values, num_resamples=n, batch_size=b).resamples
        for n, b in ((1, 1), (1, 4))
    ]
    many = metrics.bootstrap(rng_key, mean_value, values, num_resamples=7, batch_size=3)
    assert seen[0][0] == seen[1][0] == many.resamples[0]


@pytest.mark.parametrize("call", [metrics.bootstrap, lambda key, metric: metrics.average_over_tasks(metric)])
def test_forgotten_arrays_are_named(call, rng_key):
    with pytest.raises(ValueError, match="got no arrays; pass the arrays"):
        call(rng_key, mean_value)


def _all_scores(probabilities, labels, variance, *, where):
    confidence, correct = jnp.maximum(probabilities, 1 - probabilities), (probabilities > 0.5) == (labels == 1)
    truth = labels.astype(probabilities.dtype)
    return jnp.stack(
        [
            metrics.area_under_roc(probabilities, labels, where=where),
            metrics.average_precision(probabilities, labels, where=where),
            metrics.brier_score(probabilities, labels, where=where),
            metrics.expected_calibration_error(confidence, correct, where=where),
            metrics.maximum_calibration_error(confidence, correct, where=where),
            metrics.adaptive_calibration_error(confidence, correct, where=where),
            metrics.smooth_calibration_error(confidence, correct, where=where),
            metrics.area_under_risk_coverage(-confidence, ~correct, where=where),
            metrics.prediction_rejection_ratio(-confidence, ~correct, where=where),
            metrics.root_mean_squared_error(probabilities, truth, where=where),
            metrics.r2_score(probabilities, truth, where=where),
            metrics.regression_calibration_error(probabilities, variance, truth, where=where),
            metrics.miscalibration_area(probabilities, variance, truth, where=where),
            metrics.expected_normalised_calibration_error(probabilities, variance, truth, where=where),
            metrics.spearman_correlation(probabilities, variance, where=where),
        ]
    )


@pytest.mark.parametrize("calibrated", [pytest.param(True, marks=pytest.mark.long), False])
def test_every_score_lies_in_its_own_interval(rng, calibrated):
    for seed in range(12):
        logits = rng.normal(size=50).astype(np.float32)
        labels = (rng.random(50) < 1 / (1 + np.exp(-logits if calibrated else logits))).astype(np.int32)
        variance = np.exp(rng.normal(size=50)).astype(np.float32)
        found = metrics.bootstrap(
            jax.random.key(seed), _all_scores, jax.nn.sigmoid(logits), jnp.asarray(labels), jnp.asarray(variance),
            num_resamples=40,
        )  # fmt: skip
        assert np.isfinite(found.estimate).all()
        assert ((found.lower <= found.estimate) & (found.estimate <= found.upper)).all()


def test_the_interval_of_a_calibration_error_reaches_a_perfect_calibration(rng_key, rng):
    confidence = rng.uniform(0.5, 1, (60, 200)).astype(np.float32)
    correct = rng.random((60, 200)) < confidence

    def both(c, k):
        found = metrics.bootstrap(rng_key, metrics.expected_calibration_error, c, k, num_resamples=100)
        usual, _ = metrics.interval_of_resamples(found.estimate, found.resamples, interval="percentile")
        return found.lower <= 0, usual <= 0

    debiased, percentile = jax.jit(jax.vmap(both))(confidence, correct)
    assert debiased.mean() >= 0.85 and not percentile.any()


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_debiased_interval_is_its_equation(rng, level):
    for draws in (rng.gamma(0.5, size=300), -rng.gamma(2.0, size=300), rng.normal(size=300), np.full(5, 0.25)):
        draws = draws.astype(np.float32)
        for estimate in (draws.mean(), draws.mean() - 0.3 * draws.std(), draws.mean() + 0.1 * draws.std()):
            z, b, s = (
                stats.norm.ppf(0.5 + level / 2),
                np.mean(draws, dtype=float) - estimate,
                np.std(draws, dtype=float),
            )
            k = sum((float(draw) - estimate - b) ** 3 for draw in draws) / len(draws) / s**3 if s else 0.0
            c = b / s if s else 0.0
            above = s * max(0.0, (k / 3 - c) * z**2 + k / 6)
            below = s * max(0.0, (min(0.0, c) - k / 3) * z**2 - k / 6)
            far, wide = estimate - (1 + np.sqrt(2)) * b, z * np.sqrt(s**2 + b**2)
            ends = [(estimate, estimate), (estimate - b - z * s - below, estimate - b + z * s + above)]
            ends += [(far - wide - below, far + wide + above)]
            if abs(c) <= 0.25:
                ends.append((estimate - z * s - below, estimate + z * s + above))
            expected = min(low for low, _ in ends), max(high for _, high in ends)
            found = metrics.interval_of_resamples(jnp.asarray(estimate), jnp.asarray(draws), level=level)
            np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-6)


def test_a_skewed_mean_has_the_ends_of_the_studentised_bootstrap(rng):
    """Means of 400 exponential numbers: t of the resamples, each with a standard error of its own."""
    values = rng.exponential(size=400).astype(np.float32)
    picks = values[rng.integers(0, 400, (20_000, 400))]
    means, errors = picks.mean(1), picks.std(1) / 20
    mean, error = values.mean(), values.std() / 20
    lower, upper = np.quantile((means - mean) / errors, [0.025, 0.975])
    found = metrics.interval_of_resamples(jnp.asarray(mean), jnp.asarray(means))
    assert abs(found[1] - (mean - lower * error)) < 0.05 * error  # the normal interval ends 0.3 errors before it
    assert found[0] <= mean - upper * error  # and is not made shorter on the other side
