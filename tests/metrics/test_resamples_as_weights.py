"""A resample as weights is the resample as rows, and a metric that sorts does so once."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import metrics


@pytest.mark.parametrize(
    "metric, weighted",
    [(metrics.area_under_roc, True), (metrics.average_precision, False), (metrics.area_under_risk_coverage, True),
     (metrics.prediction_rejection_ratio, False), (metrics.expected_calibration_error, True)],
)  # fmt: skip
def test_resamples_as_weights_are_those_of_rows(metric, weighted, rng):
    values = jnp.asarray(rng.integers(0, 9, 40) / 8, jnp.float32)  # with ties
    labels = jnp.asarray(rng.integers(0, 2, 40))
    where = jnp.asarray(rng.uniform(size=40) < 0.8)
    values = jnp.where(where, values, jnp.nan)
    weights = jnp.asarray(rng.integers(0, 3, 40)) if weighted else None
    one, other = (
        metrics.bootstrap(
            jax.random.key(3), lambda *given, **counted: metric(*given, **counted), values, labels, where=where,
            weights=weights, num_resamples=20, as_weights=as_weights,
        )
        for as_weights in (False, True)
    )  # fmt: skip
    np.testing.assert_allclose(other.resamples, one.resamples, rtol=2e-5, atol=2e-6)
    np.testing.assert_array_equal(other.estimate, one.estimate)


def test_an_order_is_found_once_for_all_resamples(rng):
    values, labels = jnp.asarray(rng.normal(size=64), jnp.float32), jnp.asarray(rng.integers(0, 2, 64))

    def sorted_shapes(as_weights):
        def run(key, *arrays):
            return metrics.bootstrap(
                key, lambda s, y, **counted: metrics.area_under_roc(s, y, **counted), *arrays, num_resamples=8,
                batch_size=8, as_weights=as_weights,
            ).resamples  # fmt: skip

        text = str(jax.make_jaxpr(run)(jax.random.key(0), values, labels))
        return set(re.findall(r"f32\[([\d,]+)\] \w+:i32\[[\d,]+\] = sort\[", text))

    assert sorted_shapes(True) == {"64"} and "8,64" in sorted_shapes(False)


def test_a_nan_that_counts_is_noticed_whatever_its_weight_sorts_to(rng):
    scores, labels = jnp.array([0.1, jnp.nan, 0.7, 0.3]), jnp.array([0, 1, 1, 0])
    for metric in (metrics.area_under_roc, metrics.average_precision, metrics.area_under_risk_coverage):
        assert jnp.isnan(metric(scores, labels))
        kept = jnp.array([0, 2, 3])
        np.testing.assert_allclose(
            metric(scores, labels, weights=jnp.array([1.0, 0.0, 1.0, 1.0])),
            metric(scores[kept], labels[kept]),
            rtol=1e-6,
        )
