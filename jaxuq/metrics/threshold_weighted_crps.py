"""The continuous ranked probability score over a part of the labels' range, such as what is beyond a threshold."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Real

from jaxuq._arrays import weighted, weighted_mean
from jaxuq._errors import OptionError
from jaxuq._meshes import vary_like
from jaxuq._shapes import checked

_INVERSE_SQRT_PI = 1 / math.sqrt(math.pi)
_NODES, _WEIGHTS = np.polynomial.laguerre.laggauss(24)


def _lower_tail(z: Array) -> Array:
    r"""$G(z) = \int_{-\infty}^z \Phi(t)^2 dt$ for $z \le 0$, by a rule of positive terms: exact far below, too."""
    z = jnp.clip(z, -1e3, 0)
    rate = 1.3 - 2 * z  # of the decay of the squared distribution function below z

    def add(total: Array, node: tuple[Array, Array]) -> tuple[Array, None]:
        place, log_weight = node
        return total + jnp.exp(log_weight + 2 * jax.scipy.special.log_ndtr(z - place / rate)) / rate, None

    nodes = jnp.asarray(_NODES, z.dtype), jnp.asarray(np.log(_WEIGHTS) + _NODES, z.dtype)
    return jax.lax.scan(add, vary_like(jnp.zeros_like(z), z), nodes)[0]


def _bent(z: Array) -> Array:
    r"""$G(z) - \max(z, 0)$: what is left of the area where a step at 0 is taken off."""
    tail = _lower_tail(-jnp.abs(z))
    size = jnp.clip(z, 0, 40)
    above = jax.scipy.stats.norm.pdf(size) - size * jax.scipy.special.ndtr(-size)
    return jnp.where(z > 0, 2 * above - _INVERSE_SQRT_PI - tail, tail)


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

    with z the label, brought between the bounds, and $\alpha$, $\beta$ these, all standardised; computed without
    differences of large numbers, so that forecasts far from the bounds have their score too. Use it where a range
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
    spread, endless = variance != 0, variance == jnp.inf
    deviation = jnp.sqrt(jnp.where(spread & ~endless, variance, 1))
    first, last = (
        (bound - mean) / deviation if math.isfinite(bound) else jnp.full_like(mean, bound) for bound in (lower, upper)
    )
    z = jnp.clip((labels - mean) / deviation, first, last)
    exact = jnp.abs(jnp.clip(labels, lower, upper) - jnp.clip(mean, lower, upper))
    bent = (_bent(z) - _bent(first)) + (_bent(-z) - _bent(-last))  # of a label beyond a bound, one difference is 0
    scores = exact + deviation * bent
    scores = jnp.where(endless & ~jnp.isnan(mean + labels), (upper - lower) / 4, scores)
    return weighted_mean(jnp.where(spread, scores, exact), weights=factors)
