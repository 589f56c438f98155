"""Three-dimensional structures of molecules: distance geometry and a force field, in processes with a time limit."""

import base64
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from jaxuq.molecules._feature_cache import cached_features
from jaxuq.molecules._rdkit_conformers import LAYOUT
from jaxuq.molecules._workers import Outcome, Progress, run_rdkit
from jaxuq.molecules.records import DataError, DataWarning

MOST_ATOMS = 400  # larger molecules, hydrogen not counted, are given their layout


class Conformers(NamedTuple):
    """Structures of many molecules, one below the other.

    Attributes:
        sizes: atoms of each molecule, hydrogen included; 0 for one that RDKit cannot read.
        numbers: atomic numbers of all atoms; 0 for a wildcard.
        coordinates: in ångström. The last frame is the two-dimensional layout, with z = 0.
        states: how each but the last came about: 0 relaxed by the force field, 1 not converged in 200 steps, 2 without
            parameters and therefore as embedded, 3 the layout, because embedding failed or took too long.
    """

    sizes: Int32[np.ndarray, " molecules"]
    numbers: UInt8[np.ndarray, " all_atoms"]
    coordinates: Float32[np.ndarray, "frames all_atoms xyz"]
    states: UInt8[np.ndarray, "molecules conformers"]

    def failed(self) -> list[int]:
        """Rows of readable molecules without a single conformer."""
        return np.flatnonzero((self.states == LAYOUT).all(1) & (self.sizes > 0)).tolist()

    def one(self, row: int) -> tuple[UInt8[np.ndarray, " atoms"], Float32[np.ndarray, "frames atoms xyz"]]:
        """Atomic numbers and frames of one molecule."""
        first = int(self.sizes[:row].sum())
        where = slice(first, first + int(self.sizes[row]))
        return self.numbers[where], self.coordinates[:, where]


def generate_conformers(
    smiles: Sequence[str],
    count: int = 10,
    *,
    time_limit: float = 60.0,
    workers: int | None = None,
    progress: Progress | None = None,
    cache: bool | str | os.PathLike = True,
) -> Conformers:
    """Structures of molecules by ETKDG (version 2) and MMFF94, with a two-dimensional layout as the last.

    Hydrogen is added; for each of the seeds 0, 1, … the molecule is embedded and relaxed for at most 200 steps. If
    embedding fails, it is tried without hydrogen; if that fails as well, if RDKit raises, or if the molecule takes
    longer than the time limit, the layout takes the place of the conformer, which is counted in a warning and in
    `states`. MMFF lacks parameters for some metals; such a molecule keeps its embedded coordinates. Coordinates depend
    on RDKit's version and on the platform; they are kept on disk under that version.

    Args:
        smiles: the molecules; one that RDKit cannot read has no atoms and is named in a warning.
        count: conformers besides the layout, at least 0.
        time_limit: seconds for all conformers of one molecule.
        workers: processes to use; None: as many as there are cores.
        progress: called as `progress(done, total)`, from a worker's thread.
        cache: whether to keep the result on disk in `cache_folder()`, or another folder for it.

    Returns:
        `Conformers`; holds `12 * (count + 1)` bytes an atom.

    Raises:
        DataError: `smiles` is a single string, or a number is out of range.
        ImportError: rdkit is not installed.

    Example:
        >>> found = generate_conformers(["O", "[Na+]"], count=1, cache=False)
        >>> numbers, frames = found.one(0)
        >>> numbers.tolist(), frames.shape, round(float(np.linalg.norm(frames[0, 1] - frames[0, 0])), 2)
        ([8, 1, 1], (2, 3, 3), 0.97)

    References:
        S. Wang, J. Witek, G. A. Landrum, S. Riniker. Improving conformer generation for small rings and macrocycles
        based on distance geometry and experimental torsional-angle preferences. J. Chem. Inf. Model. 60, 2020.
        P. Tosco, N. Stiefl, G. Landrum. Bringing the MMFF force field to the RDKit. J. Cheminform. 6, 2014.
        G. Zhou et al. Uni-Mol: a universal 3D molecular representation learning framework. ICLR 2023 (the recipe).
    """
    if count < 0 or not time_limit > 0:
        raise DataError(f"count must be at least 0 and time_limit positive, got {count} and {time_limit}")

    def compute() -> Outcome:
        options = {"count": count, "most_atoms": MOST_ATOMS}
        found = run_rdkit("conformers", smiles, options, workers=workers, progress=progress, time_limit=time_limit)
        missing = found.unreadable
        layouts = run_rdkit("conformers", [smiles[row] for row in missing], options | {"count": 0}, workers=1)
        values = list(found.values)
        for row, value in zip(missing, layouts.values):
            values[row] = value
        unreadable = [missing[row] for row in layouts.unreadable]
        relaxed = sorted({*found.relaxed, *(missing[row] for row in layouts.relaxed)})
        return Outcome(_flat(values, count), unreadable, relaxed)

    def good(stored: Mapping[str, np.ndarray]) -> bool:
        atoms = int(stored["sizes"].sum())
        return (
            stored["states"].shape == (len(smiles), count)
            and stored["sizes"].shape == (len(smiles),)
            and stored["coordinates"].shape == (count + 1, atoms, 3)
            and stored["numbers"].shape == (atoms,)
        )

    kind = f"conformers-{count}-{time_limit:g}s"
    found = Conformers(**cached_features(kind, smiles, compute, good, cache, "they have no structure"))
    _warn(found, smiles)
    return found


def _flat(values: list, count: int) -> dict[str, np.ndarray]:
    """Molecules one below the other; for one with a layout alone it stands for every conformer."""
    sizes = np.array([0 if value is None else len(value[0]) for value in values], np.int32)
    numbers = np.array([number for value in values if value is not None for number in value[0]], np.uint8)
    frames, states = [np.zeros((count + 1, 0, 3), np.float32)], np.full((len(values), count), LAYOUT, np.uint8)
    for row, value in enumerate(values):
        if value is None:
            continue
        coordinates = np.frombuffer(base64.b64decode(value[1]), "<f4").reshape(-1, sizes[row], 3)
        if len(coordinates) == 1:
            coordinates = np.broadcast_to(coordinates, (count + 1, sizes[row], 3))
        else:
            states[row] = value[2]
        frames.append(coordinates.astype(np.float32))
    return {"sizes": sizes, "numbers": numbers, "coordinates": np.concatenate(frames, axis=1), "states": states}


def _warn(found: Conformers, smiles: Sequence[str]) -> None:
    rows = found.failed()
    if rows and found.states.shape[1]:
        shown = "; ".join(f"row {row}: {smiles[row][:60]!r}" for row in rows[:5])
        more = f"; and {len(rows) - 5} more" if len(rows) > 5 else ""
        message = f"{len(rows)} of {len(smiles)} molecules have no conformer and are given their two-dimensional layout"
        warnings.warn(f"{message} ({shown}{more})", DataWarning, stacklevel=3)
