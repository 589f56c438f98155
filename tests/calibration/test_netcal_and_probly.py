"""Calibration errors, scaling, entropies and evidential losses against netcal and probly, by a golden file."""

import functools
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import calibration, losses, metrics
from jaxuq.posterior import BernoulliForecast, GaussianForecast, summarise

close = functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-6)


@pytest.fixture(scope="module")
def golden():
    with np.load(pathlib.Path(__file__).parent / "golden" / "netcal_and_probly.npz") as file:
        arrays = dict(file)
    return {name: jnp.asarray(a, jnp.float32 if a.dtype.kind == "f" else jnp.int32) for name, a in arrays.items()}


def _confidence(golden):
    return BernoulliForecast(golden["logits"][:, None]).probabilities[:, 0]


@pytest.mark.parametrize(
    ("metric", "name"), [(metrics.expected_calibration_error, "ece"), (metrics.maximum_calibration_error, "mce")]
)
def test_errors_of_equal_bins_are_those_of_netcal(golden, metric, name):
    close(metric(_confidence(golden), golden["events"], bins=8), golden[f"netcal:{name}"])


def test_adaptive_error_is_that_of_netcal_but_for_its_bins(golden):
    """netcal's ACE is the plain mean over bins of equal width, which is a loop over them here."""
    confidence, events = np.asarray(_confidence(golden), np.float64), np.asarray(golden["events"])
    bins = np.clip(np.ceil(confidence * 8).astype(int) - 1, 0, 7)
    gaps = [abs(confidence[bins == b].mean() - events[bins == b].mean()) for b in range(8)]
    close(np.mean(gaps), golden["netcal:ace"])
    weights = np.bincount(bins) / len(bins)
    close(np.dot(gaps, weights), metrics.expected_calibration_error(_confidence(golden), golden["events"], bins=8))


@pytest.mark.parametrize(
    ("method", "name"),
    [
        (calibration.platt_scaling(smooth_targets=False), "logistic"),
        (calibration.temperature_scaling(), "temperature"),
        (calibration.beta_calibration(), "beta"),
        (calibration.isotonic_calibration(), "isotonic"),
    ],
)
def test_maps_of_probabilities_are_those_of_netcal(golden, method, name):
    """netcal's optimiser stops at a change of its loss of 2e-9, which leaves 1e-4 in the probabilities."""
    state = method.fit(BernoulliForecast(golden["logits"][:, None]), golden["events"][:, None])
    found = method.apply(state, BernoulliForecast(golden["new_logits"][:, None])).probabilities[:, 0]
    close(found, golden[f"netcal:{name}"], atol=2e-4)


def test_errors_and_scale_of_variances_are_those_of_netcal(golden):
    mean, variance, values = golden["mean"], jnp.square(golden["deviation"]), golden["values"]
    close(metrics.expected_normalised_calibration_error(mean, variance, values, bins=1), golden["netcal:ence"])
    found = losses.gaussian_negative_log_likelihood(mean, variance, values)
    close(jnp.mean(found), jnp.squeeze(golden["netcal:nll"]))
    curve = metrics.regression_calibration_curve(mean, variance, values, num_quantiles=10, kind="central")
    close(curve.observed[1:-1], golden["netcal:picp"])
    forecast = GaussianForecast(mean[:, None], variance[:, None], jnp.zeros_like(mean)[:, None])
    method = calibration.variance_scaling()
    found = method.apply(method.fit(forecast, values[:, None]), forecast).total[:, 0]
    close(jnp.sqrt(found), golden["netcal:variance"], rtol=2e-4)


def test_entropies_and_scores_of_sampled_classes_are_those_of_probly(golden):
    forecast = summarise(golden["samples"], "categorical")
    close(forecast.total, golden["probly:total_entropy"])
    close(forecast.aleatoric, golden["probly:conditional_entropy"])
    close(forecast.epistemic, golden["probly:mutual_information"])
    mixed, classes = forecast.probabilities, golden["classes"]
    close(metrics.categorical_negative_log_likelihood(forecast.logits, classes), golden["probly:log_loss"])
    close(metrics.multiclass_brier_score(mixed, classes), golden["probly:brier_score"])


def test_evidential_and_focal_losses_are_those_of_probly(golden):
    evidence, classes = golden["evidence"], golden["classes"]
    given = functools.partial(losses.evidential_classification_loss, evidence, classes, activation=lambda e: e)
    close(given(kl_weight=0.0), golden["probly:EvidentialMSELoss"])
    close(given(kl_weight=1.0) - given(kl_weight=0.0), golden["probly:EvidentialKLDivergence"], atol=1e-5)
    given = functools.partial(
        losses.evidential_regression_loss, golden["normal_inverse_gamma"], golden["targets"], min_evidence=0.0
    )
    close(given(regularisation=0.0), golden["probly:EvidentialNIGNLLLoss"])
    price = given(regularisation=1.0) - given(regularisation=0.0)
    close(price, golden["probly:EvidentialRegressionRegularization"], atol=1e-5)
    found = losses.categorical_focal_loss(golden["class_logits"], classes, gamma=2.0)
    close(jnp.mean(found), jnp.mean(golden["probly:FocalLoss"]))
