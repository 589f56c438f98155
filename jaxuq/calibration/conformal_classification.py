"""Split-conformal classification: sets of classes that hold the label with a chosen probability."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key, Real

from jaxuq._arrays import as_float, check_shapes, select, take_class, undefined_unless, within_classes
from jaxuq._entropies import log_softmax
from jaxuq._errors import OptionError
from jaxuq._meshes import whole
from jaxuq._options import check_choice, check_count, check_number
from jaxuq.calibration._forecasts import check_state, evidence, expect
from jaxuq.calibration.conformal_regression import ConformalState
from jaxuq.calibration.conformal_threshold import conformal_threshold, threshold_of_each
from jaxuq.posterior import BernoulliForecast, CategoricalForecast


class ConformalClassification(NamedTuple):
    """Two pure functions, and the number of groups.

    Attributes:
        fit: `(forecast, labels, *, level, where=None, weights=None, groups=None, rng_key=None) -> ConformalState`.
        prediction_set: `(state, forecast, *, groups=None, rng_key=None) -> bool [n, *tasks, classes]`.
        num_groups: of how many groups of examples both want to know; 1 if of none.
    """

    fit: Callable[..., ConformalState]
    prediction_set: Callable[..., Bool[Array, "n *tasks classes"]]
    num_groups: int = 1


def _cumulative(probabilities, included, penalty, free_rank):
    """Mass of the classes more probable than each, plus `included` of its own, plus the penalty on its rank."""
    rank = jnp.arange(1, probabilities.shape[-1] + 1, dtype=probabilities.dtype)
    before = jnp.cumsum(probabilities, axis=-1) - (1 - included[..., None]) * probabilities
    return before + jnp.broadcast_to(penalty * jnp.maximum(rank - free_rank, 0), before.shape)


def _by_rank(probabilities, included, penalty):
    """The greatest probability, then a step of the penalty for every rank: the tail's probabilities have no say."""
    rank = jnp.broadcast_to(jnp.arange(probabilities.shape[-1], dtype=probabilities.dtype), probabilities.shape)
    top, included = probabilities[..., :1], included[..., None]
    return jnp.where(rank == 0, included * top, top + penalty * (rank - 1 + included))


def _of_ranked(function, probabilities):
    """A function of probabilities in descending order, back in the order of the classes."""
    probabilities = whole(probabilities, -1)
    order = jnp.argsort(-probabilities, axis=-1)
    scores = function(jnp.take_along_axis(probabilities, order, axis=-1))
    return jnp.take_along_axis(scores, jnp.argsort(order, axis=-1), axis=-1)


