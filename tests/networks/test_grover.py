"""GROVER against MUBen's own code, with and without its padding row; what must not change its output."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.networks import Grover, GroverConfig, GroverInputs
from tests.networks.golden_backbones import golden


def _batch(arrays, chosen=range(5), atoms=12, edges=22):
    """Molecules of the golden file, with nonsense in the padding."""
    shape = (len(chosen), atoms), (len(chosen), edges)
    flags, masses = np.full((*shape[0], 150), 1, np.uint8), np.full(shape[0], np.nan, np.float32)
    bonds, senders = np.full((*shape[1], 14), 1, np.uint8), np.full((2, *shape[1]), 3, np.int32)
    counts = []
    for row, number in enumerate(chosen):
        features, ends = arrays[f"input:atoms-{number}"], arrays[f"input:ends-{number}"]
        n, m = len(features), len(ends)
        flags[row, :n] = np.delete(features, 132, axis=1)
        masses[row, :n] = features[:, 132]
        bonds[row, :m], senders[:, row, :m] = arrays[f"input:bonds-{number}"], ends.T
        counts.append((n, m))
    return GroverInputs(*map(jnp.asarray, (flags, masses, bonds, *senders, *np.asarray(counts, np.int32).T)))


@pytest.fixture(scope="module")
def model():
    """The golden model and a compiled function of its branches."""
    held = golden("grover")
    module = Grover(2, held.loaded.config)
    apply = jax.jit(lambda params, inputs: module.apply({"params": params}, inputs, method="branches"))
    return held, module, apply, _batch(held.arrays)


def test_published_parameter_count():
    inputs = GroverInputs(
        *(jnp.zeros((1, 3, 150), jnp.uint8), jnp.zeros((1, 3)), jnp.zeros((1, 4, 14), jnp.uint8)),
        *(jnp.zeros((1, 4), int), jnp.zeros((1, 4), int), jnp.array([3]), jnp.array([4])),
    )
    shapes = jax.eval_shape(Grover(1).init, jax.random.key(0), inputs)["params"]
    size = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))  # noqa: E731
    assert size(shapes) == 48_709_636
    assert size({k: v for k, v in shapes.items() if not k.startswith(("heads", "output", "diff"))}) == 48_388_832


def test_outputs_and_gradients_equal_the_published_code_with_its_padding_row_at_zero(model):
    held, module, _, inputs = model
    weights = [jnp.asarray(held.arrays[f"weights:{name}"]) for name in ("none", "bond_from_atom", "bond_from_bond")]
    real = np.arange(inputs.senders.shape[1])[None] < inputs.num_bonds[:, None]

    @jax.jit
    def gradient(params):
        def total(params):
            out = module.apply({"params": params}, inputs, method="branches").swapaxes(0, 1)
            bonds = [edges[real] for edges in module.apply({"params": params}, inputs, method="bonds")]
            return sum((weight * result).sum() for weight, result in zip(weights, (out, *bonds))), (out, *bonds)

        return jax.grad(total, has_aux=True)(params)

    gradients, results = gradient(held.params)
    for name, ours in zip(("none", "bond_from_atom", "bond_from_bond"), results):
        np.testing.assert_allclose(ours, held.arrays[f"output:{name}"], atol=1e-4)
    jax.tree.map(
        lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=1e-4), gradients, held.gradients
    )


def test_the_published_leak_is_reproduced_and_really_depends_on_the_batch(model):
    held, _, _, inputs = model
    leaking = Grover(2, GroverConfig(**vars(held.loaded.config) | {"padding_row": "batch"}))
    apply = jax.jit(lambda inputs: leaking.apply({"params": held.params}, inputs, method="branches").swapaxes(0, 1))
    np.testing.assert_allclose(apply(inputs), held.arrays["output:batch"], atol=1e-4)
    alone = apply(jax.tree.map(lambda leaf: leaf[:1], inputs))
    np.testing.assert_allclose(alone, held.arrays["output:alone"][:1], atol=1e-4)
    assert np.abs(held.arrays["output:alone"][0] - held.arrays["output:batch"][0]).max() > 0.01


def test_the_batch_the_padding_and_the_order_of_atoms_change_nothing(model, rng):
    held, _, apply, inputs = model
    expected = held.arrays["output:none"].swapaxes(0, 1)
    order = rng.permutation(10)
    bonds = rng.permutation(10)
    place = np.argsort(order)
    links = np.stack([2 * bonds, 2 * bonds + 1], 1).reshape(-1)
    row = jax.tree.map(lambda leaf: np.array(leaf), _batch(held.arrays, [3], atoms=10, edges=20))
    shuffled = row._replace(
        atoms=row.atoms[:, order],
        masses=row.masses[:, order],
        bonds=row.bonds[:, links],
        senders=place[row.senders[:, links]].astype(np.int32),
        receivers=place[row.receivers[:, links]].astype(np.int32),
    )
    np.testing.assert_allclose(apply(held.params, jax.tree.map(jnp.asarray, shuffled))[:, 0], expected[:, 3], atol=2e-5)
    assert int(inputs.num_bonds[2]) == 0  # methane has no bond, and is finite


def test_a_fixed_padding_row_does_not_depend_on_the_batch(model):
    held, _, _, inputs = model
    fixed = Grover(2, GroverConfig(**vars(held.loaded.config) | {"padding_row": 4}))
    apply = jax.jit(lambda inputs: fixed.apply({"params": held.params}, inputs))
    together = apply(inputs)
    np.testing.assert_allclose(apply(jax.tree.map(lambda leaf: leaf[::-1], inputs))[::-1], together, atol=1e-5)
    # the largest degree of the golden batch is four, so here the batch's number is the fixed one
    np.testing.assert_allclose(together, held.arrays["output:batch"].mean(1), atol=1e-4)


def test_training_draws_the_depth_of_each_network(model, rng_key):
    held, _, _, inputs = model
    still = Grover(2, held.loaded.config, dropout_rate=0.0)
    apply = lambda key: still.apply({"params": held.params}, inputs, rngs={"dropout": key})  # noqa: E731
    drawn = jax.jit(lambda keys: jax.lax.map(apply, keys))(jax.random.split(rng_key, 6))
    assert (np.asarray(drawn).std(0).max(-1) > 1e-3)[[0, 1, 3]].all()
    assert np.isfinite(drawn).all()
