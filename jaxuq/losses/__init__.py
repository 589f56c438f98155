"""The losses room: what to train with.

Every loss is one pure function `(outputs..., targets, *, where=None, ...) -> scalar`, the mean over the entries that
`where` keeps; 0 with gradient 0 if it keeps none. Masked entries may hold NaN.
"""

from jaxuq.losses.behaviour import behaviour_divergence
from jaxuq.losses.confidence_reward import REWARDS, confidence_reward
from jaxuq.losses.cross_entropy import bernoulli_cross_entropy, categorical_cross_entropy
from jaxuq.losses.distillation import top_token_distillation
from jaxuq.losses.earth_mover import earth_mover_loss
from jaxuq.losses.evidential_classification import (
    DirichletMoments,
    dirichlet_concentrations,
    dirichlet_moments,
    evidential_classification_loss,
)
from jaxuq.losses.evidential_regression import (
    NormalInverseGamma,
    evidential_regression_loss,
    normal_inverse_gamma_parameters,
)
from jaxuq.losses.focal import focal_loss
from jaxuq.losses.gaussian import beta_negative_log_likelihood, gaussian_negative_log_likelihood, softplus_variance
from jaxuq.losses.label_smoothing import smoothed_cross_entropy, ual_loss, uncertainty_smoothing
from jaxuq.losses.language_model import (
    categorical_focal_loss,
    entropy_regularised_cross_entropy,
    uncertainty_aware_clm_loss,
)
from jaxuq.losses.stated_confidence import stated_confidence_loss
from jaxuq.losses.task_weighting import homoscedastic_weighting

__all__ = [
    "REWARDS",
    "DirichletMoments",
    "NormalInverseGamma",
    "behaviour_divergence",
    "bernoulli_cross_entropy",
    "beta_negative_log_likelihood",
    "categorical_cross_entropy",
    "categorical_focal_loss",
    "confidence_reward",
    "dirichlet_concentrations",
    "dirichlet_moments",
    "earth_mover_loss",
    "entropy_regularised_cross_entropy",
    "evidential_classification_loss",
    "evidential_regression_loss",
    "focal_loss",
    "gaussian_negative_log_likelihood",
    "homoscedastic_weighting",
    "normal_inverse_gamma_parameters",
    "smoothed_cross_entropy",
    "softplus_variance",
    "stated_confidence_loss",
    "top_token_distillation",
    "ual_loss",
    "uncertainty_aware_clm_loss",
    "uncertainty_smoothing",
]
