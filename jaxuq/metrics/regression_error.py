"""Errors of point predictions: root mean squared, mean absolute, and the share of variance explained."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from jaxuq.metrics._masked import masked_mean, prepare, select, undefined_unless


def root_mean_squared_error(
    predictions: Float[Array, " n"], labels: Shaped[Array, " n"], *, where: Bool[Array, " n"] | None = None
) -> Float[Array, ""]:
    r"""Root of the mean squared error.

    $$\mathrm{RMSE} = \sqrt{\tfrac{1}{N} \sum_{n=1}^N (\hat y_n - y_n)^2}$$

    Use it to report the error of predicted means in the units of the labels; single large errors dominate. To train,
    minimise the square instead: the root has an infinite gradient at a perfect fit.

    Args:
        predictions: predicted means, in the units of the labels.
        labels: true values.
        where: True for the entries that count; None counts all.

    Returns:
        A scalar >= 0 in the units of the labels; NaN if no entry counts.

    Example:
        >>> import jax.numpy as jnp
        >>> print(root_mean_squared_error(jnp.array([1.0, 5.0]), jnp.array([1.0, 1.0])).round(4))
        2.8284

    References:
        Li et al., MUBen: Benchmarking the Uncertainty of Molecular Representation Models, TMLR, 2024.
    """
    valid, predictions, labels = prepare(where, predictions, labels)
    return jnp.sqrt(masked_mean((predictions - labels) ** 2, valid))


def mean_absolute_error(
    predictions: Float[Array, " n"], labels: Shaped[Array, " n"], *, where: Bool[Array, " n"] | None = None
) -> Float[Array, ""]:
    r"""Mean of the absolute errors.

    $$\mathrm{MAE} = \tfrac{1}{N} \sum_{n=1}^N |\hat y_n - y_n|$$

    Use it where outliers should count in proportion. It rewards the median of the predictive distribution, as
    `root_mean_squared_error` rewards its mean.

    Args:
        predictions: predicted values, in the units of the labels.
        labels: true values.
        where: True for the entries that count; None counts all.

    Returns:
        A scalar >= 0 in the units of the labels; NaN if no entry counts.

    Example:
        >>> import jax.numpy as jnp
        >>> print(mean_absolute_error(jnp.array([1.0, 5.0]), jnp.array([1.0, 1.0])))
        2.0

    References:
        Gneiting, Making and Evaluating Point Forecasts, JASA 106(494), 2011.
    """
    valid, predictions, labels = prepare(where, predictions, labels)
    return masked_mean(jnp.abs(predictions - labels), valid)


def r2_score(
    predictions: Float[Array, " n"], labels: Shaped[Array, " n"], *, where: Bool[Array, " n"] | None = None
) -> Float[Array, ""]:
    r"""Coefficient of determination: the share of the labels' variance that the predictions explain.

    $$R^2 = 1 - \frac{\sum_n (y_n - \hat y_n)^2}{\sum_n (y_n - \bar y)^2}$$

    Use it to compare targets of different scale. It is not the squared correlation: a biased prediction loses, and a
    prediction worse than the labels' own mean scores below 0.

    Args:
        predictions: predicted means, in the units of the labels.
        labels: true values.
        where: True for the entries that count; None counts all.

    Returns:
        A scalar <= 1; NaN if no entry counts or the labels that count are all equal.

    Example:
        >>> import jax.numpy as jnp
        >>> print(r2_score(jnp.array([1.0, 2.0, 2.0]), jnp.array([1.0, 2.0, 3.0])))
        0.5

    References:
        Wright, Correlation and Causation, Journal of Agricultural Research 20, 1921.
    """
    valid, predictions, labels = prepare(where, predictions, labels)
    residual = masked_mean((labels - predictions) ** 2, valid)
    deviation = select(labels - masked_mean(labels, valid), valid)
    total = masked_mean(deviation**2, valid)
    # Comparing extremes, not `total > 0`: the rounded mean of equal labels can differ from them by one unit.
    lowest, highest = jnp.min(select(labels, valid, jnp.inf)), jnp.max(select(labels, valid, -jnp.inf))
    varied = ~(highest <= lowest)
    return undefined_unless(varied, 1.0 - residual / jnp.where(varied, total, 1.0))
