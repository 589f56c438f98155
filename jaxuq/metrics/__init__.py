"""How good is a prediction, and how good is its confidence?

Every metric is a pure function of one-dimensional arrays with an optional `where=` mask, and gives a scalar. It works
under `jit`, `vmap` and `grad` and on sharded arrays; a masked entry has no influence; a value that does not exist is
NaN. `average_over_tasks` maps a metric over tasks with missing labels, and `bootstrap` gives any metric an interval.

| question | metrics |
|---|---|
| how often, how far off? | accuracy, root mean squared and mean absolute error, R2 |
| are the two classes told apart? | area under ROC, average precision |
| is the whole distribution right? | log likelihoods, Brier, CRPS, interval score, pinball |
| does confidence mean what it says? | the calibration errors, reliability and calibration curves, grouping loss |
| does it know when it fails? | risk-coverage and accuracy-rejection areas, prediction rejection ratio, Spearman |
| which method wins? | ranks of methods |
"""

from jaxuq.metrics.accuracy import accuracy
from jaxuq.metrics.accuracy_rejection import area_under_accuracy_rejection
from jaxuq.metrics.area_under_roc import area_under_roc
from jaxuq.metrics.average_over_tasks import TaskAverage, average_over_tasks
from jaxuq.metrics.average_precision import average_precision
from jaxuq.metrics.bootstrap import BootstrapResult, bootstrap, interval_of_resamples
from jaxuq.metrics.brier import brier_score, multiclass_brier_score
from jaxuq.metrics.calibration_error import (
    adaptive_calibration_error,
    binary_calibration_error,
    classwise_calibration_error,
    expected_calibration_error,
    maximum_calibration_error,
)
from jaxuq.metrics.crps import gaussian_crps, sample_crps
from jaxuq.metrics.cumulative_calibration import cumulative_calibration_error
from jaxuq.metrics.entities import EntityScores, entity_scores, entity_scores_by_type, entity_spans
from jaxuq.metrics.false_positive_rate import false_positive_rate
from jaxuq.metrics.grouping_loss import grouping_loss
from jaxuq.metrics.interval import interval_coverage, interval_score, interval_width
from jaxuq.metrics.method_ranks import mean_rank, mean_reciprocal_rank, rank_methods
from jaxuq.metrics.mixture_crps import energy_score, mixture_crps
from jaxuq.metrics.negative_log_likelihood import (
    bernoulli_negative_log_likelihood,
    categorical_negative_log_likelihood,
    gaussian_negative_log_likelihood,
)
from jaxuq.metrics.normalised_calibration import expected_normalised_calibration_error, sharpness
from jaxuq.metrics.pinball import pinball_loss
from jaxuq.metrics.rank_correlation import spearman_correlation
from jaxuq.metrics.regression_calibration import (
    CalibrationCurve,
    miscalibration_area,
    regression_calibration_curve,
    regression_calibration_error,
)
from jaxuq.metrics.regression_error import mean_absolute_error, r2_score, root_mean_squared_error
from jaxuq.metrics.reliability import ReliabilityBins, reliability_bins
from jaxuq.metrics.second_order_calibration import second_order_calibration_error
from jaxuq.metrics.selective import (
    RiskCoverageCurve,
    area_under_generalised_risk_coverage,
    area_under_risk_coverage,
    prediction_rejection_ratio,
    risk_coverage_curve,
)
from jaxuq.metrics.smooth_calibration_error import smooth_calibration_error
from jaxuq.metrics.threshold_weighted_crps import threshold_weighted_crps

__all__ = [
    "BootstrapResult",
    "CalibrationCurve",
    "EntityScores",
    "ReliabilityBins",
    "RiskCoverageCurve",
    "TaskAverage",
    "accuracy",
    "adaptive_calibration_error",
    "area_under_accuracy_rejection",
    "area_under_generalised_risk_coverage",
    "area_under_risk_coverage",
    "area_under_roc",
    "average_over_tasks",
    "average_precision",
    "bernoulli_negative_log_likelihood",
    "binary_calibration_error",
    "bootstrap",
    "brier_score",
    "categorical_negative_log_likelihood",
    "classwise_calibration_error",
    "cumulative_calibration_error",
    "energy_score",
    "entity_scores",
    "entity_scores_by_type",
    "entity_spans",
    "expected_calibration_error",
    "expected_normalised_calibration_error",
    "false_positive_rate",
    "gaussian_crps",
    "gaussian_negative_log_likelihood",
    "grouping_loss",
    "interval_coverage",
    "interval_of_resamples",
    "interval_score",
    "interval_width",
    "maximum_calibration_error",
    "mean_absolute_error",
    "mean_rank",
    "mean_reciprocal_rank",
    "miscalibration_area",
    "mixture_crps",
    "multiclass_brier_score",
    "pinball_loss",
    "prediction_rejection_ratio",
    "r2_score",
    "rank_methods",
    "regression_calibration_curve",
    "regression_calibration_error",
    "reliability_bins",
    "risk_coverage_curve",
    "root_mean_squared_error",
    "sample_crps",
    "second_order_calibration_error",
    "sharpness",
    "smooth_calibration_error",
    "spearman_correlation",
    "threshold_weighted_crps",
]
