"""The room on meshes with explicit axes, and under shard_map with its default checks: the numbers of one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxuq.posterior import dense, laplace, log_marginal_likelihood, predict_forecast, sgld, swag

KEY = jax.random.key(3)
_RNG = np.random.default_rng(4)
SAMPLES = jnp.asarray(_RNG.normal(size=(5, 3, 2)), jnp.float32)
INPUTS = jnp.asarray(_RNG.normal(size=(8, 3)), jnp.float32)
LABELS = jnp.asarray(_RNG.integers(0, 2, size=(8, 2)), jnp.float32)
LAYER = {"kernel": SAMPLES[0], "bias": SAMPLES[0, 0]}


def _forecast(samples, inputs, batch_size=None):
    return tuple(predict_forecast(lambda p, x: x @ p, samples, inputs, "bernoulli", batch_size=batch_size))


def _evidence(structure):
    method = laplace("bernoulli", structure)

    def evidence(inputs, labels):
        state = method.update(KEY, method.init(KEY, LAYER), dense, inputs, labels)
        return log_marginal_likelihood(state)

    return evidence


def _close(actual, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), actual, expected)


STRUCTURES = pytest.mark.parametrize("structure", ["full", "columns", "kronecker", "diagonal", "low_rank"])


@pytest.mark.parametrize("batch_size", [None, 3])
def test_forecasts_on_explicit_axes(batch_size):
    mesh = jax.make_mesh((4,), ("data",))
    divided = jax.device_put(INPUTS, NamedSharding(mesh, PartitionSpec("data")))
    samples = jax.device_put(SAMPLES, NamedSharding(mesh, PartitionSpec()))
    with jax.set_mesh(mesh):
        found = jax.jit(_forecast, static_argnums=2)(samples, divided, batch_size)
    _close(found, _forecast(SAMPLES, INPUTS))


@STRUCTURES
def test_laplace_on_explicit_axes(structure):
    expected = jax.jit(_evidence(structure))(INPUTS, LABELS)
    mesh = jax.make_mesh((4,), ("data",))
    place = NamedSharding(mesh, PartitionSpec("data"))
    with jax.set_mesh(mesh):
        found = jax.jit(_evidence(structure))(jax.device_put(INPUTS, place), jax.device_put(LABELS, place))
    _close(found, expected)


def _shard(function, num_arguments, out_specs):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    specs = (PartitionSpec("data"),) * num_arguments
    return jax.jit(jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=out_specs))


@pytest.mark.parametrize("batch_size", [None, 1])
def test_forecasts_under_shard_map(batch_size):
    found = _shard(lambda x: _forecast(SAMPLES, x, batch_size), 1, PartitionSpec("data"))(INPUTS)
    _close(found, _forecast(SAMPLES, INPUTS))


@STRUCTURES
def test_laplace_under_shard_map(structure):
    evidence = _evidence(structure)
    found = _shard(lambda x, y: jax.lax.psum(evidence(x, y), "data"), 2, PartitionSpec())(INPUTS, LABELS)
    parts = [jax.jit(evidence)(INPUTS[i : i + 2], LABELS[i : i + 2]) for i in range(0, 8, 2)]
    _close(found, np.sum(parts))


def test_methods_in_a_scan_under_shard_map():
    moments, chain = swag(3), sgld(0.1, capacity=2)

    def run(weights):
        def step(states, scale):
            a, b = states
            return (moments.update(KEY, a, scale * weights), chain.update(KEY, b, jnp.zeros_like(weights))), None

        start = moments.init(KEY, weights), chain.init(KEY, weights)
        (a, b), _ = jax.lax.scan(step, start, jnp.array([1.0, 3.0]))
        return a.mean, jnp.isfinite(chain.sample(KEY, b, 2)).swapaxes(0, 1)

    mean, finite = _shard(run, 1, PartitionSpec("data"))(INPUTS)
    _close(mean, 2 * INPUTS)
    assert finite.all()


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("rows", [4096, 4104])
def test_batches_of_a_divided_table_stay_on_their_devices(kind, rows):
    """No collective operation, working memory of one batch, results divided as the rows are; also a last batch that
    overlaps the one before it.
    """
    features, mesh = 64, jax.make_mesh((8,), ("data",), axis_types=(kind,))
    divided, everywhere = (NamedSharding(mesh, spec) for spec in (PartitionSpec("data"), PartitionSpec()))
    inputs = jnp.asarray(_RNG.normal(size=(rows, features)), jnp.float32)
    samples = jnp.asarray(_RNG.normal(size=(5, features, 2)), jnp.float32)
    placed = jax.device_put(samples, everywhere), jax.device_put(inputs, divided)
    with jax.set_mesh(mesh):
        forecast = jax.jit(lambda s, x: _forecast(s, x, 256)).lower(*placed).compile()
        found = forecast(*placed)
    text = forecast.as_text()
    assert not any(name in text for name in ("all-gather", "all-reduce", "all-to-all", "collective-permute"))
    assert forecast.memory_analysis().temp_size_in_bytes < 4 * rows * features / 8
    assert found[0].sharding.is_equivalent_to(divided, 2)
    _close(found, _forecast(samples, inputs))
