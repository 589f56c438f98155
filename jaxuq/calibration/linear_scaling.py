"""Vector, matrix and Dirichlet scaling: linear maps of the logits of several classes."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Real

from jaxuq._arrays import as_float, check_shapes, select, take_class, within_classes
from jaxuq._entropies import log_softmax
from jaxuq._options import check_number
from jaxuq._shapes import checked
from jaxuq.calibration._forecasts import check_state, evidence, expect, with_logits
from jaxuq.calibration._newton import damped, solved
from jaxuq.calibration.base import Calibrator
from jaxuq.posterior import CategoricalForecast


class LinearState(NamedTuple):
    """Fitted maps.

    Attributes:
        weights: of each task, a vector of the classes or a matrix (row: the class that results).
        intercepts: of each task.
        identity: whether the labels leave the task's forecast as it is.
    """

    weights: Float[Array, "*tasks classes"] | Float[Array, "*tasks classes classes"]
    intercepts: Float[Array, "*tasks classes"]
    identity: Bool[Array, "*tasks"]


def vector_scaling() -> Calibrator:
    r"""One factor and one offset for each class: $p' = \mathrm{softmax}(w \circ z + b)$, by maximum likelihood.

    Use it where classes differ in how far they are trusted, or in how often they come, so that one temperature is not
    enough; it needs about a hundred labels of each class. It can change the most probable class. Certain forecasts and
    impossible classes (infinite logits) stay as they are and take no part in the fit. The optimum is found by damped
    Newton steps in `jit`; a class that no label has is driven to probability 0 until the iteration stops. Holds the
    square of the number of parameters, $(2K)^2$.

    Returns:
        A `Calibrator` with a `LinearState`, for a `CategoricalForecast` with logits `[n, *tasks, classes]`. `apply`
        treats the entropies as `temperature_scaling` does.

    Raises:
        ArrayError: by `fit` and `apply`, if the shapes of forecast, labels, mask, weights or state differ.
        TypeError: by `fit` and `apply`, for another forecast.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.posterior import CategoricalForecast
        >>> def forecast(logits):
        ...     return CategoricalForecast(logits, jnp.zeros(len(logits)), jnp.zeros(len(logits)))
        >>> state = LinearState(jnp.array([0.5, 1.0, 1.5]), jnp.array([0.0, 0.2, -0.1]), jnp.array(False))
        >>> calibrated = vector_scaling().apply(state, forecast(jnp.array([[2.0, 1.0, 0.5]])))
        >>> print(calibrated.probabilities[0].round(4))
        [0.3418 0.4174 0.2408]

    References:
        C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
    """
    return _linear("vector_scaling", 0.0, 0.0, full=False, of_probabilities=False)


def matrix_scaling(*, off_diagonal: float = 0.0, intercept: float = 0.0) -> Calibrator:
    r"""A linear map of all logits: $p' = \mathrm{softmax}(W z + b)$, by penalised maximum likelihood.

    $$\min_{W, b}\ -\frac1n \sum_i \log p'_{y_i} + \frac{\lambda}{K(K-1)} \sum_{i \ne j} W_{ij}^2
      + \frac{\mu}{K} \sum_j b_j^2$$

    Use it where classes are mistaken for each other in a way that calibration data show; with $K^2$ numbers to fit it
    overfits unless there are few classes, many labels, or penalties chosen by cross-validation (1e-3 to 1e2). `fit`
    holds $(K^2 + K)^2$ numbers: meant for tens of classes. See `vector_scaling` for what stays as it is.

    Args:
        off_diagonal: $\lambda \ge 0$.
        intercept: $\mu \ge 0$.

    Returns:
        A `Calibrator` with a `LinearState`, for a `CategoricalForecast`.

    Raises:
        OptionError: a penalty is out of range.
        ArrayError: by `fit` and `apply`, if shapes differ.
        TypeError: by `fit` and `apply`, for another forecast.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.posterior import CategoricalForecast
        >>> forecast = CategoricalForecast(jnp.array([[2.0, 1.0, 0.5]]), jnp.zeros(1), jnp.zeros(1))
        >>> weights = jnp.array([[0.8, 0.1, 0.0], [0.0, 0.9, 0.1], [0.1, 0.0, 0.7]])
        >>> state = LinearState(weights, jnp.array([0.0, 0.2, -0.1]), jnp.array(False))
        >>> print(matrix_scaling().apply(state, forecast).probabilities[0].round(4))
        [0.5366 0.3096 0.1537]

    References:
        C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
        M. Kull, M. Perello Nieto, M. Kängsepp, T. Silva Filho, H. Song, P. Flach, "Beyond Temperature Scaling:
        Obtaining Well-calibrated Multiclass Probabilities with Dirichlet Calibration", NeurIPS 2019, section 3 (ODIR).
    """
    return _linear("matrix_scaling", off_diagonal, intercept, full=True, of_probabilities=False)


def dirichlet_calibration(*, off_diagonal: float = 1e-2, intercept: float = 1e-2) -> Calibrator:
    r"""Dirichlet calibration: $p' = \mathrm{softmax}(W \ln p + b)$ with the penalties of `matrix_scaling` (ODIR).

    It is the map that calibrates probabilities whose distribution is Dirichlet within each class, and it needs no
    logits: probabilities of any origin will do. It holds temperature and vector scaling as special cases.

    Args:
        off_diagonal: $\lambda \ge 0$.
        intercept: $\mu \ge 0$.

    Returns:
        A `Calibrator` with a `LinearState`, for a `CategoricalForecast`.

    Raises:
        OptionError: a penalty is out of range.
        ArrayError: by `fit` and `apply`, if shapes differ.
        TypeError: by `fit` and `apply`, for another forecast.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.posterior import CategoricalForecast
        >>> forecast = CategoricalForecast(jnp.array([[2.0, 1.0, 0.5]]), jnp.zeros(1), jnp.zeros(1))
        >>> weights = jnp.array([[0.8, 0.1, 0.0], [0.0, 0.9, 0.1], [0.1, 0.0, 0.7]])
        >>> state = LinearState(weights, jnp.array([0.0, 0.2, -0.1]), jnp.array(False))
        >>> print(dirichlet_calibration().apply(state, forecast).probabilities[0].round(4))
        [0.5502 0.2481 0.2017]

    References:
        M. Kull et al., "Beyond Temperature Scaling", NeurIPS 2019, Eq. 2 and section 3.
    """
    return _linear("dirichlet_calibration", off_diagonal, intercept, full=True, of_probabilities=True)


def _mapped(maps: Array, features: Array, *, full: bool) -> Array:
    """The new logits but for the intercepts, `[n, *tasks, classes]`."""
    if not full:
        return maps[None] * features
    return jnp.einsum("...kd,n...d->n...k", maps, features)


def _linear(name: str, off_diagonal: float, intercept: float, *, full: bool, of_probabilities: bool) -> Calibrator:
    check_number("off_diagonal", off_diagonal, 0.0)
    check_number("intercept", intercept, 0.0)

    def inputs(forecast: CategoricalForecast) -> tuple[Array, Array]:
        """What is mapped, and which classes are possible; an impossible one counts as the least of the possible."""
        expect(forecast, (CategoricalForecast,), name, "platt_scaling for two classes")
        check_shapes(logits=(forecast.logits, 1), aleatoric=forecast.aleatoric)
        logits = as_float(forecast.logits)
        possible = logits > -jnp.inf
        logits = log_softmax(logits) if of_probabilities else logits
        possible = possible & (logits > -jnp.inf) & (logits < jnp.inf) | jnp.isnan(logits)
        least = jnp.min(jnp.where(possible, logits, jnp.inf), axis=-1, keepdims=True)
        return jnp.where(possible, logits, jnp.where(jnp.isinf(least), 0, least)), possible

    def fit(
        forecast: CategoricalForecast,
        labels: Real[Array, "n *tasks"],
        *,
        where: Bool[Array, "n *tasks"] | None = None,
        weights: Real[Array, "n *tasks"] | None = None,
    ) -> LinearState:
        features, possible = inputs(forecast)
        given = evidence(labels, where, weights, logits=(forecast.logits, 1))
        tasks, classes = features.shape[1:-1], features.shape[-1]
        features, possible = select(features, given.counts), select(possible, given.counts)
        known = within_classes(given.labels, classes) & (given.labels == jnp.round(given.labels))
        valid = ~jnp.any(~known | jnp.any(jnp.isnan(features), axis=-1), axis=0)
        numbers = jnp.where(known, given.labels, jnp.zeros_like(given.labels)).astype(jnp.int32)
        free = take_class(possible.astype(features.dtype), numbers) > 0
        certain = jnp.any(as_float(forecast.logits) == jnp.inf, axis=-1)
        weight = jnp.where(free & ~certain, given.weight, 0)
        lowest = jnp.min(jnp.where(weight != 0, numbers, classes), axis=0, initial=classes)
        highest = jnp.max(jnp.where(weight != 0, numbers, -1), axis=0, initial=-1)
        identity = valid & ~(lowest < highest)
        theta = _fitted(features, possible, numbers, weight, off_diagonal, intercept, full)
        maps, offsets = theta[..., :-1] if full else theta[..., 0], theta[..., -1]
        start = jnp.ones(classes, features.dtype)
        start = jnp.diag(start) if full else start
        still, defined = (x.reshape(*tasks, *[1] * start.ndim) for x in (identity, valid))
        maps = jnp.where(defined, jnp.where(still, start, maps), jnp.nan)
        offsets = jnp.where(valid[..., None], jnp.where(identity[..., None], 0, offsets), jnp.nan)
        return LinearState(maps, offsets, identity)

    def apply(state: LinearState, forecast: CategoricalForecast) -> CategoricalForecast:
        features, possible = inputs(forecast)
        check_state(forecast.logits, intercepts=state.intercepts)
        check_state(forecast.aleatoric, identity=state.identity)
        maps, offsets = as_float(state.weights, features), as_float(state.intercepts, features)
        moved = _mapped(maps, features, full=full) + offsets[None]
        certain = jnp.any(as_float(forecast.logits) == jnp.inf, axis=-1, keepdims=True)
        moved = jnp.where(certain, as_float(forecast.logits), jnp.where(possible, moved, -jnp.inf))
        return with_logits(forecast, moved, state.identity)

    return Calibrator(fit, apply)


@checked
def _fitted(
    features: Float[Array, "n *tasks classes"],
    possible: Bool[Array, "n *tasks classes"],
    labels: Int[Array, "n *tasks"],
    weight: Float[Array, "n *tasks"],
    off_diagonal: float,
    intercept: float,
    full: bool,
) -> Float[Array, "*tasks classes numbers"]:
    """Weights and, last, the intercept of each class and task."""
    tasks, (n, classes) = labels.shape[1:], (features.shape[0], features.shape[-1])
    size = math.prod(tasks)
    rows = (array.reshape(n, size, classes) for array in (features, possible))
    cells = (array.reshape(n, size) for array in (labels, weight))

    def one(features: Array, possible: Array, labels: Array, weight: Array) -> Array:
        return _solve(features, possible, labels, weight, off_diagonal, intercept, full)

    theta = jax.vmap(one, in_axes=1)(*rows, *cells)
    return theta.reshape(*tasks, *theta.shape[1:])


def _solve(
    features: Array, possible: Array, labels: Array, weight: Array, off_diagonal: float, intercept: float, full: bool
) -> Array:
    r"""The numbers of one task, by damped Newton steps; gradients do not flow through the optimum.

    The loss is convex in the numbers $\theta_{kd}$ that make the logits $\sum_d \theta_{kd} F_{nkd}$.
    """
    features, weight = jax.lax.stop_gradient((features, weight))
    n, classes = features.shape
    scale = jnp.max(jnp.abs(features), initial=0)
    scale = jnp.where(scale > 0, scale, 1)
    total = jnp.sum(weight)
    weight = weight / jnp.where(total > 0, total, 1)
    own = (features / scale)[:, None] if full else (features / scale)[..., None]
    design = jnp.concatenate(
        [jnp.broadcast_to(own, (n, classes, own.shape[-1])), jnp.ones((n, classes, 1), features.dtype)], -1
    )
    maps = jnp.eye(classes, dtype=features.dtype) if full else jnp.ones((classes, 1), features.dtype)
    start = jnp.concatenate([maps * scale, jnp.zeros((classes, 1), features.dtype)], axis=-1)
    apart = off_diagonal / max(classes * (classes - 1), 1) * (1 - maps) / scale**2
    stiff = 2 * jnp.concatenate([apart, jnp.full((classes, 1), intercept / classes, features.dtype)], axis=-1)
    size = start.size

    def probabilities(theta: Array) -> Array:
        return log_softmax(jnp.where(possible, jnp.einsum("kd,nkd->nk", theta, design), -jnp.inf))

    def loss(theta: Array) -> Array:
        terms = select(take_class(probabilities(theta), labels), weight != 0)
        return jnp.sum(stiff * jnp.square(theta)) / 2 - jnp.sum(weight * terms)

    def step(theta: Array, damping: Array) -> Array:
        share = jnp.exp(probabilities(theta))
        share = weight[:, None] * jnp.where((weight != 0)[:, None], share, 0)
        wrong = share - weight[:, None] * jax.nn.one_hot(labels, classes, dtype=share.dtype)
        gradient = jnp.einsum("nk,nkd->kd", wrong, design) + stiff * theta
        each = jnp.einsum("nk,nkd,nke->kde", share, design, design)
        mixed = (share[..., None] * design).reshape(n, size)
        # p_k p_l counts each row once, so one of the two weights is taken out again
        others = (mixed / jnp.where(weight != 0, weight, 1)[:, None]).T @ mixed
        blocks = jnp.einsum("kl,kde->kdle", jnp.eye(classes, dtype=each.dtype), each).reshape(size, size)
        curvature = blocks - others + jnp.diag(stiff.reshape(-1))
        return theta - solved(curvature, gradient.reshape(-1), damping).reshape(theta.shape)

    theta = damped(step, loss, start, features, weight)
    maps, intercepts = theta[:, :-1] / scale, theta[:, -1:]
    # What adds the same to all logits is left open by the likelihood: columns keep their sum, intercepts have none.
    if full and not off_diagonal:
        maps = maps - (jnp.sum(maps, axis=0, keepdims=True) - 1) / classes
    if not intercept:
        intercepts = intercepts - jnp.mean(intercepts)
    return jnp.concatenate([maps, intercepts], axis=-1)
