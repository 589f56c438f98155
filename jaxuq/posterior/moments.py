r"""From the outputs of many parameter samples to one forecast, by moments that can be merged.

A chunk of samples is reduced to a few sums; the sums of two chunks merge into those of their union; the sums of all
samples finish as a forecast. `summarise` reduces one chunk that holds every sample, `predict_forecast` merges many.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxuq.posterior._likelihood import Likelihood, check_likelihood, gaussian_moments
from jaxuq.posterior._model import at_least_float32
from jaxuq.posterior.forecast import BernoulliForecast, CategoricalForecast, Forecast, GaussianForecast


def summarise(outputs: Float[Array, "samples *batch outputs"], likelihood: Likelihood) -> Forecast:
    r"""Average the samples away, keeping apart what more data would and would not remove.

    Gaussian: $\mathbb{E}_s[\mu_s]$, aleatoric $\mathbb{E}_s[\sigma_s^2]$, epistemic
    $\mathbb{E}_s[\mu_s^2] - \mathbb{E}_s[\mu_s]^2$. Bernoulli and categorical: $\log \mathbb{E}_s[p_s]$, aleatoric
    $\mathbb{E}_s[H(p_s)]$, epistemic $H(\mathbb{E}_s[p_s]) - \mathbb{E}_s[H(p_s)]$.

    Use it when the outputs of every sample are wanted anyway; `predict_forecast` gives the same without holding them.
    Probabilities are averaged, not logits; variances are those of the mixture of the samples (divided by `samples`, not
    `samples - 1`), so one sample has no epistemic part. The published MUBen code keeps the aleatoric part alone:
    that is the field `aleatoric`.

    Args:
        outputs: what `predict` returns: `[samples, *batch, tasks, 2]` with means and raw variances
            (`variance = softplus(raw) + 1e-6`) for `"gaussian"`, `[samples, *batch, tasks]` logits for `"bernoulli"`,
            `[samples, *batch, classes]` logits for `"categorical"`. Infinite logits are allowed.
        likelihood: `"gaussian"`, `"bernoulli"` or `"categorical"`.

    Returns:
        A `GaussianForecast` or `BernoulliForecast` of `[*batch, tasks]` arrays, or a `CategoricalForecast`. Sums are
        kept in float32 or wider.

    Raises:
        ValueError: on an unknown likelihood, or a last axis that is not two for `"gaussian"`.

    Example:
        >>> import jax.numpy as jnp
        >>> outputs = jnp.array([[[1.0, -20.0]], [[3.0, -20.0]]])  # two samples, one task: means 1 and 3, no noise
        >>> forecast = summarise(outputs, "gaussian")
        >>> forecast.mean, forecast.epistemic
        (Array([2.], dtype=float32), Array([1.], dtype=float32))
        >>> summarise(jnp.array([[4.0], [-4.0]]), "bernoulli").probabilities  # two sure samples that disagree
        Array([0.5], dtype=float32)

    References:
        Lakshminarayanan, Pritzel, Blundell. Simple and scalable predictive uncertainty estimation using deep
        ensembles. NeurIPS 2017, section 2.4 (mixture mean and variance).
        Depeweg, Hernández-Lobato, Doshi-Velez, Udluft. Decomposition of uncertainty in Bayesian deep learning for
        efficient and risk-sensitive learning. ICML 2018, Eq. 2 and 5.
    """
    moments = moments_of(likelihood)
    return moments.finish(moments.reduce(outputs))


class Moments(NamedTuple):
    """How the outputs of chunks of samples become a forecast: `finish(merge(reduce(a), reduce(b)))`."""

    empty: Callable[[Any], Any]
    reduce: Callable[[Float[Array, "samples ..."]], Any]
    merge: Callable[[Any, Any], Any]
    finish: Callable[[Any], Forecast]


def moments_of(likelihood: Likelihood) -> Moments:
    """The moments that a likelihood needs."""
    check_likelihood(likelihood)
    if likelihood == "gaussian":
        return Moments(_empty_gaussian, _reduce_gaussian, _merge_gaussian, _finish_gaussian)
    if likelihood == "bernoulli":
        return Moments(_empty_mixture, _reduce_bernoulli, _merge_mixture, _finish_bernoulli)
    return Moments(_empty_mixture, _reduce_categorical, _merge_mixture, _finish_categorical)


class _GaussianMoments(NamedTuple):
    count: Float[Array, ""]
    mean: Float[Array, "*batch"]
    squares: Float[Array, "*batch"]  # sum of squared deviations from the mean
    variance: Float[Array, "*batch"]


def _empty_gaussian(like):
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)


def _reduce_gaussian(outputs):
    if outputs.shape[-1] != 2:
        raise ValueError(
            f"gaussian outputs have shape {outputs.shape}; the last axis must hold two numbers, mean and raw variance"
        )
    means, variances = gaussian_moments(at_least_float32(outputs))
    mean = jnp.mean(means, axis=0)
    squares = jnp.sum((means - mean[None]) ** 2, axis=0)
    return _GaussianMoments(jnp.array(len(outputs), means.dtype), mean, squares, jnp.mean(variances, axis=0))


def _merge_gaussian(left, right):
    count = left.count + right.count
    share = right.count / count
    shift = right.mean - left.mean
    return _GaussianMoments(
        count,
        left.mean + shift * share,
        left.squares + right.squares + shift**2 * (left.count * share),
        left.variance + (right.variance - left.variance) * share,
    )


def _finish_gaussian(moments):
    return GaussianForecast(moments.mean, moments.variance, moments.squares / moments.count)


class _MixtureMoments(NamedTuple):
    count: Float[Array, ""]
    log_sum: Float[Array, "*batch classes"]  # log of the summed probabilities
    entropy: Float[Array, "*batch"]  # sum of the samples' entropies


def _entropy(log_probabilities):
    finite = jnp.maximum(log_probabilities, -1e30)  # 0 log 0 = 0
    return -jnp.sum(jnp.exp(finite) * finite, axis=-1)


def _empty_mixture(like):
    zeros = _empty_gaussian(like)
    return zeros._replace(log_sum=jnp.full_like(zeros.log_sum, -jnp.inf))


def _reduce_log_probabilities(log_probabilities):
    count = jnp.array(len(log_probabilities), log_probabilities.dtype)
    log_sum = jax.nn.logsumexp(log_probabilities, axis=0)
    return _MixtureMoments(count, log_sum, jnp.sum(_entropy(log_probabilities), axis=0))


def _reduce_bernoulli(outputs):
    logits = at_least_float32(outputs)
    return _reduce_log_probabilities(jnp.stack([jax.nn.log_sigmoid(-logits), jax.nn.log_sigmoid(logits)], axis=-1))


def _reduce_categorical(outputs):
    return _reduce_log_probabilities(jax.nn.log_softmax(at_least_float32(outputs), axis=-1))


def _merge_mixture(left, right):
    log_sum = jnp.logaddexp(left.log_sum, right.log_sum)
    return _MixtureMoments(left.count + right.count, log_sum, left.entropy + right.entropy)


def _finish_mixture(moments):
    log_mean = moments.log_sum - jnp.log(moments.count)
    aleatoric = moments.entropy / moments.count
    return log_mean, aleatoric, jnp.maximum(_entropy(log_mean) - aleatoric, 0.0)


def _finish_bernoulli(moments):
    log_mean, aleatoric, epistemic = _finish_mixture(moments)
    return BernoulliForecast(log_mean[..., 1] - log_mean[..., 0], aleatoric, epistemic)


def _finish_categorical(moments):
    return CategoricalForecast(*_finish_mixture(moments))
