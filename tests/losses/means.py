"""The losses as training minimises them: each reduced by `mean_loss` over the entries that its mask keeps."""

import functools

import jax.numpy as jnp

from jaxuq import losses


def reduced(loss):
    """`loss` with a scalar for a result."""

    @functools.wraps(loss)
    def function(*args, where=None, **options):
        each = loss(*args, where=where, **options)
        if each.ndim == 0 and where is not None and where.ndim:
            return each  # a scalar by nature
        kept = where if where is None or where.ndim == each.ndim else jnp.any(where, axis=-1)
        return losses.mean_loss(each, where=kept)

    return function


def _of_raw_variance(loss):
    return lambda mean, raw, targets, **options: loss(mean, losses.softplus_variance(raw), targets, **options)


bernoulli_cross_entropy = reduced(losses.bernoulli_cross_entropy)
beta_negative_log_likelihood = _of_raw_variance(reduced(losses.beta_negative_log_likelihood))
categorical_cross_entropy = reduced(losses.categorical_cross_entropy)
categorical_focal_loss = reduced(losses.categorical_focal_loss)
entropy_regularised_cross_entropy = reduced(losses.entropy_regularised_cross_entropy)
evidential_classification_loss = reduced(losses.evidential_classification_loss)
evidential_regression_loss = reduced(losses.evidential_regression_loss)
focal_loss = reduced(losses.focal_loss)
gaussian_negative_log_likelihood = _of_raw_variance(reduced(losses.gaussian_negative_log_likelihood))
smoothed_cross_entropy = reduced(losses.smoothed_cross_entropy)
stated_confidence_loss = reduced(losses.stated_confidence_loss)
ual_loss = reduced(losses.ual_loss)
