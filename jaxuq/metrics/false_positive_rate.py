"""The false positive rate at a recall: what a detector costs once it finds what it must."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real, Shaped

from jaxuq._arrays import no_nan, undefined_unless, weighted, within_unit
from jaxuq._options import check_number
from jaxuq._shapes import checked
from jaxuq.metrics._ties import orderable, sort_with_ties


@checked
def false_positive_rate(
    scores: Float[Array, " n"],
    labels: Shaped[Array, " n"],
    *,
    recall: float = 0.95,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""The share of negatives at or above the highest threshold that still finds `recall` of the positives.

    $$\mathrm{FPR@}r = \frac{|\{j \in N: s_j \ge t\}|}{|N|},\qquad
      t = \max\{t: |\{i \in P: s_i \ge t\}| \ge r\,|P|\}$$

    With `recall=0.95` it is the FPR95 of the literature on out-of-distribution detection. Which side is positive is a
    convention: there the *in*-distribution examples are usually the positives, with scores that are higher for them;
    say which you took. Thresholds are scores that occur, so ties are exact; nothing is interpolated.

    Args:
        scores: any real numbers, larger for the positive class.
        labels: 0 or 1 (or booleans).
        recall: share of the positives to be found, in (0, 1].
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar in [0, 1]; NaN if the entries that count have one class only, a NaN among them, or a label outside
        [0, 1].

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: `recall` is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> scores, labels = jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([0, 0, 1, 1])
        >>> print(false_positive_rate(scores, labels, recall=0.5), false_positive_rate(scores, labels))
        0.0 0.5

    References:
        D. Hendrycks, M. Mazeika, T. Dietterich, "Deep Anomaly Detection with Outlier Exposure", ICLR 2019, section 4.2.
    """
    check_number("recall", recall, 0.0, 1.0, open_low=True)
    order = orderable(scores, where)
    factors, scores, labels = weighted(where, weights, scores=scores, labels=labels)
    groups = sort_with_ties(*order, labels, factors)
    labels, factors = groups.values
    found, wrong = (
        jnp.cumsum(jnp.where(side, factors, 0)[::-1])[::-1][groups.first] for side in (labels > 0, ~(labels > 0))
    )
    positives, negatives = jnp.max(found, initial=0), jnp.max(wrong, initial=0)
    enough = groups.valid & (found >= recall * (1 - 1e-6) * positives)  # a tie in exact arithmetic is no miss
    fewest = jnp.min(jnp.where(enough, wrong, jnp.inf), initial=jnp.inf)
    rate = fewest / jnp.where(negatives == 0, 1, negatives)
    defined = (positives > 0) & (negatives > 0) & no_nan(scores) & within_unit(labels)
    return undefined_unless(defined, jnp.where(defined, rate, 0))
