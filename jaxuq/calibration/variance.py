"""Variance scaling: multiply the predicted variances of each task by one number."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq.calibration._forecasts import expect, filled, known
from jaxuq.calibration.base import Calibrator
from jaxuq.posterior import GaussianForecast


class VarianceState(NamedTuple):
    """Fitted factors.

    Attributes:
        factor: s^2 of each task, by which variances are multiplied.
    """

    factor: Float[Array, "*tasks"]


def _squared_errors_in_variances(forecast, labels, where):
    """Squared standardised residuals, 0 where the label is unknown, and the mask."""
    residual = filled(where, labels, 0.0) - filled(where, forecast.mean, 0.0)
    standardised = jnp.square(residual) / filled(where, forecast.total, 1.0)
    valid = known(where, labels.shape)
    return jnp.where(valid, standardised, 0), valid


def variance_scaling() -> Calibrator:
    r"""Scale the predictive variance by the mean squared standardised residual, one factor a task.

    $$s^2 = \frac1N \sum_n \frac{(y_n - \mu_n)^2}{\sigma_n^2}$$

    the maximum-likelihood factor of the variances of a Gaussian, in closed form; it is temperature scaling for
    regression ("z-scaling" elsewhere). Use it first, above all on evidential or dropout variances, whose scale means
    little. Means and the ranking of variances stay; both parts of the variance are scaled alike. One outlier can
    dominate the mean of squares; for coverage use `conformal_regression`. A task without labels keeps s^2 = 1.

    Returns:
        A `Calibrator` with a `VarianceState`, for a `GaussianForecast` with arrays `[n, *tasks]`.

    Raises:
        TypeError: by `fit` and `apply`, for another forecast.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.posterior import GaussianForecast
        >>> mean = jnp.zeros((2, 1))
        >>> forecast = GaussianForecast(mean, aleatoric=jnp.ones((2, 1)), epistemic=mean)
        >>> calibrator = variance_scaling()
        >>> state = calibrator.fit(forecast, jnp.array([[3.0], [-1.0]]))
        >>> float(state.factor[0]), calibrator.apply(state, forecast).total.tolist()
        (5.0, [[5.0], [5.0]])

    References:
        M.-H. Laves, S. Ihler, J. F. Fast, L. A. Kahrs, T. Ortmaier, "Well-Calibrated Regression Uncertainty in Medical
        Imaging with Deep Learning", MIDL 2020 (sigma scaling).
    """

    def fit(
        forecast: GaussianForecast,
        labels: Float[Array, "n *tasks"],
        *,
        where: Bool[Array, "n *tasks"] | None = None,
    ) -> VarianceState:
        expect(forecast, (GaussianForecast,), "variance_scaling", "temperature_scaling")
        squares, valid = _squared_errors_in_variances(forecast, labels, where)
        count = jnp.sum(valid, axis=0, dtype=squares.dtype)
        return VarianceState(jnp.where(count > 0, jnp.sum(squares, axis=0) / jnp.maximum(count, 1), 1))

    def apply(state: VarianceState, forecast: GaussianForecast) -> GaussianForecast:
        expect(forecast, (GaussianForecast,), "variance_scaling", "temperature_scaling")
        factor = state.factor[None]
        return forecast._replace(aleatoric=factor * forecast.aleatoric, epistemic=factor * forecast.epistemic)

    return Calibrator(fit, apply)
