"""Calibration of predicted variances: do larger ones go with larger errors, and in proportion?"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxuq._arrays import no_nan, root, select, undefined_unless, weighted, weighted_mean
from jaxuq._shapes import checked
from jaxuq.metrics._ties import group_means, sort_with_ties
from jaxuq.metrics.reliability import mass_index


@checked
def expected_normalised_calibration_error(
    mean: Float[Array, " n"],
    variance: Float[Array, " n"],
    labels: Float[Array, " n"],
    *,
    bins: int = 10,
    where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Expected normalised calibration error (ENCE): predicted against actual error, in bins of predicted variance.

    $$\mathrm{ENCE} = \frac1B \sum_{b=1}^B \frac{|\mathrm{RMV}_b - \mathrm{RMSE}_b|}{\mathrm{RMV}_b}, \quad
      \mathrm{RMV}_b^2 = \frac{1}{N_b} \sum_{n \in b} \sigma^2_n, \quad
      \mathrm{RMSE}_b^2 = \frac{1}{N_b} \sum_{n \in b} (y_n - \mu_n)^2$$

    Bins hold equally many entries in order of variance. Unlike `regression_calibration_error` it asks whether the
    variance is right for *each size of* variance, so one wide constant cannot pass unless errors are homogeneous. No
    Gaussian shape is assumed. Where a bin's edge cuts through equal variances, their squared errors are shared evenly,
    so the order of the entries does not matter; with fewer entries than bins, empty bins are left out of the mean.

    Args:
        mean: predictive means, in the units of the labels.
        variance: predictive variances > 0.
        labels: true values.
        bins: number of bins B.
        where: True for the entries that count; None counts all.

    Returns:
        A scalar >= 0 without unit; NaN if no entry counts, or one that counts is NaN.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: if `bins` is not a positive integer.

    Example:
        >>> import jax.numpy as jnp
        >>> variance, labels = jnp.array([1.0, 1.0, 4.0, 4.0]), jnp.array([1.0, -1.0, 1.0, -1.0])
        >>> print(expected_normalised_calibration_error(jnp.zeros(4), variance, labels, bins=2))
        0.25

    References:
        Levi, Gispan, Giladi and Fetaya, Evaluating and Calibrating Uncertainty Prediction in Regression Tasks, Sensors
        22(15), 2022.
    """
    factors, mean, variance, labels = weighted(where, None, mean=mean, variance=variance, labels=labels)
    groups = sort_with_ties(variance, factors != 0, (labels - mean) ** 2)
    (squares,) = groups.values
    once = groups.valid.astype(squares.dtype)
    index = mass_index(groups, bins)

    def total(values):
        return jax.ops.segment_sum(select(values, groups.valid), index, num_segments=bins)

    filled = total(once) > 0
    errors, variances = total(group_means(squares, groups, once)), total(groups.keys)
    spread = variances != 0
    ratio = errors / jnp.where(spread, variances, 1.0)
    # The limits of a variance of 0: no error is as predicted, any other is infinitely more than that.
    ratio = jnp.where(spread, ratio, jnp.where(errors == 0, 1.0, jnp.inf))
    error = weighted_mean(jnp.abs(1.0 - root(ratio)), filled)
    return undefined_unless(no_nan(mean, variance, labels), error)


@checked
def sharpness(
    variance: Float[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Root mean predictive variance: how narrow the predictions are, whatever the labels.

    $$\mathrm{sharpness} = \sqrt{\tfrac1N \sum_n \sigma_n^2}$$

    Smaller is sharper, and better only between predictors of equal calibration.

    Args:
        variance: predictive variances > 0.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar > 0 in the units of the labels; NaN if no entry counts.

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> print(sharpness(jnp.array([1.0, 7.0])))
        2.0

    References:
        Gneiting, Balabdaoui and Raftery, Probabilistic Forecasts, Calibration and Sharpness, JRSS B 69(2), 2007.
        Tran et al., Methods for Comparing Uncertainty Quantifications for Material Property Predictions, Machine
        Learning: Science and Technology 1, 2020.
    """
    factors, variance = weighted(where, weights, variance=variance)
    return root(weighted_mean(variance, weights=factors))
