"""Negative log likelihoods: the logarithmic score of binary, categorical and Gaussian predictions.

Each is the mean of the loss of the same name in `jaxuq.losses`, NaN where a loss of nothing would be 0.
"""

from jaxtyping import Array, Bool, Float, Integer, Real, Shaped

from jaxuq import losses
from jaxuq._arrays import weighted_mean
from jaxuq._shapes import checked


@checked
def bernoulli_negative_log_likelihood(
    logits: Float[Array, " n"],
    labels: Shaped[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Mean negative log likelihood of binary labels.

    $$\mathrm{NLL} = -\frac1N \sum_n \left[y_n \log \hat p_n + (1 - y_n) \log (1 - \hat p_n)\right],
      \qquad \hat p_n = \mathrm{sigmoid}(z_n)$$

    A strictly proper score that punishes confident errors without bound; see `brier_score` for a bounded one. It reads
    logits, so it is exact where the probability rounds to 0 or 1. To score probabilities, pass
    `jax.scipy.special.logit(probabilities)`: probabilities of exactly 0 and 1 are then scored as 0 or infinity.

    Args:
        logits: log odds of the positive class; infinities are allowed.
        labels: 0 or 1 (or booleans), or probabilities of the positive class.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar >= 0 in nats; NaN if no entry counts or a label that counts lies outside [0, 1].

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> probabilities = jnp.array([0.5, 1.0])
        >>> logits = jax.scipy.special.logit(probabilities)
        >>> print(bernoulli_negative_log_likelihood(logits, jnp.array([0, 1])).round(4))
        0.3466

    References:
        Good, Rational Decisions, JRSS B 14(1), 1952.
        Gneiting and Raftery, Strictly Proper Scoring Rules, Prediction, and Estimation, JASA 102(477), 2007.
        Li, Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models, Georgia Institute of
        Technology, 2025 (equation 2.1).
    """
    return weighted_mean(losses.bernoulli_cross_entropy(logits, labels, where=where), where, weights)


@checked
def categorical_negative_log_likelihood(
    logits: Float[Array, "n classes"],
    labels: Integer[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Mean negative log likelihood of class labels.

    $$\mathrm{NLL} = -\frac1N \sum_n \log \mathrm{softmax}(z_n)_{y_n}$$

    The many-class form of `bernoulli_negative_log_likelihood`. To score probabilities, pass their logarithm.

    Args:
        logits: unnormalised log probabilities of the classes; minus infinity is allowed.
        labels: class indices in [0, classes).
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar >= 0 in nats; NaN if no entry counts or a counted label lies outside the classes.

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> logits = jnp.log(jnp.array([[0.5, 0.25, 0.25]]))
        >>> print(categorical_negative_log_likelihood(logits, jnp.array([0])).round(4))
        0.6931

    References:
        Good, Rational Decisions, JRSS B 14(1), 1952.
        Gneiting and Raftery, Strictly Proper Scoring Rules, Prediction, and Estimation, JASA 102(477), 2007.
    """
    return weighted_mean(losses.categorical_cross_entropy(logits, labels, where=where), where, weights)


@checked
def gaussian_negative_log_likelihood(
    mean: Float[Array, " n"],
    variance: Float[Array, " n"],
    labels: Float[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Mean negative log likelihood of real labels under Gaussian predictions.

    $$\mathrm{NLL} = \frac1N \sum_n \tfrac12 \left[\log (2 \pi \sigma^2_n) + \frac{(y_n - \mu_n)^2}{\sigma^2_n}\right]$$

    A strictly proper score for densities. It depends on the units of the labels (rescaling them shifts it), and one
    overconfident miss can decide the mean; `gaussian_crps` is gentler.

    Args:
        mean: predictive means, in the units of the labels.
        variance: predictive variances >= 0 (not standard deviations), in squared units; see
            `jaxuq.losses.gaussian_negative_log_likelihood` for 0.
        labels: true values.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar in nats, of either sign; NaN if no entry counts.

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> mean, variance, labels = jnp.array([0.0]), jnp.array([1.0]), jnp.array([1.0])
        >>> print(gaussian_negative_log_likelihood(mean, variance, labels).round(4))
        1.4189

    References:
        Nix and Weigend, Estimating the Mean and Variance of the Target Probability Distribution, ICNN, 1994.
        Li, Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models, Georgia Institute of
        Technology, 2025 (equation 2.2).
    """
    each = losses.gaussian_negative_log_likelihood(mean, variance, labels, where=where)
    return weighted_mean(each, where, weights)
