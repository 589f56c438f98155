"""Negative log-likelihoods of a Gaussian whose mean and variance are both predicted."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._arrays import as_float, select
from jaxuq._options import check_number
from jaxuq._shapes import checked


@checked
def softplus_variance(raw_variance: Float[Array, "*batch"], *, min_variance: float = 1e-6) -> Float[Array, "*batch"]:
    r"""The variance that a network's unbounded output stands for.

    $$\sigma^2 = \log(1 + e^{r}) + \sigma^2_{\min}$$

    The Gaussian losses train with it and a forecast must read the output with the same `min_variance`. It is a
    variance, not a standard deviation.

    Args:
        raw_variance: the output r of the network.
        min_variance: the smallest variance, >= 0, in squared units of the labels as the network sees them.

    Returns:
        Variances >= `min_variance`, in at least single precision.

    Raises:
        OptionError: `min_variance` is negative.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(float(value), 6) for value in softplus_variance(jnp.array([-100.0, 0.0]))]
        [1e-06, 0.693148]

    References:
        B. Lakshminarayanan, A. Pritzel, C. Blundell, "Simple and Scalable Predictive Uncertainty Estimation using Deep
        Ensembles", NeurIPS 2017, section 2.2.1.
    """
    check_number("min_variance", min_variance, 0.0)
    return jax.nn.softplus(as_float(raw_variance)) + min_variance


@checked
def gaussian_negative_log_likelihood(
    mean: Float[Array, "*batch"],
    variance: Float[Array, "*batch"],
    targets: Float[Array, "*batch"],
    *,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""Negative log density of each target under its predicted Gaussian, the constant included.

    $$\ell_n = \tfrac12 \Big[\log 2\pi + \log\sigma^2_n + \frac{(y_n - \mu_n)^2}{\sigma^2_n}\Big]$$

    Use it to train a regression head with two outputs a task, of which `softplus_variance` makes the second a variance.
    Its gradient with respect to the mean is divided by the variance, so badly fitted points are given up early;
    `beta_negative_log_likelihood` cures that.

    Args:
        mean: predicted means.
        variance: predicted variances >= 0 (not standard deviations), in squared units of the targets.
        targets: labels in the units of `mean`.
        where: True where the label is known; None keeps all. The rest may hold NaN.

    Returns:
        The loss of each entry in nats, of either sign, in at least single precision. A variance of 0 is the limit:
        minus infinity for a mean that is right, infinity for one that is not; a negative one gives NaN. 0, with
        gradient 0, where `where` is False.

    Raises:
        ArrayError: the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> losses = gaussian_negative_log_likelihood(jnp.zeros(2), jnp.ones(2), jnp.array([0.0, 1.0]))
        >>> [round(float(loss), 4) for loss in losses]
        [0.9189, 1.4189]

    References:
        D. A. Nix, A. S. Weigend, "Estimating the mean and variance of the target probability distribution", ICNN 1994.
    """
    arrays = (mean, variance, targets)
    mean, variance, targets = (select(as_float(a, *arrays), where, fill) for a, fill in zip(arrays, (0, 1, 0)))
    errors = targets - mean
    positive = variance != 0
    safe = jnp.where(positive, variance, jnp.ones_like(variance))
    # The error is divided before it is squared: its square may leave the range of single precision.
    density = 0.5 * (jnp.log(safe) + errors / safe * errors)
    limit = jnp.where(errors == 0, -jnp.inf, jnp.where(jnp.isnan(errors), jnp.nan, jnp.inf))
    losses = jnp.where(positive, density, limit)
    return select(losses + 0.5 * math.log(2 * math.pi), where)


@checked
def beta_negative_log_likelihood(
    mean: Float[Array, "*batch"],
    variance: Float[Array, "*batch"],
    targets: Float[Array, "*batch"],
    *,
    beta: float = 0.5,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""Gaussian negative log-likelihood, each term weighted by a power of its own variance.

    $$\ell_n = \lfloor\sigma_n^{2\beta}\rfloor \big(-\log \mathcal{N}(y_n \mid \mu_n, \sigma^2_n)\big)$$

    where $\lfloor\cdot\rfloor$ stops the gradient. With `beta=0` it is `gaussian_negative_log_likelihood`; with
    `beta=1` the mean has exactly the gradient of half the squared error. The value is not a likelihood: train with it,
    report the unweighted one.

    Args:
        mean: predicted means.
        variance: predicted variances >= 0, such as those of `softplus_variance`.
        targets: labels in the units of `mean`.
        beta: the power, in [0, 1]; the authors recommend 0.5.
        where: True where the label is known; None keeps all. The rest may hold NaN.

    Returns:
        The loss of each entry, in at least single precision; 0, with gradient 0, where `where` is False. A variance of
        0 or infinity is the limit: with `beta` between 0 and 1, 0 without variance for a mean that is right, else
        infinity.

    Raises:
        ArrayError: the shapes differ.
        OptionError: if `beta` is outside [0, 1].

    Example:
        >>> import jax, jax.numpy as jnp
        >>> loss = lambda mean: beta_negative_log_likelihood(mean, jnp.array(3.0), jnp.array(0.0), beta=1.0)
        >>> print(jax.grad(loss)(jnp.array(1.0)).round(4))
        1.0

    References:
        M. Seitzer, A. Tavakoli, D. Antic, G. Martius, "On the Pitfalls of Heteroscedastic Uncertainty Estimation with
        Probabilistic Neural Networks", ICLR 2022, section 4 (the beta-NLL loss).
    """
    check_number("beta", beta, 0.0, 1.0)
    losses = gaussian_negative_log_likelihood(mean, variance, targets, where=where)
    if beta == 0:
        return losses
    mean, variance, targets = (
        select(as_float(a, losses), where, fill) for a, fill in zip((mean, variance, targets), (0, 1, 0))
    )
    errors, flat = targets - mean, jnp.isinf(variance)
    at_edge = (variance == 0) | flat
    if beta == 1:
        limit = 0.5 * errors**2 + jnp.where(flat, 0.5 * variance, jnp.zeros_like(errors))
    else:
        limit = jnp.where((errors == 0) & ~flat, 0.0, jnp.where(jnp.isnan(errors), jnp.nan, jnp.inf))
    weight = jax.lax.stop_gradient(jnp.where(at_edge, jnp.ones_like(variance), variance) ** beta)
    return jnp.where(at_edge, limit, weight * jnp.where(at_edge, jnp.zeros_like(losses), losses))
