"""Examples of the public functions of jaxuq.calibration for tests/test_protocol.py."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq import calibration
from jaxuq.posterior import BernoulliForecast, CategoricalForecast, GaussianForecast
from tests.protocol import Example

_rng = np.random.default_rng(1)
_shape = (32, 2)
_zeros, _ones = np.zeros(_shape, np.float32), np.ones(_shape, np.float32)
_where = _rng.random(_shape) < 0.75
_logits = _rng.normal(0, 2, _shape).astype(np.float32)
_labels = (_rng.random(_shape) < 1 / (1 + np.exp(-_logits / 2))).astype(np.int32)
_binary = BernoulliForecast(_logits, 0.3 * _ones, 0.1 * _ones)
_class_logits = _rng.normal(0, 2, (*_shape, 4)).astype(np.float32)
_classes = _rng.integers(0, 4, _shape).astype(np.int32)
_categorical = CategoricalForecast(_class_logits, 0.3 * _ones, 0.1 * _ones)
_y = _rng.normal(size=_shape).astype(np.float32)
_gaussian = GaussianForecast(
    _rng.normal(size=_shape).astype(np.float32), _rng.uniform(0.5, 2, _shape).astype(np.float32), 0.5 * _ones
)
_interval = calibration.Interval(_gaussian.mean - 1, _gaussian.mean + 1)
_two = np.full(2, 1.5, np.float32)
_masked = {"where": _where, "masked": (0, 1)}
_fit = {**_masked, "differentiable": (0,)}
_key = jax.random.key(3)

_temperature = calibration.temperature_scaling()
_platt = calibration.platt_scaling()
_isotonic = calibration.isotonic_calibration()
_quantiles = calibration.isotonic_quantiles()
_variance = calibration.variance_scaling()
_isotonic_state = calibration.IsotonicState(
    jnp.array([[0.1, 0.2], [0.6, 0.7], [0.9, 0.9]]), jnp.array([[0.0, 0.1], [0.5, 0.6], [1.0, 0.8]]), jnp.zeros(2, bool)
)
_quantile_state = _quantiles.fit(jax.tree.map(jnp.asarray, _gaussian), jnp.asarray(_y))
_regression_state = calibration.ConformalState(np.full((1, 2), 1.3, np.float32))
_probability_state = calibration.ConformalState(np.full((1, 2), 0.8, np.float32))


def _regression(score):
    method, forecast = calibration.conformal_regression(score), _interval if score == "quantile" else _gaussian
    fit = partial(method.fit, level=0.7)
    return [
        Example(fit, (forecast, _y), **_fit),
        Example(method.interval, (_regression_state, forecast), differentiable=(0, 1), shardable=False),
    ]


def _classification(score, forecast, labels, **options):
    method = calibration.conformal_classification(score, **options)
    keywords = {"rng_key": _key} if options.get("randomised") else {}
    fit = partial(method.fit, level=0.7, **keywords)
    return [
        Example(fit, (forecast, labels), **_masked),
        Example(partial(method.prediction_set, **keywords), (_probability_state, forecast), shardable=False),
    ]


def _of(method, state):
    """`apply` as a function of the floating arrays of a state, whose tasks are all fitted."""
    return lambda arrays, forecast: method.apply(state(*arrays, jnp.zeros(2, bool)), forecast)


_clusters = np.array([0, -1, 0, 1, 2, -1, 1, 0], np.int32)
_drawn = np.arange(8) % 4 != 1
_unit, _correct = _rng.random(16).astype(np.float32), (_rng.random(16) < 0.5).astype(np.int32)
_known = np.arange(16) % 5 != 2
_graded = {"args": (_unit, _correct), "where": _known, "masked": (0, 1)}


def _linear(method, weights):
    """`apply` as a function of the weights of a map."""

    def apply(weights, intercepts, forecast):
        return method.apply(calibration.LinearState(weights, intercepts, jnp.zeros(2, bool)), forecast)

    arguments = (weights, np.full((2, 4), 0.1, np.float32), _categorical)
    return Example(apply, arguments, differentiable=(0, 1, 2), keeps_type=True, rows=2, shardable=False)


_system = calibration.predictive_system(normalised=True)
_system_state = _system.fit(jax.tree.map(jnp.asarray, _gaussian), jnp.asarray(_y))
_venn = calibration.venn_abers()
_venn_state = _venn.fit(jax.tree.map(jnp.asarray, _binary), jnp.asarray(_labels))
_vector, _matrix = calibration.vector_scaling(), calibration.matrix_scaling()
_maps = np.tile(np.eye(4, dtype=np.float32), (2, 1, 1))
_ratios = _rng.uniform(0.5, 2, 32).astype(np.float32)


_features = _rng.normal(size=(32, 3)).astype(np.float32)
_density, _distance = calibration.feature_density(4), calibration.mahalanobis_distance(4)
_gaussians = _density.fit(jnp.asarray(_features), jnp.asarray(_classes[:, 0]))
_near = calibration.nearest_features(3)


def _abstain(confidence, correct, *, where):
    thresholds = jnp.asarray([0.8, 0.5, 0.2])
    return calibration.abstention_threshold(confidence, correct, thresholds, level=0.5, delta=0.5, where=where)


EXAMPLES: dict[str, Any] = {
    "abstention_threshold": Example(_abstain, **_graded),
    "adaptive_conformal": Example(
        calibration.adaptive_conformal(0.9).update, (_unit, _unit > 0.2), differentiable=(0,)
    ),
    "adaptive_threshold": Example(
        calibration.adaptive_threshold, (_unit, np.float32(0.2)), where=_known, masked=(0,), differentiable=(0,)
    ),
    "answer_nonconformity": Example(
        calibration.answer_nonconformity, (_clusters, (_clusters == 0).astype(np.int32)), where=_drawn, masked=(0, 1)
    ),
    "answer_set": Example(
        lambda clusters, *, where: calibration.answer_set(clusters, jnp.asarray(0.7), where=where),
        (_clusters,),
        where=_drawn,
        masked=(0,),
    ),
    "claim_nonconformity": Example(calibration.claim_nonconformity, **_graded),
    "conformal_classification": [
        *_classification("lac", _categorical, _classes),
        *_classification("aps", _binary, _labels),
        *_classification("raps", _categorical, _classes, randomised=True),
    ],
    "conformal_regression": [*_regression("absolute"), *_regression("normalised"), *_regression("quantile")],
    "conformal_risk_control": Example(
        calibration.conformal_risk_control, (np.sort(_unit)[::-1].copy(),), {"n": 20, "level": 0.4}
    ),
    "conformal_threshold": Example(
        calibration.conformal_threshold, (_y,), {"level": 0.7}, where=_where, masked=(0,), differentiable=(0,)
    ),
    "density_ratios": Example(
        calibration.density_ratios, (_unit,), {"num_calibration": 100, "num_new": 50}, differentiable=(0,)
    ),
    "dirichlet_calibration": _linear(
        calibration.dirichlet_calibration(), np.tile(np.eye(4, dtype=np.float32), (2, 1, 1))
    ),
    "effective_sample_size": Example(
        calibration.effective_sample_size, (_unit,), where=_known, masked=(0,), differentiable=(0,)
    ),
    "conformal_p_values": Example(
        calibration.conformal_p_values, (_y, _gaussian.mean[:5]), where=_where, masked=(0,), differentiable=(0, 1)
    ),
    "exchangeability_wealth": Example(
        calibration.exchangeability_wealth, (_unit,), where=_known, masked=(0,), differentiable=(0,)
    ),
    "hoeffding_bound": Example(calibration.hoeffding_bound, (_unit,), {"n": 50, "delta": 0.1}, differentiable=(0,)),
    "isotonic_calibration": Example(
        partial(_isotonic.apply, _isotonic_state), (_binary,), differentiable=(0,), keeps_type=True
    ),
    "isotonic_quantiles": [
        Example(_quantiles.fit, (_gaussian, _y), **_fit),
        Example(partial(_quantiles.apply, _quantile_state), (_gaussian,), differentiable=(0,), keeps_type=True),
        # Between the knots: at a knot, the last bit of a residual decides which of two slopes it is on.
        Example(partial(_quantiles.cdf, _quantile_state), (_gaussian, _y[::-1].copy()), differentiable=(0, 1)),
        Example(partial(_quantiles.quantile, _quantile_state), (_gaussian, np.float32(0.3)), differentiable=(0,)),
    ],
    "jackknife_plus": [
        Example(
            partial(calibration.jackknife_plus, level=0.8, minmax=minmax),
            (_logits, _unit.repeat(2)),
            where=_where[:, 0],
            masked=(0, 1),
            differentiable=(0, 1),
        )
        for minmax in (False, True)
    ],
    "learn_then_test": [
        Example(calibration.learn_then_test, (0.1 * _unit,), {"delta": 0.1, "procedure": name})
        for name in ("fixed_sequence", "bonferroni", "holm")
    ],
    "matrix_scaling": [
        _linear(_matrix, _maps),
        Example(_matrix.fit, (_categorical, _classes), **_masked),
    ],
    "platt_scaling": [
        Example(_platt.fit, (_binary, _labels), **_fit),
        Example(
            _of(_platt, calibration.PlattState), ((_two, _two), _binary), differentiable=(0, 1), keeps_type=True, rows=1
        ),
    ],
    "p_values_along": Example(calibration.p_values_along, (_unit,), where=_known, masked=(0,), differentiable=(0,)),
    "predictive_system": [
        Example(_system.fit, (_gaussian, _y), **_fit),
        Example(partial(_system.cdf, _system_state), (_gaussian, _y[::-1].copy())),
        Example(partial(_system.interval, _system_state, level=0.8), (_gaussian,), differentiable=(0,)),
    ],
    "risk_p_values": [
        Example(calibration.risk_p_values, (_unit, np.full(16, 20, np.float32)), {"level": 0.3, "loss": loss})
        for loss in ("binary", "bounded")
    ],
    "shifted_thresholds": Example(
        partial(calibration.shifted_thresholds, level=0.7),
        (_y, _ratios, _unit),
        where=_where,
        masked=(0,),
        differentiable=(0,),
    ),
    "temperature_scaling": [
        Example(_temperature.fit, (_binary, _labels), **_fit),
        Example(_temperature.fit, (_categorical, _classes), **_fit),
        Example(
            _of(_temperature, calibration.TemperatureState),
            ((_two,), _binary),
            differentiable=(0, 1),
            keeps_type=True,
            rows=1,
        ),
        Example(
            _of(_temperature, calibration.TemperatureState),
            ((_two,), _categorical),
            differentiable=(0, 1),
            keeps_type=True,
            rows=1,
        ),
    ],
    "variance_scaling": [
        Example(_variance.fit, (_gaussian, _y), **_fit),
        Example(
            _of(_variance, calibration.VarianceState),
            ((_two,), _gaussian),
            differentiable=(0, 1),
            keeps_type=True,
            rows=1,
        ),
    ],
}
EXAMPLES |= {
    "vector_scaling": [
        _linear(_vector, np.ones((2, 4), np.float32)),
        Example(_vector.fit, (_categorical, _classes), **_masked),
    ],
    "venn_abers": [
        Example(partial(_venn.probabilities, _venn_state), (_binary,)),
        Example(_venn.fit, (_binary, _labels), **_masked),
        Example(partial(_venn.apply, _venn_state), (_binary,), keeps_type=True),
    ],
}
EXAMPLES |= {
    "feature_density": [
        Example(_density.score, (_gaussians, _features), differentiable=(0, 1), rows=1, shardable=False),
        Example(_density.fit, (_features, _classes[:, 0]), where=_where[:, 0], masked=(0, 1), differentiable=(0,)),
    ],
    "free_energy": Example(calibration.free_energy, (_class_logits,), {"temperature": 2.0}, differentiable=(0,)),
    "mahalanobis_distance": [
        Example(_distance.score, (_gaussians, _features), differentiable=(0, 1), rows=1, shardable=False),
        Example(_distance.fit, (_features, _classes[:, 0]), where=_where[:, 0], masked=(0, 1), differentiable=(0,)),
    ],
    "nearest_features": [
        Example(_near.score, (_features, _features[:16].copy()), differentiable=(1,)),
        Example(_near.fit, (_features,), differentiable=(0,)),
    ],
}
_beta = calibration.beta_calibration()
_classwise = calibration.classwise_isotonic()
_classwise_state = _classwise.fit(jax.tree.map(jnp.asarray, _categorical), jnp.asarray(_classes))
_groups = np.arange(32, dtype=np.int32) % 3
_by_group = calibration.calibration_by_group(_platt, 2, fewest=1)
_risk = calibration.predicted_risk()
_errors = np.square(_rng.normal(size=32)).astype(np.float32)
_sure = np.exp(_class_logits[:, 0]) / np.exp(_class_logits[:, 0]).sum(axis=-1, keepdims=True)


def _by_groups(forecast, labels, groups, *, where):
    return _by_group.apply(_by_group.fit(forecast, labels, groups, where=where), _of_zeros(forecast), groups)


def _of_zeros(forecast):
    return jax.tree.map(jnp.zeros_like, forecast)


def _mean_errors(labels):
    def fit(rng_key, inputs, labels, where):
        return jnp.mean(jnp.where(where, labels.astype(float), 0))

    def error(mean, inputs, labels):
        return jnp.square(labels.astype(float) - mean)

    return calibration.cross_fitted_errors(jax.random.key(0), fit, error, labels, labels, folds=4)


EXAMPLES |= {
    "beta_calibration": [
        Example(
            lambda numbers, forecast: _beta.apply(calibration.BetaState(numbers, jnp.zeros(2, bool)), forecast),
            (np.ones((2, 3), np.float32), _binary),
            differentiable=(0, 1),
            keeps_type=True,
            rows=1,
        ),
        Example(_beta.fit, (_binary, _labels), **_masked),
    ],
    "calibration_by_group": Example(
        _by_groups, (_binary, _labels, _groups), where=_where, masked=(0, 1), keeps_type=True, shardable=False
    ),
    "classwise_isotonic": Example(
        partial(_classwise.apply, _classwise_state), (_categorical,), differentiable=(0,), keeps_type=True
    ),
    "cross_fitted_errors": Example(_mean_errors, (_errors,), shardable=False),
    "ensemble_temperature": [
        Example(
            lambda outputs, labels, *, where, order: (
                method := calibration.ensemble_temperature("bernoulli", order)
            ).apply(
                method.fit(jnp.stack([outputs, 2 * outputs]), labels, where=where), jnp.stack([2 * outputs, outputs])
            ),
            (_logits, _labels),
            {"order": order},
            where=_where,
            masked=(1,),
            differentiable=(0,),
        )
        for order in ("after", "before")
    ],
    "predicted_risk": [
        Example(
            lambda slopes, features: _risk.score(
                calibration.RiskState(slopes, jnp.zeros((), slopes.dtype), slopes, jnp.ones_like(slopes)), features
            ),
            (np.ones(3, np.float32), _features),
            differentiable=(0, 1),
            rows=1,
        ),
        Example(_risk.fit, (_features, _errors), where=_where[:, 0], masked=(0, 1)),
    ],
    "rescaled_similarity": Example(calibration.rescaled_similarity, (_errors, np.exp(-_errors)), differentiable=(0, 1)),
    "sdm_distance": Example(
        lambda known, labels, distances, *, where: calibration.sdm_distance(distances, known, labels, 4, where=where),
        (_errors, _classes[:, 0], _errors[:16].copy()),
        where=_where[:, 0],
        masked=(0, 1),
    ),
    "sdm_logits": Example(
        calibration.sdm_logits, (_class_logits[:, 0], _errors, np.exp(-_errors)), differentiable=(0, 1, 2)
    ),
    "sdm_region": Example(calibration.sdm_region, (_errors, _sure, _classes[:, 0]), {"level": 0.2}),
    "sdm_similarity": Example(
        lambda features, references, predicted, labels: calibration.sdm_similarity(
            features, jnp.zeros_like(predicted), references, predicted, labels
        ),
        (_features, _features[::-1].copy(), _classes[:, 0], _classes[:, 1]),
    ),
}
_INF = float("inf")
# Which arguments may hold which values at the edge of their range, where value and gradient are limits, not NaN.
LIMITS: dict[str, dict[int, tuple[float, ...]]] = {
    key: {0: (-_INF, _INF)}
    for key in (
        "temperature_scaling",
        "platt_scaling",
        "isotonic_calibration",
    )
}
LABELS: dict[str, int] = {
    "sdm_distance": 1,
    "sdm_region": 2,
    "abstention_threshold": 1,
    "answer_nonconformity": 1,
    "claim_nonconformity": 1,
}
HOST: dict[str, str] = {
    **dict.fromkeys(
        ("BetaState", "ClasswiseState", "GroupCalibrator", "GroupState", "RiskState", "SDMRegion"),
        "a type",
    ),
    "CALIBRATORS": "a table",
    "CONFORMAL": "a table",
    "Fitted": "a type",
    "FittedError": "a type",
    "conformal_prediction": "a record of names; tests/calibration/test_fitted.py",
    "predict_fitted": "a record of names; tests/calibration/test_fitted.py",
    "recalibrate": "a record of names; tests/calibration/test_fitted.py",
    "load_fitted": "files on disk; tests/calibration/test_fitted_folder.py",
    "save_fitted": "files on disk; tests/calibration/test_fitted_folder.py",
    "AdaptiveConformal": "a type",
    "Calibrator": "a type",
    "ClassGaussians": "a type",
    "FeatureScore": "a type",
    "LinearState": "a type",
    "PredictiveState": "a type",
    "PredictiveSystem": "a type",
    "VennAbers": "a type",
    "VennAbersState": "a type",
    "ConformalClassification": "a type",
    "ConformalRegression": "a type",
    "ConformalState": "a type",
    "Interval": "a type",
    "IsotonicState": "a type",
    "PlattState": "a type",
    "QuantileCalibrator": "a type",
    "QuantileState": "a type",
    "TemperatureState": "a type",
    "VarianceState": "a type",
}
