r"""From the outputs of many parameter samples to one forecast, by moments that can be merged.

A chunk of samples is reduced to a few averages; those of two chunks merge into those of their union. `summarise`
reduces one chunk that holds every sample, `predict_forecast` merges many.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxuq.posterior.likelihood import Likelihood, Moments, Spread
from jaxuq.posterior.likelihoods import likelihood_of


def summarise(outputs: Float[Array, "samples ..."], likelihood: str | Likelihood) -> Any:
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
            `[samples, *batch, classes]` logits for `"categorical"`. Infinite logits are allowed; values and gradients
            stay finite.
        likelihood: a name or a record; see `jaxuq.posterior.Likelihood`.

    Returns:
        What the likelihood's `predictive` makes: a `GaussianForecast` or `BernoulliForecast` of `[*batch, tasks]`
        arrays, a `CategoricalForecast`, ... Sums are kept in float32 or wider.

    Raises:
        OptionError: an unknown likelihood.
        ArrayError: outputs that it cannot read, such as a last axis that is not two for `"gaussian"`.

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
    likelihood = likelihood_of(likelihood)
    return likelihood.predictive(reduce(likelihood.moments(outputs)).moments)


class Running(NamedTuple):
    """Moments averaged over `count` samples."""

    count: Float[Array, ""]
    moments: Moments


def reduce(moments: Moments) -> Running:
    """Average the leading axis of the moments of a chunk of samples."""
    count = jax.tree.leaves(moments)[0].shape[0]

    def mean(leaf: Array) -> Array:
        return jnp.mean(leaf, axis=0)

    means = jax.tree.map(mean, moments.spread)
    spread = jax.tree.map(lambda leaf, m: jnp.mean((leaf - m[None]) ** 2, axis=0), moments.spread, means)
    logs = jax.tree.map(lambda leaf: _log_mean(leaf, count), moments.log_average)
    averaged = Moments(jax.tree.map(mean, moments.average), Spread(means, spread), logs)
    return Running(jnp.asarray(float(count)), averaged)


def merge(left: Running, right: Running) -> Running:
    """The averages of both together (Welford's update where `right` is one sample)."""
    count = left.count + right.count
    share = right.count / count
    a, b = left.moments, right.moments

    def average(x: Array, y: Array) -> Array:
        return x + (y - x) * share.astype(x.dtype)

    means = jax.tree.map(average, a.spread.mean, b.spread.mean)

    def variance(x: Array, y: Array, mean_x: Array, mean_y: Array) -> Array:
        part = share.astype(x.dtype)
        return x + (y - x) * part + (mean_y - mean_x) ** 2 * (part * (1 - part))

    spread = jax.tree.map(variance, a.spread.variance, b.spread.variance, a.spread.mean, b.spread.mean)
    weights = jnp.log(jnp.stack([1 - share, share]))

    def log_average(x: Array, y: Array) -> Array:
        shape = (2,) + (1,) * x.ndim
        return _log_sum(jnp.stack([x, y]) + weights.astype(x.dtype).reshape(shape))

    logs = jax.tree.map(log_average, a.log_average, b.log_average)
    return Running(count, Moments(jax.tree.map(average, a.average, b.average), Spread(means, spread), logs))


def _log_sum(logs: Float[Array, "samples ..."]) -> Float[Array, "..."]:
    r"""$\log \sum_s e^{l_s}$, with value $-\infty$ and gradient 0 where all are $-\infty$."""
    top = jax.lax.stop_gradient(jnp.max(logs, axis=0, keepdims=True))
    never = top == -jnp.inf
    impossible = logs == -jnp.inf
    safe = jnp.where(impossible, jnp.zeros_like(logs), logs - jnp.where(never, jnp.zeros_like(top), top))
    total = jnp.sum(jnp.where(impossible, jnp.zeros_like(safe), jnp.exp(safe)), axis=0)
    none = never[0]
    return jnp.where(none, -jnp.inf, jnp.log(jnp.where(none, jnp.ones_like(total), total)) + top[0])


def _log_mean(logs: Float[Array, "samples ..."], count: int) -> Float[Array, "..."]:
    return _log_sum(logs) - jnp.log(jnp.asarray(count, logs.dtype))
