"""Similarities of texts by their words, on the host."""

from collections.abc import Sequence

from jaxtyping import Float
from numpy import ndarray


def _pairs(texts, similarity):
    import numpy as np

    result = np.eye(len(texts), dtype=np.float32)
    for i, first in enumerate(texts):
        for j in range(i):
            result[i, j] = result[j, i] = similarity(texts[j], first)
    return result


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
    words = [frozenset(text.lower().split()) for text in texts]
    return _pairs(words, lambda a, b: len(a & b) / len(a | b) if a | b else 1.0)


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

    words = [re.findall(r"[^\W_]+", text.lower()) for text in texts]

    def f_score(first: list[str], second: list[str]) -> float:
        if not first and not second:
            return 1.0
        row = [0] * (len(second) + 1)
        for word in first:
            diagonal = 0
            for j, other in enumerate(second, start=1):
                diagonal, row[j] = row[j], diagonal + 1 if word == other else max(row[j], row[j - 1])
        return 2 * row[-1] / (len(first) + len(second))

    return _pairs(words, f_score)
