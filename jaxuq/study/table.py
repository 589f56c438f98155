"""One table of data: what every domain's inputs and targets are, with their roles, parts and identity."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Shaped

from jaxuq._digest import digest
from jaxuq._errors import OptionError

PARTS = ("train", "valid", "calibrate", "test")


class Rejected(NamedTuple):
    """A row of a file that could not be used.

    Attributes:
        place: where it is: a number of a row, an id.
        text: what it says.
        reason: why it is left out.
    """

    place: str
    text: str
    reason: str


class Table(NamedTuple):
    """Data for a study.

    Attributes:
        name: for tables and pages; it says nothing of the content.
        ids: what each row is called where a person reads it: a SMILES, a question, a sentence.
        inputs: what is known of each row: an array, or any tree of arrays, rows first.
        targets: what is to be predicted, `[rows, ...]`.
        parts: of each row: `train`, `valid`, `calibrate` or `test`.
        where: which targets exist, of their shape; None: all.
        weights: how often each row counts; None: once.
        rejected: rows of the source that are not here, and why.

    Example:
        >>> table = make_table("sums", ["1+1", "2+2"], np.eye(2), np.array([2.0, 4.0]), ["train", "test"])
        >>> table.part("test").ids, table.digest == table._replace(name="other").digest
        (['2+2'], True)
    """

    name: str
    ids: list[str]
    inputs: Any
    targets: Shaped[np.ndarray, "rows ..."]
    parts: list[str]
    where: Bool[np.ndarray, "rows ..."] | None = None
    weights: Shaped[np.ndarray, " rows"] | None = None
    rejected: tuple[Rejected, ...] = ()

    @property
    def digest(self) -> str:
        """Of all that numbers follow from; targets that do not exist may hold anything."""
        import jax

        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(self.inputs)]
        targets = self.targets if self.where is None else np.where(self.where, self.targets, 0)
        return digest(self.ids, leaves, targets, self.parts, self.where, self.weights)

    def part(self, name: str) -> "Table":
        """The rows of a part.

        Args:
            name: of `PARTS`.

        Returns:
            A table of these alone; it may have no row.
        """
        return self.take(np.flatnonzero(np.array(self.parts) == name))

    def take(self, rows: Sequence[int] | np.ndarray) -> "Table":
        """Some rows, in the order given.

        Args:
            rows: their numbers.

        Returns:
            A table.
        """
        import jax

        rows = np.asarray(rows, int)

        def some(array: Any) -> Any:
            return None if array is None else np.asarray(array)[rows]

        return self._replace(
            ids=[self.ids[row] for row in rows], inputs=jax.tree.map(some, self.inputs), targets=some(self.targets),
            parts=[self.parts[row] for row in rows], where=some(self.where), weights=some(self.weights),
        )  # fmt: skip


def make_table(
    name: str,
    ids: Sequence[str],
    inputs: Any,
    targets: Any,
    parts: Sequence[str],
    *,
    where: Any = None,
    weights: Any = None,
    rejected: Sequence[Rejected] = (),
) -> Table:
    """A table whose rows fit together.

    Args:
        name: see `Table`.
        ids: see `Table`.
        inputs: see `Table`.
        targets: see `Table`; without `where`, a NaN is a target that does not exist.
        parts: see `Table`.
        where: see `Table`.
        weights: see `Table`.
        rejected: see `Table`.

    Returns:
        `Table`.

    Raises:
        OptionError: columns of different lengths, or an unknown part; names it.
    """
    import jax

    targets = np.asarray(targets)
    if where is None and targets.dtype.kind == "f" and np.isnan(targets).any():
        where = ~np.isnan(targets)
    columns = {"ids": ids, "targets": targets, "parts": parts, "where": where, "weights": weights}
    columns |= {
        f"inputs{jax.tree_util.keystr(path)}": leaf for path, leaf in jax.tree_util.tree_leaves_with_path(inputs)
    }
    sizes = {column: len(values) for column, values in columns.items() if values is not None}
    if len(set(sizes.values())) > 1:
        raise OptionError(f"the columns of {name} differ in length: {', '.join(f'{c} {n}' for c, n in sizes.items())}")
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise OptionError(f"{name} has a part {unknown[0]!r}; there are {', '.join(PARTS)}")
    known = None if where is None else np.asarray(where, bool)
    counted = None if weights is None else np.asarray(weights)
    return Table(name, [str(one) for one in ids], inputs, targets, list(parts), known, counted, tuple(rejected))
