"""Split-conformal regression: intervals that cover the label with a chosen probability, whatever the model."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Real

from jaxuq._arrays import as_float, check_shapes, select
from jaxuq._options import check_choice
from jaxuq.calibration._forecasts import check_state, deviation, evidence, expect
from jaxuq.calibration.conformal_threshold import conformal_threshold, threshold_of_each
from jaxuq.posterior import GaussianForecast


class Interval(NamedTuple):
    """Lower and upper ends, in units of the labels; empty where `lower > upper`.

    Attributes:
        lower: lower end, or a predicted lower quantile.
        upper: upper end, or a predicted upper quantile.
    """

    lower: Float[Array, "*batch"]
    upper: Float[Array, "*batch"]


class ConformalState(NamedTuple):
    """Fitted thresholds of the nonconformity score.

    Attributes:
        thresholds: one a group and task; the leading axis has length 1 without groups. Infinite where the labels are
            too few for the level: intervals are then the whole line, sets hold every class.
    """

    thresholds: Float[Array, "groups *tasks"]


class ConformalRegression(NamedTuple):
    """Two pure functions, and the number of groups.

    Attributes:
        fit: `(forecast, labels, *, level, where=None, weights=None, groups=None) -> ConformalState`.
        interval: `(state, forecast, *, groups=None) -> Interval`.
        num_groups: of how many groups of examples both want to know; 1 if of none.
    """

    fit: Callable[..., ConformalState]
    interval: Callable[..., Interval]
    num_groups: int = 1


def conformal_regression(
    score: Literal["absolute", "normalised", "quantile"] = "normalised", *, num_groups: int = 1
) -> ConformalRegression:
    r"""Split-conformal intervals with finite-sample marginal coverage.

    | score | nonconformity | interval |
    |---|---|---|
    | "absolute" | $\lvert y - \mu\rvert$ | $\mu \pm \hat q$ |
    | "normalised" | $\lvert y - \mu\rvert / \sigma$ | $\mu \pm \hat q\,\sigma$ |
    | "quantile" | $\max(l - y,\ y - u)$ | $[l - \hat q,\ u + \hat q]$ |

    with $\hat q$ from `conformal_threshold`. Use "normalised" if the predicted deviation means anything (its intervals
    adapt to the input), "absolute" if not, "quantile" for a network with two quantile outputs. "quantile" takes an
    `Interval` of predicted quantiles as its forecast, the others a `GaussianForecast` (sigma from the total variance).

    Coverage holds on average over inputs and calibration sets, if calibration and test data are exchangeable: it is
    not coverage for each input, and a scaffold split breaks it. With fewer calibration labels than level / (1 - level)
    the interval is infinite, which is the honest answer. "quantile" shrinks intervals that cover too much and may
    return an empty one. A certain forecast (variance 0) that is right scores 0, one that is wrong infinity. Groups
    (Mondrian) give coverage in every group, at the price of fewer labels for each.

    Args:
        score: the nonconformity score.
        num_groups: how many groups; with 2 or more, both functions need `groups`, an array `[n]` of group numbers.

    Returns:
        A `ConformalRegression`.

    Raises:
        OptionError: if `score` is unknown; by `fit` and `interval` as `conformal_threshold`.
        ArrayError: by `fit` and `interval`, if the shapes of forecast, labels, mask, weights or state differ.
        TypeError: by `fit` and `interval`, if the forecast does not belong to the score.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.posterior import GaussianForecast
        >>> mean = jnp.zeros((9, 1))
        >>> forecast = GaussianForecast(mean, aleatoric=jnp.ones((9, 1)), epistemic=mean)
        >>> method = conformal_regression("absolute")
        >>> state = method.fit(forecast, jnp.arange(1.0, 10.0)[:, None], level=0.8)
        >>> interval = method.interval(state, forecast)
        >>> float(interval.lower[0, 0]), float(interval.upper[0, 0])
        (-8.0, 8.0)

    References:
        J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani, L. Wasserman, "Distribution-Free Predictive Inference for
        Regression", JASA 113, 2018, Algorithm 2 and section 5.2.
        Y. Romano, E. Patterson, E. Candès, "Conformalized Quantile Regression", NeurIPS 2019, Eqs. 6-8.
    """
    check_choice("score", score, ("absolute", "normalised", "quantile"))
    kind = Interval if score == "quantile" else GaussianForecast

    def arrays(forecast: GaussianForecast | Interval) -> dict[str, Array]:
        expect(forecast, (kind,), f"conformal_regression({score!r})", "the score that fits the forecast")
        if isinstance(forecast, Interval):
            return {"lower": forecast.lower, "upper": forecast.upper}
        return {"mean": forecast.mean, "variance": forecast.total}

    def fit(
        forecast: GaussianForecast | Interval,
        labels: Real[Array, "n *tasks"],
        *,
        level: float,
        where: Bool[Array, "n *tasks"] | None = None,
        weights: Real[Array, "n *tasks"] | None = None,
        groups: Int[Array, " n"] | None = None,
    ) -> ConformalState:
        given = evidence(labels, where, weights, **arrays(forecast))
        first, second = (select(as_float(array), given.counts) for array in arrays(forecast).values())
        labels = as_float(given.labels, first)
        if score == "quantile":
            scores = jnp.maximum(first - labels, labels - second)
        else:
            scores = jnp.abs(labels - first)
            if score == "normalised":
                right, deviations = scores == 0, deviation(second)
                scores = jnp.where(right & ~jnp.isnan(deviations), 0, scores / jnp.where(right, 1, deviations))
        return ConformalState(
            conformal_threshold(scores, level=level, where=where, weights=weights, groups=groups, num_groups=num_groups)
        )

    def interval(
        state: ConformalState,
        forecast: GaussianForecast | Interval,
        *,
        groups: Int[Array, " n"] | None = None,
    ) -> Interval:
        check_shapes(**arrays(forecast))
        first, second = (as_float(array) for array in arrays(forecast).values())
        check_state(first, {"thresholds": state.thresholds})
        width = as_float(threshold_of_each(state.thresholds, groups), first)
        everything = jnp.broadcast_to(width == jnp.inf, first.shape)
        width = jnp.where(width == jnp.inf, 0, width)
        if score == "quantile":
            endless = first == -jnp.inf, second == jnp.inf
            lower, upper = first - width, second + width
        else:
            deviations = deviation(second)
            endless = (jnp.isinf(deviations) & (score == "normalised"),) * 2
            width = width * jnp.where(endless[0], 1, deviations) if score == "normalised" else width
            lower, upper = first - width, first + width
        return Interval(
            jnp.where(everything | endless[0], -jnp.inf, lower), jnp.where(everything | endless[1], jnp.inf, upper)
        )

    return ConformalRegression(fit, interval, num_groups)
