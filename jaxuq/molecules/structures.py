"""Structures as the networks read them: tokens and centred frames for Uni-Mol, atomic numbers for TorchMD-NET."""

import os
import warnings
from collections.abc import Sequence

import numpy as np

from jaxuq.molecules._workers import Progress
from jaxuq.molecules.conformers import Conformers, generate_conformers
from jaxuq.molecules.records import DataWarning
from jaxuq.networks import AtomInputs, UniMolInputs

# Atomic numbers of Uni-Mol's tokens from 4 on.
_DICTIONARY = (6, 7, 8, 16, 1, 17, 9, 35, 53, 14, 15, 5, 11, 19, 13, 20, 50, 33, 80, 26, 30, 24, 34, 64, 79, 3)
_FIRST, _LAST, _UNKNOWN = 1, 2, 3
_TOKENS = np.full(256, _UNKNOWN, np.int32)
_TOKENS[list(_DICTIONARY)] = 4 + np.arange(len(_DICTIONARY))


def unimol_inputs(
    smiles: Sequence[str],
    *,
    hydrogens: bool = False,
    max_atoms: int = 256,
    conformers: Conformers | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    cache: bool | str | os.PathLike = True,
) -> UniMolInputs:
    """Molecules for `jaxuq.networks.UniMol`: ten conformers and the layout, each with its mean at the origin.

    Hydrogen is dropped for the checkpoint without it, unless there is nothing else. Of a molecule with more than
    `max_atoms` atoms a random part is kept, always the same one. Elements that the dictionary lacks, and wildcards,
    become its unknown token; how many molecules have one is said in a warning. A molecule that RDKit cannot read is the
    two special tokens.

    Args:
        smiles: the molecules.
        hydrogens: keep hydrogen, for the checkpoint trained with it.
        max_atoms: of a molecule, special tokens not counted.
        conformers: of these molecules, if they have been generated; None: `generate_conformers(smiles)`.
        workers: see `generate_conformers`.
        progress: see `generate_conformers`.
        cache: see `generate_conformers`.

    Returns:
        NumPy arrays, padded to the largest molecule.

    Example:
        >>> inputs = unimol_inputs(["CO", "[U]"], conformers=generate_conformers(["CO", "[U]"], 2, cache=False))
        >>> inputs.tokens.tolist(), inputs.coordinates.shape
        ([[1, 4, 6, 2], [1, 3, 2, 0]], (2, 3, 4, 3))
    """
    found = conformers or generate_conformers(smiles, workers=workers, progress=progress, cache=cache)
    molecules = [_cropped(*found.one(row), hydrogens, max_atoms) for row in range(len(found.sizes))]
    longest = 2 + max((len(numbers) for numbers, _ in molecules), default=0)
    tokens = np.zeros((len(molecules), longest), np.int32)
    coordinates = np.zeros((len(molecules), len(found.coordinates), longest, 3), np.float32)
    unknown = []
    for row, (numbers, frames) in enumerate(molecules):
        size = len(numbers)
        tokens[row, : size + 2] = [_FIRST, *_TOKENS[numbers], _LAST]
        if size:
            coordinates[row, :, 1 : size + 1] = frames - frames.mean(1, keepdims=True)
        if _UNKNOWN in tokens[row]:
            unknown.append(row)
    if unknown:
        shown = "; ".join(f"row {row}: {smiles[row][:60]!r}" for row in unknown[:5])
        message = f"{len(unknown)} of {len(smiles)} molecules have atoms that Uni-Mol's dictionary lacks"
        warnings.warn(f"{message} ({shown})", DataWarning, stacklevel=2)
    return UniMolInputs(tokens, coordinates)  # pyright: ignore[reportArgumentType]


def _cropped(numbers: np.ndarray, frames: np.ndarray, hydrogens: bool, max_atoms: int) -> tuple[np.ndarray, np.ndarray]:
    heavy = numbers != 1
    if not hydrogens and heavy.any():
        numbers, frames = numbers[heavy], frames[:, heavy]
    if len(numbers) > max_atoms:
        kept = np.sort(np.random.default_rng(0).choice(len(numbers), max_atoms, replace=False))
        numbers, frames = numbers[kept], frames[:, kept]
    return numbers, frames


def atom_inputs(
    smiles: Sequence[str],
    *,
    max_number: int = 100,
    conformers: Conformers | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    cache: bool | str | os.PathLike = True,
) -> AtomInputs:
    """Molecules for `jaxuq.networks.TorchMDNet`: the first conformer, hydrogen included.

    A molecule whose embedding failed is read in its two-dimensional layout, which `generate_conformers` says in a
    warning. Wildcards, and elements beyond the network's table, are left out, as are molecules that RDKit cannot read
    (rows without atoms).

    Args:
        smiles: the molecules.
        max_number: rows of the network's table of elements.
        conformers: of these molecules, if they have been generated; None: one each by `generate_conformers`.
        workers: see `generate_conformers`.
        progress: see `generate_conformers`.
        cache: see `generate_conformers`.

    Returns:
        NumPy arrays, padded to the largest molecule.

    Example:
        >>> atom_inputs(["O", "*C"], conformers=generate_conformers(["O", "*C"], 1, cache=False)).numbers.tolist()
        [[8, 1, 1, 0], [6, 1, 1, 1]]
    """
    found = conformers or generate_conformers(smiles, 1, workers=workers, progress=progress, cache=cache)
    molecules = []
    for row in range(len(found.sizes)):
        numbers, frames = found.one(row)
        known = (numbers > 0) & (numbers < max_number)
        molecules.append((numbers[known], frames[0, known]))
    longest = max(1, *(len(numbers) for numbers, _ in molecules)) if molecules else 1
    numbers = np.zeros((len(molecules), longest), np.int32)
    coordinates = np.zeros((len(molecules), longest, 3), np.float32)
    for row, (elements, positions) in enumerate(molecules):
        numbers[row, : len(elements)], coordinates[row, : len(elements)] = elements, positions
    return AtomInputs(numbers, coordinates)  # pyright: ignore[reportArgumentType]
