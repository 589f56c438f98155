"""A network of several molecules learns from each: labels of which the first alone, or either alone, says nothing.

Molecules of ESOL in random pairs, so that neither tells of the other. What the best forecast from the first alone can
reach is known: the standard deviation of the labels.
"""

import jax
import numpy as np
import pytest
from rdkit import Chem

from jaxuq.molecules import load_csv, load_molecules
from jaxuq.molecules.fitted import MoleculeRecipe, divide_molecules, fit_molecules, predict_molecules

pytestmark = pytest.mark.long
RECIPES = {
    "gin": MoleculeRecipe("gin", members=1, epochs=60, width=32, depth=3, learning_rate=3e-3, batch_size=64),
    "dmpnn": MoleculeRecipe("dmpnn", members=1, epochs=40, width=48, learning_rate=3e-3, dropout=0.0, batch_size=64),
}


def _aromatic(smiles):
    """Minus and plus one; about half of the molecules have an aromatic ring."""
    return 1.0 if any(atom.GetIsAromatic() for atom in Chem.MolFromSmiles(smiles).GetAtoms()) else -1.0


def _error(table, columns, recipe):
    """Root mean squared error on pairs that nothing saw, in standard deviations of their labels."""
    data = load_csv(table, columns, ["y"])
    rows = divide_molecules(data.smiles, "random", fractions=(0.7, 0.1, 0.1, 0.1), seed=0)
    model = fit_molecules(jax.random.key(0), data, rows, recipe._replace(conformal=None, calibrator=None))
    test = data.take(rows.test)
    missed = predict_molecules(model, test.rows).mean - test.labels
    return float(np.sqrt((missed**2).mean()) / test.labels.std())


@pytest.mark.parametrize("backbone", RECIPES)
@pytest.mark.parametrize("of", ["the second", "both"])
def test_labels_of_the_second_molecule_and_of_both_are_learnt(backbone, of, tmp_path):
    """Of both: the product of two signs, of which each molecule alone, and any sum of their effects, says nothing."""
    rng = np.random.default_rng(7)
    pool = [smiles for smiles in load_molecules("esol").smiles if len(smiles) < 30]
    pairs = rng.choice(pool, (900, 2))
    signs = np.array([[_aromatic(one) for one in pair] for pair in pairs])
    labels = signs[:, 1] if of == "the second" else signs.prod(axis=1)
    labels = labels + 0.05 * rng.normal(size=len(pairs))
    lines = [f"{first},{second},{label:.5f}" for (first, second), label in zip(pairs, labels)]
    table = tmp_path / "pairs.csv"
    table.write_text("\n".join(["solute,solvent,y", *lines]))
    assert _error(table, ["solute"], RECIPES[backbone]) > 0.95  # the first alone
    assert _error(table, ["solute", "solvent"], RECIPES[backbone]) < 0.35
