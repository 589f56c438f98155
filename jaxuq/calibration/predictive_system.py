"""Conformal predictive systems: a whole distribution of the label whose probabilities are right on average."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxuq._arrays import as_float, check_shapes, select
from jaxuq._options import check_number
from jaxuq._shapes import checked
from jaxuq.calibration._forecasts import check_state, deviation, evidence, expect
from jaxuq.calibration.conformal_regression import Interval
from jaxuq.posterior import GaussianForecast


class PredictiveState(NamedTuple):
    """Residuals of the calibration examples.

    Attributes:
        residuals: in ascending order for each task; infinite behind the last known one.
        count: of known labels of each task; NaN residuals make it 0.
    """

    residuals: Float[Array, "n *tasks"]
    count: Float[Array, "*tasks"]


class PredictiveSystem(NamedTuple):
    """Three pure functions.

    Attributes:
        fit: `(forecast, labels, *, where=None) -> PredictiveState`.
        cdf: `(state, forecast, values, *, ties=0.5) -> [n, *tasks]`, probabilities that the label is at most `values`.
        interval: `(state, forecast, *, level) -> Interval`.
    """

    fit: Callable[..., PredictiveState]
    cdf: Callable[..., Float[Array, "n *tasks"]]
    interval: Callable[..., Interval]


@checked
def _places(
    values: Float[Array, "m *tasks"], residuals: Float[Array, "n *tasks"]
) -> tuple[Float[Array, "m *tasks"], Float[Array, "m *tasks"]]:
    """How many sorted residuals of its task are below each value, and how many are not above it."""

    def one(column: Array, knots: Array) -> tuple[Array, ...]:
        return tuple(jnp.searchsorted(knots, column, side=side) for side in ("left", "right"))

    tasks = math.prod(values.shape[1:])
    flat = (array.reshape(array.shape[0], tasks) for array in (values, residuals))
    below, upto = jax.vmap(one, in_axes=1, out_axes=1)(*flat)
    return below.reshape(values.shape).astype(values.dtype), upto.reshape(values.shape).astype(values.dtype)


def predictive_system(*, normalised: bool = False) -> PredictiveSystem:
    r"""A split-conformal predictive system: each forecast plus the residuals of calibration.

    $$C_i = \mu(x) + r_i,\qquad Q(y) = \frac{\#\{C_i < y\} + \tau\,(\#\{C_i = y\} + 1)}{n + 1}$$

    with $r_i = y_i - \mu(x_i)$, or $r_i = \sigma(x)\,(y_i - \mu(x_i))/\sigma(x_i)$ if `normalised`. For exchangeable
    examples and a uniform $\tau$ the numbers $Q(y)$ of the true labels are uniform, whatever the model. Use it where
    one interval is not enough: `1 - cdf(threshold)` is the probability that a compound is above the threshold that a
    project needs. Without residuals of your own shape `isotonic_quantiles` does the same by smoothing.

    Args:
        normalised: whether residuals are in units of the forecast's standard deviation.

    Returns:
        A `PredictiveSystem` for a `GaussianForecast` with arrays `[n, *tasks]`. With no label for a task, Q is
        $\tau$ everywhere: it says nothing. A NaN that is not masked makes its task's Q NaN.

    Raises:
        OptionError: by `interval`, if `level` is out of range; by `cdf`, if `ties` is.
        ArrayError: if the shapes of forecast, labels, mask, values or state differ.
        TypeError: for another forecast.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.posterior import GaussianForecast
        >>> method = predictive_system()
        >>> seen = GaussianForecast(jnp.zeros((5, 1)), jnp.ones((5, 1)), jnp.zeros((5, 1)))
        >>> state = method.fit(seen, jnp.array([[-0.5], [-0.2], [0.1], [0.3], [0.8]]))
        >>> new = GaussianForecast(jnp.array([[2.0]]), jnp.ones((1, 1)), jnp.zeros((1, 1)))
        >>> print(f"{method.cdf(state, new, jnp.array([[2.2]]))[0, 0]:.6f}")
        0.583333
        >>> [round(float(end[0, 0]), 2) for end in method.interval(state, new, level=0.6)]
        [1.5, 2.8]

    References:
        V. Vovk, J. Shen, V. Manokhin, M. Xie, "Nonparametric Predictive Distributions Based on Conformal Prediction",
        Machine Learning 108, 2019.
        V. Vovk, I. Petej, I. Nouretdinov, V. Manokhin, A. Gammerman, "Computationally Efficient Versions of Conformal
        Predictive Distributions", Neurocomputing 397, 2020, Eq. 5.
    """

    def scales(forecast: GaussianForecast, where: Bool[Array, "n *tasks"] | None = None) -> tuple[Array, Array]:
        expect(forecast, (GaussianForecast,), "predictive_system", "conformal_classification")
        check_shapes(mean=forecast.mean, aleatoric=forecast.aleatoric, epistemic=forecast.epistemic)
        mean = select(as_float(forecast.mean), where)
        variance = as_float(forecast.aleatoric, mean) + as_float(forecast.epistemic, mean)
        return mean, deviation(select(variance, where, 1)) if normalised else jnp.ones_like(mean)

    def in_units(difference: Array, spread: Array) -> Array:
        return jnp.where(difference == 0, 0, difference / spread)  # a certain forecast that is right is not off at all

    def fit(
        forecast: GaussianForecast, labels: Real[Array, "n *tasks"], *, where: Bool[Array, "n *tasks"] | None = None
    ) -> PredictiveState:
        known = evidence(labels, where, None, mean=as_float(forecast.mean)).counts
        mean, spread = scales(forecast, known)
        residuals = in_units(select(as_float(labels, mean), known) - mean, spread)
        broken = jnp.any(jnp.isnan(residuals), axis=0)
        ordered = jnp.sort(jnp.where(known, residuals, jnp.inf), axis=0)
        count = jnp.sum(known, axis=0).astype(mean.dtype)
        return PredictiveState(ordered, jnp.where(broken, jnp.nan, count))

    def cdf(
        state: PredictiveState,
        forecast: GaussianForecast,
        values: Real[Array, "m *tasks"],
        *,
        ties: float | Float[Array, "m *tasks"] = 0.5,
    ) -> Float[Array, "m *tasks"]:
        mean, spread = scales(forecast)
        check_shapes(mean=mean, values=values)
        check_state(mean, count=state.count)
        share = jnp.asarray(check_number("ties", ties, 0.0, 1.0) if isinstance(ties, float | int) else ties, mean.dtype)
        standard = in_units(as_float(values, mean) - mean, spread)
        below, upto = _places(standard, as_float(state.residuals, mean))
        count = as_float(state.count, mean)[None]
        below, upto = jnp.minimum(below, count), jnp.minimum(upto, count)
        found = (below + share * (upto - below + 1)) / (count + 1)
        return jnp.where(jnp.isnan(standard), jnp.nan, found)

    def interval(state: PredictiveState, forecast: GaussianForecast, *, level: float) -> Interval:
        level = check_number("level", level, 0.0, 1.0, open_low=True, open_high=True)
        mean, spread = scales(forecast)
        check_state(mean, count=state.count)
        residuals, n = as_float(state.residuals, mean), state.residuals.shape[0]
        numbers = jnp.arange(n + 2, dtype=mean.dtype).reshape(-1, *[1] * (mean.ndim - 1))
        ends = [jnp.full((1, *mean.shape[1:]), end, mean.dtype) for end in (-jnp.inf, jnp.inf)]
        knots = jnp.concatenate([ends[0], residuals, ends[1]])
        count = as_float(state.count, mean)
        low = jnp.floor((count + 1) * ((1 - level) / 2) + 1e-5)
        high = jnp.ceil((count + 1) * ((1 + level) / 2) - 1e-5)

        def knot(rank: Array) -> Array:
            found = jnp.sum(jnp.where(numbers == rank[None], knots, 0), axis=0)
            return jnp.where(jnp.isnan(count), jnp.nan, found)

        lower, upper = knot(low)[None], knot(high)[None]
        return Interval(*(mean + jnp.where(jnp.isinf(end), end, spread * end) for end in (lower, upper)))

    return PredictiveSystem(checked(fit), cdf, interval)
