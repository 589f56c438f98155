"""Area under the receiver operating characteristic, by counting pairs in sorted order."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from jaxuq.metrics._masked import masked_mean, no_nan, number_of, prepare, undefined_unless
from jaxuq.metrics._ties import sort_with_ties


def area_under_roc(
    scores: Float[Array, " n"], labels: Shaped[Array, " n"], *, where: Bool[Array, " n"] | None = None
) -> Float[Array, ""]:
    r"""Probability that a random positive outscores a random negative, ties counting half.

    $$\mathrm{AUROC} = \frac{1}{|P|\,|N|} \sum_{i \in P} \sum_{j \in N}
      \left[\mathbb{I}(s_i > s_j) + \tfrac12 \mathbb{I}(s_i = s_j)\right]$$

    Use it for how well scores separate two classes, whatever their scale or the class balance: properties of molecules,
    in against out of distribution, right against wrong answers (there, the score is the confidence). It is blind to
    calibration. Ties are exact; the result does not depend on the order of the entries. Its gradient is zero: it
    depends on ranks alone. O(n log n) time and O(n) memory.

    Args:
        scores: any real numbers, larger for the positive class.
        labels: 0 or 1 (or booleans).
        where: True for the entries that count; None counts all.

    Returns:
        A scalar in [0, 1]; NaN if the entries that count have one class only, or a NaN among them.

    Example:
        >>> import jax.numpy as jnp
        >>> print(area_under_roc(jnp.array([0.1, 0.4, 0.4, 0.8]), jnp.array([0, 0, 1, 1])))
        0.875

    References:
        Hanley and McNeil, The Meaning and Use of the Area under a ROC Curve, Radiology 143(1), 1982.
        Fawcett, An Introduction to ROC Analysis, Pattern Recognition Letters 27(8), 2006.
    """
    valid, scores, labels = prepare(where, scores, labels)
    groups = sort_with_ties(scores, valid, labels)
    positive = (groups.values[0] > 0) & groups.valid
    negative = ~(groups.values[0] > 0) & groups.valid
    # Counts stay integers and every term is a share of the negatives, so single precision loses nothing at large n.
    below = jnp.concatenate([jnp.zeros((1,), jnp.int32), jnp.cumsum(negative, dtype=jnp.int32)])
    beaten = (below[groups.first] + below[groups.last + 1]).astype(scores.dtype)
    area = masked_mean(0.5 * beaten / number_of(negative, scores), positive)
    return undefined_unless(jnp.any(positive) & jnp.any(negative) & no_nan(scores, labels), area)
