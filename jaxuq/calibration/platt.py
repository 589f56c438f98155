"""Platt scaling: a logistic regression of the label on the logit, per task."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxuq._arrays import as_float, check_shapes, select, undefined_unless
from jaxuq._meshes import vary_like
from jaxuq.calibration._forecasts import check_state, evidence, expect, with_logits
from jaxuq.calibration.base import Calibrator
from jaxuq.posterior import BernoulliForecast

# Damped Newton steps. The loss is smooth and convex in two variables; about ten suffice, the rest cost microseconds.
_STEPS = 50


class PlattState(NamedTuple):
    """Fitted lines.

    Attributes:
        slope: a of each task.
        intercept: b of each task.
        identity: whether the labels leave the task's forecast as it is; a = 1 and b = 0 there.
    """

    slope: Float[Array, "*tasks"]
    intercept: Float[Array, "*tasks"]
    identity: Bool[Array, "*tasks"]


class _Line(NamedTuple):
    slope: Float[Array, "*tasks"]
    intercept: Float[Array, "*tasks"]


def _newton_step(line, logits, targets, weight, damping):
    """The step of Newton's method for a and b, with the diagonal of the Hessian raised by `damping`."""
    probabilities = jax.nn.sigmoid(line.slope[None] * logits + line.intercept[None])

    def total(terms):
        return jnp.sum(weight * terms, axis=0)

    residual, curvature = probabilities - targets, jax.lax.stop_gradient(probabilities * (1 - probabilities))
    still = jax.lax.stop_gradient(logits)
    gradient_a, gradient_b = total(residual * logits), total(residual)
    aa, ab, bb = (total(curvature * power) for power in (jnp.square(still), still, jnp.ones_like(still)))
    aa, bb = (aa + 1e-9 * bb) * (1 + damping), bb * (1 + damping)  # constant logits leave the slope undetermined
    determinant = aa * bb - ab * ab
    solvable = determinant > 1e-6 * aa * bb
    divisor = jnp.where(solvable, determinant, 1)
    step_a = (bb * gradient_a - ab * gradient_b) / divisor
    step_b = (aa * gradient_b - ab * gradient_a) / divisor
    return _Line(jnp.where(solvable, step_a, 0), jnp.where(solvable, step_b, 0))


def _standardised(logits, weight):
    """Logits with mean 0 and largest magnitude 1 in each task, so that the Hessian is well conditioned."""
    counts = weight != 0
    largest = jnp.max(jnp.abs(logits), axis=0, initial=0)
    largest = jax.lax.stop_gradient(jnp.where(largest > 0, largest, 1))
    logits = logits / largest[None]
    total = jnp.sum(weight, axis=0)
    centre = jnp.sum(weight * logits, axis=0) / jnp.where(total > 0, total, 1)
    logits = jnp.where(counts, logits - centre[None], 0)
    spread = jnp.max(jnp.abs(logits), axis=0, initial=0)
    spread = jax.lax.stop_gradient(jnp.where(spread > 0, spread, 1))
    return logits / spread[None], centre * largest, spread * largest


