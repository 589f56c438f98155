"""Average precision: the area under the precision-recall curve."""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from jaxuq.metrics._masked import check_choice, masked_mean, no_nan, prepare, undefined_unless
from jaxuq.metrics._ties import sort_with_ties


def average_precision(
    scores: Float[Array, " n"],
    labels: Shaped[Array, " n"],
    *,
    convention: Literal["step", "muben"] = "step",
    where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Precision averaged over the positives, each at the threshold where it is first recalled.

    $$\mathrm{AP} = \sum_k (R_k - R_{k-1}) P_k
      = \frac{1}{|P|} \sum_{i \in P} \frac{|\{j \in P : s_j \ge s_i\}|}{|\{j : s_j \ge s_i\}|}$$

    Use it instead of `area_under_roc` when positives are rare and it is they that matter; a random score gets the share
    of positives. Tied scores share one threshold, so the order of the entries does not matter. Its gradient is zero.
    O(n log n) time and O(n) memory.

    Args:
        scores: any real numbers, larger for the positive class.
        labels: 0 or 1 (or booleans).
        convention: `"step"` is the equation above. `"muben"` joins the points of the curve by straight lines
            (trapezoids, starting at recall 0 and precision 1), which is what MUBen's code reports as "prc-auc" and
            which is too optimistic.
        where: True for the entries that count; None counts all.

    Returns:
        A scalar in (0, 1]; NaN if the entries that count have one class only, or a NaN among them.

    Raises:
        ValueError: if `convention` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> print(average_precision(jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([0, 0, 1, 1])).round(4))
        0.8333

    References:
        Davis and Goadrich, The Relationship between Precision-Recall and ROC Curves, ICML, 2006.
        Flach and Kull, Precision-Recall-Gain Curves, NeurIPS, 2015.
    """
    check_choice("convention", convention, ("step", "muben"))
    valid, scores, labels = prepare(where, scores, labels)
    groups = sort_with_ties(scores, valid, labels)
    positive = (groups.values[0] > 0) & groups.valid
    count = jnp.sum(valid)
    below = jnp.concatenate([jnp.zeros((1,), jnp.int32), jnp.cumsum(positive, dtype=jnp.int32)])

    def precision_from(position):
        """Precision when everything from this sorted position upwards is called positive; 1 when nothing is."""
        called = jnp.maximum(count - position, 1).astype(scores.dtype)
        return jnp.where(position < count, (below[-1] - below[position]).astype(scores.dtype) / called, 1.0)

    precision = precision_from(groups.first)
    if convention == "muben":
        precision = 0.5 * (precision + precision_from(groups.last + 1))
    both = jnp.any(positive) & (below[-1] < count)
    return undefined_unless(both & no_nan(scores, labels), masked_mean(precision, positive))
