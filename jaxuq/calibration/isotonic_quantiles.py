"""Quantile recalibration of regression: replace the Gaussian's levels by the frequencies observed at them, per task."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Bool, Float, Real

from jaxuq._arrays import as_float, check_shapes, select, undefined_unless
from jaxuq._meshes import divided_like
from jaxuq._shapes import checked
from jaxuq.calibration._forecasts import (
    check_state,
    deviation,
    evidence,
    expect,
    interpolate_per_task,
    scale_variances,
)
from jaxuq.posterior import GaussianForecast


class QuantileState(NamedTuple):
    """The empirical law of the standardised residuals of each task.

    Attributes:
        residuals: sorted (label - mean) / deviation; the largest is repeated as padding.
        levels: share (of the weight) of calibration labels at or below each, i / N.
        shift: mean of the residuals, in predicted deviations.
        factor: variance of the residuals.
        identity: whether the labels leave the task's forecast as it is, a Gaussian.
    """

    residuals: Float[Array, "knots *tasks"]
    levels: Float[Array, "knots *tasks"]
    shift: Float[Array, "*tasks"]
    factor: Float[Array, "*tasks"]
    identity: Bool[Array, "*tasks"]


class QuantileCalibrator(NamedTuple):
    """A `Calibrator` that also gives the recalibrated distribution itself.

    Attributes:
        fit: `(forecast, labels, *, where=None, weights=None) -> QuantileState`.
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
    finite-sample guarantee use `conformal_regression`. A task with fewer than two labels keeps its Gaussian
    (`state.identity`): one residual has no spread. Rows with a variance of 0 or infinity take no part in the fit, and
    are left as they are. The state holds the sorted residuals, O(n) a task.

    Returns:
        A `QuantileCalibrator` for a `GaussianForecast` with arrays `[n, *tasks]`.

    Raises:
        ArrayError: by every function, if the shapes of forecast, labels, mask, weights, values or state differ.
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
        labels: Real[Array, "n *tasks"],
        *,
        where: Bool[Array, "n *tasks"] | None = None,
        weights: Real[Array, "n *tasks"] | None = None,
    ) -> QuantileState:
        expect(forecast, (GaussianForecast,), "isotonic_quantiles", "isotonic_calibration")
        given = evidence(labels, where, weights, mean=forecast.mean, variance=forecast.total)
        mean, labels = select(as_float(forecast.mean), given.counts), as_float(given.labels, forecast.mean)
        variance = select(as_float(forecast.total, forecast.mean), given.counts, 1)
        valid = ~jnp.any(jnp.isnan(labels) | jnp.isnan(mean) | ~(variance >= 0), axis=0)
        free = (variance != 0) & (variance < jnp.inf)
        weight = jnp.where(free, given.weight, 0)
        counts = weight != 0
        residuals = jnp.where(counts, labels - mean, 0) / deviation(jnp.where(free, variance, 1))
        if not labels.shape[0]:  # a state has at least one knot
            residuals, weight, counts = (
                jnp.zeros((1, *labels.shape[1:]), a.dtype) for a in (residuals, weight, counts)
            )

        order = jnp.argsort(jnp.where(counts, residuals, jnp.inf), axis=0)
        knots, masses = (jnp.take_along_axis(array, order, axis=0) for array in (residuals, weight))
        largest = jnp.max(jnp.where(counts, residuals, -jnp.inf), axis=0)
        knots = jnp.where(masses != 0, knots, jnp.where(largest > -jnp.inf, largest, 0)[None])
        cumulative = jnp.cumsum(masses, axis=0)
        total = jnp.where(cumulative[-1] == 0, 1, cumulative[-1])
        shift = jnp.sum(weight * residuals, axis=0) / total
        factor = jnp.sum(weight * jnp.square(residuals - shift[None]), axis=0) / total
        identity = valid & (jnp.sum(counts, axis=0) < 2)
        return QuantileState(
            undefined_unless(valid[None], knots),
            undefined_unless(valid[None], cumulative / total[None]),
            undefined_unless(valid, jnp.where(identity, 0, shift)),
            undefined_unless(valid, jnp.where(identity, 1, factor)),
            identity,
        )

    def check(state: QuantileState, forecast: GaussianForecast, **arrays: Array) -> None:
        expect(forecast, (GaussianForecast,), "isotonic_quantiles", "isotonic_calibration")
        check_shapes(mean=forecast.mean, variance=forecast.total, **arrays)
        check_state(forecast.mean, {"residuals": state.residuals}, shift=state.shift, identity=state.identity)

    def apply(state: QuantileState, forecast: GaussianForecast) -> GaussianForecast:
        check(state, forecast)
        shift = as_float(state.shift, forecast.mean)[None]
        deviations = deviation(forecast.total)
        moved = as_float(forecast.mean) + jnp.where(jnp.isinf(deviations), 0, deviations) * shift
        mean = jnp.where(state.identity[None], forecast.mean, moved.astype(forecast.mean.dtype))
        return scale_variances(forecast._replace(mean=mean), state.factor, state.identity)

    def cdf(
        state: QuantileState, forecast: GaussianForecast, values: Float[Array, "n *tasks"]
    ) -> Float[Array, "n *tasks"]:
        check(state, forecast, values=values)
        error = as_float(values, forecast.mean) - as_float(forecast.mean)
        deviations = deviation(forecast.total)
        certain = deviations == 0
        residuals = error / jnp.where(certain, 1, deviations)
        knots, levels = (as_float(array, residuals) for array in (state.residuals, state.levels))
        fitted = divided_like(partial(interpolate_per_task, left=0.0), residuals, residuals, knots, levels)
        smooth = jnp.where(state.identity[None], ndtr(residuals), fitted)
        return jnp.where(certain, (error >= 0).astype(smooth.dtype), smooth)

    def quantile(
        state: QuantileState, forecast: GaussianForecast, level: float | Float[Array, ""]
    ) -> Float[Array, "n *tasks"]:
        check(state, forecast)
        mean, deviations = as_float(forecast.mean), deviation(forecast.total)
        levels = jnp.full((1, *state.shift.shape), level, mean.dtype)
        knots, heights = (as_float(array, mean) for array in (state.levels, state.residuals))
        residual = divided_like(interpolate_per_task, levels, levels, knots, heights)
        residual = jnp.where(state.identity[None], ndtri(levels), residual)
        return mean + jnp.where(deviations == 0, 0, deviations * residual)

    return QuantileCalibrator(checked(fit), apply, cdf, quantile)
