"""The columns of results.csv: every metric of a forecast, averaged over tasks."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float

from jaxuq import metrics
from jaxuq.calibration import conformal_classification, conformal_regression
from jaxuq.molecules.muben.published_scores import (
    published_binary_calibration,
    published_gaussian_likelihood,
    published_regression_calibration,
)
from jaxuq.posterior import Forecast, GaussianForecast

LEVEL = 0.9
"""Nominal coverage of the intervals and prediction sets that are scored."""

REGRESSION = (
    "rmse",
    "mae",
    "r2",
    "nll",
    "rce",
    "crps",
    "miscalibration_area",
    "ence",
    "sharpness",
    "coverage",
    "width",
    "spearman",
    "aurc",
)
"""Names of `regression_scores`, in its order."""

CLASSIFICATION = ("auroc", "average_precision", "accuracy", "nll", "brier", "ece", "mce", "ace", "smooth_ece", "aurc")
"""Names of `classification_scores`, in its order."""

SHOWN = ("rmse", "auroc", "nll", "rce", "ece")
"""The columns that are told while a run goes on."""


def score_names(task_type: str) -> tuple[str, ...]:
    """The metric columns of a task type, those of conformal prediction last."""
    if task_type == "regression":
        return (*REGRESSION, "conformal_coverage", "conformal_width")
    return (*CLASSIFICATION, "conformal_coverage", "conformal_size")


def _regression_task(
    mean: Float[Array, " n"],
    variance: Float[Array, " n"],
    labels: Float[Array, " n"],
    *,
    where: Bool[Array, " n"],
    muben: bool,
) -> Float[Array, " metrics"]:
    deviation = jnp.sqrt(variance)
    half = ndtri(0.5 + 0.5 * LEVEL) * deviation
    error = jnp.abs(mean - labels)
    likelihood, calibration = (
        (published_gaussian_likelihood, published_regression_calibration)
        if muben
        else (metrics.gaussian_negative_log_likelihood, metrics.regression_calibration_error)
    )
    values = (
        metrics.root_mean_squared_error(mean, labels, where=where),
        metrics.mean_absolute_error(mean, labels, where=where),
        metrics.r2_score(mean, labels, where=where),
        likelihood(mean, variance, labels, where=where),
        calibration(mean, variance, labels, where=where),
        metrics.gaussian_crps(mean, variance, labels, where=where),
        metrics.miscalibration_area(mean, variance, labels, where=where),
        metrics.expected_normalised_calibration_error(mean, variance, labels, where=where),
        metrics.sharpness(variance, where=where),
        metrics.interval_coverage(mean - half, mean + half, labels, where=where),
        metrics.interval_width(mean - half, mean + half, where=where),
        metrics.spearman_correlation(deviation, error, where=where),
        metrics.area_under_risk_coverage(deviation, error**2, where=where),
    )
    return jnp.stack(values)


def _classification_task(
    logits: Float[Array, " n"], labels: Float[Array, " n"], *, where: Bool[Array, " n"], muben: bool
) -> Float[Array, " metrics"]:
    probabilities = jax.nn.sigmoid(logits)
    labels = labels.astype(jnp.int32)
    predicted = (logits > 0).astype(jnp.int32)
    confidence = jnp.maximum(probabilities, 1 - probabilities)
    correct = predicted == labels
    calibration = published_binary_calibration if muben else metrics.binary_calibration_error
    values = (
        metrics.area_under_roc(logits, labels, where=where),
        metrics.average_precision(logits, labels, where=where),
        metrics.accuracy(predicted, labels, where=where),
        metrics.bernoulli_negative_log_likelihood(logits, labels, where=where),
        metrics.brier_score(probabilities, labels, where=where),
        calibration(probabilities, labels, where=where),
        metrics.maximum_calibration_error(confidence, correct, where=where),
        metrics.adaptive_calibration_error(confidence, correct, where=where),
        metrics.smooth_calibration_error(confidence, correct, where=where),
        metrics.area_under_risk_coverage(-confidence, ~correct, where=where),
    )
    return jnp.stack(values)


def _mean_over_tasks(
    of_task: Callable[..., Float[Array, " metrics"]], *arrays: Array, where: Bool[Array, "n tasks"]
) -> Float[Array, " metrics"]:
    """Each metric averaged over the tasks on which it is defined; NaN where it is defined on none."""
    per_task = jax.vmap(lambda *columns: of_task(*columns[:-1], where=columns[-1]), in_axes=1)(*arrays, where)
    defined = ~jnp.isnan(per_task)
    total = jnp.where(defined, per_task, 0.0).sum(axis=0)
    return jnp.where(defined.any(axis=0), total / jnp.maximum(defined.sum(axis=0), 1).astype(total.dtype), jnp.nan)


_OF_TASK = {
    (task_type, muben): partial(of_task, muben=muben)
    for task_type, of_task in (("regression", _regression_task), ("classification", _classification_task))
    for muben in (False, True)
}


def _make_metric(of_task: Callable[..., Array]) -> Callable[..., Array]:
    @jax.jit
    def metric(*arrays: Array, where: Array) -> Array:
        return _mean_over_tasks(of_task, *arrays, where=where)

    return metric


_METRICS = {key: _make_metric(of_task) for key, of_task in _OF_TASK.items()}
"""One function object each, so that they are compiled once per shape."""


def example_scores(task_type: str, *, muben: bool = False) -> tuple[Callable[..., Array], tuple[str, ...]]:
    """The scores that follow from the test part alone, as one function of the rows of `example_rows`.

    Args:
        task_type: `"classification"` or `"regression"`.
        muben: as in `score_forecast`.

    Returns:
        `metric(*rows, labels, where=mask) -> [metrics]`, and their names: all but the conformal columns.
    """
    return _METRICS[task_type, muben], REGRESSION if task_type == "regression" else CLASSIFICATION


def example_rows(forecast: Forecast, *, muben: bool = False) -> tuple[Array, ...]:
    """What `example_scores` reads of a forecast.

    Args:
        forecast: in label units.
        muben: as in `score_forecast`; MUBen's variance is the mean of variances, without the epistemic part.

    Returns:
        Arrays `[molecules, tasks]`.
    """
    if isinstance(forecast, GaussianForecast):
        return forecast.mean, forecast.aleatoric if muben else forecast.total
    return (forecast.logits,)


def _conformal(
    valid: Forecast, valid_labels: Array, valid_mask: Array, test: Forecast, labels: Array, mask: Array
) -> tuple[Array, Array]:
    """Coverage and width (or set size) of split-conformal prediction fitted on the validation part, over all labels."""
    if isinstance(test, GaussianForecast):
        method = conformal_regression("normalised")
        state = method.fit(valid, valid_labels, level=LEVEL, where=valid_mask)
        interval = method.interval(state, test)
        covered, size = (interval.lower <= labels) & (labels <= interval.upper), interval.upper - interval.lower
    else:
        method = conformal_classification("lac")
        state = method.fit(valid, valid_labels, level=LEVEL, where=valid_mask)
        allowed = method.prediction_set(state, test)
        covered = jnp.take_along_axis(allowed, labels.astype(jnp.int32)[..., None], axis=-1)[..., 0]
        size = allowed.sum(axis=-1).astype(jnp.float32)
    return jnp.mean(covered, where=mask), jnp.mean(size, where=mask)


@partial(jax.jit, static_argnames=("task_type", "muben"))
def _all_scores(valid, valid_labels, valid_mask, test, labels, mask, *, task_type: str, muben: bool) -> Array:
    values = _mean_over_tasks(_OF_TASK[task_type, muben], *example_rows(test, muben=muben), labels, where=mask)
    return jnp.stack([*values, *_conformal(valid, valid_labels, valid_mask, test, labels, mask)])


def score_forecast(
    valid: Forecast,
    valid_labels: Float[Array, "valid tasks"],
    valid_mask: Bool[Array, "valid tasks"],
    test: Forecast,
    labels: Float[Array, "test tasks"],
    mask: Bool[Array, "test tasks"],
    *,
    muben: bool = False,
) -> dict[str, float]:
    """All metrics of one forecast.

    Args:
        valid: forecast of the validation part, in label units; conformal prediction is fitted on it.
        valid_labels: its labels.
        valid_mask: which of them exist.
        test: forecast of the test part, in label units.
        labels: its labels.
        mask: which of them exist.
        muben: follow the published code where it differs from the definitions (see experiments/muben).

    Returns:
        The metrics by column name; NaN where a metric is undefined on every task.
    """
    task_type = "regression" if isinstance(test, GaussianForecast) else "classification"
    values = _all_scores(valid, valid_labels, valid_mask, test, labels, mask, task_type=task_type, muben=muben)
    return dict(zip(score_names(task_type), values.tolist()))
