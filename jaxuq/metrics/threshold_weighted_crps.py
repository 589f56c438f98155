"""The continuous ranked probability score over a part of the labels' range, such as what is beyond a threshold."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxuq._arrays import weighted, weighted_mean
from jaxuq._errors import OptionError
from jaxuq._shapes import checked

_ROOT_TWO, _INVERSE_SQRT_PI = math.sqrt(2), 1 / math.sqrt(math.pi)


def _area(z: Array) -> Array:
    r"""$\int_{-\infty}^z \Phi(t)^2 dt$; 0 at minus infinity."""
    never = z == -jnp.inf
    z = jnp.where(never, 0, z)
    below, density = jax.scipy.special.ndtr(z), jax.scipy.stats.norm.pdf(z)
    area = z * jnp.square(below) + 2 * density * below - _INVERSE_SQRT_PI * jax.scipy.special.ndtr(_ROOT_TWO * z)
    return jnp.where(never, 0, area)


@checked
def threshold_weighted_crps(
    mean: Float[Array, " n"],
    variance: Float[Array, " n"],
    labels: Float[Array, " n"],
    *,
    lower: float = -math.inf,
    upper: float = math.inf,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Mean continuous ranked probability score of Gaussian predictions, over thresholds between two bounds.

    $$\frac1N \sum_n \int_a^b (F_n(t) - \mathbb{I}(t \ge y_n))^2 dt
      = \frac1N \sum_n \sigma_n \left[G(z) + G(-z) - G(\alpha) - G(-\beta)\right],\quad
      G(u) = \int_{-\infty}^u \Phi^2$$

    with z the label, brought between the bounds, and $\alpha$, $\beta$ these, all standardised. Use it where a range
    decides: potencies above a threshold, forecasts of extremes. It is proper, unlike a score of the examples whose
    labels lie in the range, which rewards forecasts of extremes always. Without bounds it is `gaussian_crps`; of
    samples it is `sample_crps` of samples and labels clipped to the bounds.

    Args:
        mean: predictive means, in the units of the labels.
        variance: predictive variances >= 0; 0 is scored as the part of the absolute error between the bounds.
        labels: true values.
        lower: a, in the units of the labels.
        upper: b > a.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar >= 0 in the units of the labels; NaN if no entry counts.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: the bounds are not in order.

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones(1)
        >>> print(f"{threshold_weighted_crps(0 * one, one, 0 * one, lower=0.0):.4f}")  # half of 0.2337
        0.1168

    References:
        T. Gneiting, R. Ranjan, "Comparing Density Forecasts Using Threshold- and Quantile-weighted Scoring Rules",
        Journal of Business and Economic Statistics 29, 2011, Eq. 14.
    """
    if not lower < upper:
        raise OptionError(f"the bounds are {lower} and {upper}; expected lower < upper")
    factors, mean, variance, labels = weighted(where, weights, mean=mean, variance=variance, labels=labels)
    spread = variance != 0
    deviation = jnp.sqrt(jnp.where(spread, variance, 1))
    first, last = (
        (bound - mean) / deviation if math.isfinite(bound) else jnp.full_like(mean, bound) for bound in (lower, upper)
    )
    z = jnp.clip((labels - mean) / deviation, first, last)
    scores = deviation * (_area(z) + _area(-z) - _area(first) - _area(-last))
    exact = jnp.abs(jnp.clip(labels, lower, upper) - jnp.clip(mean, lower, upper))
    return weighted_mean(jnp.where(spread, scores, exact), weights=factors)
