"""Calibration errors of cumulative differences: no bins, no kernel, and a distribution under calibration."""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real, Shaped

from jaxuq._arrays import no_nan, undefined_unless, weighted, within_unit
from jaxuq._options import check_choice
from jaxuq._shapes import checked
from jaxuq.metrics._ties import sort_with_ties


@checked
def cumulative_calibration_error(
    confidence: Float[Array, " n"],
    correct: Shaped[Array, " n"],
    *,
    statistic: Literal["maximum", "range"] = "maximum",
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""How far the running sum of residuals strays from 0, in order of confidence.

    $$D_k = \frac1N \sum_{i \le k} (a_{(i)} - c_{(i)}),\qquad
      \text{maximum: } \max_k |D_k|,\qquad \text{range: } \max_{0 \le k \le N} D_k - \min_{0 \le k \le N} D_k$$

    "maximum" is the Kolmogorov-Smirnov calibration error, "range" Kuiper's: the largest absolute share of the outcomes
    by which confidence is off over all of its lower (or any) stretch. Unlike a binned error neither depends on a choice
    of bins, and under calibration both shrink as $N^{-1/2}$ to a known distribution. They are small for errors that
    alternate in sign from one confidence to the next, which binned errors see. Equal confidences are taken together, so
    the order of the entries does not matter.

    Args:
        confidence: stated probabilities, in [0, 1].
        correct: what happened: 0 or 1 (or booleans).
        statistic: "maximum" or "range".
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar in [0, 1]; NaN if no entry counts, or one that counts is NaN.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: `statistic` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> confidence, correct = jnp.array([0.2, 0.4, 0.6, 0.9]), jnp.array([1, 0, 0, 1])
        >>> for statistic in ("maximum", "range"):  # D = 0.2, 0.1, -0.05, -0.025
        ...     print(f"{cumulative_calibration_error(confidence, correct, statistic=statistic):.3f}")
        0.200
        0.250

    References:
        K. Gupta, A. Rahimi, T. Ajanthan, T. Mensink, C. Sminchisescu, R. Hartley, "Calibration of Neural Networks using
        Splines", ICLR 2021, Eq. 5.
        I. Arrieta-Ibarra, P. Gujral, J. Tannen, M. Tygert, C. Xu, "Metrics of Calibration for Probabilistic
        Predictions", JMLR 23, 2022, Eq. 5 and 6.
    """
    check_choice("statistic", statistic, ("maximum", "range"))
    factors, confidence, correct = weighted(where, weights, confidence=confidence, correct=correct)
    total = jnp.sum(factors)
    residuals = factors * (correct - confidence) / jnp.where(total == 0, 1, total)
    groups = sort_with_ties(confidence, factors != 0, residuals)
    running = jnp.cumsum(groups.values[0])[groups.last]
    highest, lowest = jnp.max(running, initial=0), jnp.min(running, initial=0)
    error = jnp.maximum(highest, -lowest) if statistic == "maximum" else highest - lowest
    return undefined_unless((total != 0) & no_nan(confidence) & within_unit(correct), error)
