"""Second-order calibration: is the stated variance of a probability its true one?"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real, Shaped

from jaxuq._arrays import select, undefined_unless, weighted, within_unit
from jaxuq._options import check_count
from jaxuq._shapes import checked
from jaxuq.metrics._ties import sort_with_ties


@checked
def second_order_calibration_error(
    probabilities: Float[Array, " n"],
    variance: Float[Array, " n"],
    first: Shaped[Array, " n"],
    second: Shaped[Array, " n"],
    *,
    bins: int = 10,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Mean gap between the stated epistemic variance of a probability and its error squared, by two answers each.

    $$\sum_b \frac{n_b}{N} \left\lvert \frac{1}{n_b} \sum_{i \in b} (y_{i1} - \hat p_i)(y_{i2} - \hat p_i)
      - \frac{1}{n_b} \sum_{i \in b} V_i \right\rvert$$

    One answer to a question cannot tell a question with an even chance from one whose answer the model does not know;
    two independent ones can, for their products have the mean $(p - \hat p)^2$. Bins hold equal weight in order of V,
    equal ones in one bin, so the order of the entries does not matter. It grows with the noise of few pairs a bin.

    Args:
        probabilities: stated chances of the event.
        variance: stated variances V >= 0 of the true chance about them, such as an ensemble's.
        first: whether the first answer is the event: 0 or 1 (or booleans).
        second: whether the second is, independent of the first given the question.
        bins: B.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar >= 0; NaN if no entry counts, or one that counts is NaN, has an answer or a probability outside [0, 1]
        or a variance below 0.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: `bins` is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> answers = jnp.array([1.0, 1.0, 0.0, 0.0])  # always the same twice: chances of 1 and 0, none of 1/2
        >>> for variance in (0.0, 0.25):
        ...     half, stated = jnp.full(4, 0.5), jnp.full(4, variance)
        ...     print(second_order_calibration_error(half, stated, answers, answers))
        0.25
        0.0

    References:
        D. D. Johnson, D. Tarlow, D. Duvenaud, C. J. Maddison, "Experts Don't Cheat: Learning What You Don't Know By
        Predicting Pairs", ICML 2024, section 3.
    """
    check_count("bins", bins)
    factors, probabilities, variance, first, second = weighted(
        where, weights, probabilities=probabilities, variance=variance, first=first, second=second
    )
    gaps = (first - probabilities) * (second - probabilities) - variance
    groups = sort_with_ties(variance, factors != 0, gaps, factors)
    gaps, sorted_factors = groups.values
    running = jnp.concatenate([jnp.zeros((1,), factors.dtype), jnp.cumsum(sorted_factors)])
    total = running[-1]
    middle = (running[groups.first] + running[groups.last + 1]) / 2
    index = jnp.clip(jnp.floor(bins * middle / jnp.where(total > 0, total, 1)).astype(jnp.int32), 0, bins - 1)
    sums = jax.ops.segment_sum(select(gaps * sorted_factors, groups.valid), index, num_segments=bins)
    error = jnp.sum(jnp.abs(sums)) / jnp.where(total > 0, total, 1)
    defined = (total > 0) & within_unit(probabilities) & within_unit(first) & within_unit(second)
    defined = defined & jnp.all(variance >= 0)
    return undefined_unless(defined, error)
