"""Isotonic calibration of probabilities: the best non-decreasing map from predicted to observed frequency, per task."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Real

from jaxuq.calibration._forecasts import expect, interpolate_per_task, with_logits
from jaxuq.calibration.base import Calibrator
from jaxuq.posterior import BernoulliForecast


class IsotonicState(NamedTuple):
    """Fitted step maps, as many knots as there were calibration rows; the last knot is repeated as padding.

    Attributes:
        predicted: increasing probabilities before calibration.
        observed: non-decreasing probabilities after calibration.
    """

    predicted: Float[Array, "knots *tasks"]
    observed: Float[Array, "knots *tasks"]


def _knots(probabilities, labels, count):
    """The knots of one task's isotonic regression, padded to `count`; the identity if there is one class only."""
    from scipy.optimize import isotonic_regression

    if len(np.unique(labels)) < 2:
        x = y = np.array([0.0, 1.0])
    else:
        x, place, sizes = np.unique(probabilities, return_inverse=True, return_counts=True)
        y = isotonic_regression(np.bincount(place, labels) / sizes, weights=sizes).x
    padding = (0, count - len(x))
    return np.pad(x, padding, mode="edge"), np.pad(y, padding, mode="edge")


def isotonic_calibration(*, min_probability: float = 1e-6) -> Calibrator:
    r"""Isotonic regression of the labels on the predicted probabilities, one non-decreasing map a task.

    $$\hat f = \arg\min_{f \text{ non-decreasing}} \sum_n (y_n - f(p_n))^2$$

    with straight lines between the knots and constants outside. Use it when the reliability curve has a shape that no
    temperature corrects, and with about a thousand labels a task: with fewer it fits noise. It makes ties, so ranking
    scores can fall, and it reaches 0 and 1 where the extreme labels agree; `min_probability` bounds the logits there,
    but a likelihood can still suffer. For regression use `isotonic_quantiles`.

    `fit` runs on the host with SciPy (not under `jit`); `apply` is jax. `apply` treats the entropies as
    `temperature_scaling` does. A task with one class only keeps its probabilities. Tied probabilities are averaged.

    Args:
        min_probability: calibrated probabilities are clipped to [this, 1 - this], in (0, 1/2).

    Returns:
        A `Calibrator` with an `IsotonicState`, for a `BernoulliForecast` with logits `[n, *tasks]`, n >= 2.

    Raises:
        ValueError: if `min_probability` is out of range, or if `fit` gets fewer than 2 rows.
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
        raise ValueError(f"min_probability is {min_probability}; expected a number in (0, 0.5), such as 1e-6")

    def fit(
        forecast: BernoulliForecast,
        labels: Real[Array, "n *tasks"],
        *,
        where: Bool[Array, "n *tasks"] | None = None,
    ) -> IsotonicState:
        expect(forecast, (BernoulliForecast,), "isotonic_calibration", "temperature_scaling or isotonic_quantiles")
        shape = labels.shape
        if shape[0] < 2:
            raise ValueError(f"isotonic_calibration got {shape[0]} calibration rows; expected at least 2")
        probabilities = np.asarray(forecast.probabilities).reshape(shape[0], -1)
        flat_labels = np.asarray(labels).reshape(shape[0], -1)
        valid = np.ones(flat_labels.shape, bool) if where is None else np.asarray(where).reshape(shape[0], -1)
        pairs = [
            _knots(probabilities[keep, task], flat_labels[keep, task].astype(float), shape[0])
            for task, keep in enumerate(valid.T)
        ]
        predicted, observed = (
            jnp.asarray(np.stack(columns, axis=1).reshape(shape), forecast.logits.dtype) for columns in zip(*pairs)
        )
        return IsotonicState(predicted, observed)

    def apply(state: IsotonicState, forecast: BernoulliForecast) -> BernoulliForecast:
        expect(forecast, (BernoulliForecast,), "isotonic_calibration", "temperature_scaling or isotonic_quantiles")
        probabilities = interpolate_per_task(forecast.probabilities, state.predicted, state.observed)
        probabilities = jnp.clip(probabilities, min_probability, 1 - min_probability)
        return with_logits(forecast, jnp.log(probabilities) - jnp.log1p(-probabilities))

    return Calibrator(fit, apply)
