"""Examples of the public functions of jaxuq.metrics for tests/test_protocol.py."""

import functools
from typing import Any

import jax
import numpy as np

from jaxuq import metrics
from tests.protocol import Example

_rng = np.random.default_rng(7)
N, CLASSES, TASKS, SAMPLES = 16, 3, 8, 8


def _float(*shape):
    return _rng.normal(size=shape).astype(np.float32)


def _softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


WHERE = np.arange(N) % 5 != 3
LABELS = (_rng.random(N) < 0.5).astype(np.int32)
CLASS_LABELS = _rng.integers(0, CLASSES, N).astype(np.int32)
PROBABILITIES = _rng.random(N).astype(np.float32)
SCORES = np.round(_float(N), 1)  # with ties
MEAN, TRUTH = _float(N), _float(N)
VARIANCE = np.exp(_float(N))
LOWER, UPPER = MEAN - 1.5, MEAN + 1.5
RISK = _rng.random(N).astype(np.float32)

_binary = functools.partial(Example, args=(PROBABILITIES, LABELS), where=WHERE, masked=(0, 1))
_points = functools.partial(Example, args=(MEAN, TRUTH), where=WHERE, masked=(0, 1), differentiable=(0, 1))
_gaussian = functools.partial(Example, args=(MEAN, VARIANCE, TRUTH), where=WHERE, masked=(0, 1, 2))
_ends = functools.partial(Example, args=(LOWER, UPPER, TRUTH), where=WHERE, masked=(0, 1, 2))
_selective = functools.partial(Example, args=(SCORES, RISK), where=WHERE, masked=(0, 1), differentiable=(1,))
_classes = functools.partial(
    Example, args=(_softmax(_float(N, CLASSES)), CLASS_LABELS), where=WHERE, masked=(0, 1), differentiable=(0,)
)
_ranks = np.array([[1, 2, 3], [2, 1, 1.5], [3, 3, 1.5]], np.float32)
_no_first = np.array([[False, True, True], [True, True, True], [True, False, True]])


def _average_area(scores, labels, *, where):
    return metrics.average_over_tasks(metrics.area_under_roc, scores, labels, where=where)


def _bootstrap_error(rng_key, predictions, labels, *, where):
    error = metrics.mean_absolute_error
    return metrics.bootstrap(rng_key, error, predictions, labels, where=where, num_resamples=20, batch_size=8)


