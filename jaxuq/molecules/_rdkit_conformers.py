"""Coordinates of one molecule after another; a task of `_rdkit_worker.py`, which loads this file when it is wanted."""

import base64

import numpy as np

RELAXED, UNFINISHED, UNTOUCHED, LAYOUT = range(4)  # how a conformer came about


def conformers(each, smiles, count, most_atoms):
    """Atomic numbers, `count` conformers and a two-dimensional layout of every molecule, and how each came about."""
    values: list = [None] * len(smiles)

    def compute(row, mol):
        full = _with_hydrogen(mol)
        layout = _layout(full)
        frames, states = [], []
        for seed in range(count):
            found = None if mol.GetNumAtoms() > most_atoms else _embedded(mol, full, seed)
            frames.append(layout if found is None else found[0])
            states.append(LAYOUT if found is None else found[1])
        packed = base64.b64encode(np.stack([*frames, layout]).astype("<f4").tobytes()).decode()
        values[row] = [[atom.GetAtomicNum() for atom in full.GetAtoms()], packed, states]

    return values, *each(smiles, compute)


def _with_hydrogen(mol):
    from rdkit import Chem

    try:
        return Chem.AddHs(mol)
    except (ValueError, RuntimeError):  # molecules that could only be read without the valence check
        return mol


def _layout(full):
    """A drawing's coordinates."""
    from rdkit.Chem import rdDepictor

    try:
        copy = type(full)(full)
        rdDepictor.Compute2DCoords(copy)
        return copy.GetConformer().GetPositions()
    except (ValueError, RuntimeError):
        return np.zeros((full.GetNumAtoms(), 3))


def _embedded(mol, full, seed):
    """Distance geometry, then 200 steps of a force field; None if neither way of embedding gives coordinates."""
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    try:
        trial = Chem.Mol(full)
        if rdDistGeom.EmbedMolecule(trial, randomSeed=seed) != 0:
            trial = Chem.Mol(mol)
            if rdDistGeom.EmbedMolecule(trial, maxAttempts=5000, randomSeed=seed) != 0:
                return None
            trial = Chem.AddHs(trial, addCoords=True)
        outcome = rdForceFieldHelpers.MMFFOptimizeMolecule(trial)
        positions = trial.GetConformer().GetPositions()
    except (ValueError, RuntimeError):
        return None
    if len(positions) != full.GetNumAtoms() or not np.isfinite(positions).all():
        return None
    return positions, {0: RELAXED, 1: UNFINISHED}.get(outcome, UNTOUCHED)
