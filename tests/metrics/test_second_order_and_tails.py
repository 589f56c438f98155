"""Grouping loss, second-order calibration, threshold-weighted CRPS and accuracy-rejection areas, by other routes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from jaxuq._errors import ArrayError, OptionError
from jaxuq.metrics import (
    area_under_accuracy_rejection,
    area_under_risk_coverage,
    gaussian_crps,
    grouping_loss,
    sample_crps,
    second_order_calibration_error,
    threshold_weighted_crps,
)


@pytest.mark.parametrize(("lower", "upper"), [(-0.5, 0.7), (0.3, np.inf), (-np.inf, -0.2), (-np.inf, np.inf)])
def test_threshold_weighted_crps_is_its_integral(lower, upper):
    rng = np.random.default_rng(0)
    mean, deviation, labels = rng.normal(size=6), rng.uniform(0.3, 2, 6), rng.normal(size=6)

    def score(m, s, y):
        ends = max(lower, -30), min(upper, 30)
        return quad(
            lambda t: (norm.cdf(t, m, s) - (t >= y)) ** 2, *ends, points=sorted({*np.clip([y, m], *ends)}), limit=200
        )[0]

    expected = np.mean([score(*row) for row in zip(mean, deviation, labels)])
    arrays = [jnp.asarray(a, jnp.float32) for a in (mean, deviation**2, labels)]
    np.testing.assert_allclose(threshold_weighted_crps(*arrays, lower=lower, upper=upper), expected, atol=2e-6)
    exact = threshold_weighted_crps(arrays[0], 0 * arrays[1], arrays[2], lower=lower, upper=upper)
    np.testing.assert_allclose(
        exact, np.abs(np.clip(labels, lower, upper) - np.clip(mean, lower, upper)).mean(), rtol=1e-5
    )


def test_parts_of_the_range_add_up_and_samples_are_clipped():
    rng = np.random.default_rng(1)
    mean, labels = (jnp.asarray(rng.normal(size=20), jnp.float32) for _ in range(2))
    variance = jnp.asarray(rng.uniform(0.2, 2, 20), jnp.float32)
    parts = [
        threshold_weighted_crps(mean, variance, labels, lower=a, upper=b) for a, b in ((-np.inf, 0.4), (0.4, np.inf))
    ]
    np.testing.assert_allclose(sum(parts), gaussian_crps(mean, variance, labels), rtol=1e-5)
    drawn = mean[None] + jnp.sqrt(variance)[None] * jnp.asarray(rng.normal(size=(20_000, 20)), jnp.float32)
    clipped = sample_crps(jnp.maximum(drawn, 0.4), jnp.maximum(labels, 0.4))
    np.testing.assert_allclose(parts[1], clipped, atol=3e-3)
    with pytest.raises(OptionError, match="lower < upper"):
        threshold_weighted_crps(mean, variance, labels, lower=1.0, upper=1.0)


def test_grouping_loss_by_loops():
    rng = np.random.default_rng(0)
    confidence, regions = rng.random(300), rng.integers(0, 4, 300)
    correct = (rng.random(300) < confidence).astype(int)
    loss, size = 0.0, 0
    for b in range(5):
        inside = (confidence > b / 5) & (confidence <= (b + 1) / 5)
        cells = [correct[inside & (regions == r)] for r in range(4)]
        cells = [cell for cell in cells if len(cell) > 1]
        both = np.concatenate(cells)
        loss += sum(len(c) * (c.mean() - both.mean()) ** 2 for c in cells)
        loss -= sum(len(c) * c.mean() * (1 - c.mean()) / (len(c) - 1) for c in cells)
        loss += len(both) * both.mean() * (1 - both.mean()) / (len(both) - 1)
        size += len(both)
    arrays = [jnp.asarray(a) for a in (confidence.astype(np.float32), correct, regions)]
    np.testing.assert_allclose(grouping_loss(*arrays, num_regions=4, bins=5), loss / size, rtol=1e-4)


def test_grouping_loss_is_the_variance_of_the_chances_at_one_confidence_and_nothing_without():
    """Half of the examples have chance .9, half .3, all say .6: the loss is .09; of chances of .6, 0 on average."""
    rng = np.random.default_rng(0)
    found, none = [], []
    for _ in range(200):
        regions = rng.integers(0, 2, 200)
        for chance, into in ((np.where(regions, 0.9, 0.3), found), (0.6, none)):
            correct = jnp.asarray((rng.random(200) < chance).astype(np.int32))
            into.append(grouping_loss(jnp.full(200, 0.6), correct, jnp.asarray(regions), num_regions=2))
    assert abs(np.mean(found) - 0.09) < 3 * np.std(found) / np.sqrt(200)
    assert abs(np.mean(none)) < 3 * np.std(none) / np.sqrt(200)
    assert np.isnan(grouping_loss(jnp.full(2, 0.6), jnp.array([0, 1]), jnp.array([0, 2]), num_regions=2))


def test_the_mixture_of_two_groups_is_second_order_calibrated():
    """Hidden chances .9 and .3, p .6: V = .09 is right, none and twice as much are not."""
    rng = np.random.default_rng(0)
    chance = np.where(rng.random(200_000) < 0.5, 0.9, 0.3)
    answers = [jnp.asarray((rng.random(200_000) < chance).astype(np.int32)) for _ in range(2)]
    p = jnp.full(200_000, 0.6)
    for stated, expected in ((0.09, 0.0), (0.0, 0.09), (0.18, 0.09)):
        error = second_order_calibration_error(p, jnp.full(200_000, stated), *answers)
        np.testing.assert_allclose(error, expected, atol=3e-3)


def test_second_order_bins_are_in_order_of_the_variance():
    """Variances that are right on average and wrong for each group are seen with two bins and not with one."""
    rng = np.random.default_rng(0)
    group = np.arange(100_000) % 2
    chance = np.where(group, 0.5, np.where(rng.random(100_000) < 0.5, 0.9, 0.1))  # V 0 and .16
    answers = [jnp.asarray((rng.random(100_000) < chance).astype(np.int32)) for _ in range(2)]
    p, swapped = jnp.full(100_000, 0.5), jnp.asarray(np.where(group, 0.16, 0.0), jnp.float32)
    one, two = (float(second_order_calibration_error(p, swapped, *answers, bins=bins)) for bins in (1, 2))
    assert one < 0.005
    np.testing.assert_allclose(two, 0.16, atol=0.005)
    order = jnp.asarray(rng.permutation(100_000))
    again = second_order_calibration_error(p, swapped[order], *(answer[order] for answer in answers), bins=2)
    np.testing.assert_allclose(again, two, rtol=1e-3)


def test_accuracy_rejection_is_what_risk_coverage_leaves():
    rng = np.random.default_rng(0)
    uncertainty = jnp.asarray(np.round(rng.random(60), 1), jnp.float32)
    correct = jnp.asarray(rng.integers(0, 2, 60), jnp.float32)
    area = area_under_accuracy_rejection(uncertainty, correct)
    np.testing.assert_allclose(area, 1 - area_under_risk_coverage(uncertainty, 1 - correct), rtol=1e-5)
    orders = [np.argsort(uncertainty + 1e-4 * rng.random(60), kind="stable") for _ in range(4000)]
    sampled = [np.mean(np.cumsum(np.asarray(correct)[order]) / np.arange(1, 61)) for order in orders]
    np.testing.assert_allclose(area, np.mean(sampled), atol=2e-3)  # ties in random order
    np.testing.assert_allclose(area_under_accuracy_rejection(jnp.zeros(60), correct), correct.mean(), rtol=1e-5)


def test_large_counts_weigh_as_many_entries():
    """One entry of weight 5,000 after one of 100,000: sums of 1 / k, which single precision could not tell apart."""
    weights = jnp.array([100_000.0, 5_000.0])
    area = area_under_risk_coverage(jnp.array([0.0, 1.0]), jnp.array([0.0, 1.0]), weights=weights)
    k = np.arange(1, 5001)
    np.testing.assert_allclose(area, np.sum(k / (100_000 + k)) / 105_000, rtol=2e-3)


@pytest.mark.parametrize("bounds", [{}, {"lower": -0.5}, {"upper": 0.5}])
def test_endless_bounds_have_the_gradients_of_far_ones(bounds):
    one = jnp.ones(3)
    arrays = 0.2 * one, 1.5 * one, jnp.array([-1.0, 0.0, 2.0])
    far = {"lower": -1e3, "upper": 1e3} | bounds
    for place in (0, 1):
        slope = jax.grad(lambda *given: threshold_weighted_crps(*given, **bounds), argnums=place)(*arrays)
        near = jax.grad(lambda *given: threshold_weighted_crps(*given, **far), argnums=place)(*arrays)
        np.testing.assert_allclose(slope, near, rtol=1e-4, atol=1e-6)


def test_forecasts_far_from_the_bounds_keep_their_score():
    """Single precision against adaptive integration: scores of 1e-10, and labels close to forecasts far away."""
    for mean, label, lower, upper, tolerance in (
        (0.0, 0.0, 4.0, np.inf, 1e-5),
        (0.0, 0.0, -np.inf, -6.0, 1e-5),
        (1.0, 3.0, 2.9, 3.0, 1e-5),
        (-1e4, 2.0, 0.0, np.inf, 1e-6),
        (1e4, 3.0, 1.0, 7.0, 1e-6),
    ):
        got = threshold_weighted_crps(jnp.full(1, mean), jnp.ones(1), jnp.full(1, label), lower=lower, upper=upper)
        ends = max(lower, min(mean, label) - 40), min(upper, max(mean, label) + 40)
        ends = (lower, upper) if np.isfinite([lower, upper]).all() else ends
        brought = np.clip(label, *ends)
        below = quad(lambda t, m=mean: norm.cdf(t - m) ** 2, ends[0], brought, limit=200, epsabs=0)[0]
        above = quad(lambda t, m=mean: norm.sf(t - m) ** 2, brought, ends[1], limit=200, epsabs=0)[0]
        np.testing.assert_allclose(got, below + above, rtol=tolerance)
    endless = jnp.full(1, jnp.inf)
    assert threshold_weighted_crps(jnp.zeros(1), endless, jnp.zeros(1), lower=0.0, upper=2.0) == 0.5  # F is 1/2


def test_small_weights_of_the_grouping_loss_count_by_their_proportions():
    rng = np.random.default_rng(3)
    regions, weights = rng.integers(0, 3, 120), rng.uniform(0.2, 1, 120)
    correct, half = jnp.asarray(rng.integers(0, 2, 120)), jnp.full(120, 0.5)
    loss = [
        float(grouping_loss(half, correct, jnp.asarray(regions), num_regions=3, weights=jnp.asarray(w, jnp.float32)))
        for w in (weights / weights.max(), weights * 1e-3, weights * 1e-25, np.full(120, 0.1), np.ones(120))
    ]
    np.testing.assert_allclose(loss[1:3], loss[0], rtol=1e-4)
    np.testing.assert_allclose(loss[3], loss[4], rtol=1e-4)

    def squared(outcomes, w):  # without bias: pairs of different entries alone
        pairs = np.outer(w, w) * (1 - np.eye(len(w)))
        return (pairs * np.outer(outcomes, outcomes)).sum() / pairs.sum()

    outcomes = np.asarray(correct)
    parts = sum(weights[regions == r].sum() * squared(outcomes[regions == r], weights[regions == r]) for r in range(3))
    np.testing.assert_allclose(loss[0], parts / weights.sum() - squared(outcomes, weights), rtol=1e-3, atol=1e-6)


def test_variances_below_nothing_and_impossible_probabilities_are_undefined():
    half, answers = jnp.full(4, 0.5), jnp.array([0, 1, 1, 0])
    assert np.isnan(second_order_calibration_error(half, -half, answers, answers))
    assert np.isnan(second_order_calibration_error(3 * half, half, answers, answers))
    kept = second_order_calibration_error(half, half.at[0].set(-1), answers, answers, where=jnp.arange(4) > 0)
    assert np.isfinite(kept)
    with pytest.raises(ArrayError, match=r"first is 'yes'; expected an array of numbers"):
        second_order_calibration_error(half, half, "yes", answers)  # pyright: ignore[reportArgumentType]
