"""Promises for other molecules than those of calibration: simulated shifts, whose ratios are known, and the command."""

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
    predict_molecules,
    promise_for,
    save_molecules,
)
from jaxuq.molecules.fitted.shift import fit_shift, thresholds_under


def _world(rng, count, centre):
    """Features around a centre, and scores that grow with the first."""
    features = rng.normal(size=(count, 3)) + np.array([centre, 0, 0])
    return features, np.abs(rng.normal(size=(count, 1))) * np.exp(0.7 * features[:, :1])


def test_weighted_thresholds_hold_where_plain_ones_do_not():
    rng, level = np.random.default_rng(0), 0.8
    weighted, plain, sizes = [], [], []
    for _ in range(20):
        old, scores = _world(rng, 400, 0.0)
        new, new_scores = _world(rng, 400, 1.0)
        shift = fit_shift(old, new, scores, np.ones(scores.shape, bool))
        weighted.append(np.mean(new_scores <= thresholds_under(shift, new, level)))
        plain.append(np.mean(new_scores <= np.sort(scores[:, 0])[int(np.ceil(level * 401)) - 1]))
        sizes.append(shift.size)
    # Kish: n times the inverse of E[w^2] = exp(1) for two unit Gaussians one apart.
    assert np.mean(sizes) == pytest.approx(400 / np.e, rel=0.15)
    spread = np.sqrt(level * (1 - level) * (1 / 400 + np.e / 400) / 20)
    assert abs(np.mean(weighted) - level) < 4 * spread + np.e / 400
    assert np.mean(plain) < level - 0.15


def test_the_ratios_are_those_of_the_densities():
    rng = np.random.default_rng(1)
    old, scores = _world(rng, 4000, 0.0)
    new, _ = _world(rng, 2000, 1.0)
    shift = fit_shift(old, new, scores, np.ones(scores.shape, bool))
    true = old[:, 0] - 0.5  # log N(x; 1, 1) / N(x; 0, 1)
    assert np.sqrt(np.mean((np.log(shift.ratios) - true) ** 2)) < 0.15


def test_without_a_shift_nothing_changes_much_and_far_away_nothing_is_promised():
    rng = np.random.default_rng(2)
    old, scores = _world(rng, 400, 0.0)
    shift = fit_shift(old, _world(rng, 400, 0.0)[0], scores, np.ones(scores.shape, bool))
    # Each of three slopes, from 400 examples, errs by 1/10: E[w^2] is 1.03; five times that error is allowed.
    assert shift.size > 400 / 1.15
    away = fit_shift(old, _world(rng, 400, 6.0)[0], scores, np.ones(scores.shape, bool))
    assert away.size < 20
    assert np.isinf(thresholds_under(away, _world(rng, 50, 6.0)[0], 0.9)).mean() > 0.5
    with pytest.raises(DataError, match="9 new molecules are too few"):
        fit_shift(old, old[:9], scores, np.ones(scores.shape, bool))


def test_a_model_with_a_promise_for_others_is_kept(tmp_path, capsys):
    data = load_molecules("esol").take(range(0, 1128, 5))
    rows = divide_molecules(data.smiles, "random", fractions=(0.4, 0.1, 0.4, 0.1))
    model = fit_molecules(
        jax.random.key(0), data, rows, MoleculeRecipe("morgan", members=2, epochs=3, level=0.7, width=64, depth=1)
    )
    held = data.take(rows.calibrate)
    new = [smiles for smiles in data.smiles if "Cl" in smiles or "Br" in smiles]
    promised = promise_for(model, held, new)
    save_molecules(tmp_path / "model", promised)
    one, two = (predict_molecules(m, new) for m in (promised, load_molecules_model(tmp_path / "model")))
    np.testing.assert_array_equal(one.upper, two.upper)
    plain = predict_molecules(model, new)
    np.testing.assert_array_equal(one.mean, plain.mean)
    assert not np.allclose(one.upper, plain.upper)
    # All calibration molecules as the new ones: the plain intervals, but for the noise of the ratios.
    alike = predict_molecules(promise_for(model, held, data.smiles), new)
    assert np.median(np.abs(np.log((alike.upper - alike.mean) / (plain.upper - plain.mean)))) < 0.3


@pytest.mark.long
def test_the_command_takes_the_molecules_that_the_promise_is_for(tmp_path, capsys):
    data = load_molecules("esol").take(range(0, 1128, 5))
    new = [smiles for smiles in data.smiles if "Cl" in smiles or "Br" in smiles]
    pool = tmp_path / "pool.csv"
    pool.write_text("\n".join(["smiles", *new]) + "\n")
    small = ["--members", "2", "--epochs", "2", "--width", "16", "--depth", "1"]
    options = ["--backbone", "morgan", *small, "--fractions", "0.4", "0.1", "0.4", "0.1"]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(["smiles,y", *(f"{s},{y[0]}" for s, y in zip(data.smiles, data.labels))]) + "\n")
    main(["molecules", "fit", str(path), "--output", str(tmp_path / "other"), *options, "--new", str(pool)])
    assert "molecules of the intervals count as" in " ".join(capsys.readouterr().err.split())
    with (tmp_path / "other" / "test.csv").open() as file:
        assert all(row["y_upper"] for row in csv.DictReader(file))
