"""Negative log-likelihoods of a Gaussian whose mean and variance are both predicted."""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq.losses._masked import filled, masked_mean


def softplus_variance(raw_variance: Float[Array, "*batch"], *, min_variance: float = 1e-6) -> Float[Array, "*batch"]:
    r"""The variance that a network's unbounded output stands for.

    $$\sigma^2 = \log(1 + e^{r}) + \sigma^2_{\min}$$

    The Gaussian losses train with it and a forecast must read the output with the same `min_variance`. It is a
    variance, not a standard deviation.

    Args:
        raw_variance: the output r of the network.
        min_variance: the smallest variance, >= 0, in squared units of the labels as the network sees them.

    Returns:
        Variances >= `min_variance`.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(float(value), 6) for value in softplus_variance(jnp.array([-100.0, 0.0]))]
        [1e-06, 0.693148]

    References:
        B. Lakshminarayanan, A. Pritzel, C. Blundell, "Simple and Scalable Predictive Uncertainty Estimation using Deep
        Ensembles", NeurIPS 2017, section 2.2.1.
    """
    return jax.nn.softplus(raw_variance) + min_variance


def _negative_log_density(mean, variance, targets):
    return 0.5 * (math.log(2 * math.pi) + jnp.log(variance) + jnp.square(targets - mean) / variance)


def gaussian_negative_log_likelihood(
    mean: Float[Array, "*batch"],
    raw_variance: Float[Array, "*batch"],
    targets: Float[Array, "*batch"],
    *,
    min_variance: float = 1e-6,
    convention: Literal["density", "muben"] = "density",
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, ""]:
    r"""Mean negative log density of the targets under predicted Gaussians, the constant included.

    $$\ell = \frac1N \sum_n \tfrac12 \Big[\log 2\pi + \log\sigma^2_n + \frac{(y_n - \mu_n)^2}{\sigma^2_n}\Big],
      \qquad \sigma^2_n = \mathrm{softplus}(r_n) + \sigma^2_{\min}$$

    Use it to train a regression head with two outputs a task. Its gradient with respect to the mean is divided by the
    variance, so badly fitted points are given up early; `beta_negative_log_likelihood` cures that.

    Args:
        mean: predicted means.
        raw_variance: unbounded outputs r; `softplus_variance` turns them into variances.
        targets: labels in the units of `mean`.
        min_variance: added to the softplus, >= 0.
        convention: "density" keeps $\tfrac12\log 2\pi$; "muben" drops it, as MUBen and `torch.nn.functional` do
            (values differ by 0.9189, gradients do not).
        where: True where the label is known; None keeps all. The rest may hold NaN.

    Returns:
        The mean over the known labels in nats; 0, with gradient 0, if there are none.

    Raises:
        ValueError: if `convention` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> raw = jnp.log(jnp.expm1(jnp.ones(1)))  # variance 1
        >>> round(float(gaussian_negative_log_likelihood(jnp.zeros(1), raw, jnp.zeros(1))), 4)
        0.9189

    References:
        D. A. Nix, A. S. Weigend, "Estimating the mean and variance of the target probability distribution", ICNN 1994.
    """
    if convention not in ("density", "muben"):
        raise ValueError(f"convention is {convention!r}; expected 'density' (full) or 'muben' (without log 2 pi / 2)")
    variance = softplus_variance(filled(where, raw_variance, 0.0), min_variance=min_variance)
    losses = _negative_log_density(filled(where, mean, 0.0), variance, filled(where, targets, 0.0))
    if convention == "muben":
        losses = losses - 0.5 * math.log(2 * math.pi)
    return masked_mean(losses, where)


def beta_negative_log_likelihood(
    mean: Float[Array, "*batch"],
    raw_variance: Float[Array, "*batch"],
    targets: Float[Array, "*batch"],
    *,
    beta: float = 0.5,
    min_variance: float = 1e-6,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, ""]:
    r"""Gaussian negative log-likelihood, each term weighted by a power of its own variance.

    $$\ell = \frac1N \sum_n \lfloor\sigma_n^{2\beta}\rfloor \big(-\log \mathcal{N}(y_n \mid \mu_n, \sigma^2_n)\big)$$

    where $\lfloor\cdot\rfloor$ stops the gradient. With `beta=0` it is `gaussian_negative_log_likelihood`; with
    `beta=1` the mean has exactly the gradient of half the squared error. The value is not a likelihood: train with it,
    report the unweighted one.

    Args:
        mean: predicted means.
        raw_variance: unbounded outputs; `softplus_variance` turns them into variances.
        targets: labels in the units of `mean`.
        beta: the power, in [0, 1]; the authors recommend 0.5.
        min_variance: added to the softplus, >= 0.
        where: True where the label is known; None keeps all. The rest may hold NaN.

    Returns:
        The mean over the known labels; 0, with gradient 0, if there are none.

    Raises:
        ValueError: if `beta` is outside [0, 1].

    Example:
        >>> import jax, jax.numpy as jnp
        >>> raw = jnp.full(1, 3.0)
        >>> gradient = jax.grad(beta_negative_log_likelihood)(jnp.ones(1), raw, jnp.zeros(1), beta=1.0)
        >>> gradient.round(4).tolist()
        [1.0]

    References:
        M. Seitzer, A. Tavakoli, D. Antic, G. Martius, "On the Pitfalls of Heteroscedastic Uncertainty Estimation with
        Probabilistic Neural Networks", ICLR 2022, section 4 (the beta-NLL loss).
    """
    if not 0 <= beta <= 1:
        raise ValueError(f"beta is {beta}; expected a number in [0, 1] (0: likelihood, 1: squared error for the mean)")
    variance = softplus_variance(filled(where, raw_variance, 0.0), min_variance=min_variance)
    losses = _negative_log_density(filled(where, mean, 0.0), variance, filled(where, targets, 0.0))
    return masked_mean(jax.lax.stop_gradient(variance**beta) * losses, where)
