"""Quantile recalibration of regression: replace the Gaussian's levels by the frequencies observed at them, per task."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float

from jaxuq.calibration._forecasts import expect, filled, interpolate_per_task, known
from jaxuq.posterior import GaussianForecast


class QuantileState(NamedTuple):
    """The empirical law of the standardised residuals of each task.

    Attributes:
        residuals: sorted (label - mean) / deviation; the largest is repeated as padding.
        levels: share of calibration labels at or below each, i / N.
        shift: mean of the residuals, in predicted deviations.
        factor: variance of the residuals.
    """

    residuals: Float[Array, "knots *tasks"]
    levels: Float[Array, "knots *tasks"]
    shift: Float[Array, "*tasks"]
    factor: Float[Array, "*tasks"]


class QuantileCalibrator(NamedTuple):
    """A `Calibrator` that also gives the recalibrated distribution itself.

    Attributes:
        fit: `(forecast, labels, *, where=None) -> QuantileState`.
        apply: `(state, forecast) -> GaussianForecast`, the Gaussian with the recalibrated mean and variance.
        cdf: `(state, forecast, values) -> probabilities`, recalibrated P(label <= value), all `[n, *tasks]`.
        quantile: `(state, forecast, level) -> values [n, *tasks]`, `level` a number or scalar array in [0, 1].
    """

    fit: Callable[..., QuantileState]
    apply: Callable[[QuantileState, GaussianForecast], GaussianForecast]
    cdf: Callable[..., Float[Array, "n *tasks"]]
    quantile: Callable[..., Float[Array, "n *tasks"]]


def isotonic_quantiles() -> QuantileCalibrator:
    r"""Recalibrate the levels of a Gaussian forecast by isotonic regression, one map a task.

    $$F'_n(y) = R(F_n(y)),\qquad R(p) = \frac1N \,\big|\{m : F_m(y_m) \le p\}\big|$$

    The observed frequencies are non-decreasing in the level already, so the isotonic regression of the paper passes
    through them and no solver is needed. The map is kept on standardised residuals $z = \Phi^{-1}(p)$: at the knots
    it is the same, between them it is interpolated along z, and it does not saturate where residuals of an
    over-confident network lie beyond five deviations and $\Phi(z)$ rounds to 1. Outside the observed residuals the CDF
    is 0 or 1, and quantiles stop at the extreme residuals: with N labels no level beyond 1/N is known.

    `apply` returns the Gaussian with the mean and variance of the recalibrated law, which is mean + deviation times
    the empirical law of the residuals: $\mu' = \mu + \sigma \bar z$ and $\sigma'^2 = \sigma^2\, \mathrm{Var}[z]$,
    both parts of the variance scaled alike. The shape (skewness, tails) is in `cdf` and `quantile` only.

    Use it when the residuals are not Gaussian; it needs hundreds of labels. With fewer use `variance_scaling`; for a
    finite-sample guarantee use `conformal_regression`. A task without labels keeps the Gaussian (up to the resolution
    of the knots). The state holds the sorted residuals, O(n) a task.

    Returns:
        A `QuantileCalibrator` for a `GaussianForecast` with arrays `[n, *tasks]`.

    Raises:
        TypeError: by every function, for another forecast.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.posterior import GaussianForecast
        >>> mean = jnp.zeros((4, 1))
        >>> forecast = GaussianForecast(mean, aleatoric=jnp.ones((4, 1)), epistemic=mean)
        >>> calibrator = isotonic_quantiles()
        >>> state = calibrator.fit(forecast, jnp.array([[0.0], [10.0], [30.0], [20.0]]))
        >>> calibrator.quantile(state, forecast, 0.5)[0].tolist()
        [10.0]
        >>> calibrator.cdf(state, forecast, mean + 15.0)[0].tolist()
        [0.625]

    References:
        V. Kuleshov, N. Fenner, S. Ermon, "Accurate Uncertainties for Deep Learning Using Calibrated Regression", ICML
        2018, Algorithm 1.
    """

    def fit(
        forecast: GaussianForecast,
        labels: Float[Array, "n *tasks"],
        *,
        where: Bool[Array, "n *tasks"] | None = None,
    ) -> QuantileState:
        expect(forecast, (GaussianForecast,), "isotonic_quantiles", "isotonic_calibration")
        error = filled(where, labels, 0.0) - filled(where, forecast.mean, 0.0)
        residuals = error / jnp.sqrt(filled(where, forecast.total, 1.0))
        valid = known(where, labels.shape)
        count = jnp.sum(valid, axis=0)
        divisor = jnp.maximum(count, 1).astype(residuals.dtype)
        ranks = jnp.arange(1, labels.shape[0] + 1).reshape((-1,) + (1,) * (labels.ndim - 1))

        largest = jnp.max(jnp.where(valid, residuals, -jnp.inf), axis=0, initial=-jnp.inf)
        knots = jnp.sort(jnp.where(valid, residuals, largest[None]), axis=0)
        levels = jnp.minimum(ranks, count[None]).astype(residuals.dtype) / divisor[None]
        shift = jnp.sum(jnp.where(valid, residuals, 0), axis=0) / divisor
        factor = jnp.sum(jnp.where(valid, jnp.square(residuals - shift[None]), 0), axis=0) / divisor

        some = count > 0
        normal_levels = ranks.astype(residuals.dtype) / (labels.shape[0] + 1)
        return QuantileState(
            jnp.where(some[None], knots, ndtri(normal_levels)),
            jnp.where(some[None], levels, normal_levels),
            jnp.where(some, shift, 0),
            jnp.where(some, factor, 1),
        )

    def apply(state: QuantileState, forecast: GaussianForecast) -> GaussianForecast:
        expect(forecast, (GaussianForecast,), "isotonic_quantiles", "isotonic_calibration")
        factor = state.factor[None]
        mean = forecast.mean + jnp.sqrt(forecast.total) * state.shift[None]
        return GaussianForecast(mean, factor * forecast.aleatoric, factor * forecast.epistemic)

    def cdf(
        state: QuantileState, forecast: GaussianForecast, values: Float[Array, "n *tasks"]
    ) -> Float[Array, "n *tasks"]:
        expect(forecast, (GaussianForecast,), "isotonic_quantiles", "isotonic_calibration")
        residuals = (values - forecast.mean) / jnp.sqrt(forecast.total)
        return interpolate_per_task(residuals, state.residuals, state.levels, left=0.0)

    def quantile(
        state: QuantileState, forecast: GaussianForecast, level: float | Float[Array, ""]
    ) -> Float[Array, "n *tasks"]:
        expect(forecast, (GaussianForecast,), "isotonic_quantiles", "isotonic_calibration")
        levels = jnp.full((1, *state.shift.shape), level, state.levels.dtype)
        residual = interpolate_per_task(levels, state.levels, state.residuals)
        return forecast.mean + jnp.sqrt(forecast.total) * residual

    return QuantileCalibrator(fit, apply, cdf, quantile)
