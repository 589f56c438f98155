"""Prediction intervals: how often they hold the truth, how wide they are, and a proper score of both."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxuq._arrays import no_nan, undefined_unless, weighted, weighted_mean
from jaxuq._options import check_number
from jaxuq._shapes import checked


@checked
def interval_coverage(
    lower: Float[Array, " n"],
    upper: Float[Array, " n"],
    labels: Float[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Share of labels inside their prediction interval, ends included.

    $$\mathrm{coverage} = \frac1N \sum_n \mathbb{I}(l_n \le y_n \le u_n)$$

    Compare it with the nominal level, and always read it beside `interval_width`: endless intervals cover everything.

    Args:
        lower: lower ends, in the units of the labels; minus infinity is allowed.
        upper: upper ends; infinity is allowed.
        labels: true values.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar in [0, 1]; NaN if no entry counts, or one that counts is NaN.

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> print(interval_coverage(jnp.zeros(2), jnp.ones(2), jnp.array([1.0, 1.5])))
        0.5

    References:
        Khosravi et al., Comprehensive Review of Neural Network-Based Prediction Intervals, IEEE Transactions on Neural
        Networks 22(9), 2011.
    """
    factors, lower, upper, labels = weighted(where, weights, lower=lower, upper=upper, labels=labels)
    inside = ((lower <= labels) & (labels <= upper)).astype(labels.dtype)
    return undefined_unless(no_nan(lower, upper, labels), weighted_mean(inside, weights=factors))


@checked
def interval_width(
    lower: Float[Array, " n"],
    upper: Float[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Mean width of prediction intervals.

    $$\mathrm{width} = \frac1N \sum_n (u_n - l_n)$$

    Between methods of equal `interval_coverage`, the narrower is the better.

    Args:
        lower: lower ends.
        upper: upper ends, in the same units.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar in the units of the ends; NaN if no entry counts.

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> print(interval_width(jnp.zeros(2), jnp.array([1.0, 2.0])))
        1.5

    References:
        Khosravi et al., Comprehensive Review of Neural Network-Based Prediction Intervals, IEEE Transactions on Neural
        Networks 22(9), 2011.
    """
    factors, lower, upper = weighted(where, weights, lower=lower, upper=upper)
    return weighted_mean(upper - lower, weights=factors)


@checked
def interval_score(
    lower: Float[Array, " n"],
    upper: Float[Array, " n"],
    labels: Float[Array, " n"],
    *,
    level: float,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Mean interval score (Winkler score) of central prediction intervals.

    $$\mathrm{IS}_\alpha = \frac1N \sum_n \left[(u_n - l_n) + \frac2\alpha (l_n - y_n)_+
      + \frac2\alpha (y_n - u_n)_+\right], \qquad \alpha = 1 - \mathrm{level}$$

    A proper score: it is least, in expectation, when the ends are the $\alpha/2$ and $1 - \alpha/2$ quantiles. It
    settles the trade between `interval_coverage` and `interval_width` that neither settles alone.

    Args:
        lower: lower ends, in the units of the labels.
        upper: upper ends.
        labels: true values.
        level: nominal coverage in (0, 1), such as 0.9.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar >= 0 in the units of the labels; NaN if no entry counts.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: if `level` is not strictly between 0 and 1.

    Example:
        >>> import jax.numpy as jnp
        >>> lower, upper, labels = jnp.zeros(2), jnp.ones(2), jnp.array([0.5, 1.25])
        >>> print(interval_score(lower, upper, labels, level=0.5))
        1.5

    References:
        Gneiting and Raftery, Strictly Proper Scoring Rules, Prediction, and Estimation, JASA 102(477), 2007
        (equation 43).
    """
    check_number("level", level, 0.0, 1.0, open_low=True, open_high=True)
    factors, lower, upper, labels = weighted(where, weights, lower=lower, upper=upper, labels=labels)
    misses = jnp.maximum(lower - labels, 0.0) + jnp.maximum(labels - upper, 0.0)
    return weighted_mean(upper - lower + 2.0 / (1.0 - level) * misses, weights=factors)
