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
