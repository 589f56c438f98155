"""Venn-Abers prediction: two probabilities for each example, one of which is calibrated, without any assumption."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxuq._arrays import as_float, check_shapes, undefined_unless
from jaxuq._meshes import vary_like
from jaxuq._shapes import checked
from jaxuq.calibration._forecasts import check_state, evidence, expect, with_logits
from jaxuq.posterior import BernoulliForecast

_HALVINGS = 26  # of [0, 1], which is finer than single precision; the value itself is then read off as a fraction
_TOGETHER = 64  # examples whose two regressions are made at a time


class VennAbersState(NamedTuple):
    """The calibration examples as sums over the smallest scores.

    Attributes:
        scores: in ascending order for each task; those without a label have the largest of the others, and no weight.
        mass: weight of the examples before each place, `[n + 1]` for each task.
        positive: the same of those with label 1.
        identity: whether the labels leave the task's forecast as it is.
    """

    scores: Float[Array, "n *tasks"]
    mass: Float[Array, "places *tasks"]
    positive: Float[Array, "places *tasks"]
    identity: Bool[Array, "*tasks"]


class VennAbers(NamedTuple):
    """A `Calibrator` (`fit`, `apply`) with a third function.

    Attributes:
        fit: `(forecast, labels, *, where=None, weights=None) -> VennAbersState`.
        apply: `(state, forecast) -> forecast` with the merged probabilities.
        probabilities: `(state, forecast) -> (p0, p1)`, each `[n, *tasks]`.
    """

    fit: Callable[..., VennAbersState]
    apply: Callable[[VennAbersState, BernoulliForecast], BernoulliForecast]
    probabilities: Callable[[VennAbersState, BernoulliForecast], tuple[Array, Array]]


def _isotonic_at(score: Array, label: float, scores: Array, mass: Array, positive: Array) -> Array:
    r"""The isotonic regression at `score` after an example (score, label) is added.

    By the max-min formula it is $\max_{i} \min_{j} (S_j + y - S_i) / (N_j + 1 - N_i)$ over cuts i below the score and j
    above it. It exceeds v if and only if $\min_j (S_j + y - v(N_j + 1)) > \min_i (S_i - v N_i)$, so v is found by
    halving, and the two cuts at which it is reached give its fraction.
    """
    # A cut lies between two different scores; the first place of a run of equal ones is below it, its end above.
    places = jnp.arange(mass.shape[0], dtype=jnp.int32)
    first, last = (jnp.searchsorted(scores, score, side=side) for side in ("left", "right"))
    gap = jnp.concatenate([jnp.ones(1, bool), scores[1:] != scores[:-1], jnp.ones(1, bool)])
    gap = gap[: mass.shape[0]] if scores.shape[0] else jnp.ones(1, bool)
    below, above = gap & (places <= first), gap & (places >= last)

    def cuts(value: Array) -> tuple[Array, Array]:
        left = jnp.where(below, positive - value * mass, jnp.inf)
        right = jnp.where(above, positive + label - value * (mass + 1), jnp.inf)
        return left, right

    def halve(_: Array, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = (low + high) / 2
        left, right = cuts(middle)
        more = jnp.min(right) > jnp.min(left)
        return jnp.where(more, middle, low), jnp.where(more, high, middle)

    start = vary_like((jnp.zeros((), mass.dtype), jnp.ones((), mass.dtype)), score, mass)
    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, start)
    left, right = (jnp.argmin(side) for side in cuts((low + high) / 2))
    return (positive[right] + label - positive[left]) / (mass[right] + 1 - mass[left])


@checked
def _refitted(
    logits: Float[Array, "m *tasks"],
    scores: Float[Array, "n *tasks"],
    mass: Float[Array, "places *tasks"],
    positive: Float[Array, "places *tasks"],
) -> tuple[Float[Array, "m *tasks"], Float[Array, "m *tasks"]]:
    """The regressions at each logit with label 0 and with label 1 added."""
    size = math.prod(logits.shape[1:])
    scores, mass, positive = (x.reshape(x.shape[0], size) for x in (scores, mass, positive))

    def both(pair: tuple[Array, Array]) -> tuple[Array, ...]:
        score, task = pair
        tables = scores[:, task], mass[:, task], positive[:, task]
        valid = ~jnp.isnan(score) & ~jnp.isnan(tables[1][-1])
        return tuple(undefined_unless(valid, _isotonic_at(score, label, *tables)) for label in (0.0, 1.0))

    tasks = jnp.broadcast_to(jnp.arange(size), (logits.shape[0], size))
    pairs = jax.lax.stop_gradient(logits).reshape(-1), tasks.reshape(-1)
    lower, upper = jax.lax.map(both, pairs, batch_size=_TOGETHER)
    return lower.reshape(logits.shape), upper.reshape(logits.shape)


def venn_abers() -> VennAbers:
    r"""Inductive Venn-Abers prediction, one calibration a task.

    $p_0$ and $p_1$ are the isotonic regressions of the calibration labels on the scores, at the new score, after the
    new example was added with label 0 and with label 1. One of the two is the calibrated probability of the true label,
    whatever the distribution and however small the sample; their distance says how much the calibration data leave
    open. The merged probability $p_1 / (1 - p_0 + p_1)$ has the least regret in log loss.

    Use it in place of `isotonic_calibration`, whose certainty from a few labels it does not have: it never says 0 or 1.
    It makes ties, so ranking scores can fall a little.

    `fit` sorts, `probabilities` takes O(n) a new example, 64 of them at a time, all in jax; gradients are zero. `apply`
    treats the entropies as `temperature_scaling` does. A task with one class only, or without labels, keeps its
    forecast in `apply`.

    Returns:
        A `VennAbers` for a `BernoulliForecast` with logits `[n, *tasks]`.

    Raises:
        ArrayError: by its functions, if the shapes of forecast, labels, mask, weights or state differ.
        TypeError: by its functions, for another forecast.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.posterior import BernoulliForecast
        >>> def forecast(*p):
        ...     p = jnp.array(p)[:, None]
        ...     return BernoulliForecast(jnp.log(p / (1 - p)), jnp.zeros_like(p), jnp.zeros_like(p))
        >>> method = venn_abers()
        >>> labels = jnp.array([0, 0, 1, 0, 1, 0, 1, 1])[:, None]
        >>> state = method.fit(forecast(0.1, 0.2, 0.35, 0.4, 0.6, 0.7, 0.85, 0.9), labels)
        >>> p0, p1 = method.probabilities(state, forecast(0.5, 0.95))
        >>> print(p0[:, 0].round(4), p1[:, 0].round(4))
        [0.3333 0.6667] [0.6667 1.    ]
        >>> print(method.apply(state, forecast(0.5, 0.95)).probabilities[:, 0].round(4))
        [0.5  0.75]

    References:
        V. Vovk, I. Petej, V. Fedorova, "Large-scale Probabilistic Predictors with and without Guarantees of Validity",
        NeurIPS 2015, Algorithm 1 and Eq. 5.
    """

    def scored(forecast: BernoulliForecast) -> Array:
        expect(forecast, (BernoulliForecast,), "venn_abers", "temperature_scaling for classes")
        check_shapes(logits=forecast.logits, aleatoric=forecast.aleatoric)
        logits = as_float(forecast.logits)
        return jnp.clip(logits, jnp.finfo(logits.dtype).min, jnp.finfo(logits.dtype).max)  # in the same order

    def fit(
        forecast: BernoulliForecast,
        labels: Real[Array, "n *tasks"],
        *,
        where: Bool[Array, "n *tasks"] | None = None,
        weights: Real[Array, "n *tasks"] | None = None,
    ) -> VennAbersState:
        logits = scored(forecast)
        given = evidence(labels, where, weights, logits=logits)
        known, labels = given.counts, as_float(given.labels, logits)
        broken = known & (jnp.isnan(logits) | ~((labels >= 0) & (labels <= 1)) | ~(given.weight >= 0))
        least = jnp.finfo(logits.dtype).min
        clean = jnp.where(known & ~jnp.isnan(logits), logits, least)
        top = jnp.max(clean, axis=0, keepdims=True, initial=least)
        keys = jnp.where(known, clean, jnp.where(jnp.any(known, axis=0, keepdims=True), top, 0))
        order = jnp.argsort(keys, axis=0)
        keys, weight, ones = (jnp.take_along_axis(x, order, axis=0) for x in (keys, given.weight, labels))
        none = jnp.zeros((1, *logits.shape[1:]), logits.dtype)
        mass, positive = (jnp.concatenate([none, jnp.cumsum(x, axis=0)]) for x in (weight, weight * ones))
        valid = ~jnp.any(broken, axis=0)
        total, positives = mass[-1], positive[-1]
        identity = valid & ~((positives > 0) & (positives < total))
        keys, mass, positive = (undefined_unless(valid[None], x) for x in (keys, mass, positive))
        return VennAbersState(keys, mass, positive, identity)

    def probabilities(state: VennAbersState, forecast: BernoulliForecast) -> tuple[Array, Array]:
        logits = scored(forecast)
        check_state(logits, identity=state.identity)
        return _refitted(logits, *(as_float(x, logits) for x in state[:3]))

    def apply(state: VennAbersState, forecast: BernoulliForecast) -> BernoulliForecast:
        lower, upper = probabilities(state, forecast)
        # p1 / (1 - p0 + p1), whose odds are p1 / (1 - p0)
        return with_logits(forecast, jnp.log(upper) - jnp.log1p(-lower), state.identity)

    return VennAbers(checked(fit), apply, probabilities)
