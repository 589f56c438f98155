"""What a molecular data set is in memory: SMILES, labels, a mask, and a list of what was rejected while reading."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int8, Integer

from jaxuq._errors import JaxuqError

TaskType = Literal["classification", "regression", "multiclass"]
Row = str | tuple[str, ...]
"""The SMILES of a row: a text, or several of them, such as a solute's and its solvent's."""


class DataError(JaxuqError, ValueError):
    """The data or the request is at fault, not jaxuq: the command line prints the message and exits with code 2.

    Example:
        >>> issubclass(DataError, ValueError)
        True
    """


class DataWarning(UserWarning):
    """Something in the data that does not stop the work but that a reader of the results should know."""


class Rejected(NamedTuple):
    """One record that was left out while reading.

    Attributes:
        row: line number in the file, as an editor shows it; the header is line 1. 0 for what the cleaning of a
            named data set left out after reading.
        text: the SMILES as written, blanks included.
        reason: why the record was left out.
    """

    row: int
    text: str
    reason: str


class MoleculeDataset(NamedTuple):
    """Molecules with one or several labels each, some of which may be missing.

    A row may hold several molecules, such as a solute and its solvent: `smiles` has the first of each row, `beside` the
    others.

    A missing label is 0 in `labels` and False in `mask`, so both arrays are finite. Labels are kept in double precision
    on the host, so that those of 1e-30 or around 1e7 lose nothing; `scale_labels` takes them to what a device holds.

    Attributes:
        name: what the data set is called.
        smiles: one SMILES per molecule, blanks around it removed.
        labels: `[molecules, tasks]`, in the units of the source (regression), 0 and 1 (classification) or numbers of
            classes from 0 (multi-class).
        mask: `[molecules, tasks]`, True where the label was measured.
        task_names: one name per task.
        task_type: `"classification"` (every task is binary), `"regression"` or `"multiclass"`.
        metric: what selects a model on the validation part: `"roc-auc"`, `"rmse"`, `"mae"` or `"cross-entropy"`.
        rejected: the records left out while reading.
        weights: how much each molecule counts in training, at least 0; None: all alike.
        parts: of each molecule `train`, `valid`, `calibrate` or `test`, where the file says; None where it does not.
        taken: what was taken for what while reading, in one line.
        bounds: 0 where the label is what `labels` says, 1 where it is at least that, -1 where at most; None: all 0.
        classes: of multi-class tasks the names of their classes, in the order of their numbers.
        beside: the further molecules of each row, a list for each column.
        molecule_columns: what the molecules of a row are called.

    Example:
        >>> from jaxuq.molecules import load_molecules
        >>> data = load_molecules("freesolv")
        >>> len(data.smiles), data.labels.shape, data.metric
        (642, (642, 1), 'rmse')
        >>> data.take([0, 1]).smiles
        ['CN(C)C(=O)c1ccc(cc1)OC', 'CS(=O)(=O)Cl']
    """

    name: str
    smiles: list[str]
    labels: Float[np.ndarray, "molecules tasks"]
    mask: Bool[np.ndarray, "molecules tasks"]
    task_names: tuple[str, ...]
    task_type: TaskType
    metric: str
    rejected: tuple[Rejected, ...] = ()
    weights: Float[np.ndarray, " molecules"] | None = None
    parts: tuple[str, ...] | None = None
    taken: str = ""
    bounds: Int8[np.ndarray, "molecules tasks"] | None = None
    classes: tuple[tuple[str, ...], ...] = ()
    beside: tuple[list[str], ...] = ()
    molecule_columns: tuple[str, ...] = ("smiles",)

    @property
    def rows(self) -> list[Row]:
        """The SMILES of each row: a text, or a tuple of several."""
        return list(zip(self.smiles, *self.beside)) if self.beside else list(self.smiles)

    def exact(self) -> "MoleculeDataset":
        """The same molecules without the labels of which only a bound is known: no score and no promise is of those."""
        return self if self.bounds is None else self._replace(mask=self.mask & (self.bounds == 0), bounds=None)

    def take(self, rows: Sequence[int] | Integer[np.ndarray, " rows"]) -> "MoleculeDataset":
        """The molecules at the given positions, in that order; `rejected` is not carried over."""
        rows = np.asarray(rows, dtype=np.int64)
        return self._replace(
            smiles=[self.smiles[row] for row in rows],
            labels=self.labels[rows],
            mask=self.mask[rows],
            rejected=(),
            weights=None if self.weights is None else self.weights[rows],
            parts=None if self.parts is None else tuple(self.parts[row] for row in rows),
            bounds=None if self.bounds is None else self.bounds[rows],
            beside=tuple([column[row] for row in rows] for column in self.beside),
        )


class Split(NamedTuple):
    """Training, validation and test part of a data set.

    Example:
        >>> from jaxuq.molecules import load_dataset
        >>> split = load_dataset("freesolv")
        >>> split.valid.labels.shape
        (64, 1)
    """

    train: MoleculeDataset
    valid: MoleculeDataset
    test: MoleculeDataset


class SplitRows(NamedTuple):
    """Row numbers (int64) of the training, validation and test part.

    Example:
        >>> from jaxuq.molecules import random_split
        >>> random_split(20, seed=0).test.shape
        (2,)
    """

    train: Integer[np.ndarray, " train"]
    valid: Integer[np.ndarray, " valid"]
    test: Integer[np.ndarray, " test"]


def take_split(data: MoleculeDataset, rows: SplitRows) -> Split:
    """The three parts of a data set that three arrays of row numbers name.

    Args:
        data: the whole data set.
        rows: row numbers of the parts, as the split functions return them.

    Returns:
        Three data sets; what was rejected while reading stays with the training part.

    Example:
        >>> from jaxuq.molecules import load_molecules, scaffold_split
        >>> data = load_molecules("freesolv")
        >>> [len(part.smiles) for part in take_split(data, scaffold_split(data.smiles))]
        [513, 64, 65]
    """
    train, valid, test = (data.take(part) for part in rows)
    return Split(train._replace(rejected=data.rejected), valid, test)
