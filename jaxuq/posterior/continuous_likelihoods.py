"""Likelihoods of labels that are measured: normal, with heavy tails, with a network's own doubt about its noise."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxuq._arrays import as_float, check_shapes
from jaxuq._options import check_number
from jaxuq.losses import normal_inverse_gamma_parameters
from jaxuq.posterior.forecast import GaussianForecast
from jaxuq.posterior.likelihood import Likelihood, Moments, checked_outputs, independent_roots

VARIANCE_FLOOR = 1e-6


def gaussian(noise_scale: float | None = None) -> Likelihood:
    r"""A normal label whose noise is the network's second output, or known.

    $y \sim \mathcal{N}(\mu, \mathrm{softplus}(s) + 10^{-6})$ for outputs `[*batch, 2]` $= (\mu, s)$; or
    $y \sim \mathcal{N}(\mu, \sigma^2)$ for outputs `[*batch]`.

    Args:
        noise_scale: $\sigma > 0$, the same for all labels; None: a second output for each.

    Returns:
        A `Likelihood` with a `GaussianForecast`. Information: $1/\sigma^2$ of the mean and
        $(\partial\sigma^2/\partial s)^2 / (2\sigma^4)$ of the raw variance.

    Raises:
        OptionError: a scale that is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> print(gaussian(2.0).log_prob(jnp.zeros(1), jnp.array([2.0])).round(3))
        [-2.112]
    """
    if noise_scale is not None:
        variance_of_all = check_number("noise_scale", noise_scale, 0.0, open_low=True) ** 2

    def read(outputs: Array) -> tuple[Array, Array]:
        if noise_scale is not None:
            outputs = as_float(outputs)
            return outputs, jnp.full_like(outputs, variance_of_all)
        outputs = checked_outputs(outputs, 2, "mean and raw variance")
        return outputs[..., 0], jax.nn.softplus(outputs[..., 1]) + VARIANCE_FLOOR

    def log_prob(outputs: Array, labels: Array) -> Array:
        mean, variance = read(outputs)
        check_shapes(outputs=mean, labels=labels)
        return jax.scipy.stats.norm.logpdf(as_float(labels, mean), mean, jnp.sqrt(variance))

    def moments(outputs: Array) -> Moments:
        mean, variance = read(outputs)
        return Moments(average=variance, spread=mean)

    def curvature(outputs: Array) -> Array:
        _, variance = read(outputs)
        if noise_scale is not None:
            return (1 / jnp.sqrt(variance))[..., None]
        slope = jax.nn.sigmoid(as_float(outputs)[..., 1])
        return independent_roots(jnp.stack([1 / variance, slope**2 / (2 * variance**2)], axis=-1))

    return Likelihood(log_prob, moments, _mean_and_variance, curvature)


def _mean_and_variance(moments: Moments) -> GaussianForecast:
    return GaussianForecast(moments.spread.mean, moments.average, moments.spread.variance)


def student_t(degrees_of_freedom: float) -> Likelihood:
    r"""A label with heavy tails: outputs `[*batch, 2]`, location and raw squared scale (read as a Gaussian's variance).

    $y \sim t_\nu(\mu, \mathrm{softplus}(s) + 10^{-6})$. Use it where labels have outliers that a Gaussian would follow.

    Args:
        degrees_of_freedom: $\nu > 2$, so that there is a variance; 4 is heavy, 30 nearly normal.

    Returns:
        A `Likelihood` with a `GaussianForecast` of mean and variance $\sigma^2 \nu / (\nu - 2)$, not of the tails.
        Information: $\frac{\nu+1}{(\nu+3)\sigma^2}$ of the location, $\frac{\nu}{2(\nu+3)\sigma^4}$ of $\sigma^2$.

    Raises:
        OptionError: two degrees of freedom or fewer.

    Example:
        >>> import jax.numpy as jnp
        >>> [f"{value:.3f}" for value in student_t(4.0).log_prob(jnp.array([[0.0, 0.5413]]), jnp.array([2.0]))]
        ['-2.714']

    References:
        K. L. Lange, R. J. A. Little, J. M. G. Taylor, "Robust Statistical Modeling Using the t Distribution", JASA
        1989, appendix B (the information).
    """
    nu = check_number("degrees_of_freedom", degrees_of_freedom, 2.0, open_low=True)

    def read(outputs: Array) -> tuple[Array, Array]:
        outputs = checked_outputs(outputs, 2, "location and raw squared scale")
        return outputs[..., 0], jax.nn.softplus(outputs[..., 1]) + VARIANCE_FLOOR

    def log_prob(outputs: Array, labels: Array) -> Array:
        location, squared = read(outputs)
        check_shapes(outputs=location, labels=labels)
        return jax.scipy.stats.t.logpdf(as_float(labels, location), nu, location, jnp.sqrt(squared))

    def moments(outputs: Array) -> Moments:
        location, squared = read(outputs)
        return Moments(average=squared * (nu / (nu - 2)), spread=location)

    def curvature(outputs: Array) -> Array:
        _, squared = read(outputs)
        slope = jax.nn.sigmoid(as_float(outputs)[..., 1])
        scale = nu / (2 * (nu + 3)) * (slope / squared) ** 2
        return independent_roots(jnp.stack([(nu + 1) / ((nu + 3) * squared), scale], axis=-1))

    return Likelihood(log_prob, moments, _mean_and_variance, curvature)


def evidential() -> Likelihood:
    r"""A Student t whose parameters come from a normal-inverse-gamma distribution, outputs `[*batch, 4]`.

    $y \sim t_{2\alpha}(\gamma, \beta (1 + \nu) / (\nu \alpha))$, read by
    `jaxuq.losses.normal_inverse_gamma_parameters`. One network has an epistemic part of its own,
    $\beta / (\nu (\alpha - 1))$, which the samples' spread adds to.

    Returns:
        A `Likelihood` with a `GaussianForecast`. Its `curvature` is that of the location alone, the other three outputs
        having none: a Laplace approximation sees the mean's uncertainty.

    Example:
        >>> import jax.numpy as jnp
        >>> evidential().log_prob(jnp.zeros((5, 4)), jnp.zeros(5)).shape
        (5,)

    References:
        A. Amini, W. Schwarting, A. Soleimany, D. Rus, "Deep Evidential Regression", NeurIPS 2020, Eq. 5 to 7.
    """

    def read(outputs: Array) -> Any:
        return normal_inverse_gamma_parameters(checked_outputs(outputs, 4, "gamma, nu, alpha, beta"))

    def squared_scale(p: Any) -> Array:
        return p.beta * (1 + p.nu) / (p.nu * p.alpha)

    def log_prob(outputs: Array, labels: Array) -> Array:
        p = read(outputs)
        check_shapes(outputs=p.gamma, labels=labels)
        return jax.scipy.stats.t.logpdf(as_float(labels, p.gamma), 2 * p.alpha, p.gamma, jnp.sqrt(squared_scale(p)))

    def moments(outputs: Array) -> Moments:
        p = read(outputs)
        return Moments(average=(p.aleatoric, p.epistemic), spread=p.gamma)

    def predictive(moments: Moments) -> GaussianForecast:
        aleatoric, epistemic = moments.average
        return GaussianForecast(moments.spread.mean, aleatoric, epistemic + moments.spread.variance)

    def curvature(outputs: Array) -> Array:
        p = read(outputs)
        root = jnp.sqrt((2 * p.alpha + 1) / ((2 * p.alpha + 3) * squared_scale(p)))
        return jnp.stack([root, *[jnp.zeros_like(root)] * 3], axis=-1)[..., None]

    return Likelihood(log_prob, moments, predictive, curvature)
