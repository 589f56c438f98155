"""GIN against torch_geometric's and D-MPNN against its equations in loops (golden files); packing changes nothing."""

import pathlib

import chex
import jax
import jax.numpy as jnp
import jraph
import numpy as np
import pytest

from jaxuq.molecules import molecular_graphs
from jaxuq.networks import DMPNN, GIN, DMPNNConfig, MolecularGraphs, Spread, apply_function, pack_graphs, relation_sum

GOLDEN = pathlib.Path(__file__).parent / "golden"
KINDS = {"gin": ("numbers", True), "dmpnn": ("chemprop", False)}
_DMPNN_NAMES = {"W_i": "begin", "W_h": "step", "W_o": "end", "hidden": "hidden", "output": "output"}


def _params(name: str, stored, kind: str) -> dict:
    """Torch's names and layouts as the module has them."""
    params: dict = {}
    for key in stored.files:
        if not key.startswith(f"{kind}:"):
            continue
        path, array = key.split(":")[1].split("."), stored[key]
        if path[0] == "embedding":
            params["embedding"] = {"embedding": array}
            continue
        if name == "dmpnn":
            layer = _DMPNN_NAMES[path[0]]
        elif path[0] == "output" or path[1] == "lin":
            layer = "output" if path[0] == "output" else "merge"
        else:
            layer = f"{('inner', 'outer')[int(path[5])]}_{path[2]}"
        leaf = {"weight": ("kernel", array.T), "bias": ("bias", array)}[path[-1]]
        params.setdefault(layer, {})[leaf[0]] = leaf[1]
    return params


class Case:
    """A golden file, its graphs as arrays on the device, and the module that it belongs to."""

    def __init__(self, name: str):
        self.stored = np.load(GOLDEN / f"{name}.npz")
        self.smiles = self.stored["smiles"].tolist()
        features, hydrogens = KINDS[name]
        graphs = molecular_graphs(self.smiles, features, hydrogens=hydrogens, cache=False)
        self.graphs = jax.tree.map(jnp.asarray, graphs)
        self.module = {"gin": GIN(2, 6, 3, 20), "dmpnn": DMPNN(2, DMPNNConfig(width=5))}[name]
        self.params = _params(name, self.stored, "weight")
        self.gradients = _params(name, self.stored, "gradient")
        self.apply = jax.jit(apply_function(self.module))


@pytest.fixture(scope="module", params=list(KINDS))
def case(request):
    return Case(request.param)


def test_outputs_and_gradients_equal_the_reference(case):
    def loss(params):
        outputs = apply_function(case.module)(params, case.graphs)
        return (outputs**2).sum(), outputs

    gradients, outputs = jax.jit(jax.grad(loss, has_aux=True))(case.params)
    np.testing.assert_allclose(outputs, case.stored["outputs"], rtol=1e-4, atol=1e-6)
    jax.tree.map(
        lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5), gradients, case.gradients
    )


def test_outputs_do_not_depend_on_the_batch_its_order_or_its_packing(case):
    rows = np.random.default_rng(0).integers(0, len(case.smiles), 40)
    batch = jax.tree.map(lambda leaf: leaf[rows], case.graphs)
    likely, tiny = Spread(6.0, 1.0), Spread(0.1, 0.0)
    expected = case.stored["outputs"][rows]
    for spread in (likely, tiny, None):  # fits at first; falls back to the whole room; has no choice
        packed = case.apply(case.params, batch.replace(atom_spread=spread, edge_spread=spread))
        np.testing.assert_allclose(packed, expected, rtol=1e-4, atol=1e-6)


def test_the_number_of_parameters_is_the_published_one():
    one = jax.tree.map(jnp.asarray, molecular_graphs(["CCO"], cache=False))
    other = jax.tree.map(jnp.asarray, molecular_graphs(["CCO"], "chemprop", hydrogens=False, cache=False))
    for module, graphs, count in ((GIN(1), one, 260_097), (DMPNN(1), other, 318_301)):
        shapes = jax.eval_shape(module.init, jax.random.key(0), graphs)
        assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


def test_gin_sums_over_parts_ignores_the_order_of_atoms_and_reads_jraph_batches():
    case = Case("gin")
    graphs = molecular_graphs(["CCO", "CCO.CCO", "OCC", "C"], cache=False)
    features = jax.jit(apply_function(case.module, method="features"))
    once, twice, turned, methane = features(case.params, jax.tree.map(jnp.asarray, graphs))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-5)
    np.testing.assert_allclose(turned, once, rtol=1e-5)
    nodes, edges = graphs.num_atoms, graphs.num_edges
    batch = jraph.batch(
        [
            jraph.GraphsTuple(
                nodes=jnp.asarray(graphs.atoms[row, : nodes[row]]),
                edges=None,
                senders=(senders := graphs.sources[row, : edges[row]].astype(np.int32)),
                receivers=senders.reshape(-1, 2)[:, ::-1].reshape(-1),
                n_node=nodes[row : row + 1],
                n_edge=edges[row : row + 1],
                globals=None,
            )
            for row in range(4)
        ]
    )
    batch = jraph.pad_with_graphs(batch, int(nodes.sum()) + 7, int(edges.sum()) + 4, 6)
    np.testing.assert_allclose(features(case.params, batch)[:4], [once, twice, turned, methane], rtol=1e-5)


