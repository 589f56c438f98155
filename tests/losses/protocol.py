"""Examples of the public functions of jaxuq.losses for tests/test_protocol.py."""

from typing import Any

import numpy as np

from jaxuq import losses
from tests.protocol import Example

_rng = np.random.default_rng(0)
_shape = (8, 3)
_a, _b, _y = (_rng.normal(size=_shape).astype(np.float32) for _ in range(3))
_labels = _rng.integers(0, 2, _shape).astype(np.int32)
_classes = _rng.integers(0, 4, _shape).astype(np.int32)
_four = _rng.normal(size=(*_shape, 4)).astype(np.float32)
_where = _rng.random(_shape) < 0.7
_part = _rng.random(_shape).astype(np.float32) / 2
_rows = np.array([True, False] * 4)
_pair = {"where": _where, "masked": (0, 1), "differentiable": (0,)}
_three = {"where": _where, "masked": (0, 1, 2), "differentiable": (0, 2)}
_triple = {"where": _where, "masked": (0, 1, 2), "differentiable": (0, 1)}

EXAMPLES: dict[str, Any] = {
    "behaviour_divergence": Example(losses.behaviour_divergence, (_four, _four[::-1]), **_pair),
    "bernoulli_cross_entropy": [
        Example(losses.bernoulli_cross_entropy, (_a, _labels), **_pair),
        Example(losses.bernoulli_cross_entropy, (_a, _labels.astype(np.float32)), **_pair),
    ],
    "beta_negative_log_likelihood": Example(losses.beta_negative_log_likelihood, (_a, np.exp(_b), _y), **_triple),
    "bradley_terry_loss": Example(
        losses.bradley_terry_loss, (_a, _b), where=_where, masked=(0, 1), differentiable=(0, 1)
    ),
    "direct_preference_loss": Example(
        losses.direct_preference_loss,
        (_a, _b, _y, _a[::-1].copy()),
        {"flipped": 0.1},
        where=_where,
        masked=(0, 1, 2, 3),
        differentiable=(0, 1),
    ),
    "categorical_cross_entropy": Example(losses.categorical_cross_entropy, (_four, _classes), **_pair),
    "categorical_focal_loss": Example(losses.categorical_focal_loss, (_four, _classes), **_pair),
    "censored_negative_log_likelihood": Example(
        losses.censored_negative_log_likelihood, (_a, np.exp(_b), _y, _labels - (_classes == 0)), **_triple
    ),
    "confidence_reward": Example(losses.confidence_reward, (_labels, _part), differentiable=(1,)),
    "dirichlet_concentrations": Example(losses.dirichlet_concentrations, (_four,), differentiable=(0,)),
    "dirichlet_moments": Example(losses.dirichlet_moments, (1 + np.abs(_four),), differentiable=(0,)),
    "earth_mover_loss": [
        Example(losses.earth_mover_loss, (_four, _classes, _four[:4, 0]), {"mixing": "second"}, **_pair),
        Example(losses.earth_mover_loss, (_four, _classes, _four[:4, 0]), **_pair),  # all of it has a gradient
    ],
    "entropy_regularised_cross_entropy": Example(losses.entropy_regularised_cross_entropy, (_four, _classes), **_pair),
    "evidential_classification_loss": Example(losses.evidential_classification_loss, (_four, _classes), **_pair),
    "evidential_regression_loss": Example(losses.evidential_regression_loss, (_four, _y), **_pair),
    "focal_loss": [
        Example(losses.focal_loss, (_a, _labels), **_pair),
        Example(losses.focal_loss, (_a, _labels), {"alpha": None, "gamma": 0.5}, **_pair),
    ],
    "gaussian_negative_log_likelihood": Example(
        losses.gaussian_negative_log_likelihood, (_a, np.exp(_b), _y), **_triple
    ),
    "homoscedastic_weighting": Example(
        losses.homoscedastic_weighting,
        (_part[:, 0] + 1, _a[:, 0]),
        where=_rows,
        masked=(0, 1),
        differentiable=(0, 1),
    ),
    "mean_loss": Example(losses.mean_loss, (_part,), where=_where, masked=(0,), differentiable=(0,)),
    "normal_inverse_gamma_parameters": Example(losses.normal_inverse_gamma_parameters, (_four,), differentiable=(0,)),
    "smoothed_cross_entropy": [
        Example(losses.smoothed_cross_entropy, (_four, _classes, _part), **_three),
        Example(losses.smoothed_cross_entropy, (_four, _classes, _part), {"spread": "others"}, **_three),
    ],
    "stated_confidence_loss": Example(losses.stated_confidence_loss, (_four, _labels), **_pair),
    "top_token_distillation": [
        Example(
            losses.top_token_distillation,
            (_four, np.stack([_classes, 3 - _classes], -1), np.stack([_part, _part / 2], -1)),
            {"normalise": normalise},
            **_three,
        )
        for normalise in ("linear", "softmax", "rest")
    ],
    "ual_loss": Example(losses.ual_loss, (_four, _classes, _part[:, 0]), **_pair),
    "uncertainty_aware_clm_loss": Example(losses.uncertainty_aware_clm_loss, (_four, _classes), **_pair),
    "uncertainty_smoothing": [
        Example(losses.uncertainty_smoothing, (_part[:, 0],), where=_rows, masked=(0,)),
        Example(losses.uncertainty_smoothing, (_part[:, 0],), {"largest": 0.15, "recentred": True}),
    ],
    "softplus_variance": Example(losses.softplus_variance, (_a,), differentiable=(0,)),
}
# Where each takes labels of a known range: a label outside it makes the loss of its entry NaN.
LABELS: dict[str, int] = {
    **dict.fromkeys(
        (
            "bernoulli_cross_entropy",
            "categorical_cross_entropy",
            "categorical_focal_loss",
            "earth_mover_loss",
            "entropy_regularised_cross_entropy",
            "evidential_classification_loss",
            "focal_loss",
            "smoothed_cross_entropy",
            "stated_confidence_loss",
            "top_token_distillation",
            "ual_loss",
            "uncertainty_aware_clm_loss",
        ),
        1,
    ),
    "confidence_reward": 0,
}
_INF = float("inf")
# Which arguments may hold which values at the edge of their range, where value and gradient are limits, not NaN.
LIMITS: dict[str, dict[int, tuple[float, ...]]] = {
    **{
        key: {0: (-_INF, _INF)}
        for key in (
            "bernoulli_cross_entropy",
            "categorical_cross_entropy",
            "categorical_focal_loss",
            "earth_mover_loss",
            "entropy_regularised_cross_entropy",
            "focal_loss",
            "stated_confidence_loss",
            "ual_loss",
            "uncertainty_aware_clm_loss",
        )
    },
    "beta_negative_log_likelihood": {1: (0.0, _INF)},
    "gaussian_negative_log_likelihood": {1: (0.0, _INF)},
    "behaviour_divergence": {0: (-_INF,), 1: (-_INF,)},
    "confidence_reward": {1: (0.0, 1.0)},
    "smoothed_cross_entropy": {0: (-_INF, _INF), 2: (0.0, 1.0)},
    "softplus_variance": {0: (-_INF, _INF)},
    **{f"top_token_distillation-{way}": {0: (-_INF, _INF), 2: (0.0, 1.0)} for way in range(3)},
}
HOST: dict[str, str] = {
    "REWARDS": "names",
    "DirichletMoments": "a type",
    "NormalInverseGamma": "a type",
}
