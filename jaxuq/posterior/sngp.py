r"""Spectral-normalised neural Gaussian processes (SNGP): a last layer that knows how far an input is from the data.

    fixed = random_features(rng_key, width, 1024)                        # frozen, beside the parameters
    outputs = dense({"kernel": beta}, cosine_features(fixed, hidden))    # trained with spectral_bound on the body
    method = laplace("bernoulli", "columns", prior_precision=1.0)        # its precision: s I + sum p (1 - p) phi phi^T
    variance = output_variance(state, dense, features)
    forecast = mean_field_forecast(logits, variance)

The random features make the layer the approximation of a Gaussian process, whose posterior `laplace` has; the bound on
the kernels below (`jaxuq.networks.spectral_bound`) keeps distances on the way there. Start the sum anew before the last
epoch, and leave the mean field out of the training's loss.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxuq._arrays import as_float, root, undefined_unless, widened
from jaxuq._entropies import bernoulli_entropy
from jaxuq._meshes import vary_like
from jaxuq._options import check_count, check_number
from jaxuq._shapes import checked
from jaxuq.posterior.forecast import BernoulliForecast

_REACH, _NODES = 8.0, np.linspace(-1, 1, 161)  # deviations on either side; equidistant nodes between the two ends
_WIDEST = 40.0  # the entropy of larger logits is below 1e-15


class RandomFeatures(NamedTuple):
    """Frozen numbers of a random feature map.

    Attributes:
        frequencies: standard normal, over the length scale.
        phases: uniform between 0 and 2 pi.
    """

    frequencies: Float[Array, "inputs features"]
    phases: Float[Array, " features"]


def random_features(
    rng_key: Key[Array, ""], num_inputs: int, num_features: int = 1024, *, length_scale: float = 1.0
) -> RandomFeatures:
    r"""Draw a map to random Fourier features, whose products approximate $\exp(-\lVert h - h' \rVert^2 / 2\ell^2)$.

    Args:
        rng_key: of the draw.
        num_inputs: width of what it reads, such as a last hidden layer.
        num_features: m; the error of a product falls as $m^{-1/2}$.
        length_scale: $\ell > 0$, in the units of the inputs.

    Returns:
        What `cosine_features` reads; keep it with the parameters and do not train it.

    Raises:
        OptionError: a number is out of range.

    Example:
        >>> import jax
        >>> random_features(jax.random.key(0), 128).frequencies.shape
        (128, 1024)
    """
    shape = check_count("num_inputs", num_inputs), check_count("num_features", num_features)
    check_number("length_scale", length_scale, 0.0, open_low=True)
    keys = jax.random.split(rng_key)
    return RandomFeatures(
        jax.random.normal(keys[0], shape) / length_scale, jax.random.uniform(keys[1], shape[1:], maxval=2 * np.pi)
    )


@checked
def cosine_features(fixed: RandomFeatures, inputs: Float[Array, "*batch inputs"]) -> Float[Array, "*batch features"]:
    r"""Random Fourier features, $\phi = \sqrt{2/m}\, \cos(W^\top h / \ell + b)$.

    Args:
        fixed: of `random_features`.
        inputs: $h$.

    Returns:
        $\phi$, of length about 1: $\lVert \phi \rVert^2 \le 2$.

    Raises:
        ArrayError: the map reads another width.

    Example:
        >>> import jax.numpy as jnp
        >>> fixed = RandomFeatures(jnp.array([[0.5, -1.0], [1.0, 0.3]]), jnp.array([0.2, 1.0]))
        >>> print(*(f"{value:.4f}" for value in cosine_features(fixed, jnp.array([0.5, 0.5]))))
        0.5817 0.7961

    References:
        A. Rahimi, B. Recht. Random features for large-scale kernel machines. NeurIPS 2007, Algorithm 1.
    """
    wide = as_float(inputs)  # angles are large, and a cosine sees what rounding takes from them
    frequencies, phases = (part.astype(wide.dtype) for part in fixed)
    turned = wide @ frequencies
    scale = np.sqrt(2 / phases.shape[0])
    return (scale * jnp.cos(turned + jnp.broadcast_to(phases, turned.shape))).astype(inputs.dtype)


@checked
@widened
def mean_field_logits(logits: Float[Array, "*shape"], variance: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r"""Logits whose sigmoid is nearly the mean probability: $f / \sqrt{1 + \frac{\pi}{8} v}$.

    One number in the place of many samples, also for each logit of a softmax (where it is rougher). In the loss of a
    training it has no place: it would hide how far the logits are.

    Args:
        logits: $f$, the posterior means.
        variance: $v \ge 0$, their posterior variances.

    Returns:
        Logits nearer to 0; NaN where the variance is below 0.

    Example:
        >>> import jax.numpy as jnp
        >>> print(mean_field_logits(jnp.array(0.379586), jnp.array(0.610297)).round(6))
        0.340925

    References:
        D. J. Spiegelhalter, S. L. Lauritzen. Sequential updating of conditional probabilities on directed graphical
        structures. Networks 1990, Eq. 16.
        Liu et al. Simple and principled uncertainty estimation with deterministic deep learning via distance awareness.
        NeurIPS 2020, Eq. 9.
    """
    endless, impossible = variance == jnp.inf, variance < 0
    moved = logits / jnp.sqrt(1 + np.pi / 8 * jnp.where(endless | impossible, jnp.zeros_like(variance), variance))
    return undefined_unless(~impossible, jnp.where(endless, jnp.zeros_like(moved), moved))


@checked
@widened
def mean_field_forecast(logits: Float[Array, "*shape"], variance: Float[Array, "*shape"]) -> BernoulliForecast:
    r"""The forecast of binary tasks whose logits are Gaussian, without sampling.

    The logits are those of `mean_field_logits`; aleatoric is $\mathbb{E}[H(\sigma(z))]$, $z \sim \mathcal{N}(f, v)$, by
    the trapezoidal rule, whose error is beyond rounding for any variance, and epistemic what the entropy of the mean
    has more.

    Args:
        logits: $f$, posterior means.
        variance: $v \ge 0$, infinite where nothing is known.

    Returns:
        A `BernoulliForecast` in the shape of the logits; NaN where the variance is below 0.

    Example:
        >>> import jax.numpy as jnp
        >>> forecast = mean_field_forecast(jnp.array([1.0, 1.0]), jnp.array([0.0, 9.0]))
        >>> print(forecast.probabilities.round(3), forecast.epistemic.round(2))
        [0.731 0.615] [0.   0.32]
    """
    corrected = mean_field_logits(logits, variance)
    total = bernoulli_entropy(corrected)
    aleatoric = jnp.minimum(_expected_entropy(logits, variance), total)
    return BernoulliForecast(corrected, aleatoric, total - aleatoric)


def _expected_entropy(mean: Array, variance: Array) -> Array:
    """Of the sigmoid of a normal variable: nodes about its mean, or where it is wide about 0, where the entropy is."""
    endless = variance == jnp.inf
    deviation = root(jnp.where(endless | (variance < 0), 1, variance))
    wide = deviation * _REACH > _WIDEST
    scale = jnp.where(wide, deviation, 1)
    step = _NODES[1] - _NODES[0]

    def add(total: Array, node: Array) -> tuple[Array, None]:
        z = jnp.where(wide, _WIDEST * node, mean + _REACH * node * deviation)
        standard = jnp.where(wide, (z - mean) / scale, _REACH * node)
        weight = jnp.where(wide, _WIDEST / scale, _REACH) * step
        return total + weight * jax.scipy.stats.norm.pdf(standard) * bernoulli_entropy(z), None

    start = vary_like(jnp.zeros_like(mean), mean, variance)
    found = jax.lax.scan(add, start, jnp.asarray(_NODES, mean.dtype))[0]
    return undefined_unless(~(variance < 0) & ~jnp.isnan(variance), jnp.where(endless, 0, found))
