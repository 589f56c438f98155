"""Beta calibration: a map of probabilities with three numbers, which can bend where Platt scaling cannot."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxuq._arrays import as_float, check_shapes, select
from jaxuq._shapes import checked
from jaxuq.calibration._forecasts import check_state, evidence, expect, with_logits
from jaxuq.calibration._newton import damped, solved
from jaxuq.calibration.base import Calibrator
from jaxuq.posterior import BernoulliForecast


class BetaState(NamedTuple):
    """Fitted maps.

    Attributes:
        numbers: a, b and c of each task.
        identity: whether the labels leave the task's forecast as it is; 1, 1 and 0 there.
    """

    numbers: Float[Array, "*tasks 3"]
    identity: Bool[Array, "*tasks"]


def _design(logits: Array) -> Array:
    """ln p, -ln(1 - p) and 1."""
    return jnp.stack([jax.nn.log_sigmoid(logits), -jax.nn.log_sigmoid(-logits), jnp.ones_like(logits)], axis=-1)


def beta_calibration() -> Calibrator:
    r"""Beta calibration, one map a task: $\mathrm{logit}\, p' = a \ln p - b \ln(1 - p) + c$ with $a, b \ge 0$.

    The family holds every ratio of two beta densities, and the identity (1, 1, 0). Use it for probabilities that are
    too extreme on one side only, as those of naive Bayes or boosted trees: `platt_scaling` of their logits is the case
    a = b. It needs about a hundred labels of each class. Maximum likelihood; where the unconstrained optimum has a
    negative a or b, the map would turn the order round, and the best one without it is taken.

    Certain forecasts take no part in the fit and stay as they are. A task with one class only, or without labels, keeps
    its forecast. The optimum is found by damped Newton steps in `jit`; gradients do not flow through it. `apply` treats
    the entropies as `temperature_scaling` does.

    Returns:
        A `Calibrator` with a `BetaState`, for a `BernoulliForecast` with logits `[n, *tasks]`.

    Raises:
        ArrayError: by `fit` and `apply`, if the shapes of forecast, labels, mask, weights or state differ.
        TypeError: by `fit` and `apply`, for another forecast.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.posterior import BernoulliForecast
        >>> state = BetaState(jnp.array([[0.5, 2.0, 0.1]]), jnp.array([False]))
        >>> forecast = BernoulliForecast(jnp.zeros((1, 1)))  # ln(1/2) / 2 - 2 ln(1/2) + 0.1
        >>> print(f"{beta_calibration().apply(state, forecast).logits[0, 0]:.4f}")
        1.1397

    References:
        M. Kull, T. Silva Filho, P. Flach, "Beta Calibration: a Well-founded and Easily Implemented Improvement on
        Logistic Calibration for Binary Classifiers", AISTATS 2017, Eq. 4 and section 4.
    """

    def fit(
        forecast: BernoulliForecast,
        labels: Real[Array, "n *tasks"],
        *,
        where: Bool[Array, "n *tasks"] | None = None,
        weights: Real[Array, "n *tasks"] | None = None,
    ) -> BetaState:
        expect(forecast, (BernoulliForecast,), "beta_calibration", "dirichlet_calibration for classes")
        given = evidence(labels, where, weights, logits=forecast.logits)
        logits = select(as_float(forecast.logits), given.counts)
        targets = as_float(given.labels, logits)
        valid = ~jnp.any(jnp.isnan(logits) | ~((targets >= 0) & (targets <= 1)), axis=0)
        free = ~(jnp.isinf(logits) | jnp.isnan(logits))
        logits, weight = jnp.where(free, logits, 0), jnp.where(free, given.weight, 0)
        positives, negatives = jnp.sum(weight * targets, axis=0), jnp.sum(weight * (1 - targets), axis=0)
        identity = valid & ~((positives > 0) & (negatives > 0))
        numbers = _fitted(jax.lax.stop_gradient(logits), targets, weight)
        start = jnp.asarray([1, 1, 0], numbers.dtype).reshape((1,) * identity.ndim + (3,))
        numbers = jnp.where(identity[..., None], start, numbers)
        return BetaState(jnp.where(valid[..., None], numbers, jnp.nan), identity)

    def apply(state: BetaState, forecast: BernoulliForecast) -> BernoulliForecast:
        expect(forecast, (BernoulliForecast,), "beta_calibration", "dirichlet_calibration for classes")
        check_shapes(logits=forecast.logits, aleatoric=forecast.aleatoric)
        check_state(forecast.aleatoric, identity=state.identity)
        logits = as_float(forecast.logits)
        certain = jnp.isinf(logits)
        numbers = as_float(state.numbers, logits)[None]
        moved = jnp.sum(_design(jnp.where(certain, 0, logits)) * numbers, axis=-1)
        return with_logits(forecast, jnp.where(certain & ~jnp.isnan(moved), logits, moved), state.identity)

    return Calibrator(fit, apply)


@checked
def _fitted(
    logits: Float[Array, "n *tasks"], targets: Float[Array, "n *tasks"], weight: Float[Array, "n *tasks"]
) -> Float[Array, "*tasks numbers"]:
    """The three numbers of each task: the best of four optima, with both slopes, either, or none."""
    tasks = logits.shape[1:]
    flat = (array.reshape(array.shape[0], math.prod(tasks)) for array in (logits, targets, weight))

    def one(logits: Array, targets: Array, weight: Array) -> Array:
        design = _design(logits)
        scale = jnp.max(jnp.where((weight != 0)[:, None], jnp.abs(design), 0), axis=0, initial=0)
        scale = jnp.where(scale > 0, scale, 1)
        design = design / scale[None]
        total = jnp.sum(weight)
        weight = weight / jnp.where(total > 0, total, 1)

        def loss(numbers: Array) -> Array:
            scores = design @ numbers
            return jnp.sum(weight * (jax.nn.softplus(scores) - targets * scores))

        def optimum(kept: Array) -> Array:
            def step(numbers: Array, damping: Array) -> Array:
                p = jax.nn.sigmoid(design @ numbers)
                gradient = kept * (design.T @ (weight * (p - targets)))
                curvature = (design * (weight * p * (1 - p))[:, None]).T @ design
                curvature = curvature * kept[:, None] * kept[None] + jnp.diag(1 - kept)
                return numbers - kept * solved(curvature, gradient, damping)

            return damped(step, loss, kept * scale * jnp.asarray([1, 1, 0], scale.dtype), logits, targets, weight)

        choices = jnp.asarray([[1, 1, 1], [0, 1, 1], [1, 0, 1], [0, 0, 1]], design.dtype)
        found = jax.vmap(optimum)(choices)
        allowed = jnp.all(found[:, :2] >= 0, axis=-1)
        values = jnp.where(allowed, jax.vmap(loss)(found), jnp.inf)
        first = jnp.arange(4) == jnp.argmin(values)
        return jnp.sum(jnp.where(first[:, None], found, 0), axis=0) / scale

    return jax.vmap(one, in_axes=1)(*flat).reshape(*tasks, 3)
