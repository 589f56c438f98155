"""Label scaling against scikit-learn, and its edge cases."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.preprocessing import StandardScaler

from jaxuq._errors import ArrayError
from jaxuq.molecules import LabelScaler, fit_label_scaler, scale_labels, unscale_mean, unscale_variance


def test_equals_scikit_learn_on_known_labels(rng):
    labels = rng.normal([-400.0, 0.02, 7.0], [100.0, 0.01, 3.0], (200, 3)).astype(np.float32)
    where = rng.random((200, 3)) < 0.6
    expected = StandardScaler().fit(np.where(where, labels, np.nan).astype(np.float64))
    scaler = fit_label_scaler(jnp.asarray(labels), where=jnp.asarray(where))
    np.testing.assert_allclose(scaler.mean, expected.mean_, rtol=1e-5)
    np.testing.assert_allclose(scaler.scale, expected.scale_, rtol=1e-5)
    np.testing.assert_allclose(
        scale_labels(scaler, jnp.asarray(labels)), expected.transform(labels), rtol=1e-4, atol=1e-5
    )


def test_constant_and_unlabelled_tasks_get_scale_one():
    labels = jnp.array([[0.1, 5.0, 1.0], [0.1, jnp.nan, jnp.nan], [0.1, 7.0, jnp.nan]] * 11)
    where = jnp.array([[True, False, True], [True, False, False], [True, False, False]] * 11)
    scaler = fit_label_scaler(labels, where=where)
    np.testing.assert_allclose(scaler.mean, [0.1, 0.0, 1.0], rtol=1e-6)
    np.testing.assert_array_equal(scaler.scale, [1.0, 1.0, 1.0])


@pytest.mark.parametrize(("size", "offset"), [(1e-20, 0.0), (1e20, 0.0), (1e-3, -1e7), (1.0, 1e8)])
def test_scaling_depends_on_neither_size_nor_offset(rng, size, offset):
    standard = rng.normal(size=(50, 2))
    scaler = fit_label_scaler(offset + size * standard)
    np.testing.assert_allclose(scaler.scale, size * standard.std(axis=0), rtol=1e-4)
    scaled = scale_labels(scaler, offset + size * standard)
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-9)
    np.testing.assert_allclose(unscale_mean(scaler, scaled), offset + size * standard, rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(np.float32, (7, 2), elements=st.floats(-1000, 1000, width=32)))
@example(np.array([[2.8e-44, 0.0]] + [[0.0, 0.0]] * 6, np.float32))  # subnormal: a device takes it for 0
def test_unscaling_undoes_scaling(labels):
    scaler = fit_label_scaler(jnp.asarray(labels))
    back = unscale_mean(scaler, scale_labels(scaler, jnp.asarray(labels)))
    np.testing.assert_allclose(back, labels, rtol=1e-4, atol=1e-3)


def test_variance_of_scaled_samples_is_unscaled_by_the_square(rng):
    scaler = LabelScaler(jnp.array([3.0, -1.0]), jnp.array([2.0, 0.5]))
    samples = jnp.asarray(rng.normal(0.3, 1.7, (500, 2)), jnp.float32)
    expected = jnp.var(unscale_mean(scaler, samples), axis=0)
    np.testing.assert_allclose(unscale_variance(scaler, jnp.var(samples, axis=0)), expected, rtol=1e-5)


@pytest.mark.parametrize("function", [scale_labels, unscale_mean, unscale_variance])
@pytest.mark.parametrize("shape", [(4, 3, 1), (4, 2), (3, 4), (4,)])
def test_values_of_other_tasks_than_the_scaler_has_are_an_error(function, shape):
    scaler = LabelScaler(jnp.zeros(3), jnp.ones(3))
    for values in (jnp.ones(shape), np.ones(shape)):
        with pytest.raises(ArrayError, match="its last axis needs the scaler's 3"):
            function(scaler, values)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_keeps_what_it_can_hold(dtype):
    scaler = fit_label_scaler(np.array([[1e5], [3e5]]))  # float16 ends at 65504
    scaled = scale_labels(scaler, jnp.full((1, 1), 6e4, dtype))
    assert scaled.dtype == dtype
    np.testing.assert_allclose(np.asarray(scaled, float), (6e4 - 2e5) / 1e5, rtol=1e-2)
    small = unscale_mean(LabelScaler(np.array([1e5]), np.array([1e5])), jnp.full((1, 1), -0.5, dtype))
    assert small.dtype == dtype
    np.testing.assert_allclose(np.asarray(small, float), 5e4, rtol=1e-2)
    spread = unscale_variance(LabelScaler(np.zeros(1), np.array([1e5])), jnp.full((1, 1), 1e-6, dtype))
    np.testing.assert_allclose(np.asarray(spread, float), 1e4, rtol=0.1)
