"""TorchMD-NET against MUBen's own code, its symmetries, and what its vector norm does to them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.networks import (
    AtomInputs,
    TorchMDNet,
    TorchMDNetConfig,
    exponential_basis,
    nearest_neighbors,
    pair_distances,
    whiten_vectors,
)
from jaxuq.networks.whitening import inverse_square_root
from tests.networks.golden_backbones import golden


@pytest.fixture(scope="module")
def model():
    """The golden model, its inputs padded by two atoms, and compiled functions of all its outputs by vector norm."""
    held = golden("torchmdnet")
    numbers = np.zeros((2, 8), np.int32)
    coordinates = np.full((2, 8, 3), np.nan, np.float32)
    for molecule in range(2):
        chosen = held.arrays["input:molecules"] == molecule
        numbers[molecule, : chosen.sum()] = held.arrays["input:numbers"][chosen]
        coordinates[molecule, : chosen.sum()] = held.arrays["input:positions"][chosen]

    def outputs(norm):
        config = dataclasses.replace(held.loaded.config, vector_norm=norm)
        module = TorchMDNet(2, config)
        params = held.params if norm != "none" else {k: v for k, v in held.params.items() if k != "vector_scale"}

        def compute(params, inputs):
            apply = lambda method: module.apply({"params": params}, inputs, method=method)  # noqa: E731
            return apply("__call__"), apply("noise"), apply("energy")

        return params, compute

    functions = {
        norm: (params, jax.jit(f)) for norm in ("isotropic", "published", "none") for params, f in [outputs(norm)]
    }
    return held, AtomInputs(jnp.asarray(numbers), jnp.asarray(coordinates)), functions


def test_published_parameter_count():
    inputs = AtomInputs(jnp.ones((1, 4), int), jnp.zeros((1, 4, 3)))
    shapes = jax.eval_shape(TorchMDNet(1).init, jax.random.key(0), inputs)["params"]
    size = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))  # noqa: E731
    assert size(shapes) == 7_226_885
    assert size(shapes["layers"]) == 8 * 790_016
    assert size(shapes["noise_head_0"]) == 295_424 and size(shapes["noise_head_1"]) == 49_666


@pytest.mark.parametrize("norm", ["isotropic", "published"])
def test_outputs_equal_the_published_code(model, norm):
    held, inputs, functions = model
    params, compute = functions[norm]
    out, noise, energy = compute(params, inputs)
    real = inputs.numbers > 0
    np.testing.assert_allclose(out, held.arrays[f"output:{norm}-out"], atol=1e-4)
    np.testing.assert_allclose(noise[real], held.arrays[f"output:{norm}-noise"], atol=1e-4)
    np.testing.assert_allclose(energy, held.arrays[f"output:{norm}-energy"], atol=1e-4)
    assert not noise[~real].any()


def test_gradients_equal_the_published_code(model):
    held, inputs, functions = model
    params, compute = functions["published"]
    weights = [held.arrays[f"weights:published-{name}"] for name in ("out", "noise", "energy")]
    atoms = np.zeros((*inputs.numbers.shape, 3), np.float32)
    atoms[inputs.numbers > 0] = weights[1]
    weights[1] = atoms

    def total(params, coordinates):
        results = compute(params, inputs._replace(coordinates=coordinates))
        return sum((weight * result).sum() for weight, result in zip(weights, results))

    gradients, forces = jax.jit(jax.grad(total, argnums=(0, 1)))(params, inputs.coordinates)
    jax.tree.map(
        lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=1e-4), gradients, held.gradients
    )
    assert np.isfinite(forces).all() and not forces[inputs.numbers == 0].any()


def test_energies_are_invariant_and_vectors_equivariant(model, rng):
    _, inputs, functions = model
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    coordinates = np.array(inputs.coordinates)
    coordinates[1, :4, 2] = coordinates[1, 0, 2]  # a flat molecule
    inputs = inputs._replace(coordinates=jnp.asarray(coordinates))
    moved = inputs._replace(coordinates=jnp.asarray((coordinates @ turn + rng.normal(size=3)).astype(np.float32)))
    size = lambda x: np.abs(x).max()  # noqa: E731
    params, compute = functions["isotropic"]
    first, second = (map(np.asarray, compute(params, given)) for given in (inputs, moved))
    (out, noise, energy), (out_2, noise_2, energy_2) = first, second
    assert size(out - out_2) < 1e-4 * size(out)
    assert size(energy - energy_2) < 1e-4 * size(energy)
    assert size(noise @ turn - noise_2) < 1e-4 * size(noise)


def test_the_published_norm_breaks_equivariance_of_small_vectors_and_the_correct_one_does_not(rng):
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    vectors = jnp.asarray(0.01 * rng.normal(size=(5, 3, 32)), jnp.float32)
    turn = jnp.asarray(np.broadcast_to(turn, (5, 3, 3)), jnp.float32)
    error = {
        form: np.abs(whiten_vectors(turn @ vectors, form=form) - turn @ whiten_vectors(vectors, form=form)).max()
        for form in ("isotropic", "published")
    }
    assert error["isotropic"] < 1e-4 < 1e-2 < error["published"]


def test_inverse_square_root_and_its_gradient_with_equal_eigenvalues(rng):
    half = rng.normal(size=(4, 3, 3)).astype(np.float32)
    matrices = jnp.asarray(half @ half.transpose(0, 2, 1) + 0.1 * np.eye(3, dtype=np.float32))
    roots = np.asarray(inverse_square_root(matrices))
    np.testing.assert_allclose(roots @ roots @ matrices, np.broadcast_to(np.eye(3), (4, 3, 3)), atol=2e-3)
    direction = rng.normal(size=(3, 3)).astype(np.float32)
    weights = rng.normal(size=(3, 3)).astype(np.float32)
    scalar = jax.jit(jax.grad(lambda matrix: (weights * inverse_square_root(matrix)).sum()))
    # at a multiple of the identity the derivative is -s^(-3/2)/2 times the symmetric part
    gradient = scalar(4 * jnp.eye(3))
    expected = -0.5 * 4**-1.5 * (weights * (direction + direction.T) / 2).sum()
    np.testing.assert_allclose((gradient * direction).sum(), expected, rtol=1e-4)


def test_radial_functions_at_their_ends():
    values = exponential_basis(jnp.array([0.0, 5.0, 7.0]))
    assert values[0, -1] == 1 and not values[1:].any()
    d = 1.3
    centre = np.exp(-5) + (1 - np.exp(-5)) * 20 / 63
    expected = 0.5 * (np.cos(np.pi * d / 5) + 1) * np.exp(-1037.940 * (np.exp(-d) - centre) ** 2)
    np.testing.assert_allclose(exponential_basis(jnp.array(d))[20], expected, rtol=1e-3)


def test_lists_of_neighbours_equal_brute_force_and_keep_the_nearest(rng):
    coordinates = rng.normal(size=(12, 3)).astype(np.float32) * 3
    ours = pair_distances(jnp.asarray(coordinates))
    where = np.arange(12) < 9
    distances = np.linalg.norm(coordinates[:, None] - coordinates[None], axis=-1)
    for most in (20, 4):
        found = nearest_neighbors(ours, jnp.asarray(where), cutoff=5.0, max_neighbors=most)
        neighbors, real = map(np.asarray, found)
        for atom in range(12):
            near = [j for j in np.argsort(distances[atom]) if distances[atom, j] < 5 and where[j] and where[atom]]
            assert list(neighbors[atom][real[atom]]) == near[:most]


def test_molecules_in_a_batch_do_not_see_each_other_and_an_atom_alone_is_finite(model):
    _, inputs, functions = model
    params, compute = functions["isotropic"]
    swapped = jax.tree.map(lambda leaf: leaf[::-1], inputs)
    for ours, other in zip(compute(params, inputs), compute(params, swapped)):
        np.testing.assert_allclose(ours, other[::-1], atol=1e-5)
    lonely = AtomInputs(jnp.eye(2, 8, dtype=int) * 11, jnp.zeros((2, 8, 3)))
    assert all(np.isfinite(part).all() for part in compute(params, lonely))


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="width is 9; it must be even and a multiple of num_heads, 3"):
        TorchMDNetConfig(width=9, num_heads=3)
