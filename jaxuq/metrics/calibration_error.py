"""Binned calibration errors: how far stated confidence is from how often it proves right."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer, Real, Shaped

from jaxuq._arrays import (
    as_float,
    class_numbers,
    factors_of,
    no_nan,
    select,
    undefined_unless,
    weighted,
    within_classes,
    within_unit,
)
from jaxuq._options import check_choice
from jaxuq._shapes import checked
from jaxuq.metrics.reliability import BinTotals, mass_totals, width_totals


@checked
def expected_calibration_error(
    confidence: Float[Array, " n"],
    correct: Shaped[Array, " n"],
    *,
    bins: int = 15,
    closed: Literal["right", "left"] = "right",
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Expected calibration error: mean gap between accuracy and confidence over bins of equal width.

    $$\mathrm{ECE} = \sum_{s=1}^S \frac{N_s}{N} \left| \frac{1}{N_s} \sum_{n \in \mathbb{B}_s} a_n
      - \frac{1}{N_s} \sum_{n \in \mathbb{B}_s} c_n \right|, \qquad
      \mathbb{B}_s = \left\{n : c_n \in \left(\tfrac{s-1}{S}, \tfrac{s}{S}\right]\right\}$$

    The usual report of top-class calibration: pass the largest class probability and whether that class was right. It
    is not a proper score (predicting the base rate scores 0), it depends on the bins, and on small data it is biased
    upwards; `smooth_calibration_error` has no bins. For one binary task see `binary_calibration_error`.

    Args:
        confidence: probability of the predicted class, in [0, 1].
        correct: whether the prediction was right: 0 or 1 (or booleans).
        bins: number of bins; a confidence of exactly 0 falls in the first.
        closed: side on which a bin holds its edge: `"right"` as in the equation, or `"left"`, where 1 has a further bin
            for itself (torchmetrics).
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar in [0, 1]; NaN if no entry counts, or one that counts is NaN or has a label out of range.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: if `bins` is not a positive integer, or `closed` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> confidence, correct = jnp.array([0.75, 0.75, 0.75, 0.75]), jnp.array([1, 1, 0, 0])
        >>> print(expected_calibration_error(confidence, correct))
        0.25

    References:
        Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI, 2015.
        Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML, 2017 (equation 3).
    """
    check_choice("closed", closed, ("right", "left"))
    factors, confidence, correct = weighted(where, weights, confidence=confidence, correct=correct)
    defined = no_nan(confidence) & within_unit(correct)
    return _mean_gap(width_totals(confidence, correct, factors, bins, closed), defined)


