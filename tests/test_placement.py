"""On meshes with explicit axes: results divided like the arguments, by the names of axes; batches not gathered."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from jaxuq._arrays import widened
from jaxuq._errors import ArrayError
from jaxuq._shapes import checked
from jaxuq.calibration import ensemble_temperature
from jaxuq.posterior import init_vbll, mean_field_forecast, vbll_forecast
from jaxuq.tagging import expected_counts, smoothed_marginals


@pytest.fixture
def explicit():
    mesh = jax.make_mesh((4, 2), ("data", "model"))
    with jax.set_mesh(mesh):
        yield mesh


@checked
def _sorted_rows(
    rows: Float[Array, "batch width"], weights: Float[Array, " width"]
) -> tuple[Float[Array, "batch width"], Float[Array, " batch"], Float[Array, "batch batch"]]:
    ordered = jnp.sort(rows * weights[None], axis=1)
    return ordered, jnp.cumsum(ordered[:, 0]), rows @ rows.T


def _put(mesh, array, *spec):
    return jax.device_put(array, NamedSharding(mesh, PartitionSpec(*spec)))


def test_results_are_divided_by_the_names_of_their_axes(explicit, rng):
    rows, weights = rng.normal(size=(8, 6)).astype(np.float32), rng.normal(size=6).astype(np.float32)
    results = jax.jit(_sorted_rows)(_put(explicit, rows, "data", "model"), _put(explicit, weights))
    specs = [jax.typeof(result).sharding.spec for result in results]
    assert specs == [PartitionSpec("data", "model"), PartitionSpec("data"), PartitionSpec("data", None)]
    for result, expected in zip(results, _sorted_rows(jnp.asarray(rows), jnp.asarray(weights))):
        np.testing.assert_allclose(jax.device_get(result), expected, rtol=1e-6)


def test_a_vmapped_gradient_is_divided_too(explicit, rng):
    rows = rng.normal(size=(3, 8, 6)).astype(np.float32)
    total = jax.grad(lambda rows, weights: jnp.sum(_sorted_rows(rows, weights)[1]))
    mapped = jax.jit(jax.vmap(total, in_axes=(0, None)))(_put(explicit, rows, None, "data"), jnp.ones(6))
    assert jax.typeof(mapped).sharding.spec == PartitionSpec(None, "data", None)
    expected = np.stack([total(jnp.asarray(one), jnp.ones(6)) for one in rows])
    np.testing.assert_allclose(jax.device_get(mapped), expected, rtol=1e-6)


@pytest.mark.parametrize("function", [smoothed_marginals, expected_counts])
def test_a_divided_batch_of_chains_is_not_gathered(explicit, rng, function):
    """Each device keeps its sentences: what is communicated does not grow with the batch."""
    initial, transition, evidence = (rng.normal(size=size).astype(np.float32) for size in (3, (3, 3), (64, 9, 3)))
    program = jax.jit(function).lower(initial, transition, _put(explicit, evidence, ("data", "model"))).compile()
    assert "all-gather" not in program.as_text()
    assert max(program.memory_analysis().argument_size_in_bytes, 1) < evidence.nbytes / 4


def test_what_a_function_closes_over_stays_on_the_explicit_mesh(explicit, rng):
    """An argument that is a function sees the mesh as the caller does."""

    @checked
    def applied(function: object, rows: Float[Array, "batch width"]) -> Float[Array, "batch width"]:
        return function(rows)  # type: ignore[operator]

    rows = _put(explicit, rng.normal(size=(8, 6)).astype(np.float32), "data")
    assert jax.typeof(applied(lambda values: values + rows, rows)).sharding.spec == PartitionSpec("data", None)


def test_trees_are_widened_to_their_widest_type():
    def types(half, tree):
        return half.dtype, tree["single"].dtype, tree["count"].dtype

    half, tree = jnp.ones(2, jnp.bfloat16), {"single": jnp.ones(2), "count": jnp.ones(2, int)}
    assert widened(types)(half, tree) == (jnp.float32, jnp.float32, jnp.int32)
    with jax.enable_x64(True):
        assert widened(types)(half, tree | {"single": jnp.ones(2)})[:2] == (jnp.float64, jnp.float64)


def test_forecasts_of_a_divided_batch_are_divided_and_what_lies_on_one_device_is_taken_there():
    """Outside `jax.set_mesh` too, where a layer was made on one device and a result may depend on it alone."""
    mesh = jax.make_mesh((8,), ("data",))
    features = _put(mesh, jnp.ones((16, 4)), "data")
    layer = init_vbll(jax.random.key(0), 4, 3)
    for placed in (layer, jax.device_put(layer, jax.devices()[0])):
        for leaf in (*vbll_forecast(placed, features), *mean_field_forecast(features, features)):
            assert jax.typeof(leaf).sharding.spec == PartitionSpec("data", None)
    method = ensemble_temperature("categorical", "before")
    outputs = np.random.default_rng(0).normal(size=(5, 16, 3)).astype(np.float32)
    divided, labels = _put(mesh, jnp.asarray(outputs), None, "data"), jnp.arange(16) % 3
    state = method.fit(divided, _put(mesh, labels, "data"))
    alone = method.fit(jnp.asarray(outputs), labels)
    np.testing.assert_allclose(jax.device_get(state.temperature), alone.temperature, rtol=1e-4)
    forecast = method.apply(alone, divided)
    assert jax.typeof(forecast.logits).sharding.spec == PartitionSpec("data", None)
    expected = method.apply(alone, jnp.asarray(outputs))
    np.testing.assert_allclose(jax.device_get(forecast.logits), expected.logits, rtol=1e-4, atol=1e-5)


def test_lists_of_numbers_are_arrays_and_text_is_named():
    rows = [[2.0, 1.0], [3.0, 4.0]]
    np.testing.assert_allclose(_sorted_rows(rows, [1.0, 1.0])[1], [1, 4])
    words, letters = np.array(["a"]), [["a"]]
    for wrong, said in (
        ("rows", "'rows'"),
        (len, "<built-in"),
        (words, "an array of <U1"),
        (letters, "makes no array"),
    ):
        with pytest.raises(ArrayError, match=rf"rows is .*{said}"):
            _sorted_rows(wrong, jnp.ones(2))
