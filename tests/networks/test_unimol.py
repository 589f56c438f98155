"""Uni-Mol against MUBen's own code; what must not change its output; what its checkpoint holds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.networks import UniMol, UniMolConfig, UniMolInputs, draw_conformers
from tests.networks.golden_backbones import golden


@pytest.fixture(scope="module")
def model():
    """The golden model, its inputs, and one compiled function for everything with these shapes."""
    held = golden("unimol")
    module = UniMol(2, held.loaded.config)
    tokens, coordinates = (jnp.asarray(held.arrays[f"input:{name}"]) for name in ("tokens", "coordinates"))
    inputs = UniMolInputs(tokens.astype(int), coordinates)

    @jax.jit
    def conformers(params, tokens, coordinates):
        one = jax.vmap(lambda xyz: module.apply({"params": params}, UniMolInputs(tokens, xyz)), in_axes=1, out_axes=1)
        return one(coordinates)

    return held, module, inputs, conformers


def test_published_parameter_count():
    inputs = UniMolInputs(jnp.ones((1, 4), int), jnp.zeros((1, 3, 4, 3)))
    shapes = jax.eval_shape(UniMol(1).init, jax.random.key(0), inputs)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 47_593_795
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["layers"])) == 15 * 3_152_384


def test_outputs_and_gradients_equal_the_published_code(model):
    held, _, inputs, conformers = model
    weights = held.arrays["weights:conformers"]

    @jax.jit
    def value_and_gradient(params):
        def total(params):
            out = conformers(params, *inputs)
            return (out * weights).sum(), out

        return jax.grad(total, has_aux=True)(params)

    gradients, outputs = value_and_gradient(held.params)
    np.testing.assert_allclose(outputs, held.arrays["output:conformers"], atol=1e-5)
    jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=1e-4), gradients, held.gradients)


def test_the_mean_over_conformers_is_that_of_the_raw_outputs(model):
    held, module, inputs, _ = model
    mean = jax.jit(lambda params: module.apply({"params": params}, inputs))(held.params)
    np.testing.assert_allclose(mean, held.arrays["output:conformers"].mean(1), atol=1e-5)


def test_moving_turning_mirroring_and_reordering_change_nothing(model, rng):
    held, _, inputs, conformers = model
    turned, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turned[0] *= -np.linalg.det(turned)  # a rotation with a reflection
    moved = jnp.asarray(np.asarray(inputs.coordinates) @ turned + rng.normal(size=3), jnp.float32)
    expected = held.arrays["output:conformers"]
    np.testing.assert_allclose(conformers(held.params, inputs.tokens, moved), expected, atol=2e-5)
    order = np.array([0, 3, 2, 1, 4, 5, 6])  # three atoms of either molecule
    reordered = conformers(held.params, inputs.tokens[:, order], inputs.coordinates[:, :, order])
    np.testing.assert_allclose(reordered, expected, atol=2e-5)


def test_padding_influences_neither_value_nor_gradient(model):
    held, module, inputs, conformers = model
    where = inputs.tokens != 0
    filled = np.where(where[:, None, :, None], inputs.coordinates, np.nan)
    np.testing.assert_array_equal(
        conformers(held.params, inputs.tokens, filled), conformers(held.params, inputs.tokens, inputs.coordinates)
    )
    alone = UniMolInputs(inputs.tokens[1:, :5], inputs.coordinates[1:, 0, :5])

    apply = lambda params, inputs: module.apply({"params": params}, inputs)  # noqa: E731
    output = jax.jit(apply)(held.params, alone)
    np.testing.assert_allclose(output, held.arrays["output:conformers"][1:, 0], atol=1e-5)
    forces = jax.jit(jax.grad(lambda xyz, params: apply(params, UniMolInputs(inputs.tokens, xyz)).sum()))
    gradient = np.asarray(forces(filled[:, 0], held.params))
    assert np.isfinite(gradient).all() and not gradient[~np.asarray(where)].any()


def test_every_conformer_is_drawn_equally_often(rng_key):
    inputs = UniMolInputs(jnp.ones((2, 3), int), jnp.broadcast_to(jnp.arange(11.0)[None, :, None, None], (2, 11, 3, 3)))
    drawn = jax.vmap(lambda key: draw_conformers(key, inputs).coordinates[:, 0, 0])(jax.random.split(rng_key, 2200))
    counts = np.stack([np.bincount(np.asarray(column, int), minlength=11) for column in drawn.T])
    assert (np.abs(counts - 200) < 5 * np.sqrt(200)).all()
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.1


def test_a_width_that_heads_do_not_divide_is_named():
    with pytest.raises(ValueError, match="width is 10; it must be a multiple of num_heads, 4"):
        UniMolConfig(width=10, num_heads=4)
