"""Calibration of Gaussian regression: nominal against observed coverage, quantile by quantile."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Real

from jaxuq._arrays import no_nan, undefined_unless, weighted
from jaxuq._options import check_choice, check_count
from jaxuq._shapes import checked


class CalibrationCurve(NamedTuple):
    """Nominal and observed coverage.

    Attributes:
        expected: nominal probabilities, ascending from 0 to 1.
        observed: share of labels that fall within each; equal to `expected` under perfect calibration.
    """

    expected: Float[Array, " levels"]
    observed: Float[Array, " levels"]


@checked
def regression_calibration_curve(
    mean: Float[Array, " n"],
    variance: Float[Array, " n"],
    labels: Float[Array, " n"],
    *,
    num_quantiles: int = 20,
    kind: Literal["central", "quantile"] = "quantile",
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> CalibrationCurve:
    r"""Observed against nominal coverage of Gaussian predictions.

    $$\mathrm{observed}_s = \frac1N \left|\{n : F_n \le \tfrac{s}{S}\}\right|, \qquad
      F_n = \Phi\left(\frac{y_n - \mu_n}{\sigma_n}\right) \;\text{(quantile)} \quad\text{or}\quad
      2 \Phi\left(\frac{|y_n - \mu_n|}{\sigma_n}\right) - 1 \;\text{(central)}$$

    Plot observed against expected. The quantile kind shows bias and spread together; the central kind asks only whether
    intervals around the mean hold as many labels as they claim: below the diagonal is overconfident.

    Args:
        mean: predictive means, in the units of the labels.
        variance: predictive variances >= 0.
        labels: true values.
        num_quantiles: S; the levels are s / S for s = 0, ..., S.
        kind: `"quantile"` or `"central"`.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        `CalibrationCurve` with fields of shape [S + 1]; `observed` is NaN if no entry counts, or if one that
        counts is NaN.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: if `num_quantiles` is not a positive integer or `kind` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> labels = jnp.array([-1.0, -0.1, 0.1, 1.0])
        >>> curve = regression_calibration_curve(jnp.zeros(4), jnp.ones(4), labels, num_quantiles=4)
        >>> print(curve.expected, curve.observed)
        [0. 0.25 0.5 0.75 1. ] [0. 0.25 0.5 0.75 1. ]

    References:
        Kuleshov, Fenner and Ermon, Accurate Uncertainties for Deep Learning Using Calibrated Regression, ICML, 2018.
    """
    check_count("num_quantiles", num_quantiles)
    check_choice("kind", kind, ("central", "quantile"))
    factors, mean, variance, labels = (a for a in weighted(where, weights, mean=mean, variance=variance, labels=labels))
    errors, spread = labels - mean, variance != 0
    z = errors / jnp.sqrt(jnp.where(spread, variance, 1.0))
    z = jnp.where(spread | (errors == 0), z, jnp.inf * errors)  # a variance of 0 is the limit
    quantile = jax.scipy.special.ndtr(z) if kind == "quantile" else jax.scipy.special.erf(jnp.abs(z) * 2**-0.5)
    expected = jnp.asarray(np.arange(num_quantiles + 1) / num_quantiles, z.dtype)
    level = jnp.searchsorted(expected, quantile, side="left")
    reached = jax.ops.segment_sum(factors, level, num_segments=num_quantiles + 1)
    total = jnp.sum(factors)
    observed = jnp.cumsum(reached) / jnp.where(total == 0, 1.0, total)
    return CalibrationCurve(expected, undefined_unless((total != 0) & no_nan(z), observed))


@checked
def regression_calibration_error(
    mean: Float[Array, " n"],
    variance: Float[Array, " n"],
    labels: Float[Array, " n"],
    *,
    num_quantiles: int = 20,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Mean squared gap between nominal and observed quantile coverage of Gaussian predictions.

    $$\mathrm{CE} = \frac{1}{S - 1} \sum_{s=1}^{S-1} \left(\frac{s}{S} -
      \frac1N \left|\{n : \Phi\left(\tfrac{y_n - \mu_n}{\sigma_n}\right) \le \tfrac{s}{S}\}\right|\right)^2$$

    The quantile S / S, which always has error 0, is left out. Like every calibration error it is not a proper score:
    predicting the labels' overall distribution for every input scores 0. Its gradient is zero: it counts.

    Args:
        mean: predictive means, in the units of the labels.
        variance: predictive variances >= 0.
        labels: true values.
        num_quantiles: S; 20 gives the 19 interior quantiles .05, ..., .95.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar >= 0; NaN if no entry counts, or one that counts is NaN.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: if `num_quantiles` is not an integer of at least 2.

    Example:
        >>> import jax.numpy as jnp
        >>> labels = jnp.linspace(-3.0, 3.0, 16)
        >>> print(regression_calibration_error(labels, jnp.ones(16), labels, num_quantiles=2))
        0.25

    References:
        Kuleshov, Fenner and Ermon, Accurate Uncertainties for Deep Learning Using Calibrated Regression, ICML, 2018
        (their calibration score, unweighted and averaged).
        Li, Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models, Georgia Institute of
        Technology, 2025 (equation 2.5).
    """
    check_count("num_quantiles", num_quantiles, 2)
    curve = regression_calibration_curve(
        mean, variance, labels, num_quantiles=num_quantiles, where=where, weights=weights
    )
    return jnp.mean((curve.expected[1:-1] - curve.observed[1:-1]) ** 2)


@checked
def miscalibration_area(
    mean: Float[Array, " n"],
    variance: Float[Array, " n"],
    labels: Float[Array, " n"],
    *,
    num_quantiles: int = 99,
    kind: Literal["central", "quantile"] = "central",
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Area between the calibration curve of Gaussian predictions and the diagonal.

    $$\mathrm{MA} = \int_0^1 \left|\mathrm{observed}(q) - q\right| dq$$

    with the curve of `regression_calibration_curve` joined by straight lines. Its scale is easier to read than that of
    `regression_calibration_error` (0.1 means that coverage is off by 10 points on average), at most 1/2.

    Args:
        mean: predictive means, in the units of the labels.
        variance: predictive variances >= 0.
        labels: true values.
        num_quantiles: number of segments of the curve.
        kind: `"central"` intervals or `"quantile"` levels.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar in [0, 1/2]; NaN if no entry counts, or one that counts is NaN.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: if `num_quantiles` is not a positive integer or `kind` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> labels = jnp.linspace(-3.0, 3.0, 16)
        >>> print(miscalibration_area(labels, jnp.ones(16), labels).round(3))
        0.5

    References:
        Tran et al., Methods for Comparing Uncertainty Quantifications for Material Property Predictions, Machine
        Learning: Science and Technology 1, 2020.
    """
    curve = regression_calibration_curve(
        mean, variance, labels, num_quantiles=num_quantiles, kind=kind, where=where, weights=weights
    )
    gap = curve.observed - curve.expected
    left, right = gap[:-1], gap[1:]
    size = jnp.abs(left) + jnp.abs(right)
    # Where the curve crosses the diagonal the area is two triangles, not a trapezium.
    crossing = (left**2 + right**2) / jnp.where(size > 0, size, 1.0)
    return jnp.mean(0.5 * jnp.where(left * right < 0, crossing, size))