@checked
def maximum_calibration_error(
    confidence: Float[Array, " n"],
    correct: Shaped[Array, " n"],
    *,
    bins: int = 15,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Maximum calibration error: the largest gap between accuracy and confidence in any filled bin.

    $$\mathrm{MCE} = \max_{s : N_s > 0} \left| \mathrm{acc}_s - \mathrm{conf}_s \right|$$

    For a worst case over confidence levels. Thin bins decide it, so expect noise; see `expected_calibration_error`.

    Args:
        confidence: probability of the predicted class, in [0, 1].
        correct: whether the prediction was right: 0 or 1 (or booleans).
        bins: number of bins of equal width.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar in [0, 1]; NaN if no entry counts, or one that counts is NaN or has a label out of range.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: if `bins` is not a positive integer.

    Example:
        >>> import jax.numpy as jnp
        >>> confidence, correct = jnp.array([0.75, 0.75, 0.25]), jnp.array([1, 1, 1])
        >>> print(maximum_calibration_error(confidence, correct))
        0.75

    References:
        Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI, 2015.
    """
    factors, confidence, correct = weighted(where, weights, confidence=confidence, correct=correct)
    defined = no_nan(confidence) & within_unit(correct)
    return _largest_gap(width_totals(confidence, correct, factors, bins), defined)


@checked
def adaptive_calibration_error(
    confidence: Float[Array, " n"],
    correct: Shaped[Array, " n"],
    *,
    bins: int = 15,
    where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Calibration error over bins that hold equally many entries.

    The equation of `expected_calibration_error` with $\mathbb{B}_s$ the $s$-th run of $N / S$ entries in order of
    confidence. Use it where confidences crowd near 1 and bins of equal width would mostly be empty. Where a bin's edge
    cuts through equal confidences, their correctness is shared evenly, so the order of the entries does not matter.

    Args:
        confidence: probability of the predicted class, in [0, 1].
        correct: whether the prediction was right: 0 or 1 (or booleans).
        bins: number of bins.
        where: True for the entries that count; None counts all.

    Returns:
        A scalar in [0, 1]; NaN if no entry counts, or one that counts is NaN or has a label out of range.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: if `bins` is not a positive integer.

    Example:
        >>> import jax.numpy as jnp
        >>> confidence, correct = jnp.array([0.5, 0.5, 1.0, 1.0]), jnp.array([0, 1, 1, 0])
        >>> print(adaptive_calibration_error(confidence, correct, bins=2))
        0.25

    References:
        Nixon et al., Measuring Calibration in Deep Learning, CVPR Workshops, 2019 (here on one confidence an entry;
        apply it to each class column for their form).
    """
    factors, confidence, correct = weighted(where, None, confidence=confidence, correct=correct)
    defined = no_nan(confidence) & within_unit(correct)
    return _mean_gap(mass_totals(confidence, correct, factors, bins), defined)


@checked
def classwise_calibration_error(
    probabilities: Float[Array, "n classes"],
    labels: Integer[Array, " n"],
    *,
    bins: int = 15,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Expected calibration error of each class's probability, averaged over the classes.

    $$\mathrm{cwECE} = \frac1K \sum_{k=1}^K \sum_{s=1}^S \frac{N_{ks}}{N} \left|
      \mathrm{freq}_{ks} - \mathrm{conf}_{ks} \right|$$

    Stronger than `expected_calibration_error`, which looks at the top class alone: here every probability must mean
    what it says. With many classes most probabilities are near 0 and the average is small: compare equal K only.

    Args:
        probabilities: class probabilities; each row sums to 1.
        labels: class indices in [0, classes).
        bins: number of bins of equal width.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar in [0, 1]; NaN if no entry counts, or one that counts is NaN or has a label out of range.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: if `bins` is not a positive integer.

    Example:
        >>> import jax.numpy as jnp
        >>> probabilities = jnp.array([[0.75, 0.25], [0.75, 0.25]])
        >>> print(classwise_calibration_error(probabilities, jnp.array([0, 1])))
        0.25

    References:
        Kull et al., Beyond Temperature Scaling: Obtaining Well-Calibrated Multiclass Probabilities with Dirichlet
        Calibration, NeurIPS, 2019.
    """
    classes = probabilities.shape[1]
    kept = factors_of(where, weights, as_float(labels)) != 0
    labels = select(labels, kept)
    inside = jnp.all(within_classes(labels, classes))
    numbers = class_numbers(labels, classes)

    def of_class(column, number):
        return expected_calibration_error(column, numbers == number, bins=bins, where=where, weights=weights)

    errors = jax.vmap(of_class, in_axes=(1, 0))(probabilities, jnp.arange(classes, dtype=jnp.int32))
    return undefined_unless(inside, jnp.mean(errors))


@checked
def binary_calibration_error(
    probabilities: Float[Array, " n"],
    labels: Shaped[Array, " n"],
    *,
    bins: int = 15,
    norm: Literal["mean", "maximum"] = "mean",
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Calibration error of one binary task, from the probability of its positive class.

    $$c_n = \max(p_n, 1 - p_n), \qquad a_n = \mathbb{I}\left(y_n = \mathbb{I}(p_n > \tfrac12)\right)$$

    and then `expected_calibration_error` or `maximum_calibration_error` of $(c, a)$. Confidences lie in [1/2, 1], so
    only the upper half of the bins is used.

    Args:
        probabilities: probability of the positive class, in [0, 1].
        labels: 0 or 1 (or booleans).
        bins: number of bins of equal width on [0, 1].
        norm: `"mean"` is the expected, `"maximum"` the maximum calibration error.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar in [0, 1]; NaN if no entry counts, or one that counts is NaN or has a label out of range.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: if `bins` is not a positive integer, or `norm` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> probabilities, labels = jnp.array([0.25, 0.75]), jnp.array([0, 0])
        >>> print(binary_calibration_error(probabilities, labels))
        0.25

    References:
        Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML, 2017 (equations 3 and 5).
        Li, Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models, Georgia Institute of
        Technology, 2025 (equation 2.4).
    """
    check_choice("norm", norm, ("mean", "maximum"))
    factors, probabilities, labels = weighted(where, weights, probabilities=probabilities, labels=labels)
    defined = no_nan(probabilities) & within_unit(labels)
    correct = ((probabilities > 0.5) == (labels > 0)).astype(probabilities.dtype)
    totals = width_totals(jnp.maximum(probabilities, 1.0 - probabilities), correct, factors, bins)
    return (_mean_gap if norm == "mean" else _largest_gap)(totals, defined)


def _mean_gap(totals: BinTotals, defined: Bool[Array, ""]) -> Float[Array, ""]:
    """Weighted mean over bins of |accuracy - confidence|; the bin sizes cancel."""
    counted = jnp.sum(totals.count)
    gap = jnp.sum(jnp.abs(totals.correct - totals.confidence)) / jnp.where(counted == 0, 1.0, counted)
    return undefined_unless((counted != 0) & defined, gap)


def _largest_gap(totals: BinTotals, defined: Bool[Array, ""]) -> Float[Array, ""]:
    """Largest |accuracy - confidence| over the filled bins."""
    filled = totals.count != 0
    gaps = jnp.abs(totals.correct - totals.confidence) / jnp.where(filled, totals.count, 1.0)
    return undefined_unless(jnp.any(filled) & defined, jnp.max(select(gaps, filled)))
