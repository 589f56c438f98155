"""Fixed-length features of molecules: the 200 normalised RDKit descriptors, and Morgan fingerprints.

Both are computed in several processes and kept on disk, in the cache folder, under a hash of the molecules, of the
settings and of RDKit's version.
"""

import functools
import importlib.util
import os
import runpy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from jaxuq._extras import missing_package
from jaxuq.molecules._feature_cache import cached_features
from jaxuq.molecules._workers import Outcome, Progress, run_rdkit
from jaxuq.molecules.records import DataError

_UNUSED = "RDKit2D_calculated"


def rdkit_descriptors(
    smiles: Sequence[str],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    cache: bool | str | os.PathLike = True,
) -> Float32[np.ndarray, "molecules 200"]:
    r"""The 200 RDKit descriptors of a molecule, each mapped to [0, 1] by a fitted distribution function.

    $$x_j = F_j(\min(\max(d_j, l_j), u_j))$$

    with the raw descriptor $d_j$, the range $[l_j, u_j]$ of the molecules on which $F_j$ was fitted and the CDF $F_j$
    of one of 47 kinds of distribution. The names, in the order of the columns, are `descriptor_names()`.

    These are the input of the benchmark's DNN (`RDKit2DNormalized` of descriptastorus, version 1). They need no further
    standardisation. Not to be confused with the raw descriptors, or with the histogram variant of the same package.

    A descriptor that cannot be computed is 0 (partial charges of metals, for instance); a molecule that RDKit cannot
    read at all is a row of zeros, named in a warning.

    Args:
        smiles: the molecules.
        workers: processes to use; None chooses by the number of molecules and cores, 1 stays in this process.
        progress: called as `progress(done, total)`, from a worker's thread.
        cache: whether to keep the result on disk in `cache_folder()`, or another folder for it.

    Returns:
        One row a molecule, in [0, 1]. Needs O(200 molecules) of memory in float64.

    Raises:
        DataError: `smiles` is a single string, or `workers` is not positive.
        ImportError: rdkit, scipy or descriptastorus is not installed.

    Example:
        >>> features = rdkit_descriptors(["CC(=O)Oc1ccccc1C(=O)O", "CCO"], cache=False)
        >>> features.shape, features.sum(axis=1).round(4).tolist()
        ((2, 200), [39.174..., 23.680...])

    References:
        Brian Kelley et al., descriptastorus (BSD-3-Clause, Novartis), module `rdNormalizedDescriptors`.
        Kevin Yang et al., "Analyzing Learned Molecular Representations for Property Prediction", J. Chem. Inf. Model.
        59, 2019 (which introduced them as input features).
    """

    def compute():
        raw = run_rdkit("descriptors", smiles, {"names": descriptor_names()}, workers=workers, progress=progress)
        return raw._replace(values=_normalise(raw.values))

    return _features("rdkit2d-normalized-v1", smiles, compute, cache)


def morgan_fingerprints(
    smiles: Sequence[str],
    radius: int = 2,
    size: int = 1024,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    cache: bool | str | os.PathLike = True,
) -> Float32[np.ndarray, "molecules {size}"]:
    """Which circular substructures a molecule has, hashed to a vector of zeros and ones.

    The benchmark's alternative input of the DNN. Bits, not counts; default atom invariants; no chirality.

    Args:
        smiles: the molecules; one that RDKit cannot read is a row of zeros, named in a warning.
        radius: bonds around each atom, at least 0; 2 corresponds to ECFP4.
        size: number of bits, at least 1.
        workers: processes to use; None chooses by the number of molecules and cores, 1 stays in this process.
        progress: called as `progress(done, total)`, from a worker's thread.
        cache: whether to keep the result on disk in `cache_folder()`, or another folder for it.

    Returns:
        One row a molecule.

    Raises:
        DataError: `smiles` is a single string, or a number is out of range.

    Example:
        >>> morgan_fingerprints(["CCO", "OCC"], cache=False).sum(axis=1).tolist()
        [6.0, 6.0]

    References:
        David Rogers, Mathew Hahn, "Extended-Connectivity Fingerprints", J. Chem. Inf. Model. 50, 2010.
    """
    if radius < 0 or size < 1:
        raise DataError(f"radius must be at least 0 and size at least 1, got radius={radius} and size={size}")

    def compute():
        packed = run_rdkit("morgan", smiles, {"radius": radius, "size": size}, workers=workers, progress=progress)
        bits = np.unpackbits(packed.values, axis=1, count=size)
        return packed._replace(values=bits.astype(np.float32))

    return _features(f"morgan-r{radius}-{size}", smiles, compute, cache)


def descriptor_names() -> list[str]:
    """Names of the columns of `rdkit_descriptors`, in ASCII order (capitals first, `…1`, `…10`, `…2`).

    Returns:
        200 names.

    Raises:
        ImportError: descriptastorus, which holds the fitted distributions, is not installed.

    Example:
        >>> names = descriptor_names()
        >>> len(names), names[0], names[-1]
        (200, 'BalabanJ', 'qed')
    """
    return sorted(name for name in _distributions() if name != _UNUSED)


@functools.cache
def _distributions() -> dict[str, tuple[str, tuple[float, ...], float, float, float, float]]:
    """The table name -> (distribution, (shape…, loc, scale), lowest, highest, mean, deviation).

    Only the file with the table is run: importing the package would load pandas and more, and print.
    """
    package = importlib.util.find_spec("descriptastorus")
    folders = package.submodule_search_locations if package else None
    if not folders:
        raise missing_package("descriptastorus", "making the 200 descriptors")
    return runpy.run_path(str(Path(next(iter(folders)), "descriptors", "dists.py")))["dists"]


def _normalise(raw: np.ndarray) -> Float32[np.ndarray, "molecules 200"]:
    """Apply every column's distribution function to its distinct values at once; what is NaN becomes 0."""
    import scipy.stats

    table = _distributions()
    result = np.zeros(raw.shape, np.float32)
    with np.errstate(all="ignore"):
        for column, name in enumerate(descriptor_names()):
            family, parameters, lowest, highest, *_ = table[name]
            distribution = getattr(scipy.stats, "gibrat" if family == "gilbrat" else family)
            *shape, loc, scale = parameters
            known = ~np.isnan(raw[:, column])
            distinct, inverse = np.unique(np.clip(raw[known, column], lowest, highest), return_inverse=True)
            result[known, column] = np.clip(distribution.cdf(distinct, *shape, loc=loc, scale=scale), 0.0, 1.0)[inverse]
    return np.nan_to_num(result, nan=0.0)


def _features(kind: str, smiles: Sequence[str], compute: Callable[[], Outcome], cache: Any) -> np.ndarray:
    def arrays() -> Outcome:
        outcome = compute()
        return outcome._replace(values={"values": outcome.values})

    def good(stored: Mapping[str, np.ndarray]) -> bool:
        values = stored["values"]
        return values.dtype == np.float32 and values.ndim == 2 and len(values) == len(smiles)

    return cached_features(kind, smiles, arrays, good, cache, "their features are 0")["values"]
