r"""Variational Bayesian last layers (VBLL): a Gaussian over the last weights, trained by a bound in closed form.

    layer = init_vbll(rng_key, width, 1)                    # trained with the network below it, as one pytree
    each = vbll_regression_loss(layer, features, labels)
    loss = mean_loss(each) + vbll_penalty(layer, 1 / width, wishart_scale=0.01) / num_examples
    forecast = vbll_forecast(layer, features)

No noise is drawn in training, unlike in `bbp`, and the covariance of an output's weights is whole. Use it where a
network is trained anyway and its last layer shall say how sure it is; where training is over, `laplace` does it.
Weight decay on the means would count the prior twice: leave it out there.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, Key, Real

from jaxuq._arrays import as_float, take_class, undefined_unless, widened
from jaxuq._options import check_count, check_number
from jaxuq._shapes import checked
from jaxuq.posterior.forecast import GaussianForecast

_LOG_TWO_PI = math.log(2 * math.pi)


class VBLL(NamedTuple):
    r"""$q(w_k) = \mathcal{N}(\bar w_k, L_k L_k^\top)$ for each output, and its noise.

    Append a one to the features for a bias.

    Attributes:
        mean: $\bar w$ of each output.
        factor: $L$ below its diagonal; on the diagonal, the logarithm of $L$'s. What is above is not read.
        log_noise: logarithm of the noise variance $\Sigma$, of a label or of a logit.
    """

    mean: Float[Array, "outputs features"]
    factor: Float[Array, "outputs features features"]
    log_noise: Float[Array, " outputs"]

    def lower(self) -> Float[Array, "outputs features features"]:
        """$L$, in at least single precision."""
        factor = as_float(self.factor)
        scale = jnp.exp(jnp.diagonal(factor, axis1=1, axis2=2))
        return jnp.tril(factor, -1) + jnp.eye(scale.shape[-1], dtype=scale.dtype)[None] * scale[:, None]


def init_vbll(rng_key: Key[Array, ""], num_features: int, num_outputs: int) -> VBLL:
    r"""A layer to start from: means and deviations of $1/\sqrt{\text{features}}$, no correlation, noise 1.

    Args:
        rng_key: of the means.
        num_features: d.
        num_outputs: labels, or logits.

    Returns:
        The layer, `num_outputs * num_features**2` numbers.

    Example:
        >>> import jax
        >>> init_vbll(jax.random.key(0), 4, 2).factor.shape
        (2, 4, 4)
    """
    shape = check_count("num_outputs", num_outputs), check_count("num_features", num_features)
    size = num_features**-0.5
    factor = jnp.broadcast_to(jnp.eye(num_features)[None] * math.log(size), (*shape, num_features))
    return VBLL(size * jax.random.normal(rng_key, shape), factor, jnp.zeros(num_outputs))


@checked
@widened
def vbll_moments(
    layer: VBLL, features: Float[Array, "*batch features"]
) -> tuple[Float[Array, "*batch outputs"], Float[Array, "*batch outputs"]]:
    r"""$\bar w^\top \phi$ and $\phi^\top S \phi$: mean and variance of each output without its noise.

    Args:
        layer: the layer.
        features: $\phi$.

    Returns:
        Both, in the shape of the outputs.

    Raises:
        ArrayError: the layer reads another number of features.

    Example:
        >>> import jax.numpy as jnp
        >>> factor = jnp.linalg.cholesky(jnp.array([[0.04, 0.01], [0.01, 0.09]]))
        >>> raw = jnp.tril(factor, -1) + jnp.diag(jnp.log(jnp.diag(factor)))
        >>> layer = VBLL(jnp.array([[0.5, -0.2]]), raw[None], jnp.log(jnp.array([0.1])))
        >>> mean, variance = vbll_moments(layer, jnp.array([1.0, 2.0]))
        >>> print(f"{mean[0]:.4f} {variance[0]:.4f}")
        0.1000 0.4400
    """
    spread = jnp.einsum("...d,kde->...ke", features, layer.lower())
    return features @ layer.mean.T, jnp.sum(jnp.square(spread), axis=-1)


@checked
@widened
def vbll_regression_loss(
    layer: VBLL, features: Float[Array, "*batch features"], labels: Float[Array, "*batch outputs"]
) -> Float[Array, "*batch outputs"]:
    r"""The expected negative log likelihood, $-\ln \mathcal{N}(y; \bar w^\top\phi, \Sigma) + \frac{\phi^\top S \phi}{2
    \Sigma}$, exact.

    Args:
        layer: the layer.
        features: $\phi$.
        labels: $y$, standardised; a missing one may be NaN, if its entry is then left out of the mean.

    Returns:
        Nats, one number a label; `vbll_penalty` over the number of examples belongs to its mean.

    Example:
        >>> import jax.numpy as jnp
        >>> raw = jnp.full((1, 1, 1), -jnp.inf)  # no variance: the loss of a Gaussian
        >>> layer = VBLL(jnp.ones((1, 1)), raw, jnp.zeros(1))
        >>> print(vbll_regression_loss(layer, jnp.ones(1), jnp.zeros(1)).round(4))
        [1.4189]

    References:
        Harrison, Willes, Snoek. Variational Bayesian last layers. ICLR 2024, Theorem 1.
    """
    mean, variance = vbll_moments(layer, features)
    noise = jnp.broadcast_to(layer.log_noise, mean.shape)
    return 0.5 * (_LOG_TWO_PI + noise + (jnp.square(labels - mean) + variance) * jnp.exp(-noise))


@checked
@widened
def vbll_classification_loss(
    layer: VBLL, features: Float[Array, "*batch features"], labels: Integer[Array, "*batch"]
) -> Float[Array, "*batch"]:
    r"""A bound on the expected cross entropy, $\ln \sum_k e^{\bar z_k + v_k / 2} - \bar z_y$.

    $v = \phi^\top S \phi + \Sigma$. It holds by Jensen's inequality, for Gaussian and independent logits, and is close
    where v is small.

    Args:
        layer: with an output for each class.
        features: $\phi$.
        labels: class numbers; NaN for one that is none.

    Returns:
        Nats, one number an example.

    Example:
        >>> import jax.numpy as jnp
        >>> layer = VBLL(jnp.zeros((2, 1)), jnp.full((2, 1, 1), -jnp.inf), jnp.full(2, -jnp.inf))  # no variance at all
        >>> print(vbll_classification_loss(layer, jnp.ones(1), jnp.array(1)).round(4))  # that of two equal logits
        0.6931

    References:
        Harrison, Willes, Snoek. Variational Bayesian last layers. ICLR 2024, Theorem 2.
    """
    mean, variance = _logits(layer, features)
    return jax.nn.logsumexp(mean + variance / 2, axis=-1) - take_class(mean, labels)


@checked
@widened
def vbll_binary_loss(
    layer: VBLL, features: Float[Array, "*batch features"], labels: Real[Array, "*batch outputs"]
) -> Float[Array, "*batch outputs"]:
    r"""The same bound for binary tasks, $\ln(1 + e^{\bar z + v/2}) - y \bar z$: two classes, one logit of which is 0.

    Args:
        layer: with an output for each task.
        features: $\phi$.
        labels: 0 or 1, or between; NaN for others.

    Returns:
        Nats, one number a label.

    Example:
        >>> import jax.numpy as jnp
        >>> layer = VBLL(jnp.zeros((1, 1)), jnp.full((1, 1, 1), -jnp.inf), jnp.full(1, -jnp.inf))
        >>> print(vbll_binary_loss(layer, jnp.ones(1), jnp.ones(1)).round(4))
        [0.6931]
    """
    mean, variance = _logits(layer, features)
    labels = as_float(labels, mean)
    return undefined_unless((labels >= 0) & (labels <= 1), jax.nn.softplus(mean + variance / 2) - labels * mean)


def _logits(layer: VBLL, features: Array) -> tuple[Array, Array]:
    """Means and variances of logits with their noise."""
    mean, variance = vbll_moments(layer, features)
    return mean, variance + jnp.broadcast_to(jnp.exp(layer.log_noise), variance.shape)


@checked
@widened
def vbll_penalty(
    layer: VBLL, prior_variance: float, *, wishart_scale: float = 1.0, dof: float = 1.0
) -> Float[Array, ""]:
    r"""What belongs to the sum of all losses: the divergence from the prior, and the prior of the noise.

    $$\sum_k \mathrm{KL}\big(\mathcal{N}(\bar w_k, S_k) \,\|\, \mathcal{N}(0, p I)\big)
      + \frac{\nu + 2}{2} \ln \Sigma_k + \frac{V}{2 \Sigma_k}$$

    Args:
        layer: the layer.
        prior_variance: p > 0, of each weight; 1 or 2 over the number of features.
        wishart_scale: V >= 0; 0.01 for regression and 1 for classes in the published code, 0 with `dof` -2 for none.
        dof: $\nu$ of the Wishart prior of an output's precision.

    Returns:
        Nats; divide it by the number of examples where losses are averaged. The published code leaves out the constant
        -d/2 of the divergence, and counts all outputs in the degrees of freedom.

    Raises:
        OptionError: a number is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> layer = VBLL(jnp.ones((1, 1)), jnp.zeros((1, 1, 1)), jnp.zeros(1))  # N(1, 1) against N(0, 1)
        >>> print(vbll_penalty(layer, 1.0, wishart_scale=0.0))
        0.5
    """
    check_number("prior_variance", prior_variance, 0.0, open_low=True)
    check_number("wishart_scale", wishart_scale, 0.0)
    check_number("dof", dof, -2.0)
    size, lower = layer.mean.size, layer.lower()
    squares = jnp.sum(jnp.square(layer.mean)) + jnp.sum(jnp.square(lower))
    log_det = 2 * jnp.sum(jnp.diagonal(layer.factor, axis1=1, axis2=2))
    divergence = 0.5 * (squares / prior_variance + size * (math.log(prior_variance) - 1) - log_det)
    noise = layer.log_noise
    return divergence + jnp.sum((dof + 2) / 2 * noise + wishart_scale / 2 * jnp.exp(-noise))


@checked
@widened
def vbll_forecast(layer: VBLL, features: Float[Array, "*batch features"]) -> GaussianForecast:
    r"""The predictive distribution in regression, $\mathcal{N}(\bar w^\top\phi, \Sigma + \phi^\top S \phi)$, in closed
    form.

    For classes there is none: sample weights with `vbll_samples`, or give `vbll_moments` to `mean_field_forecast`.

    Args:
        layer: the layer.
        features: $\phi$.

    Returns:
        Noise as the aleatoric part, uncertain weights as the epistemic one.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> vbll_forecast(init_vbll(jax.random.key(0), 4, 1), jnp.ones((3, 4))).total.round(3)[:, 0]
        Array([2., 2., 2.], dtype=float32)
    """
    mean, variance = vbll_moments(layer, features)
    return GaussianForecast(mean, jnp.broadcast_to(jnp.exp(layer.log_noise), mean.shape), variance)


@checked
def vbll_samples(
    rng_key: Key[Array, ""], layer: VBLL, num_samples: int
) -> dict[str, Float[Array, "samples features outputs"]]:
    """Weights of the layer: samples that `predict_forecast` reads with `dense`.

    Args:
        rng_key: of the draw.
        layer: the layer.
        num_samples: how many.

    Returns:
        `{"kernel": [samples, features, outputs]}`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.posterior import dense, predict_forecast
        >>> layer = init_vbll(jax.random.key(0), 4, 3)
        >>> samples = vbll_samples(jax.random.key(1), layer, 20)
        >>> predict_forecast(dense, samples, jnp.ones((5, 4)), "categorical").probabilities.shape
        (5, 3)
    """
    check_count("num_samples", num_samples)
    lower = layer.lower()
    noise = jax.random.normal(rng_key, (num_samples, *layer.mean.shape), lower.dtype)
    drawn = as_float(layer.mean)[None] + jnp.einsum("kde,ske->skd", lower, noise)
    return {"kernel": jnp.swapaxes(drawn, 1, 2).astype(layer.mean.dtype)}
