"""Projections are the matrices they say they are, and keep lengths, distances and inner products."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.experts import PROJECTIONS, project

KEY = jax.random.key(7)
SIZE, DIMENSION = 300, 96


@functools.cache
def compiled(kind, dimension=DIMENSION, scaled=False):
    return jax.jit(functools.partial(project, dimension=dimension, kind=kind, scaled=scaled))


@functools.cache
def matrix(kind):
    """The literal matrix, one column an example."""
    return np.asarray(compiled(kind)(KEY, jnp.eye(SIZE))).T


@functools.cache
def vectors(examples, size):
    return np.random.default_rng(1).normal(size=(examples, size)).astype(np.float32)


def _mix(word):
    word = ((word ^ (word >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    word = ((word ^ (word >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return word ^ (word >> 16)


@pytest.mark.parametrize("kind", PROJECTIONS)
def test_blocks_and_leaves_are_products_with_one_matrix(kind):
    x = vectors(SIZE, SIZE)
    expected = x @ matrix(kind).T
    leaves = {
        "a": jnp.asarray(x[:, :120].reshape(SIZE, 4, 30)),
        "b": jnp.asarray(x[:, 120:121]),
        "c": jnp.asarray(x[:, 121:]),
    }
    np.testing.assert_allclose(compiled(kind)(KEY, jnp.asarray(x)), expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(compiled(kind)(KEY, leaves), expected, rtol=1e-4, atol=1e-3)


def test_signs_follow_from_the_counter_alone():
    seeds = [int(word) for word in jax.random.bits(KEY, (2,), jnp.uint32)]
    words = DIMENSION // 32
    for row, column in ((0, 0), (5, 299), (50, 17), (95, 128)):
        of_column = _mix((column * 0x9E3779B1 + seeds[0]) & 0xFFFFFFFF)
        of_row = _mix((row % words * 0x9E3779B1 + seeds[1]) & 0xFFFFFFFF)
        bit = _mix(of_column ^ of_row) >> (31 - row // words) & 1
        assert matrix("rademacher")[row, column] == 1 - 2 * bit


def test_entries():
    assert np.array_equal(np.unique(matrix("rademacher")), [-1, 1])
    assert np.array_equal(np.unique(matrix("hadamard")), [-1, 1])
    normal = matrix("gaussian")
    assert abs(normal.mean()) < 0.03 and abs(normal.std() - 1) < 0.02 and abs((normal**4).mean() - 3) < 0.2
    few = matrix("sparse")
    assert np.all((few != 0).reshape(8, DIMENSION // 8, SIZE).sum(1) == 1)
    np.testing.assert_allclose(np.abs(few[few != 0]), np.sqrt(DIMENSION / 8), rtol=1e-6)


@pytest.mark.parametrize("kind", PROJECTIONS)
def test_rows_and_columns_are_uncorrelated(kind):
    """Root mean square of the cosines: $1/\\sqrt{n}$ for independent entries, or less."""
    whole = matrix(kind)
    for one in (whole, whole.T):
        unit = one / np.linalg.norm(one, axis=1, keepdims=True)
        cosines = (unit @ unit.T)[np.triu_indices(len(one), 1)]
        assert np.sqrt((cosines**2).mean() * one.shape[1]) < 1.05
        assert np.abs(cosines).max() < 0.8


@pytest.mark.parametrize("kind", PROJECTIONS)
def test_distances_within_the_johnson_lindenstrauss_bound(kind):
    r"""All 190 pairs within $1 \pm \epsilon$, probability $1 - 380\, e^{-d (\epsilon^2 - \epsilon^3) / 4} = 0.99$."""
    x, dimension, epsilon = vectors(20, 4000), 2048, 0.157
    y = np.asarray(compiled(kind, dimension, True)(KEY, jnp.asarray(x)))
    upper = np.triu_indices(20, 1)
    before, after = (((z[:, None] - z[None]) ** 2).sum(-1)[upper] for z in (x, y))
    assert 0.02 < np.abs(after / before - 1).max() < epsilon
    assert np.sqrt(((after / before - 1) ** 2).mean()) < 1.4 * np.sqrt(2 / dimension)


@pytest.mark.parametrize("kind", PROJECTIONS)
def test_inner_products_are_unbiased(kind):
    """Mean over 400 keys, within four standard errors, also where a few coordinates hold all of the length."""
    x = vectors(2, 200).copy()
    x[1] += 0.5 * x[0]
    x[:, :3] *= 10
    many = jax.jit(jax.vmap(lambda key: project(key, jnp.asarray(x), dimension=32, kind=kind)))
    y = np.asarray(many(jax.random.split(KEY, 400)))
    products = (y[:, 0] * y[:, 1]).sum(-1)
    assert abs(products.mean() - x[0] @ x[1]) < 4 * products.std() / 20
    assert products.std() < 2 * np.sqrt(2 / 32) * np.linalg.norm(x[0]) * np.linalg.norm(x[1])


@pytest.mark.parametrize("kind", PROJECTIONS)
def test_memory_does_not_grow_with_parameters_times_dimension(kind):
    arguments = KEY, jax.ShapeDtypeStruct((2, 2**20), jnp.float32)
    memory = jax.jit(functools.partial(project, kind=kind)).lower(*arguments).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 48 * 2**20  # the matrix has 32 GiB


def test_bad_options():
    x = jnp.ones((2, 3))
    with pytest.raises(
        ValueError,
        match="no projection 'fourier'; there are: gaussian, hadamard, rademacher, rademacher-pallas, sparse",
    ):
        project(KEY, x, kind="fourier")
    with pytest.raises(ValueError, match="dimension is 0"):
        project(KEY, x, dimension=0)
    with pytest.raises(ValueError, match="one first axis of examples"):
        project(KEY, {"a": x, "b": jnp.ones((3, 3))})
    with pytest.raises(ValueError, match="one first axis of examples"):
        project(KEY, {})


@pytest.mark.parametrize(("size", "start", "dimension"), [(3, 0, 5), (700, 2**31 + 7, 40), (1030, 5, 1100)])
def test_the_kernel_multiplies_by_the_very_signs_of_the_plain_projection(size, start, dimension):
    x = jnp.asarray(np.random.default_rng(size).integers(-9, 9, size=(3, size)), jnp.float32)  # sums are exact
    seeds = jnp.array([12345, 2**32 - 3], jnp.uint32)
    plain, kernel = (
        jax.jit(PROJECTIONS[name], static_argnums=(2, 3))(seeds, x, start, dimension)
        for name in ("rademacher", "rademacher-pallas")
    )
    np.testing.assert_array_equal(kernel, plain)
