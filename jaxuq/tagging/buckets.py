"""Sentences of like length together, so that little of a batch is padding."""

import numpy as np
from jaxtyping import Int


def length_buckets(
    lengths: Int[np.ndarray, " batch"], *, max_padding: float = 0.2, max_rows: int | None = None
) -> list[Int[np.ndarray, " rows"]]:
    r"""Divide sentences into groups whose padding stays below a share.

    Sorted by length, a group grows while $1 - \sum_b T_b / (B \max_b T_b)$ is below `max_padding`. A compiled function
    sees one shape per group: few groups for a loose share, many for a tight one.

    Args:
        lengths: number of tokens of each sentence.
        max_padding: largest share of padding in a group, in [0, 1).
        max_rows: most sentences in a group; None for no limit.

    Returns:
        Row numbers of each group, every row once, the shortest sentences first.

    Raises:
        ValueError: if `max_padding` or `max_rows` is out of range.

    Example:
        >>> [rows.tolist() for rows in length_buckets(np.array([9, 2, 10, 2, 3]))]
        [[1, 3], [4], [0, 2]]
    """
    if not 0 <= max_padding < 1 or (max_rows is not None and max_rows < 1):
        raise ValueError(
            f"max_padding is {max_padding} and max_rows {max_rows}; expected a share in [0, 1) and at least one row"
        )
    order = np.argsort(lengths, kind="stable")
    groups: list[list[int]] = []
    total = 0
    for row in order:
        length = int(lengths[row])
        size = len(groups[-1]) + 1 if groups else 1
        full = max_rows is not None and size > max_rows
        if not groups or full or total + length < (1 - max_padding) * size * length:
            groups.append([])
            total = 0
        groups[-1].append(int(row))
        total += length
    return [np.array(group) for group in groups]
