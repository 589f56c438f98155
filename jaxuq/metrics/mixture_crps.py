"""Scores of distributions that are neither one Gaussian nor one number: mixtures, and samples of vectors."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxuq._arrays import as_float, factors_of, select, weighted_mean
from jaxuq._errors import ArrayError
from jaxuq._options import check_number
from jaxuq._shapes import checked


def _mean_distance(mean: Array, variance: Array) -> Array:
    """The mean of |X| for a normal variable; its absolute value where the variance is 0."""
    spread = variance != 0
    deviation = jnp.sqrt(jnp.where(spread, variance, 1))
    z = mean / deviation
    value = mean * (2 * jax.scipy.special.ndtr(z) - 1) + 2 * deviation * jax.scipy.stats.norm.pdf(z)
    return jnp.where(spread, value, jnp.abs(mean))


@checked
def mixture_crps(
    mean: Float[Array, "members n"],
    variance: Float[Array, "members n"],
    labels: Float[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Mean continuous ranked probability score of equal mixtures of Gaussians, in closed form.

    $$\mathrm{CRPS} = \frac1M \sum_m A(y - \mu_m, \sigma_m^2)
      - \frac{1}{2M^2} \sum_{m, m'} A(\mu_m - \mu_{m'}, \sigma_m^2 + \sigma_{m'}^2)$$

    with $A(\mu, \sigma^2) = E|X|$ of a normal variable. Use it for an ensemble or for posterior samples, whose members
    each give mean and variance: `gaussian_crps` of the moments scores another distribution, with one mode. One member
    gives `gaussian_crps`, variances of 0 give `sample_crps`. Holds one array of the size of `mean` at a time; O(M^2 n).

    Args:
        mean: of each member, in the units of the labels.
        variance: of each member, >= 0.
        labels: true values.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar >= 0 in the units of the labels; NaN if no entry counts.

    Raises:
        ArrayError: the shapes differ, or there is no member.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{mixture_crps(jnp.array([[-1.0], [1.0]]), jnp.ones((2, 1)), jnp.zeros(1)):.4f}")
        0.3594

    References:
        E. P. Grimit, T. Gneiting, V. J. Berrocal, N. A. Johnson, "The Continuous Ranked Probability Score for Circular
        Variables and its Application to Mesoscale Forecast Ensemble Verification", QJRMS 132, 2006, Eq. 5.
    """
    members = mean.shape[0]
    if members == 0:
        raise ArrayError("mean has no members on axis 0; the mixture needs at least one")
    mean, variance, labels = (as_float(array, mean, variance, labels) for array in (mean, variance, labels))
    factors = factors_of(where, weights, labels)
    kept = factors != 0
    labels = select(labels, kept)
    mean, variance = (jnp.where(kept[None], array, 1) for array in (mean, variance))
    error = jnp.mean(_mean_distance(labels[None] - mean, variance), axis=0)

    def apart(pair: tuple[Array, Array]) -> Array:
        return jnp.mean(_mean_distance(mean - pair[0][None], variance + pair[1][None]), axis=0)

    spread = jnp.mean(jax.lax.map(apart, (mean, variance)), axis=0)
    return weighted_mean(error - spread / 2, weights=factors)


@checked
def energy_score(
    samples: Float[Array, "samples n outputs"],
    labels: Float[Array, "n outputs"],
    *,
    exponent: float = 1.0,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Mean energy score of vectors: the continuous ranked probability score for several outputs together.

    $$\mathrm{ES} = \frac1N \sum_n \left[\frac1m \sum_i \lVert x_{in} - y_n \rVert^\beta
      - \frac{1}{2m^2} \sum_{i,j} \lVert x_{in} - x_{jn} \rVert^\beta\right]$$

    It sees whether outputs vary together, which scores of each output alone do not; put outputs on one scale first. For
    one output it is `sample_crps`. Holds one array of the size of `samples` at a time; O(m^2 n).

    Args:
        samples: predictive samples of the vectors.
        labels: true vectors.
        exponent: $\beta$ in (0, 2); at 2 it would see the mean alone.
        where: True for the items that count; None counts all.
        weights: how often each item counts, >= 0; None: once.

    Returns:
        A scalar >= 0; NaN if no item counts.

    Raises:
        ArrayError: the shapes differ, or there is no sample.
        OptionError: `exponent` is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> samples = jnp.array([[[0.0, 0.0]], [[6.0, 8.0]]])
        >>> print(energy_score(samples, jnp.array([[3.0, 4.0]])))
        2.5

    References:
        Gneiting and Raftery, Strictly Proper Scoring Rules, Prediction, and Estimation, JASA 102(477), 2007
        (equation 22).
    """
    check_number("exponent", exponent, 0.0, 2.0, open_low=True, open_high=True)
    if samples.shape[0] == 0:
        raise ArrayError("samples has no samples on axis 0; the score needs at least one")
    samples, labels = as_float(samples, samples, labels), as_float(labels, samples, labels)
    factors = factors_of(where, weights, labels[:, :1].sum(axis=1))
    kept = factors != 0
    labels = select(labels, kept)
    samples = jnp.where(kept[None, :, None], samples, 1)

    def distance(difference: Array) -> Array:
        square = jnp.sum(jnp.square(difference), axis=-1)
        apart = square != 0
        return jnp.where(apart, jnp.where(apart, square, 1) ** (exponent / 2), 0)

    error = jnp.mean(distance(samples - labels[None]), axis=0)
    spread = jnp.mean(jax.lax.map(lambda one: jnp.mean(distance(samples - one[None]), axis=0), samples), axis=0)
    return weighted_mean(error - spread / 2, weights=factors)
