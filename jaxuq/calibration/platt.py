"""Platt scaling: a logistic regression of the label on the logit, per task."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxuq.calibration._forecasts import expect, filled, known, with_logits
from jaxuq.calibration.base import Calibrator
from jaxuq.posterior import BernoulliForecast

# Damped Newton steps. The loss is smooth and convex in two variables; about ten suffice, the rest cost microseconds.
_STEPS = 50


class PlattState(NamedTuple):
    """Fitted lines.

    Attributes:
        slope: a of each task.
        intercept: b of each task.
    """

    slope: Float[Array, "*tasks"]
    intercept: Float[Array, "*tasks"]


def _newton_step(line, logits, targets, valid, damping):
    """The step of Newton's method for a and b, with the diagonal of the Hessian raised by `damping`."""
    probabilities = jax.nn.sigmoid(line.slope[None] * logits + line.intercept[None])

    def total(terms):
        return jnp.sum(jnp.where(valid, terms, 0), axis=0)

    residual, weight = probabilities - targets, jax.lax.stop_gradient(probabilities * (1 - probabilities))
    still = jax.lax.stop_gradient(logits)
    gradient_a, gradient_b = total(residual * logits), total(residual)
    aa, ab, bb = (total(weight * power) for power in (jnp.square(still), still, jnp.ones_like(still)))
    aa, bb = (aa + 1e-9 * bb) * (1 + damping), bb * (1 + damping)  # constant logits leave the slope undetermined
    determinant = aa * bb - ab * ab
    solvable = determinant > 1e-6 * aa * bb
    divisor = jnp.where(solvable, determinant, 1)
    step_a = (bb * gradient_a - ab * gradient_b) / divisor
    step_b = (aa * gradient_b - ab * gradient_a) / divisor
    return PlattState(jnp.where(solvable, step_a, 0), jnp.where(solvable, step_b, 0))


def platt_scaling(*, smooth_targets: bool = True) -> Calibrator:
    r"""Platt scaling: $p' = \sigma(a z + b)$, fitted by maximum likelihood, one line a task.

    $$(a, b) = \arg\min \sum_n -t_n \log p'_n - (1 - t_n) \log(1 - p'_n),\qquad
      t_+ = \frac{N_+ + 1}{N_+ + 2},\quad t_- = \frac{1}{N_- + 2}$$

    Use it when probabilities are both too extreme and off in their base rate. With `smooth_targets` (Platt's own form)
    the optimum is finite even for perfectly separated scores; without, it is plain logistic regression and separated
    scores drive the slope up until the iteration stops. A task with one class only keeps a = 1, b = 0. A negative slope
    is possible: it says that the score ranks the wrong way round.

    The optimum is found by damped Newton steps for all tasks at once, inside `jit`; the last, undamped one makes the
    fitted line differentiable with respect to the logits. `apply` treats the entropies as `temperature_scaling` does.

    Args:
        smooth_targets: whether to replace the labels 0 and 1 by t- and t+.

    Returns:
        A `Calibrator` with a `PlattState`, for a `BernoulliForecast` with logits `[n, *tasks]`.

    Raises:
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
    ) -> PlattState:
        expect(forecast, (BernoulliForecast,), "platt_scaling", "temperature_scaling for classes")
        logits = filled(where, forecast.logits, 0.0)
        targets = filled(where, labels, 0).astype(logits.dtype)
        valid = known(where, labels.shape)
        positives = jnp.sum(targets, axis=0)
        count = jnp.sum(valid, axis=0, dtype=logits.dtype)
        negatives = count - positives
        centre = jnp.sum(logits, axis=0) / jnp.maximum(count, 1)  # centred logits make the Hessian well conditioned
        logits = logits - centre[None]
        if smooth_targets:
            high, low = (positives + 1) / (positives + 2), 1 / (negatives + 2)
            targets = jnp.where(targets > 0.5, high[None], low[None])

        def loss(line):
            scores = line.slope[None] * logits + line.intercept[None]
            return jnp.sum(jnp.where(valid, jax.nn.softplus(scores) - targets * scores, 0), axis=0)

        def improve(_, carry):
            line, value, damping = carry
            trial = jax.tree.map(jnp.subtract, line, _newton_step(line, logits, targets, valid, damping))
            trial_value = loss(trial)
            better = trial_value <= value
            line = jax.tree.map(lambda new, old: jnp.where(better, new, old), trial, line)
            damping = jnp.clip(jnp.where(better, damping / 10, damping * 10), 1e-8, 1e8)
            return line, jnp.where(better, trial_value, value), damping

        ones = jnp.ones(labels.shape[1:], logits.dtype)
        start = PlattState(jnp.zeros_like(ones), jnp.log((positives + 1) / (negatives + 1)))  # the base rate
        line, _, _ = jax.lax.fori_loop(0, _STEPS, improve, (start, loss(start), 1e-3 * ones))
        line = jax.lax.stop_gradient(line)
        last = _newton_step(line, logits, targets, valid, jnp.zeros_like(ones))
        slope, intercept = line.slope - last.slope, line.intercept - last.intercept
        both = (positives > 0) & (negatives > 0)
        return PlattState(jnp.where(both, slope, 1), jnp.where(both, intercept - slope * centre, 0))

    def apply(state: PlattState, forecast: BernoulliForecast) -> BernoulliForecast:
        expect(forecast, (BernoulliForecast,), "platt_scaling", "temperature_scaling for classes")
        return with_logits(forecast, state.slope[None] * forecast.logits + state.intercept[None])

    return Calibrator(fit, apply)
