"""Kept models that are damaged, and requests that they cannot answer: one error, or one row without a forecast."""

import jax
import numpy as np
import pytest

from jaxuq._errors import OptionError
from jaxuq.calibration import FittedError, load_fitted, save_fitted
from jaxuq.cli.main import main
from jaxuq.cli.molecules_table import _unlearnt
from jaxuq.molecules import DataError, load_molecules
from jaxuq.molecules.fitted import (
    MoleculeRecipe,
    choose_molecules,
    divide_molecules,
    fit_molecules,
    load_molecules_model,
    predict_molecules,
    represent_molecules,
    save_molecules,
)


@pytest.fixture(scope="module")
def some():
    return load_molecules("esol").take(range(0, 1128, 20))


@pytest.fixture(scope="module")
def parts(some):
    return divide_molecules(some.smiles, "random", fractions=(0.4, 0.1, 0.4, 0.1))


@pytest.fixture(scope="module")
def model(some, parts):
    return fit_molecules(
        jax.random.key(0), some, parts, MoleculeRecipe("morgan", members=2, epochs=2, width=16, depth=1)
    )


def _without(name):
    return lambda about: {key: value for key, value in about.items() if key != name}


def _with(name, make):
    return lambda about: about | {name: make(about[name])}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without("version"), "has version None"),
        (_without("task_names"), "damaged: KeyError 'task_names'"),
        (_with("task_names", lambda _: ["a", "b"]), "scaler is not one of its tasks"),
        (_with("task_names", lambda _: []), "tasks have no name"),
        (_with("task_type", lambda _: "ranking"), "labels are of no known kind"),
        (_with("scale", lambda scale: 0 * scale), "scaler is not one of its tasks"),
        (_with("mean", lambda mean: mean * np.nan), "scaler is not one of its tasks"),
        (_with("fingerprints", lambda bits: bits[:0]), "fingerprints are not those of molecules"),
        (_with("fingerprints", lambda bits: bits.astype(np.float32)), "fingerprints are not those of molecules"),
        (_with("usual", lambda usual: usual[:, :0]), "uncertainties are not those of its tasks"),
        (_with("shift", lambda _: [1.0]), "damaged: TypeError"),
        (_with("classes", lambda _: [["a", "b"]]), "classes are not those of its tasks"),
        (_with("molecule_columns", lambda _: ["solute", "solvent"]), "molecules a row are not those of its network"),
        (_with("label_range", lambda _: [1.0, 0.0]), "range of labels is none"),
    ],
)
def test_a_folder_whose_parts_do_not_fit_is_refused(model, tmp_path, change, said):
    save_molecules(tmp_path, model)
    kept = load_fitted(tmp_path)
    save_fitted(tmp_path, kept._replace(about=change(kept.about)))
    with pytest.raises(FittedError, match=said):
        load_molecules_model(tmp_path)


def test_what_frames_have_for_nothing_costs_its_row_alone(model):
    found = predict_molecules(model, ["CCO", None, float("nan"), "CCC\nCCN", "c1ccccc1"])
    assert found.errors == ["", "no SMILES", "no SMILES", "RDKit cannot read it", ""]
    np.testing.assert_allclose(found.mean[[0, 4]], predict_molecules(model, ["CCO", "c1ccccc1"]).mean, rtol=1e-5)
    assert represent_molecules(model, [None, "CCO"]).errors == ["no SMILES", ""]
    with pytest.raises(DataError, match=r"row 1 is 1\.5; expected a SMILES"):
        predict_molecules(model, ["CCO", 1.5])


def test_familiarity_does_not_depend_on_the_company(model, some, parts):
    smiles = [some.smiles[row] for row in parts.calibrate]
    together = predict_molecules(model, smiles).familiarity
    alone = np.concatenate([predict_molecules(model, [text]).familiarity for text in smiles])
    np.testing.assert_array_equal(alone, together)


def test_one_network_does_not_know_what_it_does_not_know(model):
    samples = jax.tree.map(lambda leaf: leaf[:1], model.forecaster.samples)
    one = model._replace(forecaster=model.forecaster._replace(samples=samples))
    pool = ["CCO", "CCCCCC", "c1ccccc1"]
    with pytest.raises(DataError, match="one network, which cannot tell what it does not know"):
        choose_molecules(one, pool, 2)
    mean = predict_molecules(one, pool).mean[:, 0]
    assert choose_molecules(one, pool, 1, goal="high").rows[0] == np.argmax(mean)


def test_what_cannot_be_learnt_is_said(some, parts):
    assert _unlearnt(some, parts) == []
    same = some._replace(labels=np.ones_like(some.labels), task_type="classification")
    assert "all training molecules have" in _unlearnt(same, parts)[0]
    unknown = some.mask.copy()
    unknown[parts.train] = False
    assert "no training molecule has a label" in _unlearnt(some._replace(mask=unknown), parts)[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 0}, "epochs is 0; expected an integer of at least 1"),
        ({"patience": 0}, "patience is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"calibrator": "temprature"}, "there is no calibrator 'temprature'"),
        ({"conformal": "lack"}, "there is no conformal"),
    ],
)
def test_recipes_that_teach_nothing_are_refused_before_anything_is_trained(some, parts, changes, said):
    with pytest.raises(OptionError, match=said):
        fit_molecules(jax.random.key(0), some, parts, MoleculeRecipe("morgan", **changes))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--output", "mine.csv"], "mine.csv, which is a file; name a folder"),
        (["--new", "nowhere.csv"], "there is no file nowhere.csv"),
        (["--batch-size", "0"], "batch-size is 0|batch_size is 0"),
    ],
)
def test_what_a_command_lacks_is_said_before_it_trains(tmp_path, monkeypatch, capsys, options, said):
    monkeypatch.chdir(tmp_path)
    lines = [f"{'C' * n}O,{n / 2}" for n in range(1, 31)]
    (tmp_path / "mine.csv").write_text("\n".join(["smiles,y", *lines]))
    monkeypatch.setattr("jaxuq.molecules.fitted.fit_molecules", lambda *_, **__: pytest.fail("it trained"))
    with pytest.raises(SystemExit) as stopped:
        main(["molecules", "fit", "mine.csv", "--backbone", "morgan", "--split", "random", *options])
    found = capsys.readouterr().err
    assert stopped.value.code == 2 and any(one in found for one in said.split("|"))


def test_a_folder_without_a_model_says_which_command_makes_one(tmp_path):
    with pytest.raises(FittedError, match="Name a folder of jaxuq molecules fit"):
        load_molecules_model(tmp_path)
