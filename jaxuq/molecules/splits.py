"""Splits by scaffold and at random that reproduce the published files of the benchmark."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from jaxuq.molecules._workers import Progress, run_rdkit, warn_about
from jaxuq.molecules.records import DataError, SplitRows


def scaffold_split(
    smiles: Sequence[str],
    *,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    include_chirality: bool = True,
    order: str = "published",
    workers: int | None = None,
    progress: Progress | None = None,
) -> SplitRows:
    r"""Split so that molecules with the same Bemis-Murcko scaffold are in the same part.

    Groups of one scaffold, sorted by (size, first row), both descending, are walked through once:

    $$
    g \to \begin{cases}
        \text{train} & |\text{train}| + |g| \le f_1 n \\
        \text{valid} & \text{else if } |\text{train}| + |\text{valid}| + |g| \le (f_1 + f_2) n \\
        \text{test} & \text{otherwise}
    \end{cases}
    $$

    A group that does not fit does not close a part: later, smaller groups still fill it, so sizes can differ from
    8:1:1 by a few. There is no seed. All acyclic molecules share one scaffold.

    Use it for an honest estimate on unseen chemistry; `random_split` gives the optimistic one. DeepChem's splitter of
    the same name ignores chirality (`include_chirality=False`), which gives another split wherever SMILES carry stereo.

    Args:
        smiles: the molecules. One that RDKit cannot read is kept as a group of its own, with a warning; one that breaks
            only its valence rules is read without them, as older RDKit did.
        fractions: of the rows, for training, validation and test; they sum to 1.
        include_chirality: whether scaffolds that differ in stereo are different.
        order: of the rows inside each part. `"assignment"`: as the groups were assigned. `"row"`: ascending.
            `"published"`: as in the files of the benchmark, that is assignment order, read back by position in the
            order of the strings 0, 1, 10, 100, …. `"published-row"`: the same from ascending order, as in its HIV file.
        workers: processes to use; None chooses, 1 stays in this process.
        progress: called as `progress(done, total)`.

    Returns:
        Row numbers (int64) of the three parts.

    Raises:
        DataError: a part would be empty, or the arguments are out of range.

    Example:
        >>> from jaxuq.molecules import load_molecules
        >>> data = load_molecules("esol")
        >>> [len(part) for part in scaffold_split(data.smiles)]
        [902, 113, 113]

    References:
        Guy Bemis, Mark Murcko, "The properties of known drugs. 1. Molecular frameworks", J. Med. Chem. 39, 1996.
        Gengmo Zhou et al., "Uni-Mol: A Universal 3D Molecular Representation Learning Framework", ICLR 2023 (its splits
        are the benchmark's).
    """
    _check_fractions(fractions)
    orders = ("published", "published-row", "assignment", "row")
    if order not in orders:
        raise DataError(f"order must be one of {', '.join(orders)}, got {order!r}")
    outcome = run_rdkit(
        "scaffolds", smiles, {"include_chirality": include_chirality}, workers=workers, progress=progress
    )
    warn_about(outcome, smiles, "each of them is a scaffold group of its own")
    members = defaultdict(list)
    for row, scaffold in enumerate(outcome.values):
        members[row if scaffold is None else scaffold].append(row)

    train_cut = fractions[0] * len(smiles)
    valid_cut = (fractions[0] + fractions[1]) * len(smiles)
    parts: dict[str, list[int]] = {"train": [], "valid": [], "test": []}
    train, valid, test = parts.values()
    for group in sorted(members.values(), key=lambda rows: (len(rows), rows[0]), reverse=True):
        if len(train) + len(group) <= train_cut:
            train += group
        elif len(train) + len(valid) + len(group) <= valid_cut:
            valid += group
        else:
            test += group
    empty = [name for name, part in parts.items() if not part]
    if empty:
        raise DataError(
            f"the {' and the '.join(empty)} part of the scaffold split would be empty: {len(smiles)} molecules have "
            f"{len(members)} scaffolds, and the largest group holds {max(map(len, members.values()), default=0)}; "
            "split at random, or give separate files"
        )
    return SplitRows(*(np.asarray(_in_order(part, order), np.int64) for part in parts.values()))


def _in_order(rows: list[int], order: str) -> list[int]:
    if order in ("row", "published-row"):
        rows = sorted(rows)
    if order in ("published", "published-row"):
        rows = [rows[position] for position in sorted(range(len(rows)), key=str)]
    return rows


def random_split(
    num_molecules: int,
    seed: int,
    *,
    num_valid: int | None = None,
    num_test: int | None = None,
) -> SplitRows:
    """Split at random: first the validation part is drawn, then, with the same seed, the test part from the rest.

    The published random splits come from the concatenation of the three scaffold parts (in file order), with the sizes
    of those parts as `num_valid` and `num_test`; `load_dataset(name, split="random", seed=…)` does that.

    Test molecules then resemble training molecules, so scores are better than on new chemistry; see `scaffold_split`.

    Args:
        num_molecules: how many rows there are.
        seed: a whole number; equal seeds give equal splits. It is scikit-learn's, not a JAX key, so that the published
            splits are reproduced.
        num_valid: size of the validation part; a tenth, rounded down, but at least 1, by default.
        num_test: size of the test part; the same.

    Returns:
        Row numbers (int64) of the three parts.

    Raises:
        DataError: a part would be empty.

    Example:
        >>> train, valid, test = random_split(10, seed=0)
        >>> sorted([*train, *valid, *test]) == list(range(10))
        True
    """
    from sklearn.model_selection import train_test_split

    tenth = max(1, num_molecules // 10)
    num_valid, num_test = (tenth if size is None else size for size in (num_valid, num_test))
    if min(num_valid, num_test, num_molecules - num_valid - num_test) < 1:
        raise DataError(
            f"{num_molecules} molecules cannot be split into {num_valid} for validation, {num_test} for test and at "
            "least one for training: give more molecules or smaller parts"
        )
    rest, valid = train_test_split(np.arange(num_molecules), test_size=num_valid, random_state=seed)
    train, test = train_test_split(rest, test_size=num_test, random_state=seed)
    return SplitRows(*(np.asarray(part, np.int64) for part in (train, valid, test)))


def _check_fractions(fractions: tuple[float, float, float]) -> None:
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise DataError(f"fractions must be three numbers that are at least 0 and sum to 1, got {fractions}")
