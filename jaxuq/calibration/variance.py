"""Variance scaling: multiply the predicted variances of each task by one number."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxuq._arrays import as_float, select, undefined_unless
from jaxuq.calibration._forecasts import check_state, evidence, expect, scale_variances
from jaxuq.calibration.base import Calibrator
from jaxuq.posterior import GaussianForecast


class VarianceState(NamedTuple):
    """Fitted factors.

    Attributes:
        factor: s^2 of each task, by which variances are multiplied.
        identity: whether the labels leave the task's forecast as it is; s^2 is 1 there.
    """

    factor: Float[Array, "*tasks"]
    identity: Bool[Array, "*tasks"]


def variance_scaling() -> Calibrator:
    r"""Scale the predictive variance by the mean squared standardised residual, one factor a task.

    $$s^2 = \frac1N \sum_n \frac{(y_n - \mu_n)^2}{\sigma_n^2}$$

    the maximum-likelihood factor of the variances of a Gaussian, in closed form; it is temperature scaling for
    regression ("z-scaling" elsewhere). Use it first, above all on evidential or dropout variances, whose scale means
    little. Means and the ranking of variances stay; both parts of the variance are scaled alike. One outlier can
    dominate the mean of squares; for coverage use `conformal_regression`. A task without labels keeps its forecast
    (`state.identity`). Rows with a variance of 0 or infinity take no part in the fit: no factor changes them.

    Returns:
        A `Calibrator` with a `VarianceState`, for a `GaussianForecast` with arrays `[n, *tasks]`.

    Raises:
        ArrayError: by `fit` and `apply`, if the shapes of forecast, labels, mask, weights or state differ.
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
        labels: Real[Array, "n *tasks"],
        *,
        where: Bool[Array, "n *tasks"] | None = None,
        weights: Real[Array, "n *tasks"] | None = None,
    ) -> VarianceState:
        expect(forecast, (GaussianForecast,), "variance_scaling", "temperature_scaling")
        given = evidence(labels, where, weights, mean=forecast.mean, variance=forecast.total)
        mean, labels = select(as_float(forecast.mean), given.counts), as_float(given.labels, forecast.mean)
        variance = select(as_float(forecast.total, forecast.mean), given.counts, 1)
        free = (variance != 0) & (variance < jnp.inf) | jnp.isnan(variance)
        weight = jnp.where(free, given.weight, 0)
        squares = jnp.square(jnp.where(free, labels - mean, 0)) / jnp.where(free, variance, 1)
        valid = ~jnp.any(jnp.isnan(labels) | jnp.isnan(mean) | ~(variance >= 0), axis=0)
        total = jnp.sum(weight, axis=0)
        identity = valid & (total == 0)
        factor = jnp.sum(weight * squares, axis=0) / jnp.where(total == 0, 1, total)
        return VarianceState(undefined_unless(valid, jnp.where(identity, 1, factor)), identity)

    def apply(state: VarianceState, forecast: GaussianForecast) -> GaussianForecast:
        expect(forecast, (GaussianForecast,), "variance_scaling", "temperature_scaling")
        check_state(forecast.mean, factor=state.factor, identity=state.identity)
        return scale_variances(forecast, state.factor, state.identity)

    return Calibrator(fit, apply)
