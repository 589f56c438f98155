"""Area under the receiver operating characteristic, by counting pairs in sorted order."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real, Shaped

from jaxuq._arrays import no_nan, undefined_unless, weighted, weighted_mean, within_unit
from jaxuq._shapes import checked
from jaxuq.metrics._ties import orderable, sort_with_ties


@checked
def area_under_roc(
    scores: Float[Array, " n"],
    labels: Shaped[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
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
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar in [0, 1]; NaN if the entries that count have one class only, a NaN among them, or a label
        outside [0, 1].

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> print(area_under_roc(jnp.array([0.1, 0.4, 0.4, 0.8]), jnp.array([0, 0, 1, 1])))
        0.875

    References:
        Hanley and McNeil, The Meaning and Use of the Area under a ROC Curve, Radiology 143(1), 1982.
        Fawcett, An Introduction to ROC Analysis, Pattern Recognition Letters 27(8), 2006.
    """
    order = orderable(scores, where)
    factors, scores, labels = weighted(where, weights, scores=scores, labels=labels)
    groups = sort_with_ties(*order, labels, factors)
    labels, factors = groups.values
    positive, negative = (jnp.where(side, factors, 0.0) for side in (labels > 0, ~(labels > 0)))
    below = jnp.concatenate([jnp.zeros((1,), scores.dtype), jnp.cumsum(negative)])
    # Every term is a share of the negatives, so single precision loses nothing at large n.
    beaten = 0.5 * (below[groups.first] + below[groups.last + 1])
    area = weighted_mean(beaten / jnp.where(below[-1] == 0, 1.0, below[-1]), weights=positive)
    return undefined_unless((below[-1] != 0) & no_nan(scores) & within_unit(labels), area)
