r"""Temperature scaling: divide the logits of each task by one positive number.

    z' = z / h

It can only make a task's probabilities more or less extreme: the ranking of examples, the most probable class and the
side of 1/2 stay. Use it first; use `platt_scaling` when the base rate is off too, `isotonic_calibration` when the shape
of the reliability curve is wrong and a thousand labels or more are at hand.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxuq.calibration._forecasts import expect, filled, known, with_logits
from jaxuq.calibration.base import Calibrator
from jaxuq.posterior import BernoulliForecast, CategoricalForecast

# Halvings of the bracket of log h: 30 leave less than float32 resolves, and a Newton step follows.
_HALVINGS = 30


class TemperatureState(NamedTuple):
    """Fitted temperatures.

    Attributes:
        temperature: h > 0 of each task; a scalar for one categorical task.
    """

    temperature: Float[Array, "*tasks"]


def _bernoulli_derivatives(inverse, logits, labels, valid):
    """First and second derivative of the summed NLL with respect to the inverse temperature."""
    probabilities = jax.nn.sigmoid(logits * inverse[None])
    curvature = jnp.square(logits) * probabilities * jax.nn.sigmoid(-logits * inverse[None])
    slope = jnp.where(valid, logits * (probabilities - labels), 0)
    return jnp.sum(slope, axis=0), jnp.sum(jnp.where(valid, curvature, 0), axis=0)


def _categorical_derivatives(inverse, logits, labels, valid):
    """The same for classes on the last axis: expectation minus observed logit, and variance of the logit."""
    probabilities = jax.nn.softmax(logits * inverse[None, ..., None], axis=-1)
    expected = jnp.sum(probabilities * logits, axis=-1)
    observed = jnp.take_along_axis(logits, labels.astype(jnp.int32)[..., None], axis=-1)[..., 0]
    curvature = jnp.sum(probabilities * jnp.square(logits - expected[..., None]), axis=-1)
    slope = jnp.where(valid, expected - observed, 0)
    return jnp.sum(slope, axis=0), jnp.sum(jnp.where(valid, curvature, 0), axis=0)


def temperature_scaling(*, bounds: tuple[float, float] = (1e-2, 1e2)) -> Calibrator:
    r"""Temperature scaling, fitted to convergence by maximum likelihood, one temperature a task.

    $$h^* = \arg\min_h \sum_n -\log p(y_n \mid z_n / h)$$

    The likelihood is convex in 1/h, so the optimum is found by bisection of its derivative in log h, for all tasks at
    once, inside `jit`; a last Newton step makes the fitted temperature differentiable with respect to the logits. If
    the optimum lies outside `bounds` (separable or anti-correlated scores) the nearer bound is returned. A task without
    two different labels keeps h = 1.

    The dissertation's text fits h on the training data; its published code fits it on the validation data (AdamW,
    learning rate 0.01, a few dozen full-batch epochs), which is the sensible choice: a network is over-confident on its
    training data, and a temperature fitted there makes it worse. For binary tasks this is Platt scaling without the
    intercept.

    `fit` takes a `BernoulliForecast` with logits `[n, *tasks]` or a `CategoricalForecast` with logits
    `[n, *tasks, classes]`, and labels `[n, *tasks]`. `apply` recomputes the total entropy from the scaled logits and
    splits it in the forecast's own proportion of aleatoric to epistemic.

    Args:
        bounds: the smallest and largest temperature.

    Returns:
        A `Calibrator` with a `TemperatureState`.

    Raises:
        ValueError: if the bounds are not 0 < low < high.
        TypeError: by `fit` and `apply`, if the forecast is Gaussian.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.posterior import BernoulliForecast
        >>> logits = jnp.array([[4.0], [4.0], [4.0], [4.0]])  # says 98 %, is right in 3 of 4
        >>> forecast = BernoulliForecast(logits, jnp.zeros_like(logits), jnp.zeros_like(logits))
        >>> calibrator = temperature_scaling()
        >>> state = calibrator.fit(forecast, jnp.array([[1], [1], [0], [1]]))
        >>> round(float(calibrator.apply(state, forecast).probabilities[0, 0]), 3)
        0.75

    References:
        C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, Eq. 9.
        Dissertation, Eq. A.9.
    """
    low, high = bounds
    if not 0 < low < high < math.inf:
        raise ValueError(f"bounds are {bounds}; expected 0 < low < high, such as (1e-2, 1e2)")

    def fit(
        forecast: BernoulliForecast | CategoricalForecast,
        labels: Real[Array, "n *tasks"],
        *,
        where: Bool[Array, "n *tasks"] | None = None,
    ) -> TemperatureState:
        expect(forecast, (BernoulliForecast, CategoricalForecast), "temperature_scaling", "variance_scaling")
        categorical = isinstance(forecast, CategoricalForecast)
        logits = filled(where, forecast.logits, 0.0)
        labels = filled(where, labels, 0).astype(logits.dtype)
        valid = known(where, labels.shape)

        def derivatives(inverse):
            function = _categorical_derivatives if categorical else _bernoulli_derivatives
            return function(inverse, logits, labels, valid)

        def slope(log_temperature):
            return derivatives(jnp.exp(-log_temperature))[0]

        def halve(_, bracket):
            lower, upper = bracket
            middle = (lower + upper) / 2
            too_cold = slope(middle) > 0
            return jnp.where(too_cold, middle, lower), jnp.where(too_cold, upper, middle)

        lower = jnp.full(labels.shape[1:], math.log(low), logits.dtype)
        upper = jnp.full(labels.shape[1:], math.log(high), logits.dtype)
        interior = (slope(lower) > 0) & (slope(upper) < 0)
        bracket = jax.lax.fori_loop(0, _HALVINGS, halve, (lower, upper))
        inverse = jax.lax.stop_gradient(jnp.exp(-(bracket[0] + bracket[1]) / 2))
        gradient, curvature = derivatives(inverse)
        polish = interior & (curvature > 0)
        newton = gradient / jax.lax.stop_gradient(jnp.where(polish, curvature, 1))
        temperature = 1 / (inverse - jnp.where(polish, newton, 0))

        smallest = jnp.min(jnp.where(valid, labels, jnp.inf), axis=0)
        two_labels = smallest < jnp.max(jnp.where(valid, labels, -jnp.inf), axis=0)
        spread = jnp.any(logits != (logits[..., :1] if categorical else 0), axis=(0, -1) if categorical else 0)
        return TemperatureState(jnp.where(two_labels & spread, temperature, 1))

    def apply(state: TemperatureState, forecast):
        expect(forecast, (BernoulliForecast, CategoricalForecast), "temperature_scaling", "variance_scaling")
        temperature = state.temperature[None]
        if isinstance(forecast, CategoricalForecast):
            temperature = temperature[..., None]
        return with_logits(forecast, forecast.logits / temperature)

    return Calibrator(fit, apply)
