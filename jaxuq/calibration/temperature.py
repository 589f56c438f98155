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

from jaxuq._arrays import as_float, check_shapes, select, take_class, undefined_unless, within_classes
from jaxuq._errors import OptionError
from jaxuq._meshes import vary_like
from jaxuq.calibration._forecasts import check_state, evidence, expect, with_logits
from jaxuq.calibration.base import Calibrator
from jaxuq.posterior import BernoulliForecast, CategoricalForecast

# Halvings of the bracket of log h: 30 leave less than float32 resolves, and a Newton step follows.
_HALVINGS = 30


class TemperatureState(NamedTuple):
    """Fitted temperatures.

    Attributes:
        temperature: h > 0 of each task; a scalar for one categorical task.
        identity: whether the labels leave the task's forecast as it is; h is 1 there.
    """

    temperature: Float[Array, "*tasks"]
    identity: Bool[Array, "*tasks"]


class _Problem(NamedTuple):
    """Logits in units of the largest of each task; rows that no temperature changes weigh nothing."""

    logits: Float[Array, "n *tasks"]  # [..., classes] if categorical, relative to the largest of the row
    possible: Bool[Array, "n *tasks"]  # [..., classes] if categorical: classes that are not impossible
    labels: Real[Array, "n *tasks"]
    weight: Float[Array, "n *tasks"]
    scale: Float[Array, "*tasks"]
    two_labels: Bool[Array, "*tasks"]
    valid: Bool[Array, "*tasks"]


def _bernoulli_problem(logits, labels, weight):
    counts = weight != 0
    logits = select(logits, counts)
    valid = ~jnp.any(jnp.isnan(logits) | ~((labels >= 0) & (labels <= 1)), axis=0)
    labels = as_float(labels, logits)
    free = ~jnp.isinf(logits)
    weight, logits = jnp.where(free, weight, 0), jnp.where(free, logits, 0)
    scale = jax.lax.stop_gradient(jnp.max(jnp.abs(logits), axis=0, initial=0))
    both = jnp.any((weight != 0) & (labels > 0), axis=0) & jnp.any((weight != 0) & (labels < 1), axis=0)
    logits = logits / jnp.where(scale > 0, scale, 1)[None]
    return _Problem(logits, free, labels, weight, scale, both, valid)


def _categorical_problem(logits, labels, weight):
    counts = weight != 0
    classes = logits.shape[-1]
    logits = select(logits, counts)
    known = within_classes(labels, classes) & (labels == jnp.round(labels))
    valid = ~jnp.any(~known | jnp.any(jnp.isnan(logits), axis=-1), axis=0)
    labels = jnp.where(known, labels, jnp.zeros_like(labels)).astype(jnp.int32)
    possible = ~jnp.isinf(logits)
    free = ~jnp.any(logits == jnp.inf, axis=-1) & (take_class(logits, labels) > -jnp.inf)
    weight, possible = jnp.where(free, weight, 0), possible & free[..., None]
    top = jnp.max(jnp.where(possible, logits, -jnp.inf), axis=-1, keepdims=True, initial=-jnp.inf)
    top = jax.lax.stop_gradient(jnp.where(top == -jnp.inf, 0, top))
    logits = jnp.maximum(jnp.where(possible, logits, top) - top, jnp.finfo(logits.dtype).min)
    scale = jax.lax.stop_gradient(jnp.max(-logits, axis=(0, -1), initial=0))
    lowest = jnp.min(jnp.where(weight != 0, labels, classes), axis=0, initial=classes)
    highest = jnp.max(jnp.where(weight != 0, labels, -1), axis=0, initial=-1)
    logits = logits / jnp.where(scale > 0, scale, 1)[None, ..., None]
    return _Problem(logits, possible, labels, weight, scale, lowest < highest, valid)


def _bernoulli_derivatives(inverse, problem):
    """First and second derivative of the summed NLL with respect to the inverse temperature."""
    logits, labels, weight = problem.logits, problem.labels, problem.weight
    probabilities = jax.nn.sigmoid(logits * inverse[None])
    curvature = jnp.square(logits) * probabilities * jax.nn.sigmoid(-logits * inverse[None])
    return jnp.sum(weight * logits * (probabilities - labels), axis=0), jnp.sum(weight * curvature, axis=0)


