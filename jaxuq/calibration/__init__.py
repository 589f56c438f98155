"""The calibration room: what is fitted after training, on data that training has not seen.

Calibrators correct a forecast (`fit`, `apply`); conformal methods give intervals or sets with guaranteed coverage, also
where inputs have shifted, along time, or without a set aside; `FeatureScore`s say how far an input is from what was
seen, `predicted_risk` how large its error will be, and `sdm_*` both in one activation. Each is a factory that returns
pure functions; its fitted state is a NamedTuple of arrays to be saved with the parameters. What is let through at all:
`answer_set` of sampled answers, `learn_then_test` and `abstention_threshold` for settings whose risk is controlled.
`Fitted` keeps a forecaster of one's own, samples to thresholds, as one folder.
"""

from jaxuq.calibration._trees import FittedError
from jaxuq.calibration.adaptive_conformal import (
    AdaptiveConformal,
    adaptive_conformal,
    adaptive_threshold,
    exchangeability_wealth,
)
from jaxuq.calibration.answer_sets import answer_nonconformity, answer_set, claim_nonconformity
from jaxuq.calibration.base import Calibrator
from jaxuq.calibration.beta import BetaState, beta_calibration
from jaxuq.calibration.by_group import GroupCalibrator, GroupState, calibration_by_group
from jaxuq.calibration.classwise_isotonic import ClasswiseState, classwise_isotonic
from jaxuq.calibration.conformal_classification import ConformalClassification, conformal_classification
from jaxuq.calibration.conformal_regression import ConformalRegression, ConformalState, Interval, conformal_regression
from jaxuq.calibration.conformal_threshold import conformal_threshold
from jaxuq.calibration.covariate_shift import density_ratios, effective_sample_size, shifted_thresholds
from jaxuq.calibration.deup import RiskState, cross_fitted_errors, predicted_risk
from jaxuq.calibration.ensemble_temperature import ensemble_temperature
from jaxuq.calibration.feature_scores import (
    ClassGaussians,
    FeatureScore,
    feature_density,
    free_energy,
    mahalanobis_distance,
    nearest_features,
)
from jaxuq.calibration.fitted import (
    CALIBRATORS,
    CONFORMAL,
    Fitted,
    conformal_prediction,
    predict_fitted,
    recalibrate,
)
from jaxuq.calibration.fitted_folder import load_fitted, save_fitted
from jaxuq.calibration.isotonic import IsotonicState, isotonic_calibration
from jaxuq.calibration.isotonic_quantiles import QuantileCalibrator, QuantileState, isotonic_quantiles
from jaxuq.calibration.jackknife import jackknife_plus
from jaxuq.calibration.linear_scaling import LinearState, dirichlet_calibration, matrix_scaling, vector_scaling
from jaxuq.calibration.p_values import conformal_p_values, p_values_along
from jaxuq.calibration.platt import PlattState, platt_scaling
from jaxuq.calibration.predictive_system import PredictiveState, PredictiveSystem, predictive_system
from jaxuq.calibration.risk_bounds import conformal_risk_control, hoeffding_bound, risk_p_values
from jaxuq.calibration.risk_control import abstention_threshold, learn_then_test
from jaxuq.calibration.sdm import (
    SDMRegion,
    rescaled_similarity,
    sdm_distance,
    sdm_logits,
    sdm_region,
    sdm_similarity,
)
from jaxuq.calibration.temperature import TemperatureState, temperature_scaling
from jaxuq.calibration.variance import VarianceState, variance_scaling
from jaxuq.calibration.venn_abers import VennAbers, VennAbersState, venn_abers

__all__ = [
    "CALIBRATORS",
    "CONFORMAL",
    "AdaptiveConformal",
    "BetaState",
    "Calibrator",
    "ClassGaussians",
    "ClasswiseState",
    "ConformalClassification",
    "ConformalRegression",
    "ConformalState",
    "FeatureScore",
    "Fitted",
    "FittedError",
    "GroupCalibrator",
    "GroupState",
    "Interval",
    "IsotonicState",
    "LinearState",
    "PlattState",
    "PredictiveState",
    "PredictiveSystem",
    "QuantileCalibrator",
    "QuantileState",
    "RiskState",
    "SDMRegion",
    "TemperatureState",
    "VarianceState",
    "VennAbers",
    "VennAbersState",
    "abstention_threshold",
    "adaptive_conformal",
    "adaptive_threshold",
    "answer_nonconformity",
    "answer_set",
    "beta_calibration",
    "calibration_by_group",
    "claim_nonconformity",
    "classwise_isotonic",
    "conformal_classification",
    "conformal_p_values",
    "conformal_prediction",
    "conformal_regression",
    "conformal_risk_control",
    "conformal_threshold",
    "cross_fitted_errors",
    "density_ratios",
    "dirichlet_calibration",
    "effective_sample_size",
    "ensemble_temperature",
    "exchangeability_wealth",
    "feature_density",
    "free_energy",
    "hoeffding_bound",
    "isotonic_calibration",
    "isotonic_quantiles",
    "jackknife_plus",
    "learn_then_test",
    "load_fitted",
    "mahalanobis_distance",
    "matrix_scaling",
    "nearest_features",
    "p_values_along",
    "platt_scaling",
    "predict_fitted",
    "predicted_risk",
    "predictive_system",
    "recalibrate",
    "rescaled_similarity",
    "risk_p_values",
    "save_fitted",
    "sdm_distance",
    "sdm_logits",
    "sdm_region",
    "sdm_similarity",
    "shifted_thresholds",
    "temperature_scaling",
    "variance_scaling",
    "vector_scaling",
    "venn_abers",
]
