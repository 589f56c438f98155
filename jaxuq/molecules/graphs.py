"""Molecules as graphs: atoms, and bonds in both directions, padded to one size."""

import os
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from jaxuq.molecules._feature_cache import cached_features
from jaxuq.molecules._workers import Outcome, Progress, run_rdkit
from jaxuq.networks import MolecularGraphs, Spread


def molecular_graphs(
    smiles: Sequence[str],
    features: Literal["numbers", "chemprop"] = "numbers",
    *,
    hydrogens: bool = True,
    workers: int | None = None,
    progress: Progress | None = None,
    cache: bool | str | os.PathLike = True,
) -> MolecularGraphs:
    """The graphs of molecules, one padded row each, for `jaxuq.networks.GIN` and `DMPNN`.

    Features of atoms are their atomic number (`"numbers"`), or what all of chemprop 2's sets of features are made of:
    atomic number, categories of degree, charge, chirality and hydrogens, hybridisation by RDKit's number, aromaticity,
    and the mass. Bonds have none, or four categories: kind, conjugation, ring, stereo. A wildcard has number 0;
    isotopes differ by the mass alone; what is not bound to the rest (salts) stays in the graph.

    Args:
        smiles: the molecules; one that RDKit cannot read is a graph without atoms, named in a warning.
        features: which.
        hydrogens: whether hydrogens become atoms.
        workers: processes to use; None chooses by the number of molecules and cores, 1 stays in this process.
        progress: called as `progress(done, total)`, from a worker's thread.
        cache: whether to keep the result on disk in `cache_folder()`, or another folder for it.

    Returns:
        NumPy arrays of the smallest integers that hold them, padded to the largest molecule. `atoms` has axes
        `molecules atoms` (`"numbers"`), or is a pair of categories `molecules atoms 7` and masses `molecules atoms`.

    Raises:
        DataError: `smiles` is a single string, or `workers` is not positive.
        ImportError: rdkit is not installed.

    Example:
        >>> graphs = molecular_graphs(["CCO", "[Na+].[Cl-]"], cache=False)
        >>> graphs.num_atoms.tolist(), graphs.num_edges.tolist(), graphs.atoms[1, :2].tolist()
        ([9, 2], [16, 0], [11, 17])
    """

    def compute() -> Outcome:
        options = {"features": features, "hydrogens": hydrogens}
        found = run_rdkit("graphs", smiles, options, workers=workers, progress=progress)
        return found._replace(values=_flat(found.values, features))

    def good(stored: Mapping[str, np.ndarray]) -> bool:
        rows = [stored["num_atoms"], stored["num_bonds"]]
        ends = [len(stored["atoms"]), len(stored["bonds"])]
        return all(len(row) == len(smiles) and row.sum() == end for row, end in zip(rows, ends))

    kind = f"graphs-{_STORED[features]}{'-h' if hydrogens else ''}"
    return _padded(cached_features(kind, smiles, compute, good, cache, "their graphs have no atoms"), features)


_WIDTHS = {"numbers": (1, 0), "chemprop": (8, 4)}
_STORED = {"numbers": "numbers", "chemprop": "chemprop-2"}  # changes with what is computed: stored ones are then left


def _flat(graphs: list, features: str) -> dict[str, np.ndarray]:
    """All atoms and all bonds of all molecules, one below the other."""
    of_atom, of_bond = _WIDTHS[features]
    atoms = [atom for molecule, _ in graphs for atom in molecule]
    bonds = [bond for _, molecule in graphs for bond in molecule]
    return {
        "num_atoms": np.array([len(molecule) for molecule, _ in graphs], np.int32),
        "num_bonds": np.array([len(molecule) for _, molecule in graphs], np.int32),
        "atoms": np.array(atoms, np.float32).reshape(-1, of_atom),
        "bonds": np.array(bonds, np.int32).reshape(-1, 2 + of_bond),
    }


def _padded(flat: Mapping[str, np.ndarray], features: str) -> MolecularGraphs:
    num_atoms, num_bonds = flat["num_atoms"], flat["num_bonds"]
    num_edges, molecules = 2 * num_bonds, len(num_atoms)
    most_atoms, most_edges = max(int(num_atoms.max(initial=0)), 1), max(int(num_edges.max(initial=0)), 2)
    atom_place = _places(num_atoms)
    edge_place = _places(num_edges)

    def rows(values: np.ndarray, place: tuple[np.ndarray, np.ndarray], length: int) -> np.ndarray:
        padded = np.zeros((molecules, length, *values.shape[1:]), values.dtype)
        padded[place] = values
        return padded

    ends = flat["bonds"][:, :2]
    sources, targets = ends.reshape(-1), ends[:, ::-1].reshape(-1)
    # The edges that end at one atom, in the order of their numbers: sort by atom, then count from each atom's first.
    atom = edge_place[0] * most_atoms + targets
    order = np.argsort(atom, kind="stable")
    degrees = np.bincount(atom, minlength=molecules * most_atoms)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(degrees) - degrees, degrees)
    degree = max(int(degrees.max(initial=0)), 1)
    incoming = np.full((molecules * most_atoms, degree), most_edges, np.int32)
    incoming[atom[order], rank] = edge_place[1][order]
    small = _smallest(max(most_atoms, most_edges))
    atoms, bonds = flat["atoms"], np.repeat(flat["bonds"][:, 2:], 2, axis=0)
    if features == "numbers":
        of_atoms, of_bonds = rows(atoms[:, 0].astype(np.uint8), atom_place, most_atoms), None
    else:
        of_atoms = (
            rows(atoms[:, :-1].astype(np.uint8), atom_place, most_atoms),
            rows(atoms[:, -1], atom_place, most_atoms),
        )
        of_bonds = rows(bonds.astype(np.uint8), edge_place, most_edges)
    return MolecularGraphs(
        atoms=of_atoms,
        sources=rows(sources.astype(small), edge_place, most_edges),
        incoming=incoming.reshape(molecules, most_atoms, degree).astype(small),
        num_atoms=num_atoms,
        num_edges=num_edges,
        bonds=of_bonds,
        atom_spread=_spread(num_atoms),
        edge_spread=_spread(num_edges),
    )


def _places(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of every item."""
    row = np.repeat(np.arange(len(sizes)), sizes)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _smallest(largest: int) -> type[np.unsignedinteger]:
    return np.uint8 if largest < 2**8 else np.uint16 if largest < 2**16 else np.uint32


def _spread(sizes: np.ndarray) -> Spread:
    return Spread(float(sizes.mean()), float(sizes.std())) if len(sizes) else Spread(0.0, 0.0)