EXAMPLES: dict[str, Any] = {
    "accuracy": Example(metrics.accuracy, (CLASS_LABELS, CLASS_LABELS[::-1].copy()), where=WHERE, masked=(0, 1)),
    "adaptive_calibration_error": _binary(metrics.adaptive_calibration_error, kwargs={"bins": 4}, differentiable=(0,)),
    "area_under_accuracy_rejection": Example(
        metrics.area_under_accuracy_rejection, (SCORES, LABELS), where=WHERE, masked=(0, 1)
    ),
    "grouping_loss": Example(
        metrics.grouping_loss,
        (PROBABILITIES, LABELS, (np.arange(N) % 2).astype(np.int32)),
        {"num_regions": 2, "bins": 2},
        where=WHERE,
        masked=(0, 1, 2),
    ),
    "second_order_calibration_error": Example(
        metrics.second_order_calibration_error,
        (PROBABILITIES, RISK, LABELS, LABELS[::-1].copy()),
        {"bins": 3},
        where=WHERE,
        masked=(0, 1, 2, 3),
        differentiable=(0, 1),
    ),
    "threshold_weighted_crps": _gaussian(
        metrics.threshold_weighted_crps, kwargs={"lower": -0.4, "upper": 1.0}, differentiable=(0, 1, 2)
    ),
    "area_under_generalised_risk_coverage": _selective(metrics.area_under_generalised_risk_coverage),
    "area_under_risk_coverage": _selective(metrics.area_under_risk_coverage),
    "area_under_roc": Example(metrics.area_under_roc, (SCORES, LABELS), where=WHERE, masked=(0, 1)),
    "average_over_tasks": Example(
        _average_area,
        (_float(N, TASKS), (_rng.random((N, TASKS)) < 0.3).astype(np.int32)),
        where=_rng.random((N, TASKS)) < 0.5,
        masked=(0, 1),
    ),
    "average_precision": Example(metrics.average_precision, (SCORES, LABELS), where=WHERE, masked=(0, 1)),
    "bernoulli_negative_log_likelihood": Example(
        metrics.bernoulli_negative_log_likelihood, (MEAN, LABELS), where=WHERE, masked=(0, 1), differentiable=(0,)
    ),
    "binary_calibration_error": [
        _binary(metrics.binary_calibration_error, kwargs={"norm": norm}, differentiable=(0,))
        for norm in ("mean", "maximum")
    ],
    "cumulative_calibration_error": [
        _binary(metrics.cumulative_calibration_error, kwargs={"statistic": statistic}, differentiable=(0,))
        for statistic in ("maximum", "range")
    ],
    "energy_score": Example(
        lambda samples, labels, *, where: metrics.energy_score(samples.swapaxes(0, 1), labels, where=where),
        (_float(N, SAMPLES, 2), _float(N, 2)),
        where=WHERE,
        masked=(0, 1),
        differentiable=(0, 1),
    ),
    "false_positive_rate": Example(metrics.false_positive_rate, (SCORES, LABELS), where=WHERE, masked=(0, 1)),
    "mixture_crps": Example(
        lambda mean, variance, labels, *, where: metrics.mixture_crps(mean.T, variance.T, labels, where=where),
        (_float(N, SAMPLES), np.exp(_float(N, SAMPLES)), TRUTH),
        where=WHERE,
        masked=(0, 1, 2),
        differentiable=(0, 1, 2),
    ),
    "bootstrap": Example(_bootstrap_error, (jax.random.key(3), MEAN, TRUTH), where=WHERE, masked=(1, 2)),
    "brier_score": _binary(metrics.brier_score, differentiable=(0,)),
    "categorical_negative_log_likelihood": Example(
        metrics.categorical_negative_log_likelihood,
        (_float(N, CLASSES), CLASS_LABELS),
        where=WHERE,
        masked=(0, 1),
        differentiable=(0,),
    ),
    "classwise_calibration_error": _classes(metrics.classwise_calibration_error),
    "expected_calibration_error": [
        _binary(metrics.expected_calibration_error, kwargs={"closed": side}, differentiable=(0,))
        for side in ("right", "left")
    ],
    "expected_normalised_calibration_error": _gaussian(
        metrics.expected_normalised_calibration_error, kwargs={"bins": 4}, differentiable=(0, 1, 2)
    ),
    "gaussian_crps": _gaussian(metrics.gaussian_crps, differentiable=(0, 1, 2)),
    "gaussian_negative_log_likelihood": _gaussian(metrics.gaussian_negative_log_likelihood, differentiable=(0, 1, 2)),
    "interval_of_resamples": Example(metrics.interval_of_resamples, (np.float32(0.5), RISK), masked=(1,)),
    "interval_coverage": _ends(metrics.interval_coverage),
    "interval_score": _ends(metrics.interval_score, kwargs={"level": 0.9}, differentiable=(0, 1, 2)),
    "interval_width": Example(
        metrics.interval_width, (LOWER, UPPER), where=WHERE, masked=(0, 1), differentiable=(0, 1)
    ),
    "maximum_calibration_error": _binary(metrics.maximum_calibration_error, differentiable=(0,)),
    "mean_absolute_error": _points(metrics.mean_absolute_error),
    "mean_rank": Example(metrics.mean_rank, (_ranks,), where=_no_first, masked=(0,), differentiable=(0,)),
    "mean_reciprocal_rank": Example(
        metrics.mean_reciprocal_rank, (_ranks,), where=_no_first, masked=(0,), differentiable=(0,)
    ),
    "miscalibration_area": _gaussian(metrics.miscalibration_area),
    "multiclass_brier_score": _classes(metrics.multiclass_brier_score),
    "pinball_loss": _points(metrics.pinball_loss, kwargs={"quantile": 0.9}),
    "prediction_rejection_ratio": [
        _selective(metrics.prediction_rejection_ratio, kwargs={"convention": name})
        for name in ("malinin", "lm_polygraph")
    ],
    "r2_score": _points(metrics.r2_score),
    "rank_methods": Example(
        metrics.rank_methods, (_float(3, 3),), {"higher_is_better": False}, where=_no_first, masked=(0,)
    ),
    "regression_calibration_curve": [
        _gaussian(metrics.regression_calibration_curve, kwargs={"kind": kind}) for kind in ("quantile", "central")
    ],
    "regression_calibration_error": _gaussian(metrics.regression_calibration_error),
    "reliability_bins": [
        _binary(metrics.reliability_bins, kwargs={"bins": 4, "binning": binning})
        for binning in ("equal_width", "equal_mass")
    ],
    "risk_coverage_curve": _selective(metrics.risk_coverage_curve),
    "root_mean_squared_error": _points(metrics.root_mean_squared_error),
    "sample_crps": [
        Example(
            lambda samples, labels, *, where, estimator: metrics.sample_crps(
                samples.T, labels, where=where, estimator=estimator
            ),
            (_float(N, SAMPLES), TRUTH),
            {"estimator": estimator},
            where=WHERE,
            masked=(0, 1),
            differentiable=(0, 1),
        )
        for estimator in ("plain", "fair")
    ],
    "sharpness": Example(metrics.sharpness, (VARIANCE,), where=WHERE, masked=(0,), differentiable=(0,)),
    "smooth_calibration_error": _binary(
        metrics.smooth_calibration_error, kwargs={"grid_size": 128}, differentiable=(0,)
    ),
    "spearman_correlation": Example(metrics.spearman_correlation, (SCORES, RISK), where=WHERE, masked=(0, 1)),
}
# Where each takes labels of a known range: a label outside it makes the result NaN.
LABELS: dict[str, int] = {
    "area_under_accuracy_rejection": 1,
    "grouping_loss": 1,
    "second_order_calibration_error": 2,
    **dict.fromkeys(
        (
            "adaptive_calibration_error",
            "area_under_roc",
            "average_precision",
            "bernoulli_negative_log_likelihood",
            "binary_calibration_error",
            "brier_score",
            "categorical_negative_log_likelihood",
            "classwise_calibration_error",
            "expected_calibration_error",
            "maximum_calibration_error",
            "multiclass_brier_score",
            "reliability_bins",
            "smooth_calibration_error",
            "cumulative_calibration_error",
        ),
        1,
    ),
}
_INF = float("inf")
# Which arguments may hold which values at the edge of their range, where value and gradient are limits, not NaN.
LIMITS: dict[str, dict[int, tuple[float, ...]]] = {
    **{
        key: {0: (0.0, 1.0)}
        for key in (
            "adaptive_calibration_error",
            "binary_calibration_error",
            "brier_score",
            "classwise_calibration_error",
            "expected_calibration_error",
            "maximum_calibration_error",
            "multiclass_brier_score",
            "reliability_bins",
            "smooth_calibration_error",
        )
    },
    **{
        key: {0: (-_INF, _INF)}
        for key in (
            "area_under_generalised_risk_coverage",
            "area_under_risk_coverage",
            "area_under_roc",
            "average_over_tasks",
            "average_precision",
            "bernoulli_negative_log_likelihood",
            "categorical_negative_log_likelihood",
            "prediction_rejection_ratio",
            "risk_coverage_curve",
            "spearman_correlation",
        )
    },
    **{
        key: {1: (0.0, _INF)}
        for key in (
            "gaussian_crps",
            "gaussian_negative_log_likelihood",
            "expected_normalised_calibration_error",
            "miscalibration_area",
            "regression_calibration_curve",
            "regression_calibration_error",
        )
    },
    "sharpness": {0: (0.0, _INF)},
    **{
        key: {0: (-_INF,), 1: (_INF,)}
        for key in (
            "interval_coverage",
            "interval_score",
            "interval_width",
        )
    },
}
HOST: dict[str, str] = {
    "BootstrapResult": "a result type",
    "CalibrationCurve": "a result type",
    "EntityScores": "a result type",
    "ReliabilityBins": "a result type",
    "RiskCoverageCurve": "a result type",
    "TaskAverage": "a result type",
    "entity_scores": "reads tag strings",
    "entity_scores_by_type": "reads tag strings",
    "entity_spans": "reads tag strings",
}
