"""The same molecule more than once, whatever its SMILES: in a table, with other labels, or in two parts."""

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from jaxuq.molecules._workers import run_rdkit
from jaxuq.molecules.records import DataWarning, MoleculeDataset, Row


def canonical_smiles(smiles: Sequence[str], *, workers: int | None = None) -> list[str]:
    """RDKit's own SMILES of each molecule; the text itself where it cannot read it.

    Args:
        smiles: the molecules.
        workers: processes that parse; None chooses, 1 stays in this process.

    Returns:
        One text a molecule.

    Example:
        >>> canonical_smiles(["OCC", "CCO", "nonsense"])
        ['CCO', 'CCO', 'nonsense']
    """
    found = run_rdkit("canonical", smiles, {}, workers=workers).values
    return [text if form is None else form for text, form in zip(smiles, found)]


def row_text(row: Row) -> str:
    """A row in one line: its SMILES, several with strokes between.

    Example:
        >>> row_text("CCO"), row_text(("CCO", "O"))
        ('CCO', 'CCO | O')
    """
    return row if isinstance(row, str) else " | ".join(row)


def canonical_rows(data: MoleculeDataset, *, workers: int | None = None) -> list[str]:
    """What tells the rows of a data set apart: RDKit's own SMILES of all their molecules, in the order of the columns.

    Args:
        data: the molecules.
        workers: processes that parse; None chooses, 1 stays in this process.

    Returns:
        One text a row.
    """
    forms = [canonical_smiles(column, workers=workers) for column in (data.smiles, *data.beside)]
    return [" | ".join(row) for row in zip(*forms)]


def warn_of_repeats(
    source: str,
    smiles: Sequence[str],
    forms: Sequence[str],
    labels: Float[np.ndarray, "molecules tasks"],
    mask: Bool[np.ndarray, "molecules tasks"],
) -> None:
    """Say how many molecules a table has more than once, and how many of them with labels that differ.

    Args:
        source: what to call the table.
        smiles: as written.
        forms: canonical.
        labels: of each row.
        mask: which of them are known.
    """
    rows = defaultdict(list)
    for row, form in enumerate(forms):
        rows[form].append(row)
    several = [found for found in rows.values() if len(found) > 1]
    if not several:
        return
    one, two = several[0][:2]
    message = (
        f"{len(several)} molecules are in {source} more than once ({smiles[one]!r} and {smiles[two]!r} for one): a "
        "split at random may put one of the rows into training and the other into the test"
    )
    differing = [found for found in several if _differ(labels[found], mask[found])]
    if differing:
        one, two = _two_that_differ(differing[0], labels, mask)
        task = int(np.flatnonzero((labels[one] != labels[two]) & mask[one] & mask[two])[0])
        message += (
            f"; {len(differing)} of them have labels that differ ({smiles[one]!r} has {labels[one, task]:g}, "
            f"{smiles[two]!r} {labels[two, task]:g})"
        )
    warnings.warn(message, DataWarning, stacklevel=4)


def warn_of_shared(parts: Mapping[str, Sequence[str]], smiles: Mapping[str, Sequence[str]] | None = None) -> None:
    """Say so when a molecule is in two parts: scores on the later one would be too good.

    Args:
        parts: canonical SMILES of each part, the first that which is learnt from.
        smiles: as written; None: the same.
    """
    written = smiles or parts
    names = list(parts)
    first = {name: dict(zip(reversed(parts[name]), reversed(written[name]))) for name in names}
    for later in range(1, len(names)):
        for earlier in range(later):
            one, two = first[names[earlier]], first[names[later]]
            shared = [form for form in two if form in one]
            if shared:
                a, b = one[shared[0]], two[shared[0]]
                example = f"{a!r} for one" if a == b else f"{a!r} and {b!r} for one"
                message = f"{len(shared)} molecules are in both {names[earlier]} and {names[later]} ({example})"
                warnings.warn(f"{message}: scores will be too good", DataWarning, stacklevel=4)


def _differ(labels: np.ndarray, mask: np.ndarray) -> bool:
    low = np.min(labels, axis=0, where=mask, initial=np.inf)
    high = np.max(labels, axis=0, where=mask, initial=-np.inf)
    return bool((high > low).any())


def _two_that_differ(rows: list[int], labels: np.ndarray, mask: np.ndarray) -> tuple[int, int]:
    return next(
        (one, two)
        for i, one in enumerate(rows)
        for two in rows[i + 1 :]
        if ((labels[one] != labels[two]) & mask[one] & mask[two]).any()
    )
