"""The search of a network, by what it trains and what it reads; and what a network has learnt, by its own layers."""

import csv

import jax
import numpy as np
import pytest

from jaxuq.cli.main import main
from jaxuq.molecules import DataError, load_molecules
from jaxuq.molecules.fitted import (
    MoleculeRecipe,
    divide_molecules,
    fit_molecules,
    load_molecules_model,
    represent_molecules,
    save_molecules,
    search_recipe,
    searching,
)
from jaxuq.molecules.fitted.model import MoleculeNetwork, backbone_of
from jaxuq.networks import apply_function

NEW = ["CCO", "not a molecule", "", "c1ccccc1C(=O)O"]
SMALL = MoleculeRecipe("morgan", members=2, epochs=2, level=0.8, width=16, depth=1)


@pytest.fixture(scope="module")
def some():
    data = load_molecules("esol").take(range(0, 1128, 9))
    return data, divide_molecules(data.smiles, "random", fractions=(0.5, 0.2, 0.2, 0.1))


def test_each_round_goes_on_with_the_better_half_over_twice_the_seeds(some, monkeypatch, tmp_path):
    """Scores are made up: a trial is as good as its dropout says, but for the luck of a seed."""
    trained = []

    def train(keys, problem, recipe, **others):
        trained.append((recipe.dropout, int(jax.random.key_data(keys).ravel()[-1])))
        luck = 0.01 * (len(trained) % 3)
        return type("State", (), {"best_score": np.array([1.0 + (recipe.dropout or 0.9) + luck])})

    monkeypatch.setattr(searching, "train_recipe", train)
    space = {"dropout": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]}
    found = search_recipe(jax.random.key(0), *some, SMALL, trials=8, space=space, folder=tmp_path)
    assert [len(trial.scores) for trial in found.trials] == [4, 4, 2, 2, 1, 1, 1, 1]
    assert len(trained) == 16 and len({seed for _, seed in trained}) == 4  # all trials have the same seeds
    best = min(dropout for dropout, _ in trained if dropout)
    assert found.recipe == SMALL._replace(dropout=best) and found.trials[0].changes == {"dropout": best}
    assert sum(not trial.changes for trial in found.trials) == 1  # the recipe itself is among them
    again = search_recipe(jax.random.key(0), *some, SMALL, trials=8, space=space, folder=tmp_path)
    assert len(trained) == 16 and again == found
    data, rows = some
    labels = data.labels.copy()
    labels[rows.train[0]] += 1
    search_recipe(jax.random.key(0), data._replace(labels=labels), rows, SMALL, trials=8, space=space, folder=tmp_path)
    assert len(trained) == 32  # other labels, other scores
    with pytest.raises(DataError, match="has 8 networks, too few for 10 trials"):
        search_recipe(jax.random.key(0), *some, SMALL, trials=10, space=space)
    with pytest.raises(DataError, match="a recipe has no 'wide'"):
        search_recipe(jax.random.key(0), *some, SMALL, trials=2, space={"wide": [1]})


def test_nothing_of_calibration_and_test_is_read(some):
    data, rows = some
    space = {"width": [8, 16]}
    first = search_recipe(jax.random.key(0), data, rows, SMALL, trials=2, space=space)
    labels = data.labels.copy()
    labels[np.concatenate([rows.calibrate, rows.test])] = 1e3
    assert search_recipe(jax.random.key(0), data._replace(labels=labels), rows, SMALL, trials=2, space=space) == first


def test_a_network_of_another_shape_is_kept_with_its_shape_and_its_features_are_its_last_layer(some, tmp_path):
    model = fit_molecules(jax.random.key(0), *some, SMALL)
    save_molecules(tmp_path / "model", model)
    again = load_molecules_model(tmp_path / "model")
    assert again.network == MoleculeNetwork("morgan", "rdkit", 16, 1, None)
    found = represent_molecules(again, NEW, member=1)
    assert found.features.shape == (4, 16) and found.errors == ["", "RDKit cannot read it", "no SMILES", ""]
    assert np.isnan(found.features[1:3]).all()
    params = jax.tree.map(lambda leaf: leaf[1], model.forecaster.samples)
    bits = jax.numpy.asarray(backbone_of(model.network).featurise(["c1ccccc1C(=O)O"], None))
    network = backbone_of(model.network).network(2)
    np.testing.assert_allclose(
        apply_function(network, method="features")(params, bits)[0], found.features[3], rtol=1e-5, atol=1e-6
    )
    with pytest.raises(DataError, match="has 2 networks, numbered from 0"):
        represent_molecules(again, NEW, member=2)
    assert represent_molecules(again, []).features.shape == (0, 0)


def test_the_commands(some, tmp_path, capsys):
    table = tmp_path / "mine.csv"
    data, _ = some
    with open(table, "w", newline="") as stream:
        csv.writer(stream).writerows([["smiles", "y"], *zip(data.smiles, data.labels[:, 0].tolist())])
    small = ["--backbone", "morgan", "--width", "8", "--depth", "1", "--epochs", "2"]
    main(["molecules", "search", str(table), "--output", str(tmp_path / "search"), "--trials", "2", *small])
    said = capsys.readouterr()
    assert "as given" in said.out and f"next: jaxuq molecules fit {table} --backbone morgan --epochs 2" in said.err
    main(["molecules", "fit", str(table), "--output", str(tmp_path / "model"), "--members", "1", *small])
    (tmp_path / "new.txt").write_text("CCO\nnonsense\n")
    arguments = ["molecules", "fingerprint", str(tmp_path / "model"), str(tmp_path / "new.txt")]
    main([*arguments, "--output", str(tmp_path / "f.npz")])
    main(arguments)
    with np.load(tmp_path / "f.npz") as kept, open(tmp_path / "model" / "fingerprints.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
        assert kept["smiles"].tolist() == [row["smiles"] for row in rows] == ["CCO", "nonsense"]
        numbers = [float(rows[0][f"feature_{n}"]) for n in range(8)]
        np.testing.assert_allclose(numbers, kept["features"][0], rtol=1e-5)
    assert rows[1]["error"] == "RDKit cannot read it" and rows[1]["feature_0"] == ""