def platt_scaling(*, smooth_targets: bool = True) -> Calibrator:
    r"""Platt scaling: $p' = \sigma(a z + b)$, fitted by maximum likelihood, one line a task.

    $$(a, b) = \arg\min \sum_n -t_n \log p'_n - (1 - t_n) \log(1 - p'_n),\qquad
      t_+ = \frac{N_+ + 1}{N_+ + 2},\quad t_- = \frac{1}{N_- + 2}$$

    Use it when probabilities are both too extreme and off in their base rate. With `smooth_targets` (Platt's own form)
    the optimum is finite even for perfectly separated scores; without, it is plain logistic regression and separated
    scores drive the slope up until the iteration stops. A task with one class only, or without labels, keeps its
    forecast (`state.identity`). A negative slope is possible: it says that the score ranks the wrong way round.

    Logits of plus or minus infinity take no part in the fit, since no line but a constant one changes them, and `apply`
    leaves them certain (the other way round if a is negative, at b if a is 0).

    The optimum is found by damped Newton steps for all tasks at once, inside `jit`; the last, undamped one makes the
    fitted line differentiable with respect to the logits. `apply` treats the entropies as `temperature_scaling` does.

    Args:
        smooth_targets: whether to replace the labels 0 and 1 by t- and t+.

    Returns:
        A `Calibrator` with a `PlattState`, for a `BernoulliForecast` with logits `[n, *tasks]`.

    Raises:
        ArrayError: by `fit` and `apply`, if the shapes of forecast, labels, mask, weights or state differ.
        TypeError: by `fit` and `apply`, for another forecast.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.posterior import BernoulliForecast
        >>> logits = jnp.array([[-3.0], [-3.0], [5.0], [5.0]])
        >>> forecast = BernoulliForecast(logits, jnp.zeros_like(logits), jnp.zeros_like(logits))
        >>> calibrator = platt_scaling()
        >>> state = calibrator.fit(forecast, jnp.array([[0], [0], [1], [1]]))
        >>> [round(float(p), 2) for p in calibrator.apply(state, forecast).probabilities[:, 0]]  # 1/4 and 3/4
        [0.25, 0.25, 0.75, 0.75]

    References:
        J. C. Platt, "Probabilistic Outputs for Support Vector Machines and Comparisons to Regularized Likelihood
        Methods", Advances in Large Margin Classifiers, MIT Press, 1999.
        H.-T. Lin, C.-J. Lin, R. C. Weng, "A Note on Platt's Probabilistic Outputs for Support Vector Machines", Machine
        Learning 68, 2007.
    """

    def fit(
        forecast: BernoulliForecast,
        labels: Real[Array, "n *tasks"],
        *,
        where: Bool[Array, "n *tasks"] | None = None,
        weights: Real[Array, "n *tasks"] | None = None,
    ) -> PlattState:
        expect(forecast, (BernoulliForecast,), "platt_scaling", "temperature_scaling for classes")
        given = evidence(labels, where, weights, logits=forecast.logits)
        logits = select(as_float(forecast.logits), given.counts)
        valid = ~jnp.any(jnp.isnan(logits) | ~((given.labels >= 0) & (given.labels <= 1)), axis=0)
        free = ~jnp.isinf(logits)
        logits, weight = jnp.where(free, logits, 0), jnp.where(free, given.weight, 0)
        targets = as_float(given.labels, logits)
        positives, negatives = jnp.sum(weight * targets, axis=0), jnp.sum(weight * (1 - targets), axis=0)
        identity = valid & ~((positives > 0) & (negatives > 0))
        logits, centre, scale = _standardised(logits, weight)
        if smooth_targets:
            high, low = (positives + 1) / (positives + 2), 1 / (negatives + 2)
            targets = low[None] + (high - low)[None] * targets
        still = jax.lax.stop_gradient((logits, targets, weight))

        def loss(line):
            logits, targets, weight = still
            scores = line.slope[None] * logits + line.intercept[None]
            return jnp.sum(weight * (jax.nn.softplus(scores) - targets * scores), axis=0)

        def improve(_, carry):
            line, value, damping = carry
            trial = jax.tree.map(jnp.subtract, line, _newton_step(line, *still, damping))
            trial_value = loss(trial)
            better = trial_value <= value
            line = jax.tree.map(lambda new, old: jnp.where(better, new, old), trial, line)
            damping = jnp.clip(jnp.where(better, damping / 10, damping * 10), 1e-8, 1e8)
            return line, jnp.where(better, trial_value, value), damping

        base_rate = jax.lax.stop_gradient(jnp.log((positives + 1) / (negatives + 1)))
        start = _Line(jnp.zeros_like(base_rate), base_rate)
        carry = vary_like((start, loss(start), jnp.full_like(base_rate, 1e-3)), still)
        line, _, _ = jax.lax.fori_loop(0, _STEPS, improve, carry)
        last = _newton_step(line, logits, targets, weight, jnp.zeros_like(base_rate))
        slope = (line.slope - last.slope) / scale
        intercept = line.intercept - last.intercept - slope * centre
        slope, intercept = jnp.where(identity, 1, slope), jnp.where(identity, 0, intercept)
        return PlattState(undefined_unless(valid, slope), undefined_unless(valid, intercept), identity)

    def apply(state: PlattState, forecast: BernoulliForecast) -> BernoulliForecast:
        expect(forecast, (BernoulliForecast,), "platt_scaling", "temperature_scaling for classes")
        check_shapes(logits=forecast.logits, aleatoric=forecast.aleatoric)
        check_state(forecast.aleatoric, slope=state.slope, intercept=state.intercept, identity=state.identity)
        logits = as_float(forecast.logits)
        slope, intercept = (as_float(values, logits)[None] for values in (state.slope, state.intercept))
        certain = jnp.isinf(logits)
        moved = slope * jnp.where(certain, 0, logits) + intercept
        moved = jnp.where(certain & (slope > 0), logits, jnp.where(certain & (slope < 0), -logits, moved))
        return with_logits(forecast, moved, state.identity)

    return Calibrator(fit, apply)
