"""From any score to a probability of being right: one score, or several combined."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from jaxuq._arguments import typed
from jaxuq._arrays import (
    as_float,
    centre_and_scale,
    counted,
    masked,
    no_nan,
    select,
    undefined_unless,
    widened,
    within_unit,
)
from jaxuq._meshes import vary_like
from jaxuq._options import check_choice, check_count, check_number
from jaxuq._shapes import checked
from jaxuq.calibration import Calibrator, isotonic_calibration, platt_scaling
from jaxuq.confidence._measure import measure
from jaxuq.posterior import BernoulliForecast


class ScoreState(NamedTuple):
    """A fitted map from scores to probabilities; save it beside the scores.

    Attributes:
        centre: of the scores, which were standardised and damped (`asinh`) before fitting.
        scale: of the scores.
        inner: what was fitted on top; of the histogram, the edges and heights of its bins.
    """

    centre: Float[Array, ""]
    scale: Float[Array, ""]
    inner: Any


class _Steps(NamedTuple):
    edges: Float[Array, " knots"]
    heights: Float[Array, " knots"]


class _Mapped(NamedTuple):
    """A map of logits, and what takes its place where there are answers of one class only, or none."""

    state: Any
    constant: Float[Array, ""]


def _standardised(scores, centre, scale):
    return (scores - centre) / scale


@jax.jit  # one program for callers that fit thousands of times on the host
def _moments(scores, correct, where):
    valid, scores, correct = masked(where, scores=scores, correct=correct)
    count = undefined_unless(jnp.any(valid) & no_nan(scores), jnp.sum(valid).astype(scores.dtype))
    return valid, scores, correct, count, *centre_and_scale(scores, valid)


def calibrate_scores(
    method: Literal["platt", "isotonic", "histogram", "quantile", "minimum_maximum"] = "isotonic", *, bins: int = 10
) -> Calibrator:
    r"""Turn a raw score into a probability (so that unbounded scores have a calibration error too).

    | method | map | uses labels |
    |---|---|---|
    | "platt" | $\sigma(a s + b)$ with Platt's targets, `jaxuq.calibration.platt_scaling` | yes |
    | "isotonic" | the best non-decreasing map, `jaxuq.calibration.isotonic_calibration` | yes |
    | "histogram" | accuracy in bins of equally many scores | yes |
    | "quantile" | share of calibration scores that are no higher | no |
    | "minimum_maximum" | $(s - s_{min}) / (s_{max} - s_{min})$, clipped | no |

    The last two bring scores to [0, 1] but do not make probabilities of them. Fit on questions that are not evaluated
    on.

    Args:
        method: see above.
        bins: of the histogram.

    Returns:
        A `Calibrator`: `fit(scores, correct, *, where=None) -> ScoreState` and `apply(state, scores) -> probabilities`,
        both on arrays `[n]`; higher scores are more confident. `fit` of "isotonic" runs on the host, not under `jit`.
        NaN for a score that is NaN; and for all, if no answer counts, one that counts has a score that is NaN, or a
        label outside [0, 1]. Of answers that are all right or all wrong "isotonic" makes 1 or 0, "platt" its target.

    Raises:
        ValueError: if `method` is unknown or `bins` is not a positive integer.

    Example:
        >>> import jax.numpy as jnp
        >>> calibrator = calibrate_scores("quantile")
        >>> state = calibrator.fit(jnp.array([-0.2, -0.9, -0.5, -0.7]), jnp.array([1, 0, 1, 0]))
        >>> calibrator.apply(state, jnp.array([-0.2, -0.6, -2.0])).tolist()
        [1.0, 0.5, 0.0]

    References:
        Platt. Probabilistic Outputs for Support Vector Machines. 1999.
        Zadrozny and Elkan. Transforming Classifier Scores into Accurate Multiclass Probability Estimates. KDD 2002.
    """
    check_choice("method", method, ("platt", "isotonic", "histogram", "quantile", "minimum_maximum"))
    check_count("bins", bins)
    calibrator = platt_scaling() if method == "platt" else isotonic_calibration()

    def forecast(state: ScoreState, scores: Array) -> BernoulliForecast:
        # asinh keeps far-out scores apart after the sigmoid; Platt's line needs the scores as they are.
        logits = _standardised(scores, state.centre, state.scale)
        logits = (logits if method == "platt" else jnp.arcsinh(logits))[:, None]
        return BernoulliForecast(logits, jnp.zeros_like(logits), jnp.zeros_like(logits))

    def fit(
        scores: Float[Array, " n"], correct: Shaped[Array, " n"], *, where: Bool[Array, " n"] | None = None
    ) -> ScoreState:
        valid, scores, correct, count, centre, scale = _moments(scores, correct, where)
        if method == "minimum_maximum":
            lowest, highest = jnp.min(select(scores, valid, jnp.inf)), jnp.max(select(scores, valid, -jnp.inf))
            lowest = lowest + 0.0 * count  # NaN of nothing
            return ScoreState(lowest, jnp.where(highest > lowest, highest - lowest, 1.0), ())
        state = ScoreState(centre, scale, ())
        if method == "quantile":
            ordered = jnp.sort(select(scores, valid, jnp.inf))
            return state._replace(inner=_Steps(ordered, jnp.broadcast_to(count, ordered.shape)))
        count = undefined_unless(within_unit(correct), count)
        if method == "histogram":
            ordered = select(scores, valid, jnp.inf)
            ranks = jnp.searchsorted(jnp.sort(ordered), ordered).astype(jnp.int32)  # equal scores share their bin
            places = jnp.minimum((ranks * bins) // jnp.maximum(jnp.sum(valid, dtype=jnp.int32), 1), bins - 1)
            sizes = jnp.zeros((bins,), scores.dtype).at[places].add(valid.astype(scores.dtype))
            right = jnp.zeros((bins,), scores.dtype).at[places].add(correct)
            lows = jnp.full((bins,), jnp.inf, scores.dtype).at[places].min(select(scores, valid, jnp.inf))
            # An empty bin begins, and is as high, as the next that is not; the last ones as the last.
            own = jnp.arange(bins, dtype=jnp.int32)
            last = jnp.max(jnp.where(sizes > 0, own, 0))
            filled = jnp.minimum(jax.lax.cummin(jnp.where(sizes > 0, own, bins), reverse=True), last)
            heights = right[filled] / jnp.maximum(sizes[filled], 1.0) + 0.0 * count
            return state._replace(inner=_Steps(lows[filled], heights))
        given = forecast(state, scores)
        labels, mask = correct[:, None], valid[:, None]
        right = jnp.sum(correct)
        constant = (right + 1.0) / (count + 2.0) if method == "platt" else right / count
        if method == "platt":  # Platt's targets
            constant = jnp.where(right > 0, constant, 1.0 / (count + 2.0))
        return state._replace(inner=_Mapped(calibrator.fit(given, labels, where=mask), constant))

    def apply(state: ScoreState, scores: Float[Array, " n"]) -> Float[Array, " n"]:
        return undefined_unless(~jnp.isnan(scores), probabilities_of(state, scores))

    def probabilities_of(state: ScoreState, scores: Array) -> Array:
        if method == "minimum_maximum":
            return jnp.clip(_standardised(scores, state.centre, state.scale), 0.0, 1.0)
        if method == "quantile":
            below = jnp.searchsorted(state.inner.edges, scores, side="right").astype(scores.dtype)
            return jnp.minimum(below / jnp.max(state.inner.heights, initial=1.0), 1.0)
        if method == "histogram":
            place = jnp.searchsorted(state.inner.edges, scores, side="right") - 1
            return state.inner.heights[jnp.clip(place, 0, bins - 1)]
        mapped = calibrator.apply(state.inner.state, forecast(state, scores)).probabilities[:, 0]
        return jnp.where(state.inner.state.identity | jnp.isnan(state.inner.constant), state.inner.constant, mapped)

    return Calibrator(checked(fit), checked(widened(apply)))


class LogisticState(NamedTuple):
    """A fitted logistic regression.

    Attributes:
        weights: of the features as given.
        intercept: added to their sum.
    """

    weights: Float[Array, " features"]
    intercept: Float[Array, ""]


@checked
@widened
def fit_logistic(
    features: Float[Array, "n features"],
    correct: Shaped[Array, " n"],
    *,
    ridge: float = 1.0,
    iterations: int = 30,
    where: Bool[Array, " n"] | None = None,
) -> LogisticState:
    r"""Logistic regression of being right on several measures, or on a hidden state (P(IK)).

    $$\min_{w, b} \sum_n \log(1 + e^{-(2 a_n - 1)(w^\top z_n + b)}) + \tfrac{\rho}{2} \lVert w \rVert^2$$

    on standardised features $z$; the intercept is not penalised. With the last hidden state of the *question* as
    features it is the P(IK) probe, with several measures it is their combination. Newton steps: for states wider than
    about a thousand, project first.

    Args:
        features: measures, one a column, in any units.
        correct: 0 or 1.
        ridge: $\rho > 0$.
        iterations: Newton steps.
        where: True for the rows that count; None counts all.

    Returns:
        `LogisticState`, for `logistic_confidence`; NaN for a label outside [0, 1]. Holds an array
        `[features, features]`.

    Raises:
        ValueError: if `ridge` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> state = fit_logistic(jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0, 0, 1, 1]))
        >>> [round(float(x), 2) for x in logistic_confidence(state, jnp.array([[0.0], [3.0]]))]
        [0.22, 0.78]

    References:
        Kadavath et al. Language Models (Mostly) Know What They Know. arXiv 2207.05221, 2022, section 5.
    """
    check_number("ridge", ridge, 0.0, open_low=True)
    valid = counted(where, features.shape[:1])
    kept = jnp.broadcast_to(valid[:, None], features.shape)
    features = jnp.where(kept, features, 0.0)
    targets = select(as_float(correct, features), valid)
    mean, deviation = centre_and_scale(features, valid)
    scaled = jnp.where(kept, (features - mean[None]) / deviation[None], 0.0)
    design = jnp.concatenate([scaled, valid[:, None].astype(scaled.dtype)], axis=1)
    size = design.shape[1]
    penalty = jnp.full((size,), ridge, design.dtype).at[-1].set(1e-6)

    def step(_: Array, weights: Array) -> Array:
        probabilities = jax.nn.sigmoid(design @ weights)
        gradient = design.T @ select(probabilities - targets, valid) + penalty * weights
        curvature = select(jnp.maximum(probabilities * (1 - probabilities), 1e-6), valid)
        hessian = (design * curvature[:, None]).T @ design + jnp.diag(penalty)
        move = jnp.linalg.solve(hessian, gradient)
        return weights - move * jnp.minimum(1.0, 5.0 / (jnp.max(jnp.abs(move)) + 1e-30))

    weights = jax.lax.fori_loop(0, iterations, step, vary_like(jnp.zeros((size,), design.dtype), design, targets))
    weights = undefined_unless(within_unit(targets), weights)
    own = weights[:-1] / deviation
    return LogisticState(own, weights[-1] - jnp.sum(own * mean))


@typed()
@checked
@widened
def logistic_confidence(state: LogisticState, features: Float[Array, "n features"]) -> Float[Array, " n"]:
    r"""Probability of being right from a fitted logistic regression, $\sigma(w^\top h + b)$.

    Args:
        state: from `fit_logistic`.
        features: as in the fit.

    Returns:
        In (0, 1).

    Example:
        >>> import jax.numpy as jnp
        >>> state = LogisticState(jnp.array([0.5, -1.0]), jnp.array(0.2))
        >>> round(float(logistic_confidence(state, jnp.array([[2.0, 0.4]]))[0]), 4)
        0.69

    References:
        Kadavath et al. Language Models (Mostly) Know What They Know. arXiv 2207.05221, 2022.
    """
    return jax.nn.sigmoid(features @ state.weights + state.intercept)


ENTRIES = (
    measure("logistic_single", "Logistic: measures of one answer", needs=("labels",), bounded=True,
            citation=("platt",)),
    measure("logistic_all", "Logistic: all measures", needs=("labels",), bounded=True, citation=("platt",)),
    measure("p_ik", "P(IK): probe of the question", needs=("labels",), bounded=True, citation=("p-true",)),
)  # fmt: skip
"""Measures that are fitted on one half of the answers and used on the other, see `jaxuq.confidence.MEASURES`."""
