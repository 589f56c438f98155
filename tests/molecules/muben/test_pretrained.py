"""Uni-Mol, TorchMD-NET and GROVER as backbones of the benchmark: recipes, checkpoints, and the loss of branches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.checkpoints import convert_backbone
from jaxuq.molecules import DataError, LabelScaler
from jaxuq.molecules.muben import MubenConfiguration, make_backbone
from jaxuq.molecules.muben.heads import likelihood_head
from jaxuq.molecules.muben.objectives import make_loss
from jaxuq.molecules.muben.problem import Arrays, Problem
from jaxuq.molecules.muben.setting import Setting
from jaxuq.molecules.muben.starting import init_params
from tests.networks.golden_backbones import GOLDEN

KINDS = ("unimol", "torchmdnet", "grover")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Tiny checkpoints of all three, converted."""
    folder = tmp_path_factory.mktemp("weights")
    return {kind: convert_backbone(kind, GOLDEN / f"{kind}.pt", folder / kind) for kind in KINDS}


def test_recipes_are_the_published_ones():
    scratch = MubenConfiguration(from_scratch=True)
    recipes = {kind: make_backbone(kind, scratch).recipe for kind in KINDS}
    assert {kind: tuple(recipe[:6]) for kind, recipe in recipes.items()} == {
        "unimol": (5e-5, 128, 100, 40, "linear", 0.1),
        "torchmdnet": (2e-4, 128, 100, 40, "linear", 0.1),
        "grover": (1e-4, 256, 100, 40, "linear", 0.1),
    }
    unimol = recipes["unimol"]
    assert (unimol.clip_norm, unimol.b1, unimol.b2, unimol.eps) == (1.0, 0.9, 0.99, 1e-6)
    assert make_backbone("grover", scratch).branches == 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_start_at_random_must_be_asked_for(kind):
    with pytest.raises(DataError, match=rf"--checkpoint FOLDER.*convert --kind {kind} .*--from-scratch"):
        make_backbone(kind, MubenConfiguration())


def test_weights_of_another_backbone_are_refused(folders):
    with pytest.raises(DataError, match="holds weights of grover, not of unimol: use --backbone grover"):
        make_backbone("unimol", MubenConfiguration(checkpoint=str(folders["grover"].path)))


def test_the_published_forms_are_a_switch(folders):
    def network(kind, convention):
        configuration = MubenConfiguration(checkpoint=str(folders[kind].path), convention=convention)
        return make_backbone(kind, configuration).network(1).config

    forms = [network("torchmdnet", convention).vector_norm for convention in ("exact", "muben")]
    assert forms == ["isotropic", "published"]
    assert [network("grover", convention).padding_row for convention in ("exact", "muben")] == ["none", "batch"]


@pytest.fixture(scope="module")
def chemprop(tmp_path_factory):
    """Folders of models of chemprop."""
    folder = tmp_path_factory.mktemp("chemprop")
    files = GOLDEN.parents[1] / "checkpoints" / "golden"
    names = ("classification", "foundation", "regression")
    return {name: convert_backbone("dmpnn", files / f"dmpnn_{name}.pt", folder / name) for name in names}


def test_a_dmpnn_starts_at_random_or_from_all_trained_layers_but_the_last(chemprop):
    plain = make_backbone("dmpnn", MubenConfiguration())
    assert plain.pretrained is None and plain.network(1).config.dropout_rate == 0.1
    loaded = chemprop["classification"]
    backbone = make_backbone("dmpnn", MubenConfiguration(checkpoint=str(loaded.path)))
    assert backbone.weights == loaded.digest
    inputs = jax.tree.map(jnp.asarray, backbone.featurise(["CCO", "CN", "C"], None))
    inputs = inputs.replace(atom_spread=None, edge_spread=None)
    problem = Problem("regression", "rmse", ("a",), Arrays(inputs, None, None), None, None, None)
    setting = Setting(problem, backbone.network, backbone.recipe, 1, True, False, lambda *_: None)

    @jax.jit
    def compute(key, pretrained):
        params = init_params(setting, 2, key, pretrained)
        network = backbone.network(2)
        return params, network.apply({"params": params}, inputs, method="features")

    params, features = compute(jax.random.key(0), backbone.pretrained())
    assert params["output"]["kernel"].shape == (5, 2)
    trained = {name: part for name, part in loaded.params.items() if name != "output"}
    jax.tree.map(np.testing.assert_array_equal, {name: params[name] for name in trained}, trained)
    theirs = jax.nn.sigmoid(features @ loaded.params["output"]["kernel"] + loaded.params["output"]["bias"][None])
    stored = np.load(GOLDEN.parents[1] / "checkpoints" / "golden" / "dmpnn.npz")
    assert stored["smiles"][[0, 8]].tolist() == ["CCO", "C"]
    np.testing.assert_allclose(theirs[jnp.array([0, 2])], stored["classification"][[0, 8]], rtol=1e-5)


def test_message_passing_alone_gets_a_hidden_layer_where_it_can_be_trained(chemprop):
    path = str(chemprop["foundation"].path)
    layers = [
        make_backbone("dmpnn", MubenConfiguration(checkpoint=path, frozen_backbone=frozen)).network(1).config.layers
        for frozen in (False, True)
    ]
    assert layers == [(6,), ()]


def test_a_dmpnn_of_more_than_molecules_or_of_another_kind_is_refused(chemprop, folders):
    with pytest.raises(DataError, match="reads 3 descriptors of each molecule, of which it does not say how"):
        make_backbone("dmpnn", MubenConfiguration(checkpoint=str(chemprop["regression"].path)))
    with pytest.raises(DataError, match="holds weights of grover, not of dmpnn: use --backbone grover"):
        make_backbone("dmpnn", MubenConfiguration(checkpoint=str(folders["grover"].path)))


def test_grovers_loss_is_that_of_both_branches_and_their_distance(folders):
    backbone = make_backbone("grover", MubenConfiguration(checkpoint=str(folders["grover"].path)))
    inputs = jax.tree.map(jnp.asarray, backbone.featurise(["CCO", "CN", "C"], None))
    labels, mask = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), jnp.array([[True, True], [True, False], [True] * 2])
    batch, where = Arrays(inputs, labels, mask), jnp.array([True, True, False])
    problem = Problem(
        "classification", "roc-auc", ("a", "b"), batch, batch, batch, LabelScaler(jnp.zeros(2), jnp.ones(2))
    )
    trained = jax.tree.map(jnp.asarray, backbone.pretrained())
    setting = Setting(
        problem, backbone.network, backbone.recipe, 2, False, False, lambda *_: None, trained, branches=0.1
    )

    @jax.jit
    def compute(key):
        params = init_params(setting, 1, key, trained)
        branches = backbone.network(2).apply({"params": params}, inputs, method="branches")
        return params, branches, make_loss(setting, likelihood_head("classification"))(params, batch, where, None)

    params, branches, loss = compute(jax.random.key(0))
    np.testing.assert_array_equal(params["atom_view"]["output"]["kernel"], trained["atom_view"]["output"]["kernel"])
    branches, counted = np.asarray(branches), np.asarray(mask & where[:, None])
    entropies = np.logaddexp(0, branches) - np.asarray(labels) * branches
    expected = sum(branch[counted].mean() for branch in entropies) + 0.1 * ((branches[1] - branches[0])[:2] ** 2).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
