"""What is computed of molecules once and kept on disk: arrays under a hash of the molecules, settings and RDKit."""

import hashlib
import io
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxuq.molecules._workers import Outcome, warn_about
from jaxuq.molecules.finding import cache_folder
from jaxuq.molecules.records import DataError, DataWarning
from jaxuq.study import write_bytes


def cached_features(
    kind: str,
    smiles: Sequence[str],
    compute: Callable[[], Outcome],
    good: Callable[[Mapping[str, np.ndarray]], bool],
    cache: Any,
    consequence: str,
) -> dict[str, np.ndarray]:
    """Arrays from the cache, or computed and put there; names the molecules that RDKit could not read.

    Args:
        kind: what they are, with all settings; part of the file's name.
        smiles: the molecules.
        compute: gives an `Outcome` whose values are a dictionary of arrays.
        good: whether stored arrays are what `compute` would give, as far as their shapes tell.
        cache: whether to use `cache_folder()`, or another folder.
        consequence: what an unreadable molecule is given, for the warning.

    Returns:
        The arrays.

    Raises:
        DataError: `smiles` is a single string.
    """
    if isinstance(smiles, str):
        raise DataError(f"smiles must be a sequence of strings, not one string: write [{smiles[:40]!r}]")
    from rdkit import rdBase

    key = json.dumps([kind, rdBase.rdkitVersion, list(smiles)]).encode()
    folder = cache_folder() / "features" if isinstance(cache, bool) else Path(cache)
    path = folder / f"{kind}-{hashlib.sha256(key).hexdigest()[:32]}.npz"
    outcome = _read(path, good) if cache else None
    if outcome is None:
        outcome = compute()
        if cache:
            _write(path, outcome)
    warn_about(outcome, smiles, consequence)
    return outcome.values


def _read(path: Path, good: Callable[[Mapping[str, np.ndarray]], bool]) -> Outcome | None:
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
        unreadable, relaxed = arrays.pop("unreadable").tolist(), arrays.pop("relaxed").tolist()
        if not good(arrays):
            shapes = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items())
            raise ValueError(f"it holds {shapes}")
        return Outcome(arrays, unreadable, relaxed)
    except Exception as error:  # zipfile, zlib, KeyError, ValueError, …: whatever is wrong, it can be computed again
        warnings.warn(
            f"the stored features {path} are damaged ({error}) and are computed again", DataWarning, stacklevel=5
        )
        return None


def _write(path: Path, outcome: Outcome) -> None:
    buffer = io.BytesIO()
    unreadable, relaxed = (np.asarray(rows, np.int64) for rows in (outcome.unreadable, outcome.relaxed))
    np.savez_compressed(buffer, **outcome.values, unreadable=unreadable, relaxed=relaxed)
    try:
        write_bytes(path, buffer.getvalue())
    except OSError as error:
        message = f"the features could not be stored in {path.parent} ({error}); they will be computed again next time"
        warnings.warn(message, DataWarning, stacklevel=5)
