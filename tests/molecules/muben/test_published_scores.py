"""The published code's scores, against that code's arithmetic written out."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm
from sklearn import metrics as sk

from jaxuq import metrics
from jaxuq.molecules.muben import (
    published_binary_calibration,
    published_gaussian_likelihood,
    published_precision_recall_area,
    published_regression_calibration,
)


def _run(function, *arrays, where=None):
    arrays = [jnp.asarray(a, jnp.float32 if np.asarray(a).dtype == np.float64 else None) for a in arrays]
    return float(jax.jit(functools.partial(function))(*arrays, where=where))


@pytest.fixture
def gaussians(rng):
    mean, variance = rng.normal(size=150), np.exp(rng.normal(size=150))
    return mean, variance, mean + 1.5 * np.sqrt(variance) * rng.normal(size=150) + 0.2


def test_the_likelihood_is_without_its_constant_and_above_a_floor(gaussians, rng):
    mean, variance, labels = gaussians
    keep = rng.random(150) < 0.7
    expected = -norm.logpdf(labels, mean, np.sqrt(variance))[keep].mean() - 0.5 * np.log(2 * np.pi)
    assert _run(published_gaussian_likelihood, *gaussians, where=keep) == pytest.approx(expected, rel=1e-5)
    tiny = _run(published_gaussian_likelihood, [0.0], [1e-12], [1e-3])
    assert tiny == pytest.approx(0.5 * (np.log(1e-6) + 1), rel=1e-5)
    assert np.isnan(_run(published_gaussian_likelihood, [0.0], [-1.0], [1e-3]))


def test_calibration_is_that_of_the_broadcast(gaussians, rng):
    mean, variance, labels = gaussians
    for keep in (rng.random(150) < 0.7, np.ones(150, bool)):
        pairs = norm.cdf(labels[keep], mean[keep, None], np.sqrt(variance[keep, None]))
        expected = np.mean([(q - np.mean(pairs <= q)) ** 2 for q in np.arange(1, 20) / 20])
        found = _run(published_regression_calibration, *gaussians, where=keep)
        assert found == pytest.approx(expected, rel=1e-4)
    assert np.isnan(_run(published_regression_calibration, *gaussians, where=np.zeros(150, bool)))


def test_calibration_of_pairs_prefers_ignorance(rng):
    mean = rng.normal(size=4000)
    labels = mean + 0.3 * rng.normal(size=4000)
    sharp = mean, np.full(4000, 0.09), labels
    constant = np.zeros(4000), np.full(4000, 1.09), labels
    overconfident = np.zeros(4000), np.full(4000, 0.3), labels
    assert _run(published_regression_calibration, *sharp) > 0.02
    assert _run(published_regression_calibration, *constant) < 5e-4
    assert _run(metrics.regression_calibration_error, *sharp) < 5e-4
    assert _run(metrics.regression_calibration_error, *overconfident) > 0.005


def test_calibration_holds_no_matrix_of_pairs():
    n = 20_000
    shape = jax.ShapeDtypeStruct((n,), jnp.float32)
    memory = jax.jit(published_regression_calibration).lower(shape, shape, shape).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 4 * n * 19 * 8


def test_binary_calibration_is_of_the_positive_class(rng):
    probabilities = np.append(rng.random(200).round(2), [0.0, 1.0, 1.0])
    labels = (rng.random(203) < probabilities**2).astype(np.int32)
    places = np.minimum(np.floor(np.float32(probabilities) * 15 + 1e-6), 15)
    expected = 0.0
    for place in np.unique(places):
        inside = places == place
        expected += inside.mean() * abs(probabilities[inside].mean() - labels[inside].mean())
    assert _run(published_binary_calibration, probabilities, labels) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("levels", [3, 10, 100000])
def test_the_area_is_that_of_trapezia(rng, levels):
    scores = np.round(rng.random(300) * levels) / levels
    labels = (rng.random(300) < 0.2 + 0.3 * scores).astype(np.int32)
    keep = rng.random(300) < 0.7
    for where in (None, keep):
        some = slice(None) if where is None else where
        precision, recall, _ = sk.precision_recall_curve(labels[some], scores[some].astype(np.float32))
        found = _run(published_precision_recall_area, scores, labels, where=where)
        assert found == pytest.approx(sk.auc(recall, precision), abs=1e-6)
