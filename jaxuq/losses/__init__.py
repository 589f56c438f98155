"""The losses room: what to train with.

Every loss is one pure function `(outputs..., targets, *, where=None, ...) -> one number an entry`, 0 where `where` is
False (those entries may hold NaN); `mean_loss(losses, where=, weights=)` makes the number to minimise of them, 0 with
gradient 0 if nothing counts. Two are scalars by nature and say so: `uncertainty_aware_clm_loss` and
`homoscedastic_weighting`. Sums are taken in at least single precision; a target that is no class, or outside [0, 1], is
NaN.

    loss = mean_loss(bernoulli_cross_entropy(logits, labels, where=known), where=known, weights=weights)
"""

from jaxuq.losses.behaviour import behaviour_divergence
from jaxuq.losses.censored import censored_negative_log_likelihood
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
from jaxuq.losses.mean import mean_loss
from jaxuq.losses.preferences import bradley_terry_loss, direct_preference_loss
from jaxuq.losses.stated_confidence import stated_confidence_loss
from jaxuq.losses.task_weighting import homoscedastic_weighting

__all__ = [
    "REWARDS",
    "DirichletMoments",
    "NormalInverseGamma",
    "behaviour_divergence",
    "bernoulli_cross_entropy",
    "beta_negative_log_likelihood",
    "bradley_terry_loss",
    "categorical_cross_entropy",
    "categorical_focal_loss",
    "censored_negative_log_likelihood",
    "confidence_reward",
    "direct_preference_loss",
    "dirichlet_concentrations",
    "dirichlet_moments",
    "earth_mover_loss",
    "entropy_regularised_cross_entropy",
    "evidential_classification_loss",
    "evidential_regression_loss",
    "focal_loss",
    "gaussian_negative_log_likelihood",
    "homoscedastic_weighting",
    "mean_loss",
    "normal_inverse_gamma_parameters",
    "smoothed_cross_entropy",
    "softplus_variance",
    "stated_confidence_loss",
    "top_token_distillation",
    "ual_loss",
    "uncertainty_aware_clm_loss",
    "uncertainty_smoothing",
]
