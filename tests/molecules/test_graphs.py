"""Graphs of molecules against RDKit's own count of atoms and bonds, for ordinary and for odd molecules."""

import warnings

import numpy as np
import pytest
from rdkit import Chem

from jaxuq.molecules import DataError, DataWarning, molecular_graphs

ODD = {  # what it is: SMILES, atoms with hydrogens, directed edges
    "an atom": ("[He]", 1, 0),
    "a metal": ("[Na+]", 1, 0),
    "a salt": ("[Na+].[O-]C=O", 5, 6),
    "an isotope": ("[2H]C([2H])([2H])[2H]", 5, 8),
    "a radical": ("[CH3]", 4, 6),
    "a wildcard": ("*C", 5, 8),
    "a superheavy element": ("[Og]", 1, 0),
    "impossible stereo": ("C[C@@H](C)C", 14, 26),
    "six-valent aluminium": ("F[Al-3](F)(F)(F)(F)F", 7, 12),
    "a peptide": ("N" + "CC(=O)N" * 120 + "CC(=O)O", None, None),
}


def test_graphs_of_odd_molecules_are_those_of_rdkit():
    smiles = [text for text, *_ in ODD.values()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        graphs = molecular_graphs(smiles, cache=False)
    for row, (name, (text, atoms, edges)) in enumerate(ODD.items()):
        if atoms is None:
            mol = Chem.AddHs(Chem.MolFromSmiles(text))
            atoms, edges = mol.GetNumAtoms(), 2 * mol.GetNumBonds()
        assert (graphs.num_atoms[row], graphs.num_edges[row]) == (atoms, edges), name
    assert graphs.incoming.dtype == np.uint16 and graphs.atoms[list(ODD).index("a wildcard"), 0] == 0


def test_every_edge_ends_where_its_other_direction_begins():
    mols = ["CC(=O)Oc1ccccc1C(=O)O", "C", "[Na+].[Cl-]", "C1CC1C#N"]
    graphs = molecular_graphs(mols, hydrogens=False, cache=False)
    for row, text in enumerate(mols):
        adjacency = np.zeros((graphs.num_atoms[row],) * 2, int)
        for atom in range(graphs.num_atoms[row]):
            edges = graphs.incoming[row, atom]
            np.add.at(adjacency[atom], graphs.sources[row, edges[edges < graphs.sources.shape[1]]], 1)
        np.testing.assert_array_equal(adjacency, Chem.GetAdjacencyMatrix(Chem.MolFromSmiles(text)))


def test_what_cannot_be_read_has_no_atoms_and_is_named():
    with pytest.warns(
        DataWarning, match=r"cannot read 2 of 3 SMILES: their graphs have no atoms \(row 1: 'C\(C'; row 2"
    ):
        graphs = molecular_graphs(["CO", "C(C", ""], cache=False)
    assert graphs.num_atoms.tolist() == [6, 0, 0] and graphs.num_edges.tolist() == [10, 0, 0]
    with pytest.raises(DataError, match="not one string"):
        molecular_graphs("CCO", cache=False)
    assert molecular_graphs([], cache=False).atoms.shape[0] == 0


def test_stored_graphs_are_the_computed_ones_and_damaged_ones_are_made_again(tmp_path):
    smiles = ["CCO", "c1ccccc1"]
    first = molecular_graphs(smiles, "chemprop", hydrogens=False, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    again = molecular_graphs(smiles, "chemprop", hydrogens=False, cache=tmp_path)
    for ours, theirs in zip((*first.atoms, first.bonds, first.incoming), (*again.atoms, again.bonds, again.incoming)):
        np.testing.assert_array_equal(ours, theirs)
    file.write_bytes(file.read_bytes()[:50])
    with pytest.warns(DataWarning, match="damaged"):
        assert molecular_graphs(smiles, "chemprop", hydrogens=False, cache=tmp_path).num_atoms.tolist() == [3, 6]
