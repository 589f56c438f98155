"""Continuous ranked probability score, of Gaussian predictions and of samples."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Real

from jaxuq._arrays import as_float, factors_of, select, weighted, weighted_mean
from jaxuq._errors import ArrayError
from jaxuq._meshes import whole
from jaxuq._options import check_choice
from jaxuq._shapes import checked

_INVERSE_SQRT_PI = float(1.0 / np.sqrt(np.pi))


@checked
def gaussian_crps(
    mean: Float[Array, " n"],
    variance: Float[Array, " n"],
    labels: Float[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Mean continuous ranked probability score of Gaussian predictions.

    $$\mathrm{CRPS} = \frac1N \sum_n \int (F_n(t) - \mathbb{I}(t \ge y_n))^2 dt
      = \frac1N \sum_n \sigma_n \left[z_n (2 \Phi(z_n) - 1) + 2 \varphi(z_n) - \pi^{-1/2}\right],
      \quad z_n = \frac{y_n - \mu_n}{\sigma_n}$$

    A strictly proper score in the units of the labels; as the variance shrinks it becomes `mean_absolute_error`. Less
    swayed by a few confident misses than `gaussian_negative_log_likelihood`.

    Args:
        mean: predictive means, in the units of the labels.
        variance: predictive variances >= 0 (not standard deviations); 0 is scored as the absolute error.
        labels: true values.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar >= 0 in the units of the labels; NaN if no entry counts.

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{gaussian_crps(jnp.array([0.0]), jnp.array([1.0]), jnp.array([0.0])):.4f}")
        0.2337

    References:
        Gneiting, Raftery, Westveld and Goldman, Calibrated Probabilistic Forecasting Using Ensemble Model Output
        Statistics and Minimum CRPS Estimation, Monthly Weather Review 133, 2005 (equation 5).
    """
    factors, mean, variance, labels = weighted(where, weights, mean=mean, variance=variance, labels=labels)
    errors, spread, endless = labels - mean, variance != 0, variance == jnp.inf
    deviation = jnp.sqrt(jnp.where(spread & ~endless, variance, 1.0))
    z = errors / deviation
    density = jax.scipy.stats.norm.pdf(z)
    scores = deviation * (z * (2.0 * jax.scipy.special.ndtr(z) - 1.0) + 2.0 * density - _INVERSE_SQRT_PI)
    scores = jnp.where(spread, jnp.where(endless, jnp.inf, scores), jnp.abs(errors))
    return weighted_mean(scores, weights=factors)


@checked
def sample_crps(
    samples: Float[Array, "samples n"],
    labels: Float[Array, " n"],
    *,
    estimator: Literal["plain", "fair"] = "plain",
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Mean continuous ranked probability score of predictions given as samples.

    $$\mathrm{CRPS} = \frac1N \sum_n \left[\frac1m \sum_i |x_{in} - y_n|
      - \frac{1}{2 c} \sum_{i,j} |x_{in} - x_{jn}|\right]$$

    with $c = m^2$ (plain) or $c = m (m - 1)$ (fair). The plain form scores the empirical distribution of the samples;
    with one sample it is the absolute error, and it favours larger ensembles. The fair form is an unbiased estimate of
    the score of the distribution that the samples come from: use it to compare ensembles of different size. The double
    sum is computed by sorting, O(m log m) an item; memory is that of `samples`.

    Args:
        samples: predictive samples, in the units of the labels.
        labels: true values.
        estimator: `"plain"` or `"fair"`.
        where: True for the items that count; None counts all.
        weights: how often each item counts, >= 0; None: once.

    Returns:
        A scalar in the units of the labels (the fair form may be negative); NaN if no item counts.

    Raises:
        ArrayError: the shapes differ, there are further axes, or `"fair"` with fewer than two samples.
        OptionError: if `estimator` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> samples, labels = jnp.array([[0.0], [2.0]]), jnp.array([1.0])
        >>> print(sample_crps(samples, labels), sample_crps(samples, labels, estimator="fair"))
        0.5 0.0

    References:
        Gneiting and Raftery, Strictly Proper Scoring Rules, Prediction, and Estimation, JASA 102(477), 2007
        (equation 21).
        Ferro, Fair Scores for Ensemble Forecasts, Quarterly Journal of the Royal Meteorological Society 140, 2014.
    """
    check_choice("estimator", estimator, ("plain", "fair"))
    m = samples.shape[0]
    least = 2 if estimator == "fair" else 1
    if m < least:
        raise ArrayError(f"samples has {m} samples on axis 0; the {estimator} estimator needs at least {least}")
    both = samples, labels
    samples, labels = (as_float(array, *both) for array in both)
    factors = factors_of(where, weights, labels)
    kept = jnp.broadcast_to(factors != 0, samples.shape)
    labels = select(labels, factors != 0)
    truth = jnp.broadcast_to(labels, samples.shape)
    errors = jnp.sort(whole(jnp.where(kept, samples, truth) - truth), axis=0)
    # Sum over pairs i < j of x_(j) - x_(i): the i-th smallest is subtracted m - i times and added i - 1 times.
    times = jnp.asarray(2.0 * np.arange(m) - (m - 1), errors.dtype)
    pairs = m * m if estimator == "plain" else m * (m - 1)
    spread = jnp.sum(jnp.broadcast_to(times[:, None], errors.shape) * errors, axis=0) / pairs
    return weighted_mean(jnp.mean(jnp.abs(errors), axis=0) - spread, weights=whole(factors))
