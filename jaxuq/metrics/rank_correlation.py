"""Spearman's rank correlation, with ties and a mask."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real, Shaped

from jaxuq._arrays import no_nan, select, undefined_unless, weighted, weighted_mean
from jaxuq._shapes import checked
from jaxuq.metrics._ties import middle_ranks


@checked
def spearman_correlation(
    first: Float[Array, " n"],
    second: Shaped[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Spearman's rank correlation: the Pearson correlation of the ranks.

    $$\rho = \frac{\sum_n (r_n - \bar r)(s_n - \bar s)}{\sqrt{\sum_n (r_n - \bar r)^2 \sum_n (s_n - \bar s)^2}}$$

    Tied values share their mean rank. Use it for whether uncertainty and absolute error rise together, whatever their
    scales. Its ceiling is below 1 even for perfect variances, since an error is one random draw; compare methods on the
    same data. Its gradient is zero. O(n log n) time and O(n) memory.

    Args:
        first: real numbers, such as predicted variances.
        second: real numbers, such as absolute errors.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar in [-1, 1]; NaN if fewer than two entries count, one that counts is NaN, or either side is constant.

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> print(spearman_correlation(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 4.0, 9.0])).round(4))
        1.0

    References:
        Spearman, The Proof and Measurement of Association between Two Things, American Journal of Psychology 15, 1904.
    """
    factors, first, second = weighted(where, weights, first=first, second=second)
    factors = factors
    total = jnp.sum(factors)
    total = jnp.where(total == 0, 1.0, total)

    def centred(values):
        # Divided by their number: squared ranks of many entries would strain single precision.
        return select((middle_ranks(values, factors) - 0.5 * total) / total, factors != 0)

    ranks, others = centred(first), centred(second)
    scale = weighted_mean(ranks**2, weights=factors) * weighted_mean(others**2, weights=factors)
    varied = scale > 0
    correlation = weighted_mean(ranks * others, weights=factors) / jnp.sqrt(jnp.where(varied, scale, 1.0))
    return undefined_unless(varied & no_nan(first, second), correlation)
