"""Items of any length as batches of few shapes: which rows go together, how long they are padded, and back in order.

What is compiled is compiled for a shape, so lengths are rounded up to a ladder of few rungs and rows to few numbers:

    for batch in plan_rows(lengths, max_rows=16):
        tokens, counts = pad_rows([items[row] for row in batch.rows], batch)
        outputs.append(run(tokens, counts))
    whole = in_order(plans, outputs)
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from jaxuq._errors import ArrayError, OptionError
from jaxuq._options import check_count, check_number


class RowBatch(NamedTuple):
    """Which items make up a batch, and its shape.

    Attributes:
        rows: numbers of the items.
        size: rows of the batch; those beyond the items are padding.
        length: that all are padded to.
    """

    rows: Int[np.ndarray, " rows"]
    size: int
    length: int


def rung(length: int, *, least: int = 16, longest: int | None = None) -> int:
    """The length that a text is padded to: `least`, or a power of two or one and a half times one above it.

    Less than a third of what is longer than `least` is padding.

    Args:
        length: of the text.
        least: the first rung, a power of two.
        longest: the last rung, such as a model's context; None: there is none.

    Returns:
        16, 24, 32, 48, 64, 96, ...

    Example:
        >>> [rung(length) for length in (1, 17, 25, 40, 49)], rung(40, longest=42)
        ([16, 24, 32, 48, 64], 42)
    """
    size = least
    while size < length:
        size = (size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3) if size > 1 else 2
    return size if longest is None else max(min(size, longest), length)


def plan_rows(
    lengths: Int[np.ndarray, " items"] | Sequence[int],
    *,
    max_rows: int | None = None,
    max_tokens: int | None = None,
    max_padding: float | None = None,
    least: int | None = 16,
    longest: int | None = None,
    full: bool = False,
    devices: int = 1,
    groups: Sequence[Any] | None = None,
) -> list[RowBatch]:
    r"""Divide items into batches of similar length, the shortest first; every item is in one of them, once.

    A batch grows until it has `max_rows` rows or `max_tokens` numbers, or until its share of padding within rows,
    $1 - \sum_b T_b / (B \max_b T_b)$, would reach `max_padding`. So it holds at most `max_tokens` numbers (or one row
    for each device), and there are few shapes: a length is a rung, and the number of rows of a device a power of two;
    fewer than half of the rows are padding.

    Args:
        lengths: of the items.
        max_rows: most rows of a batch; None: no limit.
        max_tokens: most numbers of a batch, rows times length; None: no limit.
        max_padding: in [0, 1), see above; None: no limit.
        least: the first rung of lengths, see `rung`; None: a batch is as long as its longest item, and has no rows of
            padding, for what is compiled anyway for every batch.
        longest: the last rung.
        full: every batch has as many rows as the limits allow for its length, so that there is one shape a length.
        devices: over which rows are to be divided: the number of rows is a multiple of it.
        groups: of the items, such as what they share; items of different groups are never together.

    Returns:
        The batches, group by group in order of first appearance.

    Raises:
        OptionError: a number out of range; `full` without a limit.
        ArrayError: another number of groups than of lengths.

    Example:
        >>> [(one.rows.tolist(), one.size, one.length) for one in plan_rows([30, 3, 9, 17, 12], max_rows=3)]
        [([1, 2, 4], 3, 16), ([3, 0], 2, 32)]
        >>> [one.rows.tolist() for one in plan_rows([9, 2, 10, 2, 3], max_padding=0.2, least=None)]
        [[1, 3], [4], [0, 2]]
    """
    for name, value in (("max_rows", max_rows), ("max_tokens", max_tokens), ("least", least), ("longest", longest)):
        if value is not None:
            check_count(name, value)
    check_count("devices", devices)
    if max_padding is not None:
        check_number("max_padding", max_padding, 0.0, 1.0, open_high=True)
    if full and max_rows is None and max_tokens is None:
        raise OptionError("full batches need max_rows or max_tokens, which says how many rows are full")
    sizes = np.asarray(lengths, np.int64).reshape(-1)
    shared = [None] * len(sizes) if groups is None else list(groups)
    if len(shared) != len(sizes):
        raise ArrayError(f"there are {len(shared)} groups and {len(sizes)} lengths; each item needs one of both")

    def padded(length: int) -> int:
        return length if least is None else rung(length, least=least, longest=longest)

    def allowed(length: int) -> int:
        """Rows of a batch of this length."""
        rows = len(sizes) if max_rows is None else max_rows
        if max_tokens is not None:
            rows = min(rows, max_tokens // max(length, 1))
            rows = rows if least is None else 1 << max(rows, 1).bit_length() - 1
        return max(rows // devices * devices, devices)

    members: dict[Any, list[int]] = {group: [] for group in shared}
    for row in np.argsort(sizes, kind="stable").tolist():
        members[shared[row]].append(row)
    batches: list[RowBatch] = []
    for own in members.values():
        batch: list[int] = []
        total = 0
        for row in own:
            length, count = int(sizes[row]), len(batch) + 1
            loose = max_padding is not None and total + length < (1 - max_padding) * count * length
            if batch and (loose or count > allowed(padded(length))):
                batches.append(_batch(batch, sizes, padded, allowed, full, least, devices))
                batch, total = [], 0
            batch.append(row)
            total += length
        if batch:
            batches.append(_batch(batch, sizes, padded, allowed, full, least, devices))
    return batches


def _batch(
    rows: list[int], sizes: np.ndarray, padded: Any, allowed: Any, full: bool, least: int | None, devices: int
) -> RowBatch:
    length = padded(int(sizes[rows[-1]]))
    most, share = allowed(length), -(-len(rows) // devices)  # of each device
    if least is not None:
        share = 1 << (share - 1).bit_length()
    size = most if full else min(share * devices, most)
    return RowBatch(np.array(rows, np.int64), size, length)


def pad_rows(
    items: Sequence[Sequence[Any] | np.ndarray], batch: RowBatch | None = None, *, fill: Any = 0, dtype: Any = np.int32
) -> tuple[Shaped[np.ndarray, "size length"], Int[np.ndarray, " size"]]:
    """The items of a batch as one array.

    Args:
        items: in the order of `batch.rows`, each a row of numbers.
        batch: whose shape it has; None: a row for each, as long as `rung` says.
        fill: what padding holds.
        dtype: of the array.

    Returns:
        The array, and lengths; rows beyond the items have length 0.

    Raises:
        ArrayError: more items than rows, or an item that is longer than the batch.

    Example:
        >>> (batch,) = plan_rows([2, 1], least=2)
        >>> pad_rows([[3], [1, 2]], batch)[0].tolist()
        [[3, 0], [1, 2]]
    """
    if batch is None:
        batch = RowBatch(np.arange(len(items)), len(items), rung(max(map(len, items))))
    lengths = np.zeros(batch.size, np.int32)
    if len(items) > batch.size or any(len(one) > batch.length for one in items):
        raise ArrayError(f"{len(items)} items of up to {max(map(len, items))} numbers do not fit into {batch[1:]}")
    array = np.full((batch.size, batch.length), fill, dtype)
    for row, one in enumerate(items):
        array[row, : len(one)], lengths[row] = one, len(one)
    return array, lengths


def in_order(
    batches: Sequence[RowBatch], outputs: Sequence[Shaped[np.ndarray, "..."]]
) -> Shaped[np.ndarray, "items ..."]:
    """What was computed for each batch, in the order of the items; rows of padding are left out.

    Args:
        batches: from `plan_rows`.
        outputs: one for each batch, whose first axis is its rows; the other axes are alike.

    Returns:
        One array.

    Example:
        >>> batches = plan_rows([5, 1, 3], max_rows=2)
        >>> in_order(batches, [10 * one.rows for one in batches]).tolist()
        [0, 10, 20]
    """
    order = np.argsort(np.concatenate([batch.rows for batch in batches]))
    return np.concatenate([np.asarray(one)[: len(batch.rows)] for batch, one in zip(batches, outputs, strict=True)])[
        order
    ]
