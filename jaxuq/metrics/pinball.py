"""Pinball loss: the proper score of a predicted quantile."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxuq._arrays import weighted, weighted_mean
from jaxuq._options import check_number
from jaxuq._shapes import checked


@checked
def pinball_loss(
    predictions: Float[Array, " n"],
    labels: Float[Array, " n"],
    *,
    quantile: float,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Mean pinball (quantile, check) loss.

    $$\mathrm{PL}_\tau = \frac1N \sum_n \max\left(\tau (y_n - q_n),\; (\tau - 1)(y_n - q_n)\right)$$

    Least, in expectation, at the true $\tau$-quantile; at $\tau = 1/2$ it is half of `mean_absolute_error`, and twice
    its integral over $\tau$ is the continuous ranked probability score.

    Args:
        predictions: predicted quantiles, in the units of the labels.
        labels: true values.
        quantile: the level $\tau$ in (0, 1).
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar >= 0 in the units of the labels; NaN if no entry counts.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: if `quantile` is not strictly between 0 and 1.

    Example:
        >>> import jax.numpy as jnp
        >>> print(pinball_loss(jnp.array([0.0, 0.0]), jnp.array([4.0, -4.0]), quantile=0.75))
        2.0

    References:
        Koenker and Bassett, Regression Quantiles, Econometrica 46(1), 1978.
    """
    check_number("quantile", quantile, 0.0, 1.0, open_low=True, open_high=True)
    factors, predictions, labels = weighted(where, weights, predictions=predictions, labels=labels)
    error = labels - predictions
    return weighted_mean(jnp.maximum(quantile * error, (quantile - 1.0) * error), weights=factors)
