"""Selective prediction against brute force over orders, and the closed form of AUGRC."""

import itertools

import numpy as np
import pytest

from jaxuq import metrics


def brute_areas(uncertainty, risk):
    """Mean over all orders of the ties of the selective and the generalised area (the latter by trapezia)."""
    n, selective, generalised = len(risk), [], []
    for order in itertools.permutations(range(n)):
        if np.any(np.diff(uncertainty[list(order)]) < 0):
            continue
        total = np.concatenate([[0], np.cumsum(risk[list(order)])])
        selective.append(total[1:] / np.arange(1, n + 1))
        generalised.append(np.trapezoid(total / n, dx=1 / n))
    return np.mean(selective, axis=0), np.mean(generalised)


@pytest.fixture
def tied():
    return np.array([0.3, 0.1, 0.3, 0.2, 0.3, 0.2, 0.9]), np.array([1.0, 0.0, 0.5, 2.0, 0.0, 0.25, 1.0])


def test_areas_equal_the_mean_over_orders_of_ties(run, tied):
    curve, generalised = brute_areas(*tied)
    ours = run(metrics.risk_coverage_curve, *tied)
    np.testing.assert_allclose(ours.selective_risk, curve, rtol=1e-5)
    np.testing.assert_allclose(ours.coverage, np.arange(1, 8) / 7, rtol=1e-6)
    assert run(metrics.area_under_risk_coverage, *tied) == pytest.approx(curve.mean(), rel=1e-5)
    assert run(metrics.area_under_generalised_risk_coverage, *tied) == pytest.approx(generalised, rel=1e-5)


@pytest.mark.parametrize("convention", ["malinin", "lm_polygraph"])
def test_rejection_ratio_equals_its_equation(run, tied, convention):
    uncertainty, risk = tied
    curve, area = brute_areas(uncertainty, risk)
    oracle_curve, oracle = brute_areas(risk, risk)
    if convention == "lm_polygraph":
        expected = (risk.mean() - curve.mean()) / (risk.mean() - oracle_curve.mean())
    else:
        expected = (risk.mean() / 2 - area) / (risk.mean() / 2 - oracle)
    ours = run(metrics.prediction_rejection_ratio, uncertainty, risk, convention=convention)
    assert ours == pytest.approx(expected, rel=1e-5)
    shifted = run(metrics.prediction_rejection_ratio, uncertainty, 3 * risk + 5, convention=convention)
    assert shifted == pytest.approx(expected, rel=1e-4)
    assert run(metrics.prediction_rejection_ratio, np.zeros(7), risk, convention=convention) == pytest.approx(
        0, abs=1e-6
    )
    assert np.isnan(run(metrics.prediction_rejection_ratio, uncertainty, np.full(7, 0.1), convention=convention))


def test_generalised_area_equals_its_closed_form(run, rng):
    uncertainty, failure = np.round(rng.random(200), 1), (rng.random(200) < 0.3).astype(np.int32)
    separation = float(run(metrics.area_under_roc, uncertainty, failure))
    rate = failure.mean()
    expected = (1 - separation) * rate * (1 - rate) + rate**2 / 2
    assert run(metrics.area_under_generalised_risk_coverage, uncertainty, failure) == pytest.approx(expected, rel=1e-5)
    # For 0/1 risk Malinin's ratio is the Gini coefficient of that area under the ROC.
    ratio = run(metrics.prediction_rejection_ratio, uncertainty, failure)
    assert ratio == pytest.approx(2 * separation - 1, rel=1e-4)


def test_masked_curve_is_the_curve_of_the_kept_then_its_last_point(run, tied):
    uncertainty, risk = tied
    keep = np.array([True, True, False, True, True, False, True])
    kept = run(metrics.risk_coverage_curve, uncertainty[keep], risk[keep])
    masked = run(metrics.risk_coverage_curve, uncertainty, risk, where=keep)
    np.testing.assert_allclose(masked.selective_risk[:5], kept.selective_risk, rtol=1e-6)
    np.testing.assert_allclose(masked.coverage, [0.2, 0.4, 0.6, 0.8, 1, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(masked.selective_risk[5:], risk[keep].mean(), rtol=1e-6)
    for area in (metrics.area_under_risk_coverage, metrics.area_under_generalised_risk_coverage):
        alone = float(run(area, uncertainty[keep], risk[keep]))
        assert run(area, uncertainty, risk, where=keep) == pytest.approx(alone, rel=1e-6)
