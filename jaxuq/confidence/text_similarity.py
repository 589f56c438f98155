"""Similarities of texts by their words, on the host."""

from collections.abc import Sequence

from jaxtyping import Float, Int
from numpy import ndarray

from jaxuq._arguments import typed


def _numbered(words: Sequence[Sequence[str]]) -> tuple[Int[ndarray, "samples words"], Int[ndarray, " samples"]]:
    """Words as numbers, padded with -1, and how many each text has."""
    import numpy as np

    numbers: dict[str, int] = {}
    lengths = np.array([len(one) for one in words], int)
    rows = np.full((len(words), max(lengths, default=0)), -1)
    for row, one in enumerate(words):
        rows[row, : len(one)] = [numbers.setdefault(word, len(numbers)) for word in one]
    return rows, lengths


@typed()
def jaccard_similarities(texts: Sequence[str]) -> Float[ndarray, "samples samples"]:
    r"""Jaccard similarity of the sets of words, lower-cased and split at white space.

    $$W_{ij} = |A_i \cap A_j| / |A_i \cup A_j|$$

    Args:
        texts: answers; two empty ones are equal.

    Returns:
        A NumPy array, symmetric, 1 on the diagonal; for `degree_uncertainty` and its neighbours.

    Example:
        >>> jaccard_similarities(["Paris", "paris france"])[0].tolist()
        [1.0, 0.5]

    References:
        Lin, Trivedi and Sun. Generating with Confidence. TMLR 2024.
    """
    import numpy as np

    rows, _ = _numbered([text.lower().split() for text in texts])
    there = np.zeros((len(texts), int(rows.max(initial=-1)) + 2), np.float32)
    np.put_along_axis(there, rows, 1.0, axis=1)  # padding is the last column
    there = there[:, :-1]
    both, sizes = there @ there.T, there.sum(1)
    either = sizes[:, None] + sizes[None] - both
    return np.where(either > 0, both / np.maximum(either, 1), 1.0).astype(np.float32)


@typed()
def rouge_similarities(texts: Sequence[str]) -> Float[ndarray, "samples samples"]:
    r"""ROUGE-L F-score of each pair: the longest common subsequence of words against their lengths.

    $$F = \frac{2\,\mathrm{LCS}}{|a| + |b|}$$

    Words are lower-cased letters and digits, not stemmed (the published scores stem; pass stemmed texts for those).
    `mean_pair_similarity` of it is lexical similarity.

    Args:
        texts: answers; two without words are equal.

    Returns:
        A NumPy array, symmetric, 1 on the diagonal.

    Example:
        >>> [round(float(x), 3) for x in rouge_similarities(["rome, italy", "the Rome"])[0]]
        [1.0, 0.5]

    References:
        Lin C.-Y. ROUGE: A Package for Automatic Evaluation of Summaries. 2004.
    """
    import re

    import numpy as np

    rows, lengths = _numbered([re.findall(r"[^\W_]+", text.lower()) for text in texts])
    longest = np.zeros((len(texts), len(texts), rows.shape[1] + 1), int)  # with the first so many words of the second
    for word in range(rows.shape[1]):  # the length of a common subsequence never falls along a row
        same = (rows[:, None, word, None] == rows[None]) & (rows[:, None, word, None] >= 0)
        longer = np.where(same, longest[..., :-1] + 1, longest[..., 1:])
        longest[..., 1:] = np.maximum.accumulate(np.maximum(longer, longest[..., 1:]), axis=-1)
    total = lengths[:, None] + lengths[None]
    return np.where(total > 0, 2 * longest[..., -1] / np.maximum(total, 1), 1.0).astype(np.float32)
