"""Spectral normalisation against NumPy's singular values."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxuq._errors import OptionError
from jaxuq.networks import largest_singular_value, spectral_bound

KERNEL = jnp.array([[1, 0.5], [-0.5, 2]])


def test_the_worked_norm_and_its_gradient():
    sigma, direction = largest_singular_value(KERNEL, jnp.ones(2), steps=30)
    np.testing.assert_allclose(sigma, 2.081139, rtol=1e-6)
    left, _, right = np.linalg.svd(KERNEL)
    slope = jax.grad(lambda kernel: largest_singular_value(kernel, direction)[0])(KERNEL)
    np.testing.assert_allclose(slope, np.outer(left[:, 0], right[0]), atol=1e-5)


@pytest.mark.parametrize(("bound", "expected"), [(0.95, 0.95), (6.0, 2.081139)])
def test_a_kernel_is_shortened_to_the_bound_or_left_alone(bound, expected):
    optimizer = spectral_bound(jax.random.key(0), bound, steps=30)
    updates, _ = optimizer.update(jnp.zeros((2, 2)), optimizer.init(KERNEL), KERNEL)
    np.testing.assert_allclose(np.linalg.norm(KERNEL + updates, 2), expected, rtol=1e-5)
    assert bound < 6 or not np.any(updates)


def test_one_step_at_a_time_keeps_the_bound_along_a_training():
    """The direction is carried on: after a while one step is enough, also for convolutions, and biases stay free."""
    rng = np.random.default_rng(0)
    params = {"kernel": jnp.asarray(rng.normal(size=(3, 4, 6)), jnp.float32), "bias": jnp.full(6, 9.0)}
    optimizer = optax.chain(optax.sgd(0.01), spectral_bound(jax.random.key(0), 0.5))

    @jax.jit
    def step(params, state):
        gradients = jax.tree.map(lambda leaf: -jnp.ones_like(leaf), params)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    assert all(leaf.size for leaf in jax.tree.leaves(state))  # checkpoints hold no empty arrays
    for _ in range(60):
        params, state = step(params, state)
    np.testing.assert_allclose(np.linalg.norm(params["kernel"].reshape(12, 6), 2), 0.5, rtol=2e-3)
    np.testing.assert_allclose(params["bias"], 9.6, rtol=1e-5)


def test_without_parameters_it_says_so():
    optimizer = spectral_bound(jax.random.key(0))
    with pytest.raises(OptionError, match="parameters are missing"):
        optimizer.update(KERNEL, optimizer.init(KERNEL))


def test_a_kernel_that_is_zero_or_of_any_size_is_bounded_later():
    optimizer = spectral_bound(jax.random.key(0), 0.95, steps=30)
    params = jnp.zeros((3, 3))
    _, state = optimizer.update(params, optimizer.init(params), params)
    for size in (9.0, 1e20, 1e-20):
        moves, _ = optimizer.update(jnp.full((3, 3), size), state, params)
        unit = min(size, 1.0)
        found = jnp.linalg.norm((params + moves) / unit, 2)
        np.testing.assert_allclose(found, min(3 * size, 0.95) / unit, rtol=1e-4)
    sigma, _ = largest_singular_value(jnp.full((3, 3), 1e25), jnp.ones(3), steps=5)
    np.testing.assert_allclose(sigma, 3e25, rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("size", [1.0, 3.0])
def test_half_precision_keeps_the_bound_but_for_one_rounding(dtype, size):
    optimizer = spectral_bound(jax.random.key(0), steps=30)
    params = (size * jax.random.normal(jax.random.key(1), (32, 32))).astype(dtype)
    state = optimizer.init(params)
    for _ in range(3):
        updates, state = optimizer.update(jnp.zeros_like(params), state, params)
        params = optax.apply_updates(params, updates)
    assert np.linalg.norm(np.asarray(params, np.float64), 2) < 0.95 * (1 + float(jnp.finfo(dtype).eps))