def _categorical_derivatives(inverse, problem):
    """The same for classes on the last axis: expectation minus observed logit, and variance of the logit."""
    logits, weight = problem.logits, problem.weight
    powers = jnp.where(problem.possible, jnp.exp(logits * inverse[None, ..., None]), 0)  # the largest is 1
    probabilities = powers / jnp.maximum(jnp.sum(powers, axis=-1, keepdims=True), 1)
    expected = jnp.sum(probabilities * logits, axis=-1)
    curvature = jnp.sum(probabilities * jnp.square(logits - expected[..., None]), axis=-1)
    observed = take_class(logits, problem.labels)
    return jnp.sum(weight * (expected - observed), axis=0), jnp.sum(weight * curvature, axis=0)


def temperature_scaling(*, bounds: tuple[float, float] = (1e-2, 1e2)) -> Calibrator:
    r"""Temperature scaling, fitted to convergence by maximum likelihood, one temperature a task.

    $$h^* = \arg\min_h \sum_n -\log p(y_n \mid z_n / h)$$

    The likelihood is convex in 1/h, so the optimum is found by bisection of its derivative in log h, for all tasks at
    once, inside `jit`; a last Newton step makes the fitted temperature differentiable with respect to the logits. If
    the optimum lies outside `bounds` (separable or anti-correlated scores) the nearer bound is returned. A task without
    two different labels, or without labels, keeps its forecast (`state.identity`).

    No temperature changes a logit of plus or minus infinity: a certain answer adds 0 to the likelihood if it is right
    and minus infinity if it is wrong, whatever h, so neither moves the optimum. Clip the logits before fitting if a
    certain wrong answer shall count. Impossible classes (logit minus infinity) stay impossible.

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
        OptionError: if the bounds are not 0 < low < high.
        ArrayError: by `fit` and `apply`, if the shapes of forecast, labels, mask, weights or state differ.
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
        raise OptionError(f"bounds are {bounds}; expected 0 < low < high, such as (1e-2, 1e2)")

    def fit(
        forecast: BernoulliForecast | CategoricalForecast,
        labels: Real[Array, "n *tasks"],
        *,
        where: Bool[Array, "n *tasks"] | None = None,
        weights: Real[Array, "n *tasks"] | None = None,
    ) -> TemperatureState:
        expect(forecast, (BernoulliForecast, CategoricalForecast), "temperature_scaling", "variance_scaling")
        categorical = isinstance(forecast, CategoricalForecast)
        given = evidence(labels, where, weights, logits=(forecast.logits, int(categorical)))
        define = _categorical_problem if categorical else _bernoulli_problem
        function = _categorical_derivatives if categorical else _bernoulli_derivatives
        problem = define(as_float(forecast.logits), given.labels, given.weight)
        still = jax.lax.stop_gradient(problem)
        scale = jnp.where(problem.scale > 0, problem.scale, 1)

        def scaled(log_temperature):
            return jnp.minimum(scale * jnp.exp(-log_temperature), jnp.finfo(scale.dtype).max)

        def slope(log_temperature):
            return function(scaled(log_temperature), still)[0]

        def halve(_, bracket):
            lower, upper = bracket
            middle = (lower + upper) / 2
            too_cold = slope(middle) > 0
            return jnp.where(too_cold, middle, lower), jnp.where(too_cold, upper, middle)

        lower, upper = (jnp.full_like(scale, math.log(bound)) for bound in bounds)
        interior = (slope(lower) > 0) & (slope(upper) < 0)
        bracket = jax.lax.fori_loop(0, _HALVINGS, halve, vary_like((lower, upper), still))
        inverse = scaled((bracket[0] + bracket[1]) / 2)
        gradient, curvature = function(inverse, problem)
        polish = interior & (curvature > 0)
        newton = gradient / jax.lax.stop_gradient(jnp.where(polish, curvature, 1))
        temperature = scale / (inverse - jnp.where(polish, newton, 0))
        identity = problem.valid & ~(problem.two_labels & (problem.scale > 0))
        temperature = jnp.where(identity, 1, temperature)
        return TemperatureState(undefined_unless(problem.valid, temperature), identity)

    def apply(state: TemperatureState, forecast):
        expect(forecast, (BernoulliForecast, CategoricalForecast), "temperature_scaling", "variance_scaling")
        categorical = isinstance(forecast, CategoricalForecast)
        check_shapes(logits=(forecast.logits, int(categorical)), aleatoric=forecast.aleatoric)
        check_state(forecast.aleatoric, temperature=state.temperature, identity=state.identity)
        logits = as_float(forecast.logits)
        temperature = as_float(state.temperature, logits)[None]
        temperature = temperature[..., None] if categorical else temperature
        certain = jnp.isinf(logits)
        undefined = jnp.isnan(temperature)
        moved = jnp.where(certain & ~undefined, logits, jnp.where(certain, 0, logits) / temperature)
        return with_logits(forecast, moved, state.identity)

    return Calibrator(fit, apply)
