import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxuq.molecules.muben.published_posteriors import published_swag_samples
from jaxuq.posterior import posterior_state, swag

COUNT = 20000


def _path(rng, steps, offset=0.0):
    """Best weights and `steps` snapshots, correlated between the two arrays."""
    path = offset + np.cumsum(rng.normal(size=(steps + 1, 4)), axis=0)
    return [{"a": jnp.asarray(row[:3], jnp.float32), "b": jnp.asarray(row[3:], jnp.float32)} for row in path], path


def _run(method, snapshots):
    key = jax.random.key(0)
    state, update = method.init(key, snapshots[0]), jax.jit(method.update)
    for snapshot in snapshots[1:]:
        state = update(key, state, snapshot)
    return state


def _flat(tree):
    return np.concatenate([np.asarray(tree["a"]), np.asarray(tree["b"])], axis=-1)


def _moments(path):
    """Mean, variance and columns of D by the definitions, from all snapshots at once."""
    means = np.cumsum(path, axis=0) / np.arange(1, len(path) + 1)[:, None]
    return means[-1], path.var(axis=0), path - means


def _assert_gaussian(samples, mean, covariance):
    deviations = np.sqrt(np.diag(covariance))
    assert (np.abs(samples.mean(0) - mean) < 4.5 * deviations / np.sqrt(COUNT)).all()
    error = np.sqrt((np.outer(deviations, deviations) ** 2 + covariance**2) / COUNT)
    assert (np.abs(np.cov(samples.T) - covariance) < 4.5 * error).all()


