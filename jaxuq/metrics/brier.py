"""Brier score: mean squared distance between predicted probabilities and what happened."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from jaxuq.metrics._masked import as_float, check_choice, masked_mean, prepare, select, undefined_unless, valid_entries


def brier_score(
    probabilities: Float[Array, " n"],
    labels: Shaped[Array, " n"],
    *,
    convention: Literal["sum", "muben"] = "sum",
    where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Brier score of binary predictions, summed over both classes.

    $$\mathrm{BS} = \frac1N \sum_n \sum_{k \in \{0, 1\}} \left(p(k \mid x_n) - \mathbb{I}(k = y_n)\right)^2
      = \frac2N \sum_n (p_n - y_n)^2$$

    A strictly proper, bounded score of calibration and sharpness together. Equal to `multiclass_brier_score` with two
    classes.

    Args:
        probabilities: probability of the positive class, in [0, 1].
        labels: 0 or 1 (or booleans).
        convention: `"sum"` is the equation above, in [0, 2]. `"muben"` is half of it, the mean of $(p_n - y_n)^2$ in
            [0, 1], which MUBen's tables and scikit-learn's `brier_score_loss` report.
        where: True for the entries that count; None counts all.

    Returns:
        A scalar; NaN if no entry counts.

    Raises:
        ValueError: if `convention` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> probabilities, labels = jnp.array([0.5, 1.0]), jnp.array([0, 1])
        >>> print(brier_score(probabilities, labels))
        0.25
        >>> print(brier_score(probabilities, labels, convention="muben"))
        0.125

    References:
        Brier, Verification of Forecasts Expressed in Terms of Probability, Monthly Weather Review 78(1), 1950.
        Li et al., MUBen: Benchmarking the Uncertainty of Molecular Representation Models, TMLR, 2024.
        Li, Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models, Georgia Institute of
        Technology, 2025 (equation 2.3).
    """
    check_choice("convention", convention, ("sum", "muben"))
    valid, probabilities, labels = prepare(where, probabilities, labels)
    return (2.0 if convention == "sum" else 1.0) * masked_mean((probabilities - labels) ** 2, valid)


def multiclass_brier_score(
    probabilities: Float[Array, "n classes"], labels: Int[Array, " n"], *, where: Bool[Array, " n"] | None = None
) -> Float[Array, ""]:
    r"""Brier score of class predictions, summed over the classes.

    $$\mathrm{BS} = \frac1N \sum_n \sum_{k=1}^K \left(p(k \mid x_n) - \mathbb{I}(k = y_n)\right)^2$$

    The sum, not the mean over classes, so its range [0, 2] does not shrink as classes are added.

    Args:
        probabilities: class probabilities; each row sums to 1.
        labels: class indices in [0, classes).
        where: True for the entries that count; None counts all.

    Returns:
        A scalar in [0, 2]; NaN if no entry counts or a counted label lies outside the classes.

    Example:
        >>> import jax.numpy as jnp
        >>> print(multiclass_brier_score(jnp.array([[0.5, 0.25, 0.25]]), jnp.array([0])))
        0.375

    References:
        Brier, Verification of Forecasts Expressed in Terms of Probability, Monthly Weather Review 78(1), 1950.
    """
    valid = valid_entries(where, labels)
    probabilities, labels = select(as_float(probabilities), valid), select(labels, valid)
    classes = probabilities.shape[1]
    truth = jax.nn.one_hot(labels, classes, dtype=probabilities.dtype)
    inside = (labels >= 0) & (labels < classes)
    return masked_mean(undefined_unless(inside, jnp.sum((probabilities - truth) ** 2, axis=1)), valid)
