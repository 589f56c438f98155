"""Brier score: mean squared distance between predicted probabilities and what happened."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer, Real, Shaped

from jaxuq._arrays import (
    as_float,
    factors_of,
    is_class,
    select,
    undefined_unless,
    weighted,
    weighted_mean,
    within_classes,
)
from jaxuq._shapes import checked


@checked
def brier_score(
    probabilities: Float[Array, " n"],
    labels: Shaped[Array, " n"],
    *,
    scale_by_half: bool = True,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Brier score of binary predictions: the mean squared error of the probability.

    $$\mathrm{BS} = \frac1N \sum_n (p_n - y_n)^2$$

    A strictly proper, bounded score of calibration and sharpness together; the value of scikit-learn's
    `brier_score_loss`. Summed over both classes, as `multiclass_brier_score` does, it is twice as large.

    Args:
        probabilities: probability of the positive class, in [0, 1].
        labels: 0 or 1 (or booleans), or probabilities of the positive class.
        scale_by_half: True is the equation above, in [0, 1], which MUBen's tables report. False is the sum over both
            classes, $\frac2N \sum_n (p_n - y_n)^2$ in [0, 2], Brier's own form and equation 2.3 of the dissertation.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar; NaN if no entry counts or a label that counts lies outside [0, 1].

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> probabilities, labels = jnp.array([0.5, 1.0]), jnp.array([0, 1])
        >>> print(brier_score(probabilities, labels), brier_score(probabilities, labels, scale_by_half=False))
        0.125 0.25

    References:
        Brier, Verification of Forecasts Expressed in Terms of Probability, Monthly Weather Review 78(1), 1950.
        Li et al., MUBen: Benchmarking the Uncertainty of Molecular Representation Models, TMLR, 2024.
        Li, Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models, Georgia Institute of
        Technology, 2025 (equation 2.3).
    """
    _, probabilities, labels = weighted(where, weights, probabilities=probabilities, labels=labels)
    squares = undefined_unless((labels >= 0) & (labels <= 1), (probabilities - labels) ** 2)
    return (1.0 if scale_by_half else 2.0) * weighted_mean(squares, where, weights)


@checked
def multiclass_brier_score(
    probabilities: Float[Array, "n classes"],
    labels: Integer[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Brier score of class predictions, summed over the classes.

    $$\mathrm{BS} = \frac1N \sum_n \sum_{k=1}^K \left(p(k \mid x_n) - \mathbb{I}(k = y_n)\right)^2$$

    The sum, not the mean over classes, so its range [0, 2] does not shrink as classes are added; scikit-learn's
    `brier_score_loss` of more than two classes.

    Args:
        probabilities: class probabilities; each row sums to 1.
        labels: class indices in [0, classes).
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar in [0, 2]; NaN if no entry counts or a counted label lies outside the classes.

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> print(multiclass_brier_score(jnp.array([[0.5, 0.25, 0.25]]), jnp.array([0])))
        0.375

    References:
        Brier, Verification of Forecasts Expressed in Terms of Probability, Monthly Weather Review 78(1), 1950.
    """
    probabilities = as_float(probabilities)
    classes = probabilities.shape[1]
    kept = factors_of(where, weights, probabilities[:, 0] if classes else as_float(labels)) != 0
    probabilities, labels = select(probabilities, kept), select(labels, kept)
    squares = jnp.sum((probabilities - is_class(labels, classes).astype(probabilities.dtype)) ** 2, axis=1)
    return weighted_mean(undefined_unless(within_classes(labels, classes), squares), where, weights)
