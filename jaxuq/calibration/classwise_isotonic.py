"""Isotonic calibration of several classes: one map for each class against the rest, and a sum of 1 again."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, Real

from jaxuq._arrays import as_float, check_shapes
from jaxuq._entropies import log_softmax
from jaxuq._meshes import divided_like
from jaxuq.calibration._forecasts import check_state, evidence, expect, interpolate_per_task, with_logits
from jaxuq.calibration.base import Calibrator
from jaxuq.calibration.isotonic import knots_of
from jaxuq.posterior import CategoricalForecast


class ClasswiseState(NamedTuple):
    """Fitted step maps of each class; the last knot is repeated as padding.

    Attributes:
        predicted: increasing probabilities before calibration.
        observed: non-decreasing probabilities after it.
        floor: the least probability of a class, 1 / (labels + 2).
        identity: whether the labels leave the task's forecast as it is.
    """

    predicted: Float[Array, "knots *tasks classes"]
    observed: Float[Array, "knots *tasks classes"]
    floor: Float[Array, "*tasks"]
    identity: Bool[Array, "*tasks"]


def classwise_isotonic() -> Calibrator:
    r"""Isotonic regression of each class against all others, renormalised.

    $$p'_k \propto \max\!\left(\hat f_k(p_k),\ \tfrac{1}{n + 2}\right)$$

    with $\hat f_k$ the non-decreasing map of least squares onto $[y = k]$, straight between its knots. Use it with a
    thousand labels or more, where the reliability curves of single classes have shapes that `vector_scaling` does not
    correct. The floor matters: where all maps but one are 0, renormalising would make certainty of very little. It
    makes ties and can change the most probable class. A class that no label has keeps its own probability before the
    sum; an impossible one (logit minus infinity) stays impossible.

    `fit` runs on the host with SciPy (not under `jit`); `apply` is jax, and treats the entropies as
    `temperature_scaling` does. A task with one class only, or without labels, keeps its forecast.

    Returns:
        A `Calibrator` with a `ClasswiseState`, for a `CategoricalForecast` with logits `[n, *tasks, classes]`.

    Raises:
        ArrayError: by `fit` and `apply`, if the shapes of forecast, labels, mask, weights or state differ.
        TypeError: by `fit` and `apply`, for another forecast.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.posterior import CategoricalForecast
        >>> p = jnp.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4], [0.5, 0.2, 0.3], [0.1, 0.7, 0.2]])
        >>> forecast = CategoricalForecast(jnp.log(p))
        >>> state = classwise_isotonic().fit(forecast, jnp.array([0, 1, 2, 1, 1]))
        >>> print(*(f"{v:.3f}" for v in classwise_isotonic().apply(state, forecast).probabilities[0]))
        0.677 0.226 0.097

    References:
        B. Zadrozny, C. Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates", KDD
        2002, section 5.
    """

    def inputs(forecast: CategoricalForecast) -> tuple[Array, Array]:
        expect(forecast, (CategoricalForecast,), "classwise_isotonic", "isotonic_calibration for two classes")
        check_shapes(logits=(forecast.logits, 1), aleatoric=forecast.aleatoric)
        logits = as_float(forecast.logits)
        return jnp.exp(log_softmax(logits)), logits == -jnp.inf

    def fit(
        forecast: CategoricalForecast,
        labels: Integer[Array, "n *tasks"],
        *,
        where: Bool[Array, "n *tasks"] | None = None,
        weights: Real[Array, "n *tasks"] | None = None,
    ) -> ClasswiseState:
        probabilities, _ = inputs(forecast)
        given = evidence(labels, where, weights, logits=(forecast.logits, 1))
        (rows, *tasks), classes = labels.shape, probabilities.shape[-1]
        knots, size = max(rows, 2), int(np.prod(tasks))
        columns = np.asarray(probabilities, np.float64).reshape(rows, size, classes)
        chosen, mass = (
            np.asarray(array, np.float64).reshape(rows, size) for array in (given.labels, np.asarray(given.weight))
        )
        maps = np.empty((2, knots, size, classes))
        identity, floor = np.zeros(size, bool), 1 / (mass.sum(axis=0) + 2)
        for task in range(size):
            own, weight = chosen[:, task], mass[:, task]
            counts = weight != 0
            known = np.isin(own[counts], np.arange(classes)).all() and not np.isnan(columns[counts, task]).any()
            identity[task] = known and len(np.unique(own[counts])) < 2
            for number in range(classes):
                right = (own == number).astype(float) if known else np.full(rows, np.nan)
                maps[:, :, task, number] = knots_of(columns[:, task, number], right, weight, knots)[:2]
            floor[task] = floor[task] if known else np.nan
        dtype = probabilities.dtype
        predicted, observed = (jnp.asarray(one.reshape(knots, *tasks, classes), dtype) for one in maps)
        return ClasswiseState(
            predicted, observed, jnp.asarray(floor.reshape(tasks), dtype), jnp.asarray(identity.reshape(tasks))
        )

    def apply(state: ClasswiseState, forecast: CategoricalForecast) -> CategoricalForecast:
        probabilities, impossible = inputs(forecast)
        check_state(forecast.logits, {"predicted": state.predicted, "observed": state.observed})
        check_state(forecast.aleatoric, floor=state.floor, identity=state.identity)
        knots, heights = (as_float(values, probabilities) for values in (state.predicted, state.observed))
        mapped = divided_like(interpolate_per_task, probabilities, probabilities, knots, heights)
        raised = jnp.maximum(mapped, as_float(state.floor, probabilities)[None, ..., None])
        logits = jnp.where(impossible, -jnp.inf, jnp.log(raised))
        return with_logits(forecast, logits, state.identity)

    return Calibrator(fit, apply)
