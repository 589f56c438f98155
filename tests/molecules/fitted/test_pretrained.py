"""Kept models that began from a checkpoint of chemprop: what is trained, what is kept, what is refused."""

import numpy as np
import pytest

from jaxuq.checkpoints import convert_backbone
from jaxuq.cli.main import main
from jaxuq.molecules import DataError, load_molecules
from jaxuq.molecules.fitted import MoleculeRecipe, load_molecules_model, predict_molecules
from jaxuq.molecules.fitted.model import backbone_of
from tests.checkpoints.test_dmpnn import FILES

SMILES = ["CCO", "c1ccccc1C(=O)O", "CCCCCCCC"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return convert_backbone("dmpnn", FILES["foundation"], tmp_path_factory.mktemp("weights") / "chemprop")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    some = load_molecules("esol").take(range(0, 1128, 12))
    path = tmp_path_factory.mktemp("table") / "mine.csv"
    path.write_text("\n".join(["smiles,logS", *(f"{one},{label[0]}" for one, label in zip(some.smiles, some.labels))]))
    return path


@pytest.mark.parametrize("frozen", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_kept_model_begins_from_the_checkpoint_and_needs_it_no_more(frozen, folder, table, tmp_path, monkeypatch):
    options = ["--backbone", "dmpnn", "--checkpoint", str(folder.path), "--members", "2", "--epochs", "2"]
    options += ["--split", "random", "--fractions", "0.5", "0.1", "0.4", "0"]
    options += ["--frozen-backbone"] if frozen else ["--dropout", "0.1"]
    main(["molecules", "fit", str(table), "--output", str(tmp_path / "model"), *options])
    monkeypatch.setattr("jaxuq.molecules.muben.pretrained.load_backbone", None)  # a kept model stands alone
    fitted = load_molecules_model(tmp_path / "model")
    assert fitted.weights == folder.digest
    samples = fitted.forecaster.samples
    assert set(samples) == {*folder.params, "output"} | (set() if frozen else {"hidden"})
    moved = [np.abs(samples[name]["kernel"] - part["kernel"][None]).max() for name, part in folder.params.items()]
    assert (np.array(moved) == 0).all() if frozen else (np.array(moved) > 0).all() and max(moved) < 0.1
    forecast = predict_molecules(fitted, SMILES)
    assert np.isfinite(forecast.mean).all() and (forecast.epistemic > 0).all()


def test_what_a_checkpoint_decides_is_not_decided_again(folder):
    recipe = MoleculeRecipe("dmpnn", checkpoint=folder.path)
    assert backbone_of(recipe.network).network(1).config.width == folder.config.width
    for wrong, message in (
        (recipe._replace(width=8), "width and depth of a pretrained network are those of its checkpoint"),
        (recipe._replace(backbone="gin"), "models of the backbone gin start from no checkpoint; use --backbone dmpnn"),
        (MoleculeRecipe("dmpnn", frozen_backbone=True), "frozen backbone that starts at random learns nothing"),
        (recipe._replace(checkpoint="nowhere"), "there is no folder nowhere; make one from a public checkpoint"),
    ):
        with pytest.raises((DataError, ValueError), match=message):
            backbone_of(wrong.network)


@pytest.mark.parametrize("backbone", ["unimol", "torchmdnet", "grover", "chemberta", "rxnfp"])
def test_backbones_that_are_not_kept_are_refused_before_a_file_is_read(backbone, capsys):
    for further in ([], ["--checkpoint", "nowhere"]):
        with pytest.raises(SystemExit) as stopped:
            main(["molecules", "fit", "no-such-file.csv", "--backbone", backbone, *further])
        said = capsys.readouterr().err
        assert stopped.value.code == 2 and said.count("\n") == 1 and f"backbone {backbone} start" in said
        assert "dmpnn" in said
