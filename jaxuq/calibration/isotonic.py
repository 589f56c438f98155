"""Isotonic calibration of probabilities: the best non-decreasing map from predicted to observed frequency, per task."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Real

from jaxuq._arrays import as_float, check_shapes
from jaxuq._errors import OptionError
from jaxuq._meshes import divided_like
from jaxuq.calibration._forecasts import check_state, evidence, expect, interpolate_per_task, with_logits
from jaxuq.calibration.base import Calibrator
from jaxuq.posterior import BernoulliForecast


class IsotonicState(NamedTuple):
    """Fitted step maps: as many knots as there were calibration rows, at least two; the last is repeated as padding.

    Attributes:
        predicted: increasing probabilities before calibration.
        observed: non-decreasing probabilities after calibration.
        identity: whether the labels leave the task's forecast as it is; the map is a straight line there.
    """

    predicted: Float[Array, "knots *tasks"]
    observed: Float[Array, "knots *tasks"]
    identity: Bool[Array, "*tasks"]


def knots_of(probabilities, labels, weights, count):
    """The knots of one task's isotonic regression, padded to `count`, and whether it is the identity."""
    from scipy.optimize import isotonic_regression

    identity, keep = False, weights != 0
    probabilities, labels, weights = probabilities[keep], labels[keep], weights[keep]
    if not np.all((labels >= 0) & (labels <= 1) & ~np.isnan(probabilities)):  # NaN labels are out of range too
        x = y = np.full(2, np.nan)
    elif not (np.any(labels > 0) and np.any(labels < 1)):
        x, y, identity = np.array([0.0, 1.0]), np.array([0.0, 1.0]), True
    else:
        x, place = np.unique(probabilities, return_inverse=True)
        mass = np.bincount(place, weights)
        y = isotonic_regression(np.bincount(place, labels * weights) / mass, weights=mass).x
    padding = (0, count - len(x))
    return np.pad(x, padding, mode="edge"), np.pad(y, padding, mode="edge"), identity


def isotonic_calibration(*, min_probability: float = 1e-6) -> Calibrator:
    r"""Isotonic regression of the labels on the predicted probabilities, one non-decreasing map a task.

    $$\hat f = \arg\min_{f \text{ non-decreasing}} \sum_n (y_n - f(p_n))^2$$

    with straight lines between the knots and constants outside. Use it when the reliability curve has a shape that no
    temperature corrects, and with about a thousand labels a task: with fewer it fits noise. It makes ties, so ranking
    scores can fall, and it reaches 0 and 1 where the extreme labels agree; `min_probability` bounds the logits there,
    but a likelihood can still suffer. For regression use `isotonic_quantiles`.

    `fit` runs on the host with SciPy (not under `jit`); `apply` is jax. `apply` treats the entropies as
    `temperature_scaling` does. A task with one class only, or without labels, keeps its forecast (`state.identity`).
    Tied probabilities are averaged; a logit of plus or minus infinity is a probability like any other.

    Args:
        min_probability: calibrated probabilities are clipped to [this, 1 - this], in (0, 1/2).

    Returns:
        A `Calibrator` with an `IsotonicState`, for a `BernoulliForecast` with logits `[n, *tasks]`.

    Raises:
        OptionError: if `min_probability` is out of range.
        ArrayError: by `fit` and `apply`, if the shapes of forecast, labels, mask, weights or state differ.
        TypeError: by `fit` and `apply`, for another forecast.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.posterior import BernoulliForecast
        >>> logits = jnp.array([[-2.0], [-1.0], [1.0], [2.0]])
        >>> forecast = BernoulliForecast(logits, jnp.zeros_like(logits), jnp.zeros_like(logits))
        >>> calibrator = isotonic_calibration()
        >>> state = calibrator.fit(forecast, jnp.array([[0], [1], [0], [1]]))
        >>> [round(float(p), 3) for p in calibrator.apply(state, forecast).probabilities[:, 0]]
        [0.0, 0.5, 0.5, 1.0]

    References:
        B. Zadrozny, C. Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates", KDD
        2002.
    """
    if not 0 < min_probability < 0.5:
        raise OptionError(f"min_probability is {min_probability}; expected a number in (0, 0.5), such as 1e-6")

    def fit(
        forecast: BernoulliForecast,
        labels: Real[Array, "n *tasks"],
        *,
        where: Bool[Array, "n *tasks"] | None = None,
        weights: Real[Array, "n *tasks"] | None = None,
    ) -> IsotonicState:
        expect(forecast, (BernoulliForecast,), "isotonic_calibration", "temperature_scaling or isotonic_quantiles")
        given = evidence(labels, where, weights, logits=forecast.logits)
        probabilities = jax.nn.sigmoid(as_float(forecast.logits))
        rows, tasks, knots = labels.shape[0], labels.shape[1:], max(labels.shape[0], 2)
        columns = [
            np.asarray(array, np.float64).reshape(rows, math.prod(tasks)).T
            for array in (probabilities, given.labels, given.weight)
        ]
        fitted = [knots_of(p, labels, weights, knots) for p, labels, weights in zip(*columns, strict=True)]
        predicted, observed = (
            jnp.asarray(
                np.reshape(np.array([task[part] for task in fitted], np.float64), (-1, knots)).T, probabilities.dtype
            )
            for part in (0, 1)
        )
        predicted, observed = predicted.reshape(knots, *tasks), observed.reshape(knots, *tasks)
        return IsotonicState(predicted, observed, jnp.asarray(np.reshape([task[2] for task in fitted], tasks), bool))

    def apply(state: IsotonicState, forecast: BernoulliForecast) -> BernoulliForecast:
        expect(forecast, (BernoulliForecast,), "isotonic_calibration", "temperature_scaling or isotonic_quantiles")
        check_shapes(logits=forecast.logits, aleatoric=forecast.aleatoric)
        check_state(forecast.aleatoric, {"predicted": state.predicted, "observed": state.observed})
        probabilities = jax.nn.sigmoid(as_float(forecast.logits))
        knots, heights = (as_float(values, probabilities) for values in (state.predicted, state.observed))
        probabilities = divided_like(interpolate_per_task, probabilities, probabilities, knots, heights)
        probabilities = jnp.clip(probabilities, min_probability, 1 - min_probability)
        return with_logits(forecast, jnp.log(probabilities) - jnp.log1p(-probabilities), state.identity)

    return Calibrator(fit, apply)
