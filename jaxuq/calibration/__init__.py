"""The calibration room: what is fitted after training, on data that training has not seen.

Calibrators correct a forecast (`fit`, `apply`); conformal methods give intervals or sets with guaranteed coverage. Each
is a factory that returns pure functions; its fitted state is a NamedTuple of arrays to be saved with the parameters.
"""

from jaxuq.calibration.base import Calibrator
from jaxuq.calibration.conformal_classification import ConformalClassification, conformal_classification
from jaxuq.calibration.conformal_regression import ConformalRegression, ConformalState, Interval, conformal_regression
from jaxuq.calibration.conformal_threshold import conformal_threshold
from jaxuq.calibration.isotonic import IsotonicState, isotonic_calibration
from jaxuq.calibration.isotonic_quantiles import QuantileCalibrator, QuantileState, isotonic_quantiles
from jaxuq.calibration.platt import PlattState, platt_scaling
from jaxuq.calibration.temperature import TemperatureState, temperature_scaling
from jaxuq.calibration.variance import VarianceState, variance_scaling

__all__ = [
    "Calibrator",
    "ConformalClassification",
    "ConformalRegression",
    "ConformalState",
    "Interval",
    "IsotonicState",
    "PlattState",
    "QuantileCalibrator",
    "QuantileState",
    "TemperatureState",
    "VarianceState",
    "conformal_classification",
    "conformal_regression",
    "conformal_threshold",
    "isotonic_calibration",
    "isotonic_quantiles",
    "platt_scaling",
    "temperature_scaling",
    "variance_scaling",
]
