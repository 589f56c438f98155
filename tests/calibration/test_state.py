"""What unites the calibrators: the state is a pytree of arrays that survives a round trip, and fit is per task."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.calibration import (
    Calibrator,
    isotonic_calibration,
    isotonic_quantiles,
    platt_scaling,
    temperature_scaling,
    variance_scaling,
)

METHODS = {
    "temperature": (temperature_scaling(), "binary"),
    "platt": (platt_scaling(), "binary"),
    "isotonic": (isotonic_calibration(), "binary"),
    "variance": (variance_scaling(), "gaussian"),
    "quantiles": (isotonic_quantiles(), "gaussian"),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_saved_state_calibrates_as_the_fitted_one(name, request, tmp_path):
    method, data = METHODS[name]
    forecast, labels, where = request.getfixturevalue(data)
    state = method.fit(forecast, labels, where=where)
    leaves, treedef = jax.tree.flatten(state)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    assert state.identity.dtype == bool and all(leaf.dtype == jnp.float32 for leaf in leaves[:-1])
    np.savez(tmp_path / "state.npz", *leaves)
    with np.load(tmp_path / "state.npz") as saved:
        restored = jax.tree.unflatten(treedef, [jnp.asarray(saved[f"arr_{i}"]) for i in range(len(leaves))])
    expected = method.apply(state, forecast)
    actual = jax.jit(method.apply)(restored, forecast)
    assert type(actual) is type(forecast)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), actual, expected)


@pytest.mark.parametrize("name", METHODS)
def test_each_task_is_fitted_alone(name, request):
    method, data = METHODS[name]
    forecast, labels, where = request.getfixturevalue(data)
    together = method.fit(forecast, labels, where=where)
    first = jax.tree.map(lambda a: a[:, :1], (forecast, labels, where))
    alone = method.fit(*first[:2], where=first[2])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[..., :1], b, rtol=1e-4), together, alone)


def test_every_method_is_a_calibrator():
    for method, _ in METHODS.values():
        assert method._fields[:2] == Calibrator._fields
