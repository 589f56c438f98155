"""Which molecules train, choose the epoch, calibrate, and test."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Integer

from jaxuq.molecules.records import DataError, MoleculeDataset
from jaxuq.molecules.splits import scaffold_split


class PartRows(NamedTuple):
    """Row numbers of the four parts.

    Attributes:
        train: networks learn from these.
        valid: choose the epoch at which training stops.
        calibrate: calibrators and intervals are fitted to these; no network has seen their labels in any way.
        test: nothing is fitted to these. May be empty.
    """

    train: Integer[np.ndarray, " train"]
    valid: Integer[np.ndarray, " valid"]
    calibrate: Integer[np.ndarray, " calibrate"]
    test: Integer[np.ndarray, " test"]


def divide_molecules(
    smiles: Sequence[str],
    split: Literal["scaffold", "random"] = "scaffold",
    *,
    fractions: tuple[float, float, float, float] = (0.7, 0.1, 0.1, 0.1),
    seed: int = 0,
    workers: int | None = None,
) -> PartRows:
    """Divide molecules into four parts.

    By scaffold, training and validation parts share no scaffold with the others, and the molecules that are left are
    divided between calibration and test at random: so calibration sees scaffolds that training has not, as new
    chemistry will be, and its promises hold for the test part. At random, all four parts are alike, and the promises
    hold for molecules like those of the file.

    Args:
        smiles: the molecules.
        split: `"scaffold"` or `"random"`.
        fractions: of the molecules, of each part; they sum to 1. The last may be 0.
        seed: of what is random.
        workers: processes that parse; None chooses.

    Returns:
        Row numbers, ascending in each part.

    Raises:
        DataError: the fractions are out of range, or a part that is wanted would be empty.

    Example:
        >>> parts = divide_molecules([f"{'C' * n}O" for n in range(1, 21)], "random", fractions=(0.5, 0.2, 0.2, 0.1))
        >>> [len(part) for part in parts]
        [10, 4, 4, 2]
    """
    if len(fractions) != 4 or min(fractions) < 0 or min(fractions[:3]) == 0 or abs(sum(fractions) - 1) > 1e-6:
        raise DataError(f"fractions are {fractions}; expected four that sum to 1, of which the first three are above 0")
    order = np.random.default_rng(seed)
    n, (train, valid, calibrate, test) = len(smiles), fractions
    if split == "scaffold":
        rows = scaffold_split(smiles, fractions=(train, valid, calibrate + test), order="row", workers=workers)
        held = order.permutation(rows.test)
        first, second = rows.train, rows.valid
    elif split == "random":
        everything = order.permutation(n)
        ends = np.cumsum([round(train * n), round(valid * n)])
        first, second, held = np.split(everything, ends)
    else:
        raise DataError(f"split must be 'scaffold' or 'random', got {split!r}")
    border = round(len(held) * calibrate / (calibrate + test))
    parts = PartRows(*(np.sort(part) for part in (first, second, held[:border], held[border:])))
    for name, part, share in zip(parts._fields, parts, fractions):
        if share and not len(part):
            raise DataError(f"{n} molecules are too few for a {name} part of {share:g}; give more, or other fractions")
    return parts


def named_parts(data: MoleculeDataset, *, seed: int = 0) -> PartRows:
    """The four parts as a column of the file names them.

    Where no molecule is for calibration, half of the validation part is, drawn at random: what has chosen the epoch
    must not calibrate.

    Args:
        data: whose `parts` are known.
        seed: of the half.

    Returns:
        Row numbers, ascending in each part.

    Raises:
        DataError: nothing says which part is whose, or one of the first three is empty.

    Example:
        >>> from jaxuq.molecules import load_molecules
        >>> data = load_molecules("freesolv").take(range(6))
        >>> named_parts(data._replace(parts=("train", "train", "valid", "valid", "test", "test"))).calibrate.shape
        (1,)
    """
    if data.parts is None:
        raise DataError(f"no column of {data.name} says which molecule is in which part; name one with part_column")
    parts = np.array(data.parts)
    rows = PartRows(*(np.flatnonzero(parts == name) for name in PartRows._fields))
    if not len(rows.calibrate):
        held = np.random.default_rng(seed).permutation(rows.valid)
        half = len(held) // 2
        rows = rows._replace(valid=np.sort(held[half:]), calibrate=np.sort(held[:half]))
    if absent := [name for name, part in zip(rows._fields[:3], rows) if not len(part)]:
        raise DataError(
            f"the {absent[0]} part that the file names is empty; it needs molecules for train, for valid and for "
            "calibrate (or at least two for valid, of which half calibrate)"
        )
    return rows
