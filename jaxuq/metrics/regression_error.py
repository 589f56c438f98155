"""Errors of point predictions: root mean squared, mean absolute, and the share of variance explained."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real, Shaped

from jaxuq._arrays import root, select, undefined_unless, weighted, weighted_mean
from jaxuq._shapes import checked


@checked
def root_mean_squared_error(
    predictions: Float[Array, " n"],
    labels: Shaped[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Root of the mean squared error.

    $$\mathrm{RMSE} = \sqrt{\tfrac{1}{N} \sum_{n=1}^N (\hat y_n - y_n)^2}$$

    Use it to report the error of predicted means in the units of the labels; single large errors dominate. To train,
    minimise the square instead: the slope of the root jumps at a perfect fit (it is given as 0 there).

    Args:
        predictions: predicted means, in the units of the labels.
        labels: true values.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar >= 0 in the units of the labels; NaN if no entry counts.

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> print(root_mean_squared_error(jnp.array([1.0, 5.0]), jnp.array([1.0, 1.0])).round(4))
        2.8284

    References:
        Li et al., MUBen: Benchmarking the Uncertainty of Molecular Representation Models, TMLR, 2024.
    """
    factors, predictions, labels = weighted(where, weights, predictions=predictions, labels=labels)
    errors = predictions - labels
    # In units of the largest error: the squares of very small or large ones leave the range of single precision.
    unit = jax.lax.stop_gradient(jnp.max(jnp.abs(errors), initial=0.0))
    unit = jnp.where((unit > 0) & (unit < jnp.inf), unit, 1.0)
    return unit * root(weighted_mean((errors / unit) ** 2, weights=factors))


@checked
def mean_absolute_error(
    predictions: Float[Array, " n"],
    labels: Shaped[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Mean of the absolute errors.

    $$\mathrm{MAE} = \tfrac{1}{N} \sum_{n=1}^N |\hat y_n - y_n|$$

    Use it where outliers should count in proportion. It rewards the median of the predictive distribution, as
    `root_mean_squared_error` rewards its mean.

    Args:
        predictions: predicted values, in the units of the labels.
        labels: true values.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar >= 0 in the units of the labels; NaN if no entry counts.

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> print(mean_absolute_error(jnp.array([1.0, 5.0]), jnp.array([1.0, 1.0])))
        2.0

    References:
        Gneiting, Making and Evaluating Point Forecasts, JASA 106(494), 2011.
    """
    factors, predictions, labels = weighted(where, weights, predictions=predictions, labels=labels)
    return weighted_mean(jnp.abs(predictions - labels), weights=factors)


@checked
def r2_score(
    predictions: Float[Array, " n"],
    labels: Shaped[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Coefficient of determination: the share of the labels' variance that the predictions explain.

    $$R^2 = 1 - \frac{\sum_n (y_n - \hat y_n)^2}{\sum_n (y_n - \bar y)^2}$$

    Use it to compare targets of different scale. It is not the squared correlation: a biased prediction loses, and a
    prediction worse than the labels' own mean scores below 0.

    Args:
        predictions: predicted means, in the units of the labels.
        labels: true values.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar <= 1; NaN if no entry counts or the labels that count are all equal.

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> print(r2_score(jnp.array([1.0, 2.0, 2.0]), jnp.array([1.0, 2.0, 3.0])))
        0.5

    References:
        Wright, Correlation and Causation, Journal of Agricultural Research 20, 1921.
    """
    factors, predictions, labels = weighted(where, weights, predictions=predictions, labels=labels)
    kept = factors != 0
    lowest = jnp.min(select(labels, kept, jnp.inf), initial=jnp.inf)
    highest = jnp.max(select(labels, kept, -jnp.inf), initial=-jnp.inf)
    varied = ~(highest <= lowest)
    # In units of half the range, from its middle: nothing then depends on scale or offset, and no square leaves the
    # range of single precision. Equal extremes, not a total of 0, say that labels are constant.
    unit = jax.lax.stop_gradient(jnp.where(varied, 0.5 * highest - 0.5 * lowest, 1.0))
    middle = jax.lax.stop_gradient(jnp.where(varied, 0.5 * highest + 0.5 * lowest, 0.0))
    deviation = select((labels - middle) / unit, kept)
    deviation = select(deviation - weighted_mean(deviation, weights=factors), kept)
    residual = weighted_mean(((labels - predictions) / unit) ** 2, weights=factors)
    total = weighted_mean(deviation**2, weights=factors)
    return undefined_unless(varied, 1.0 - residual / jnp.where(varied, total, 1.0))