@pytest.mark.parametrize(("steps", "rank"), [(4, 6), (6, 6), (15, 6)])
def test_samples_have_the_mean_and_covariance_of_equation_a8(rng, rng_key, steps, rank):
    snapshots, path = _path(rng, steps)
    method = swag(rank, count_start=True)
    state = _run(method, snapshots)
    mean, variance, deviations = _moments(path)  # the best weights count as one
    columns = deviations[1:][-rank:]
    np.testing.assert_allclose(_flat(state.mean), mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(_flat(state.variance), variance, rtol=1e-5)
    covariance = 0.5 * (np.diag(variance) + columns.T @ columns / (len(columns) - 1))
    _assert_gaussian(_flat(method.sample(rng_key, state, COUNT)), mean, covariance)


def test_each_snapshot_counts_once_and_the_start_not_at_all(rng, rng_key):
    steps, rank = 4, 6
    snapshots, path = _path(rng, steps)
    state = _run(swag(rank), snapshots)
    mean, variance, columns = _moments(path[1:])
    np.testing.assert_allclose(_flat(state.mean), mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(columns[0], 0)
    covariance = 0.5 * (np.diag(variance) + columns.T @ columns / (steps - 1))
    _assert_gaussian(_flat(swag(rank).sample(rng_key, state, COUNT)), mean, covariance)


def test_published_code_draws_noise_per_array(rng, rng_key):
    steps, rank = 4, 6
    snapshots, path = _path(rng, steps)
    mean, variance, columns = _moments(path[1:])
    low_rank = columns.T @ columns / (rank - 1)
    low_rank[:3, 3:] = low_rank[3:, :3] = 0
    covariance = 0.5 * (np.diag(variance) + low_rank)
    samples = published_swag_samples(rng_key, _run(swag(rank), snapshots), COUNT)
    _assert_gaussian(_flat(samples), mean, covariance)


def test_small_steps_far_from_zero_keep_their_variance(rng):
    path = 1000.0 + 2.0**-6 * rng.integers(-8, 8, size=(30, 4))
    snapshots = [{"a": jnp.asarray(row[:3], jnp.float32), "b": jnp.asarray(row[3:], jnp.float32)} for row in path]
    np.testing.assert_allclose(_flat(_run(swag(), snapshots).variance), path[1:].var(axis=0), rtol=2e-2)


def test_scale_multiplies_the_covariance(rng, rng_key):
    snapshots, _ = _path(rng, 5)
    state = _run(swag(), snapshots)
    one, four, none = (_flat(swag(scale=scale).sample(rng_key, state, 7)) for scale in (1.0, 4.0, 0.0))
    mean = _flat(state.mean)
    np.testing.assert_allclose(four - mean, 2 * (one - mean), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(none, np.tile(mean, (7, 1)), rtol=1e-6)


def test_fewer_than_two_snapshots(rng, rng_key):
    method = swag()
    snapshots, path = _path(rng, 2)
    before = _flat(method.sample(rng_key, method.init(rng_key, snapshots[0]), 5))
    np.testing.assert_allclose(before, np.tile(path[0], (5, 1)), rtol=1e-6)
    one = _flat(method.sample(rng_key, _run(method, snapshots[:2]), 5))
    np.testing.assert_allclose(one, np.tile(path[1], (5, 1)), rtol=1e-6)
    half = np.diff(path[1:], axis=0)[0] / 2  # two snapshots: one column, half their difference
    covariance = 0.5 * (np.diag(half**2) + np.outer(half, half))
    drawn = _flat(method.sample(rng_key, _run(method, snapshots), COUNT))
    _assert_gaussian(drawn, path[1:].mean(0), covariance)


def test_half_precision_weights_are_averaged_in_single_precision(rng_key):
    method = swag()
    state = method.init(rng_key, jnp.ones(2, jnp.bfloat16))
    values = jnp.asarray([[1.0, 1.0]] + [[1.0078125, 1.0078125]] * 300, jnp.bfloat16)
    state, _ = jax.lax.scan(lambda s, v: (method.update(rng_key, s, v), None), state, values)
    np.testing.assert_allclose(state.mean, 1 + 0.0078125 * 300 / 301, rtol=1e-6)
    assert method.sample(rng_key, state, 3).dtype == jnp.bfloat16


def test_members_stack(rng, rng_key):
    method = swag(4)
    paths = [_path(rng, 5)[0] for _ in range(3)]
    stacked = [jax.tree.map(lambda *leaves: jnp.stack(leaves), *same_step) for same_step in zip(*paths)]
    keys = jax.random.split(rng_key, 3)
    state = jax.vmap(method.init)(keys, stacked[0])
    for snapshot in stacked[1:]:
        state = jax.vmap(method.update)(keys, state, snapshot)
    samples = jax.vmap(method.sample, in_axes=(0, 0, None))(keys, state, 6)
    for member in range(3):
        alone = method.sample(keys[member], _run(method, paths[member]), 6)
        np.testing.assert_allclose(samples["a"][member], alone["a"], rtol=1e-4, atol=1e-5)


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match="rank is 1"):
        swag(1)
    with pytest.raises(ValueError, match="scale is -1"):
        inspect.unwrap(swag)(scale=-1)


def test_it_rides_in_an_optimiser_and_equals_the_direct_form(rng_key):
    """Snapshots every third step from the fourth on, of a network trained by Adam with a schedule."""
    params = {"a": jnp.array([1.0, -2.0]), "b": jnp.array([0.5], jnp.bfloat16)}
    method = swag(3)
    with jax.numpy_dtype_promotion("standard"):
        adam = optax.adam(optax.cosine_decay_schedule(0.1, 30))
        both = optax.chain(adam, method.as_optax(rng_key, every=3, start=4))

        @jax.jit
        def run(params):
            def step(carry, _):
                params, state = carry
                gradients = jax.tree.map(jnp.sin, params)
                updates, state = both.update(gradients, state, params)
                params = optax.apply_updates(params, updates)
                return (params, state), params

            (_, state), path = jax.lax.scan(step, (params, both.init(params)), length=14)
            return posterior_state(state), path

        state, path = run(params)
    direct = method.init(rng_key, params)
    for t in (6, 9, 12):
        direct = method.update(rng_key, direct, jax.tree.map(lambda leaf, t=t: leaf[t], path))
    assert int(state.step) == 3
    both = [jax.tree.map(np.float32, one) for one in (state, direct)]
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), *both)
