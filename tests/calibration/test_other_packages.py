"""Conformal methods and Venn-Abers against MAPIE, crepes and venn-abers, by golden/calibration.npz."""

import functools
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import calibration
from jaxuq.metrics import cumulative_calibration_error
from jaxuq.posterior import BernoulliForecast, CategoricalForecast, GaussianForecast

LEVEL, SETS = 0.8, 0.83  # as in make_calibration.py
close = functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-6)


@pytest.fixture(scope="module")
def golden():
    with np.load(pathlib.Path(__file__).parent / "golden" / "calibration.npz") as file:
        arrays = dict(file)
    return {name: jnp.asarray(a, jnp.float32 if a.dtype.kind == "f" else jnp.int32) for name, a in arrays.items()}


def _gaussian(mean, deviation):
    return GaussianForecast(mean[:, None], jnp.square(deviation)[:, None], jnp.zeros_like(mean)[:, None])


def _forecasts(golden):
    known = _gaussian(golden["x"][:, 0], golden["deviations"])
    return known, _gaussian(golden["new_x"][:, 0], golden["new_deviations"]), golden["labels"][:, None]


def test_split_intervals_are_those_of_mapie_and_crepes(golden):
    known, new, labels = _forecasts(golden)
    for score, name in (("absolute", "crepes:interval:plain"), ("normalised", "crepes:interval:normalised")):
        method = calibration.conformal_regression(score)
        found = method.interval(method.fit(known, labels, level=LEVEL), new)
        close(np.concatenate(found, axis=1), golden[name])
    method = calibration.conformal_regression("absolute")
    found = method.interval(method.fit(known, labels, level=LEVEL), new)
    close(np.concatenate(found, axis=1), golden["mapie:split"])


def test_intervals_by_group_are_those_of_crepes(golden):
    known, new, labels = _forecasts(golden)
    method = calibration.conformal_regression("absolute", num_groups=3)
    state = method.fit(known, labels, level=LEVEL, groups=golden["groups"])
    found = method.interval(state, new, groups=golden["new_groups"])
    close(np.concatenate(found, axis=1), golden["crepes:interval:groups"])


@pytest.mark.parametrize("name", ["plus", "minmax"])
def test_jackknife_intervals_are_those_of_mapie(golden, name):
    found = calibration.jackknife_plus(golden["predictions"], golden["residuals"], level=LEVEL, minmax=name == "minmax")
    close(np.stack(found, axis=1), golden[f"mapie:{name}"])


@pytest.mark.parametrize("name", ["plain", "normalised"])
def test_predictive_systems_are_those_of_crepes(golden, name):
    known, new, labels = _forecasts(golden)
    method = calibration.predictive_system(normalised=name == "normalised")
    state = method.fit(known, labels)
    close(method.cdf(state, new, golden["values"][:, None], ties=1.0)[:, 0], golden[f"crepes:cdf:{name}"][:])
    close(np.concatenate(method.interval(state, new, level=LEVEL), axis=1), golden[f"crepes:system:{name}"])


def test_sets_of_classes_are_those_of_crepes(golden):
    known, new = (CategoricalForecast(jnp.log(golden[name])) for name in ("probabilities", "new_probabilities"))
    for by_class, name in ((False, "crepes:sets"), (True, "crepes:sets:by-class")):
        method = calibration.conformal_classification("lac", by_class=by_class)
        found = method.prediction_set(method.fit(known, golden["classes"], level=SETS), new)
        np.testing.assert_array_equal(found, golden[name].astype(bool))


def test_venn_abers_is_that_of_its_authors(golden):
    def forecast(p):
        return BernoulliForecast(jnp.log(p / (1 - p))[:, None])

    method = calibration.venn_abers()
    state = method.fit(forecast(golden["scores"]), golden["events"][:, None])
    new = forecast(golden["new_scores"])
    close(np.concatenate(method.probabilities(state, new), axis=1), golden["venn-abers:both"], rtol=1e-4)
    close(method.apply(state, new).probabilities[:, 0], golden["venn-abers:merged"], rtol=1e-4)


@pytest.mark.parametrize(("statistic", "name"), [("maximum", "kolmogorov"), ("range", "kuiper")])
def test_cumulative_errors_are_those_of_mapie(golden, statistic, name):
    """MAPIE's statistics are in units of their deviation under calibration, and its order of ties is random."""
    scores, n = golden["scores"], len(golden["scores"])
    unit = jnp.sqrt(jnp.sum(scores * (1 - scores))) / n
    found = cumulative_calibration_error(scores, golden["events"], statistic=statistic) / unit
    close(found, golden[f"mapie:{name}"], rtol=1e-3)
