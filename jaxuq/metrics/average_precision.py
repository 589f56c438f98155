"""Average precision: the area under the precision-recall curve."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real, Shaped

from jaxuq._arrays import no_nan, undefined_unless, weighted, weighted_mean, within_unit
from jaxuq._shapes import checked
from jaxuq.metrics._ties import orderable, sort_with_ties


@checked
def average_precision(
    scores: Float[Array, " n"],
    labels: Shaped[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
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
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar in (0, 1]; NaN if the entries that count have one class only, a NaN among them, or a label
        outside [0, 1].

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> print(average_precision(jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([0, 0, 1, 1])).round(4))
        0.8333

    References:
        Davis and Goadrich, The Relationship between Precision-Recall and ROC Curves, ICML, 2006.
        Flach and Kull, Precision-Recall-Gain Curves, NeurIPS, 2015.
    """
    order = orderable(scores, where)
    factors, scores, labels = weighted(where, weights, scores=scores, labels=labels)
    groups = sort_with_ties(*order, labels, factors)
    labels, factors = groups.values
    positive, negative = (jnp.where(side, factors, 0.0) for side in (labels > 0, ~(labels > 0)))

    def from_here_up(values):
        return jnp.concatenate([jax.lax.cumsum(values, reverse=True), jnp.zeros((1,), scores.dtype)])

    right, wrong = from_here_up(positive), from_here_up(negative)

    def precision_from(position):
        """Precision when everything from this sorted position upwards is called positive; 1 when nothing is."""
        called = right[position] + wrong[position]
        return jnp.where(called > 0, right[position] / jnp.where(called > 0, called, 1.0), 1.0)

    precision = precision_from(groups.first)
    both = (right[0] > 0) & (wrong[0] > 0)
    return undefined_unless(both & no_nan(scores) & within_unit(labels), weighted_mean(precision, weights=positive))
