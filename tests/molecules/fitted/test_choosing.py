"""Choices by their definition: a Gaussian process's conditional variances, computed by inverting matrices."""

import csv

import jax
import numpy as np
import pytest

from jaxuq._errors import OptionError
from jaxuq.cli.main import main
from jaxuq.molecules import DataError, load_molecules, morgan_fingerprints
from jaxuq.molecules.fitted import (
    MoleculeRecipe,
    choose_molecules,
    divide_molecules,
    fit_molecules,
    predict_molecules,
    save_molecules,
)


@pytest.fixture(scope="module")
def fitted():
    data = load_molecules("freesolv").take(range(0, 642, 3))
    rows = divide_molecules(data.smiles, "random", fractions=(0.4, 0.1, 0.1, 0.4))
    recipe = MoleculeRecipe("morgan", members=3, epochs=6, width=64, depth=1)
    return [data.smiles[row] for row in rows.test], fit_molecules(jax.random.key(0), data, rows, recipe)


def _tanimoto(smiles):
    bits = morgan_fingerprints(smiles).astype(bool)
    found = np.ones((len(smiles), len(smiles)))
    for i, one in enumerate(bits):
        for j, other in enumerate(bits):
            either = (one | other).sum()
            found[i, j] = (one & other).sum() / either if either else 1.0
    return found


def _conditional(covariance, noise, chosen, row):
    """Variance of a row given noisy measurements of those chosen, from the definition."""
    if not chosen:
        return covariance[row, row]
    seen = covariance[np.ix_(chosen, chosen)] + np.diag(noise[chosen])
    across = covariance[row, chosen]
    return covariance[row, row] - across @ np.linalg.solve(seen, across)


@pytest.mark.parametrize("goal", ["learn", "high", "low"])
def test_every_choice_is_the_best_given_those_before_it(fitted, goal):
    pool, model = fitted
    pool = [*pool[:30], pool[0], "nonsense"]
    choice = choose_molecules(model, pool, 8, goal=goal)
    forecast = predict_molecules(model, pool[:31])
    deviation, noise = np.sqrt(forecast.epistemic[:, 0]), forecast.aleatoric[:, 0]
    covariance = deviation[:, None] * deviation[None] * _tanimoto(pool[:31])
    chosen = []
    for row, gain in zip(choice.rows, choice.gain):
        left = np.array([_conditional(covariance, noise, chosen, other) for other in range(31)])
        gains = 0.5 * np.log1p(left / noise)
        sign = {"learn": 0, "high": 1, "low": -1}[goal]
        wanted = gains if goal == "learn" else sign * forecast.mean[:, 0] + 2 * np.sqrt(left)
        wanted[chosen] = wanted[30] = -np.inf  # row 30 is a copy of row 0
        assert wanted[row] == pytest.approx(wanted.max(), rel=1e-3)
        assert gain == pytest.approx(gains[row], rel=1e-2, abs=1e-4)
        chosen.append(int(row))
    assert len(set(chosen)) == 8 and not {30, 31} & set(chosen)


def test_what_is_left_to_tell_only_shrinks_and_copies_count_once(fitted):
    pool, model = fitted
    choice = choose_molecules(model, pool[:20] * 3, 12)
    assert len({pool[row % 20] for row in choice.rows}) == 12
    assert (np.diff(choice.gain) <= 1e-6).all()


def test_mistakes_are_named(fitted, tmp_path, capsys):
    pool, model = fitted
    with pytest.raises(DataError, match="100 molecules are asked for, but the pool has 1 different"):
        choose_molecules(model, ["CCO", "nonsense"], 100)
    with pytest.raises(OptionError, match="optimism is -1"):
        choose_molecules(model, pool, 2, optimism=-1.0)
    save_molecules(tmp_path / "model", model)
    file = tmp_path / "pool.csv"
    file.write_text("\n".join(["smiles", *pool]))
    main(["molecules", "choose", str(tmp_path / "model"), str(file), "--count", "3"])
    with (tmp_path / "model" / "chosen.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["smiles"] for row in rows] == [pool[row] for row in choose_molecules(model, pool, 3).rows]
    assert all(float(row["gain"]) > 0 for row in rows)
    with pytest.raises(SystemExit) as ended:
        main(["molecules", "choose", str(tmp_path / "model"), str(file), "--task", "other"])
    assert ended.value.code == 2 and "has no task 'other'; it has expt" in capsys.readouterr().err


@pytest.mark.long
def test_classes_are_chosen_by_mutual_information():
    data = load_molecules("bace").take(range(0, 1513, 10))
    parts = divide_molecules(data.smiles, "random")
    model = fit_molecules(
        jax.random.key(1), data, parts, MoleculeRecipe("morgan", members=3, epochs=4, width=64, depth=1)
    )
    choice = choose_molecules(model, data.smiles, 5)
    information = choice.forecast.epistemic[:, 0]
    assert choice.rows[0] == information.argmax()
    assert choice.gain[0] == pytest.approx(information.max(), rel=1e-3)
