"""Conformers against RDKit called directly, what happens to molecules that have none, and what networks are given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from jaxuq.molecules import (
    DataError,
    DataWarning,
    atom_inputs,
    conformers,
    generate_conformers,
    grover_inputs,
    unimol_inputs,
)
from jaxuq.networks import Grover, TorchMDNet, UniMol, apply_function
from tests.networks.golden_backbones import golden

PEPTIDE = "N" + "CC(=O)N" * 75 + "CC(=O)O"  # 305 heavy atoms
BAD = [
    *("C", "[H][H]", "[Zr+4]", "[Na+].[Cl-]", "*CC", "", "nonsense", "[13CH3][CH2]", "C(C)(C)(C)(C)C", PEPTIDE),
    *("F/C=C/[C@@H](F)Cl", "[Al-3](F)(F)(F)(F)(F)F", "[U]"),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Structures of awkward molecules, one conformer each; the peptide is not given the time that it needs."""
    folder = tmp_path_factory.mktemp("conformers")
    with pytest.warns(DataWarning) as caught:
        structures = generate_conformers(BAD, 1, time_limit=1.5, workers=1, cache=folder)
    return structures, [str(item.message) for item in caught], folder


def test_structures_are_those_of_rdkit(found):
    row = BAD.index("F/C=C/[C@@H](F)Cl")
    mol = Chem.AddHs(Chem.MolFromSmiles(BAD[row]))
    assert AllChem.EmbedMolecule(mol, randomSeed=0) == 0
    outcome = AllChem.MMFFOptimizeMolecule(mol)
    numbers, frames = found[0].one(row)
    assert numbers.tolist() == [atom.GetAtomicNum() for atom in mol.GetAtoms()]
    np.testing.assert_allclose(frames[0], mol.GetConformer().GetPositions(), atol=1e-4)
    assert found[0].states[row].tolist() == [outcome]
    assert not frames[1, :, 2].any() and np.ptp(frames[1, :, :2]) > 1


def test_a_molecule_without_conformer_has_its_layout_and_is_counted(found):
    structures, messages, _ = found
    assert structures.failed() == [BAD.index("C(C)(C)(C)(C)C"), BAD.index(PEPTIDE)]
    assert any("2 of 13 molecules have no conformer" in message for message in messages)
    assert any("cannot read 2 of 13 SMILES" in message for message in messages)
    numbers, frames = structures.one(BAD.index(PEPTIDE))
    assert (numbers != 1).sum() == 305
    np.testing.assert_array_equal(frames[0], frames[1])
    assert structures.sizes[[BAD.index(""), BAD.index("nonsense")]].tolist() == [0, 0]
    assert structures.states[BAD.index("[Zr+4]")] == 2  # the force field has no parameters


def test_structures_are_kept_on_disk(found, monkeypatch):
    structures, _, folder = found
    monkeypatch.setattr(conformers, "run_rdkit", lambda *_, **__: pytest.fail("they were computed again"))
    with pytest.warns(DataWarning):
        again = generate_conformers(BAD, 1, time_limit=1.5, cache=folder)
    jax.tree.map(np.testing.assert_array_equal, again, structures)
    with pytest.raises(DataError, match=r"count must be at least 0 and time_limit positive, got 1 and 0\.0"):
        generate_conformers(["C"], 1, time_limit=0.0)


def test_unimol_reads_centred_heavy_atoms_and_a_part_of_large_molecules(found):
    with pytest.warns(DataWarning, match=r"3 of 13 molecules have atoms that Uni-Mol's dictionary lacks"):
        inputs = unimol_inputs(BAD, conformers=found[0])
    row = BAD.index("F/C=C/[C@@H](F)Cl")
    assert inputs.tokens[row, :8].tolist() == [1, 10, 4, 4, 4, 10, 9, 2]
    numbers, frames = found[0].one(row)
    kept = frames[:, numbers != 1]
    np.testing.assert_allclose(inputs.coordinates[row, :, 1:7], kept - kept.mean(1, keepdims=True), atol=1e-6)
    assert not inputs.coordinates[row, :, [0, 7]].any()
    assert inputs.tokens[BAD.index("[H][H]"), :4].tolist() == [1, 8, 8, 2]  # nothing else is there
    peptide = inputs.tokens[BAD.index(PEPTIDE)]
    assert (peptide != 0).sum() == 258 and peptide[257] == 2
    many = unimol_inputs(["CO"], conformers=generate_conformers(["CO"], 0, cache=False), hydrogens=True)
    assert many.tokens[0].tolist() == [1, 4, 6, 8, 8, 8, 8, 2]


def test_torchmdnet_reads_the_first_conformer_with_hydrogen(found):
    inputs = atom_inputs(BAD, conformers=found[0])
    assert inputs.numbers[0, :6].tolist() == [6, 1, 1, 1, 1, 0]
    assert np.count_nonzero(inputs.numbers[BAD.index("*CC")]) == 7  # without the wildcard
    bonds = np.linalg.norm(inputs.coordinates[0, 1:5] - inputs.coordinates[0, :1], axis=-1)
    np.testing.assert_allclose(bonds, 1.09, atol=0.01)


def test_grovers_features_are_those_of_the_published_code():
    arrays = golden("grover").arrays
    inputs = grover_inputs(arrays["input:smiles"].tolist(), cache=False)
    for row, (atoms, bonds) in enumerate(zip(inputs.num_atoms, inputs.num_bonds)):
        features = np.insert(inputs.atoms[row, :atoms].astype(np.float32), 132, inputs.masses[row, :atoms], axis=1)
        np.testing.assert_allclose(features, arrays[f"input:atoms-{row}"], atol=1e-6)
        np.testing.assert_array_equal(inputs.bonds[row, :bonds], arrays[f"input:bonds-{row}"])
        ends = np.stack([inputs.senders[row, :bonds], inputs.receivers[row, :bonds]], axis=1)
        np.testing.assert_array_equal(ends, arrays[f"input:ends-{row}"])
    charges = ["[C]", "[C+]", "[C+2]", "[C-]", "[C-2]", "[C-3]", "[C+5]", "[C+8]", "[C-9]"]
    charged = grover_inputs(charges, cache=False).atoms[:, 0, 108:114].argmax(-1)
    assert charged.tolist() == [0, 1, 2, 5, 4, 3, 5, 5, 0]


def test_every_network_gives_every_molecule_a_finite_output(found):
    rows = np.array([row for row, text in enumerate(BAD) if text != PEPTIDE])
    smiles = [BAD[row] for row in rows]
    with pytest.warns(DataWarning):
        graphs = grover_inputs(smiles, cache=False)
        tokens = unimol_inputs(BAD, conformers=found[0], max_atoms=20)
    atoms = atom_inputs(BAD, conformers=found[0])
    atoms = jax.tree.map(lambda leaf: leaf[rows, :20], atoms)
    given = {"unimol": (UniMol, tokens), "torchmdnet": (TorchMDNet, atoms), "grover": (Grover, graphs)}
    for kind, (network, inputs) in given.items():
        held = golden(kind)
        apply = jax.jit(apply_function(network(2, held.loaded.config)))
        outputs = apply(held.params, jax.tree.map(jnp.asarray, inputs))
        assert np.isfinite(outputs).all() and outputs.shape == (len(inputs[0]), 2), kind