def conformal_classification(
    score: Literal["lac", "aps", "raps", "saps"] = "lac",
    *,
    randomised: bool = False,
    penalty: float = 0.1,
    free_rank: int = 1,
    num_groups: int = 1,
    by_class: bool = False,
) -> ConformalClassification:
    r"""Split-conformal prediction sets with finite-sample marginal coverage.

    | score | nonconformity of class k |
    |---|---|
    | "lac" | $1 - p_k$ |
    | "aps" | $\sum_{j: p_j > p_k} p_j + u\,p_k$ |
    | "raps" | the same $+\ \lambda\,\max(0, \mathrm{rank}(k) - r)$ |
    | "saps" | $u\,p_\text{max}$ of the first, $p_\text{max} + \lambda\,(\mathrm{rank}(k) - 2 + u)$ of the others |

    and the set holds every class whose score is at most $\hat q$ from `conformal_threshold`. Use "lac" for the smallest
    sets on average (they may be empty where the model is torn); "aps" for sets whose size follows the difficulty of
    the input; "raps" when there are many classes and the tail of the probabilities is noise, "saps" when only the order
    of the classes can be trusted. With `randomised`, u is uniform (the coverage is then close to exact rather than
    conservative and both functions need `rng_key`, a different one for each); otherwise u = 1.

    A `BernoulliForecast` with logits `[n, *tasks]` gives sets over two classes for each task: {0}, {1}, both ("I do
    not know") or none. Coverage holds on average over inputs and calibration sets, not for each class or input; with
    `by_class` (label-conditional) it holds for the examples of each class, rare ones included, and a class with fewer
    labels than level / (1 - level) is in every set. Groups (Mondrian) must be known at test time. With too few
    calibration labels for the level, a NaN among them, or NaN logits, the set holds every class.

    Args:
        score: the nonconformity score.
        randomised: whether "aps" and "raps" break ties at random.
        penalty: lambda >= 0 of "raps" and "saps".
        free_rank: r >= 0 of "raps", the number of most probable classes that cost nothing.
        num_groups: how many groups; with 2 or more, both functions need `groups`, an array `[n]` of group numbers.
        by_class: whether each class has its own threshold, from the examples that it is the label of.

    Returns:
        A `ConformalClassification`. Both functions hold a few arrays of the size of the class probabilities.

    Raises:
        OptionError: if an option is unknown or out of range; by `fit` and `prediction_set` if `rng_key` is missing with
            `randomised` or given without, and as `conformal_threshold`.
        ArrayError: by `fit` and `prediction_set`, if the shapes of forecast, labels, mask, weights or state differ.
        TypeError: by `fit` and `prediction_set`, for a Gaussian forecast.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.posterior import CategoricalForecast
        >>> logits = jnp.log(jnp.array([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.3, 0.3, 0.4], [0.1, 0.8, 0.1]]))
        >>> forecast = CategoricalForecast(logits, jnp.zeros(4), jnp.zeros(4))
        >>> method = conformal_classification("lac")
        >>> state = method.fit(forecast, jnp.array([0, 1, 2, 1]), level=0.8)  # the largest of 0.3, 0.6, 0.6, 0.2
        >>> method.prediction_set(state, forecast)[0].tolist()
        [True, False, False]

    References:
        M. Sadinle, J. Lei, L. Wasserman, "Least Ambiguous Set-Valued Classifiers with Bounded Error Levels", JASA 114,
        2019 (lac).
        Y. Romano, M. Sesia, E. Candès, "Classification with Valid and Adaptive Coverage", NeurIPS 2020 (aps).
        A. N. Angelopoulos, S. Bates, J. Malik, M. I. Jordan, "Uncertainty Sets for Image Classifiers using Conformal
        Prediction", ICLR 2021 (raps).
        J. Huang, H. Xi, L. Zhang, H. Yao, Y. Qiu, H. Wei, "Conformal Prediction for Deep Classifier via Label Ranking",
        ICML 2024, Eq. 8 (saps).
        V. Vovk, "Conditional Validity of Inductive Conformal Predictors", Machine Learning 92, 2013 (by class).
    """
    check_choice("score", score, ("lac", "aps", "raps", "saps"))
    if randomised and score == "lac":
        raise OptionError(
            "randomised is True with score 'lac', which has no random form; expected 'aps', 'raps', 'saps'"
        )
    if by_class and num_groups != 1:
        raise OptionError(f"num_groups is {num_groups} with by_class=True; the classes are the groups then: give one")
    check_number("penalty", penalty, 0.0)
    check_count("free_rank", free_rank, 0)

    def check(forecast, rng_key):
        expect(forecast, (BernoulliForecast, CategoricalForecast), "conformal_classification", "conformal_regression")
        if randomised != (rng_key is not None):
            given = "missing" if rng_key is None else "given"
            raise OptionError(
                f"rng_key is {given} with randomised={randomised}; a random score needs a key, others none"
            )
        return {"logits": (forecast.logits, int(isinstance(forecast, CategoricalForecast)))}

    def class_scores(forecast, rng_key, where=None):
        logits = select(as_float(forecast.logits), where)
        if isinstance(forecast, BernoulliForecast):
            probabilities = jnp.stack([jax.nn.sigmoid(-logits), jax.nn.sigmoid(logits)], axis=-1)
        else:
            probabilities = jnp.exp(log_softmax(logits))
        if score == "lac":
            return 1 - probabilities
        shape, dtype = probabilities.shape[:-1], probabilities.dtype
        included = jnp.ones(shape, dtype) if rng_key is None else jax.random.uniform(rng_key, shape, dtype)
        if score == "saps":
            return _of_ranked(lambda ranked: _by_rank(ranked, included, penalty), probabilities)
        extra = penalty if score == "raps" else 0.0
        return _of_ranked(lambda ranked: _cumulative(ranked, included, extra, free_rank), probabilities)

    def fit(
        forecast: BernoulliForecast | CategoricalForecast,
        labels: Real[Array, "n *tasks"],
        *,
        level: float,
        where: Bool[Array, "n *tasks"] | None = None,
        weights: Real[Array, "n *tasks"] | None = None,
        groups: Int[Array, " n"] | None = None,
        rng_key: Key[Array, ""] | None = None,
    ) -> ConformalState:
        given = evidence(labels, where, weights, **check(forecast, rng_key))
        scores = class_scores(forecast, rng_key, given.counts)
        num_classes = scores.shape[-1]
        known = within_classes(given.labels, scores.shape[-1]) & (given.labels == jnp.round(given.labels))
        classes = jnp.where(known, given.labels, jnp.zeros_like(given.labels)).astype(jnp.int32)
        scores = undefined_unless(known, take_class(scores, classes))
        options = {"level": level, "weights": weights, "num_groups": num_groups}
        if by_class:
            if groups is not None:
                raise OptionError("groups are given with by_class=True; the classes are the groups then: give none")
            mine = given.counts[None] & (
                classes[None] == jnp.arange(num_classes, dtype=jnp.int32).reshape(-1, *[1] * classes.ndim)
            )
            mine = mine | (given.counts & ~known)[None]  # a label that is no class leaves no threshold defined
            return ConformalState(jax.vmap(lambda one: conformal_threshold(scores, where=one, **options)[0])(mine))
        return ConformalState(conformal_threshold(scores, where=where, groups=groups, **options))

    def prediction_set(
        state: ConformalState,
        forecast: BernoulliForecast | CategoricalForecast,
        *,
        groups: Int[Array, " n"] | None = None,
        rng_key: Key[Array, ""] | None = None,
    ) -> Bool[Array, "n *tasks classes"]:
        check_shapes(**check(forecast, rng_key))
        scores = class_scores(forecast, rng_key)
        check_state(forecast.aleatoric, {"thresholds": state.thresholds})
        if by_class:
            check_state(scores, thresholds=jnp.moveaxis(state.thresholds, 0, -1))
            return ~(scores > as_float(jnp.moveaxis(state.thresholds, 0, -1), scores)[None])
        return ~(scores > as_float(threshold_of_each(state.thresholds, groups), scores)[..., None])

    return ConformalClassification(fit, prediction_set, num_groups)
