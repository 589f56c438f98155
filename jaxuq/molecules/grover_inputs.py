"""Molecules as GROVER reads them: its 151 features of an atom and 14 of a bond."""

import base64
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxuq.molecules._feature_cache import cached_features
from jaxuq.molecules._workers import Outcome, Progress, run_rdkit
from jaxuq.networks import GroverInputs

_FLAGS, _KINDS = 150, 14


def grover_inputs(
    smiles: Sequence[str],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    cache: bool | str | os.PathLike = True,
) -> GroverInputs:
    """Graphs of molecules for `jaxuq.networks.Grover`, hydrogen implicit.

    The features are those that the checkpoints were trained on, with their peculiarity: a formal charge is its own
    place among six, counted from the back if it is negative, so +5 and -1 are alike; charges beyond -6 and +5 count as
    these. Wildcards and elements beyond 100 have the place "other".

    Args:
        smiles: the molecules; one that RDKit cannot read is a graph without atoms, named in a warning.
        workers: processes to use; None chooses by the number of molecules and cores, 1 stays in this process.
        progress: called as `progress(done, total)`, from a worker's thread.
        cache: whether to keep the result on disk in `cache_folder()`, or another folder for it.

    Returns:
        NumPy arrays, padded to the largest molecule.

    Raises:
        DataError: `smiles` is a single string, or `workers` is not positive.
        ImportError: rdkit is not installed.

    Example:
        >>> inputs = grover_inputs(["CC(=O)[O-]", "[Na+]"], cache=False)
        >>> inputs.num_atoms.tolist(), inputs.num_bonds.tolist(), inputs.atoms[0, 3].nonzero()[0].tolist()
        ([4, 1], [6, 0], [7, 102, 113, 114, 119, 126, 132, 140])

    References:
        Y. Rong et al. Self-supervised graph transformer on large-scale molecular data. NeurIPS 2020, appendix.
    """

    def compute() -> Outcome:
        found = run_rdkit("grover", smiles, {}, workers=workers, progress=progress)
        return found._replace(values=_flat(found.values))

    def good(stored: Mapping[str, np.ndarray]) -> bool:
        return len(stored["num_atoms"]) == len(smiles) and stored["num_atoms"].sum() == len(stored["atoms"])

    return _padded(cached_features("grover", smiles, compute, good, cache, "their graphs have no atoms"))


def _flat(graphs: list) -> dict[str, np.ndarray]:
    """All atoms and all bonds of all molecules, one below the other, flags packed."""
    known = [graph for graph in graphs if graph is not None]

    def bits(place: int, width: int) -> np.ndarray:
        packed = b"".join(base64.b64decode(graph[place]) for graph in known)
        return np.frombuffer(packed, np.uint8).reshape(-1, (width + 7) // 8)

    return {
        "num_atoms": np.array([0 if graph is None else len(graph[2]) for graph in graphs], np.int32),
        "num_bonds": np.array([0 if graph is None else len(graph[3]) for graph in graphs], np.int32),
        "atoms": bits(0, _FLAGS),
        "bonds": bits(1, _KINDS),
        "masses": np.array([mass for graph in known for mass in graph[2]], np.float32),
        "ends": np.array([ends for graph in known for ends in graph[3]], np.int32).reshape(-1, 2),
    }


def _padded(flat: Mapping[str, np.ndarray]) -> GroverInputs:
    num_atoms, num_edges = flat["num_atoms"], 2 * flat["num_bonds"]

    def rows(values: np.ndarray, sizes: np.ndarray, shortest: int) -> np.ndarray:
        padded = np.zeros((len(sizes), max(int(sizes.max(initial=0)), shortest), *values.shape[1:]), values.dtype)
        row = np.repeat(np.arange(len(sizes)), sizes)
        padded[row, np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)] = values
        return padded

    ends = flat["ends"]
    kinds = np.repeat(np.unpackbits(flat["bonds"], axis=1, count=_KINDS), 2, axis=0)
    arrays: dict[str, Any] = {
        "atoms": rows(np.unpackbits(flat["atoms"], axis=1, count=_FLAGS), num_atoms, 1),
        "masses": rows(flat["masses"], num_atoms, 1),
        "bonds": rows(kinds, num_edges, 2),
        "senders": rows(ends.reshape(-1), num_edges, 2),
        "receivers": rows(ends[:, ::-1].reshape(-1), num_edges, 2),
        "num_atoms": num_atoms,
        "num_bonds": num_edges.astype(np.int32),
    }
    return GroverInputs(**arrays)
