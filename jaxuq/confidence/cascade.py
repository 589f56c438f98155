"""Cascades: answer with the small model, or pass the question on to the large one."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from jaxuq._arrays import entry, masked, no_nan, number_of, product, select, undefined_unless, widened
from jaxuq._options import check_number
from jaxuq._shapes import checked
from jaxuq.confidence._measure import measure
from jaxuq.metrics._ties import group_means, sort_with_ties


@checked
@widened
def log_probability_quantile(
    log_probs: Float[Array, " tokens"], *, quantile: float = 0.0, where: Bool[Array, " tokens"] | None = None
) -> Float[Array, ""]:
    r"""Chow-Quantile: a quantile of the tokens' log-probabilities; 0 is the weakest token. Higher is more confident.

    Deferring by the sum prefers long answers, deferring by the mean over-corrects; a low quantile does neither.

    Args:
        log_probs: of the tokens.
        quantile: in [0, 1], between tokens by linear interpolation.
        where: True for the tokens that count; None counts all.

    Returns:
        A scalar; NaN if no token counts, or one that counts is NaN.

    Raises:
        ValueError: if `quantile` is not in [0, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(log_probability_quantile(jnp.log(jnp.array([0.9, 0.2, 0.6, 0.95])), quantile=0.5)), 4)
        -0.3081

    References:
        Gupta et al. Language Model Cascades: Token-level Uncertainty and Beyond. ICLR 2024.
    """
    check_number("quantile", quantile, 0.0, 1.0)
    valid, log_probs = masked(where, log_probs=log_probs)
    ordered = jnp.sort(select(log_probs, valid, jnp.inf))
    place = quantile * (number_of(valid, log_probs) - 1.0)
    low = jnp.floor(place).astype(jnp.int32)
    high = jnp.minimum(low + 1, jnp.maximum(jnp.sum(valid) - 1, 0).astype(jnp.int32))
    share = place - low.astype(place.dtype)
    between = product(1.0 - share, entry(ordered, low)) + product(share, entry(ordered, high))
    return undefined_unless(jnp.any(valid) & no_nan(log_probs), between)


class DeferralCurve(NamedTuple):
    """Quality and cost as more and more questions are passed on, the least confident first.

    Attributes:
        share: of the questions that go to the large model, from 0 to 1.
        quality: mean quality of the mixture.
        cost: mean cost of a question: the small model always runs.
        area: under quality against share, by trapezoids.
        random_area: of passing on at random: the straight line between both models.
    """

    share: Float[Array, " points"]
    quality: Float[Array, " points"]
    cost: Float[Array, " points"]
    area: Float[Array, ""]
    random_area: Float[Array, ""]


@checked
@widened
def deferral_curve(
    confidence: Float[Array, " n"],
    small_quality: Shaped[Array, " n"],
    large_quality: Shaped[Array, " n"],
    *,
    small_cost: float = 1.0,
    large_cost: float = 10.0,
    where: Bool[Array, " n"] | None = None,
) -> DeferralCurve:
    r"""Quality of a cascade against the share of questions that it passes on.

    $$q_k = \frac1N \left(\sum_{i \le k} q^{large}_{(i)} + \sum_{i > k} q^{small}_{(i)}\right), \qquad
      c_{(1)} \le c_{(2)} \le \dots$$

    What counts is not how unsure the small model is but how much the large one gains: pass the estimated probability
    that only the small one is right. Questions of equal confidence count with the mean of their group.

    Args:
        confidence: in the small model's answer.
        small_quality: of the small model's answers: 0 or 1, or any quality.
        large_quality: of the large model's.
        small_cost: of one question.
        large_cost: of one question.
        where: True for the questions that count; None counts all.

    Returns:
        `DeferralCurve` with n + 1 points (beyond the number that count, the last is repeated); NaN if none counts, or
        for a confidence that is NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> confidence = jnp.array([0.9, 0.8, 0.4, 0.3])
        >>> curve = deferral_curve(confidence, jnp.array([1, 1, 0, 0]), jnp.array([1, 1, 1, 0]))
        >>> curve.quality.tolist(), float(curve.area)
        ([0.5, 0.5, 0.75, 0.75, 0.75], 0.65625)

    References:
        Gupta et al. Language Model Cascades. ICLR 2024.
        Jitkrittum et al. When Does Confidence-Based Cascade Deferral Suffice? NeurIPS 2023.
    """
    valid, confidence, small, large = masked(
        where, confidence=confidence, small_quality=small_quality, large_quality=large_quality
    )
    gain = select(large - small, valid)
    groups = sort_with_ties(confidence, valid, gain)
    gains = jnp.cumsum(select(group_means(groups.values[0], groups, groups.valid.astype(gain.dtype)), groups.valid))
    count = number_of(valid, confidence)
    start = jnp.sum(small) / count
    zero = jnp.zeros((1,), confidence.dtype)
    quality = start + jnp.concatenate([zero, gains]) / count
    share = jnp.minimum(jnp.arange(confidence.shape[0] + 1, dtype=confidence.dtype) / count, 1.0)
    area = jnp.sum(0.5 * (quality[1:] + quality[:-1]) * (share[1:] - share[:-1]))
    random_area = 0.5 * (quality[0] + quality[-1])
    defined = jnp.any(valid) & no_nan(confidence)  # sorting would take one for the highest
    curve = DeferralCurve(share, quality, small_cost + large_cost * share, area, random_area)
    return DeferralCurve(*(undefined_unless(defined, field) for field in curve))


ENTRIES = (
    measure("log_probability_quantile", "Lower quartile of log P",
            lambda seen: log_probability_quantile(seen.log_probs, quantile=0.25, where=seen.response),
            citation=("log-probability-quantile",)),
)  # fmt: skip
"""Quantiles as measures of an answer, see `jaxuq.confidence.MEASURES`."""
