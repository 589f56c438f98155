"""The losses room: what to train with.

Every loss is one pure function `(outputs..., targets, *, where=None, ...) -> scalar`, the mean over the entries that
`where` keeps; 0 with gradient 0 if it keeps none. Masked entries may hold NaN.
"""

from jaxuq.losses.cross_entropy import bernoulli_cross_entropy, categorical_cross_entropy
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

__all__ = [
    "DirichletMoments",
    "NormalInverseGamma",
    "bernoulli_cross_entropy",
    "beta_negative_log_likelihood",
    "categorical_cross_entropy",
    "dirichlet_concentrations",
    "dirichlet_moments",
    "evidential_classification_loss",
    "evidential_regression_loss",
    "focal_loss",
    "gaussian_negative_log_likelihood",
    "normal_inverse_gamma_parameters",
    "softplus_variance",
]
