"""Uni-Mol, TorchMD-NET and GROVER as backbones of the benchmark: recipes, checkpoints, and a whole run of each."""

import csv

import numpy as np
import pytest

from jaxuq.checkpoints import convert_backbone
from jaxuq.molecules import DataError
from jaxuq.molecules.muben import BACKBONES, MubenConfiguration, run_muben
from tests.networks.golden_backbones import GOLDEN

pytestmark = pytest.mark.xdist_group("muben")
KINDS = ("unimol", "torchmdnet", "grover")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Tiny checkpoints of all three, converted."""
    folder = tmp_path_factory.mktemp("weights")
    return {
        kind: convert_backbone(kind, GOLDEN / f"{kind}.pt", folder / kind)
        for kind in ("unimol", "torchmdnet", "grover")
    }


def test_recipes_are_the_published_ones():
    scratch = MubenConfiguration(from_scratch=True)
    recipes = {kind: BACKBONES[kind](scratch).recipe for kind in KINDS}
    assert {kind: tuple(recipe[:6]) for kind, recipe in recipes.items()} == {
        "unimol": (5e-5, 128, 100, 40, "linear", 0.1),
        "torchmdnet": (2e-4, 128, 100, 40, "linear", 0.1),
        "grover": (1e-4, 256, 100, 40, "linear", 0.1),
    }
    unimol = recipes["unimol"]
    assert (unimol.clip_norm, unimol.b1, unimol.b2, unimol.eps) == (1.0, 0.9, 0.99, 1e-6)
    assert BACKBONES["grover"](scratch).branches == 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_start_at_random_must_be_asked_for(kind):
    with pytest.raises(DataError, match=rf"--checkpoint FOLDER.*convert --kind {kind} .*--from-scratch"):
        BACKBONES[kind](MubenConfiguration())


def test_weights_of_another_backbone_are_refused(folders):
    with pytest.raises(DataError, match="holds weights of grover, not of unimol: use --backbone grover"):
        BACKBONES["unimol"](MubenConfiguration(checkpoint=str(folders["grover"].path)))


def test_the_published_forms_are_a_switch(folders):
    def network(kind, convention):
        configuration = MubenConfiguration(checkpoint=str(folders[kind].path), convention=convention)
        return BACKBONES[kind](configuration).network(1).config

    forms = [network("torchmdnet", convention).vector_norm for convention in ("exact", "muben")]
    assert forms == ["isotropic", "published"]
    assert [network("grover", convention).padding_row for convention in ("exact", "muben")] == ["none", "batch"]


def test_grovers_loss_is_that_of_both_branches_and_their_distance(folders):
    configuration = MubenConfiguration(checkpoint=str(folders["grover"].path))
    backbone = BACKBONES["grover"](configuration)
    inputs = jax.tree.map(jnp.asarray, backbone.featurise(["CCO", "CN"], None))
    labels, mask = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([[True, True], [True, False]])
    batch = Arrays(inputs, labels, mask)
    problem = SimpleNamespace(task_type="classification", task_names=("a", "b"), train=batch)
    setting = Setting(
        problem, backbone.network, backbone.recipe, backbone.pretrained(), 2, 2, False, False, None, branches=0.1
    )  # fmt: skip
@pytest.mark.parametrize("kind", ["grover", "unimol"])
def test_a_run_starts_from_the_checkpoint(kind, folders, tmp_path):
    data = ["smiles,y", *(f"{'C' * n}{end},{n / 3}" for n in range(1, 5) for end in ("O", "N", "Cl"))]
    (tmp_path / "data.csv").write_text("\n".join(data))
    configuration = MubenConfiguration(
        dataset=str(tmp_path / "data.csv"), backbone=kind, checkpoint=str(folders[kind].path), seeds=1, epochs=1,
        methods="deterministic", output=tmp_path / "run", resamples=0, strategy="map", split="random",
        learning_rate=1e-12, batch_size=8,
    )  # fmt: skip
    folder = run_muben(configuration)
    with (folder.path / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["backbone"] == kind and np.isfinite(float(row["rmse"]))
    assert folder.record["configuration"]["weights"] == folders[kind].digest