@pytest.mark.long
def test_dropout_of_gin_acts_after_the_last_layer_too_and_only_with_a_key():
    case = Case("gin")
    last = case.module.clone(depth=1)  # its only dropout is that of its last layer
    params = {name: case.params[name] for name in ("embedding", "inner_0", "outer_0", "output")}
    params["merge"] = {"kernel": case.params["merge"]["kernel"][:6], "bias": case.params["merge"]["bias"]}
    apply_fn = jax.jit(lambda key: apply_function(last)(params, case.graphs, rng_key=key))
    samples = [np.asarray(apply_fn(key)) for key in jax.random.split(jax.random.key(3), 40)]
    assert (np.std(samples, axis=0) > 0).all()
    expected = np.asarray(apply_function(last)(params, case.graphs))
    error = np.std(samples, axis=0) / np.sqrt(len(samples))
    assert (np.abs(np.mean(samples, axis=0) - expected) < 5 * error).all()  # linear in the last layer's vectors


def test_methane_of_the_dmpnn_has_no_message():
    case = Case("dmpnn")
    graphs = molecular_graphs(["C"], "chemprop", hydrogens=False, cache=False)
    features = jax.jit(apply_function(case.module, method="features"))(case.params, jax.tree.map(jnp.asarray, graphs))
    atom = np.zeros(77, np.float32)
    # carbon, degree 4, charge 0, no chirality, four hydrogens, SP3; the mass of carbon
    atom[[5, 38 + 4, 45 + 4, 51, 56 + 4, 62 + 4]] = 1
    atom[71] = 0.12011
    end, hidden = case.params["end"], case.params["hidden"]
    molecule = np.maximum(atom @ end["kernel"] + end["bias"], 0) / 100
    np.testing.assert_allclose(features[0], np.maximum(molecule @ hidden["kernel"] + hidden["bias"], 0), rtol=1e-5)


def test_relation_sum_and_its_gradient_equal_a_matrix(rng):
    matrix = (rng.random((7, 5)) < 0.4).astype(np.float32)

    def table(rows, missing, width):
        return jnp.array(
            [np.pad(np.flatnonzero(row), (0, width - int(row.sum())), constant_values=missing) for row in rows]
        )

    to, back = table(matrix, 5, 5), table(matrix.T, 7, 7)
    x, weights = rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=(7, 3)).astype(np.float32)
    value, gradient = jax.value_and_grad(lambda x: (relation_sum(x, to, back) * weights).sum())(jnp.asarray(x))
    np.testing.assert_allclose(value, (matrix @ x * weights).sum(), rtol=1e-5)
    np.testing.assert_allclose(gradient, matrix.T @ weights, rtol=1e-5)


def test_packing_cuts_off_what_finds_no_room_and_says_where_things_are():
    graphs = jax.tree.map(jnp.asarray, molecular_graphs(["O", "[Na+]", "CO"], hydrogens=False, cache=False))
    assert isinstance(graphs, MolecularGraphs)
    pack = jax.jit(pack_graphs, static_argnums=(1, 2))
    packed = pack(graphs, 6, 4)
    assert packed.molecule.tolist() == [0, 1, 2, 2, 3, 3]
    assert packed.atoms[:4].tolist() == [8, 11, 6, 8]
    assert packed.sources.tolist() == [2, 3, 6, 6] and packed.targets.tolist() == [3, 2, 6, 6]
    assert packed.neighbours[:, 0].tolist() == [6, 6, 3, 2, 6, 6]
    assert pack(graphs, 2, 4).molecule.tolist() == [0, 1]


def test_batches_of_all_sizes_compile_once():
    case = Case("gin")
    graphs = case.graphs.replace(atom_spread=Spread(6.0, 4.0), edge_spread=Spread(10.0, 8.0))
    chex.clear_trace_counter()
    apply_fn = jax.jit(chex.assert_max_traces(apply_function(case.module), n=1))
    for rows in np.random.default_rng(1).integers(0, len(case.smiles), (6, 12)):
        outputs = apply_fn(case.params, jax.tree.map(lambda leaf, rows=rows: leaf[rows], graphs))
        np.testing.assert_allclose(outputs, case.stored["outputs"][rows], rtol=1e-4, atol=1e-6)
