"""Likelihoods of labels that are counted: a coin, one class of several, a number of events."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxuq._arrays import as_float, check_shapes, undefined_unless
from jaxuq._class_terms import log_probability_of
from jaxuq._entropies import bernoulli_entropy, categorical_entropy, log_softmax
from jaxuq.posterior.forecast import BernoulliForecast, CategoricalForecast, PoissonForecast
from jaxuq.posterior.likelihood import Likelihood, Moments, independent_roots


def bernoulli() -> Likelihood:
    r"""A binary label from its log odds $z$, outputs `[*batch]`: $p(y = 1) = \mathrm{sigmoid}(z)$.

    Labels between 0 and 1 are probabilities of the positive class. Infinite logits are certain, and exact.

    Returns:
        A `Likelihood` with a `BernoulliForecast`. Information: $p(1 - p)$.

    Example:
        >>> import jax.numpy as jnp
        >>> print(bernoulli().log_prob(jnp.array([jnp.inf, 0.0, 0.0]), jnp.array([1.0, 1.0, 2.0])).round(3))
        [ 0.    -0.693    nan]
    """

    def log_prob(outputs: Array, labels: Array) -> Array:
        logits = as_float(outputs)
        check_shapes(outputs=logits, labels=labels)
        labels = as_float(labels, logits)
        possible = (labels >= 0) & (labels <= 1)
        positive = jnp.where(labels > 0, labels, jnp.zeros_like(labels)) * jnp.where(
            labels > 0, jax.nn.log_sigmoid(logits), jnp.zeros_like(logits)
        )
        negative = jnp.where(labels < 1, 1 - labels, jnp.zeros_like(labels)) * jnp.where(
            labels < 1, jax.nn.log_sigmoid(-logits), jnp.zeros_like(logits)
        )
        return undefined_unless(possible, positive + negative)

    def moments(outputs: Array) -> Moments:
        logits = as_float(outputs)
        both = jnp.stack([jax.nn.log_sigmoid(-logits), jax.nn.log_sigmoid(logits)], axis=-1)
        return Moments(average=bernoulli_entropy(logits), log_average=both)

    def predictive(moments: Moments) -> BernoulliForecast:
        both = moments.log_average
        impossible = both == -jnp.inf  # log odds of a certain label are infinite; their gradient is 0
        finite = jnp.where(impossible, jnp.zeros_like(both), both)
        logits = finite[..., 1] - finite[..., 0]
        logits = jnp.where(impossible[..., 0], jnp.inf, jnp.where(impossible[..., 1], -jnp.inf, logits))
        return BernoulliForecast(logits, *_entropy_parts(bernoulli_entropy(logits), moments.average))

    def curvature(outputs: Array) -> Array:
        logits = as_float(outputs)
        return jnp.exp(0.5 * (jax.nn.log_sigmoid(logits) + jax.nn.log_sigmoid(-logits)))[..., None]

    return Likelihood(log_prob, moments, predictive, curvature)


def _entropy_parts(total: Array, aleatoric: Array) -> tuple[Array, Array]:
    return aleatoric, jnp.maximum(total - aleatoric, 0.0)


def categorical() -> Likelihood:
    r"""One class of several from outputs `[*batch, classes]`: $p = \mathrm{softmax}(z)$, labels class numbers.

    Returns:
        A `Likelihood` with a `CategoricalForecast`. Information: $\mathrm{diag}(p) - pp^\top$, whose root is
        $\mathrm{diag}(\sqrt p) - p \sqrt p^\top$.

    Example:
        >>> import jax.numpy as jnp
        >>> print(categorical().log_prob(jnp.zeros((2, 4)), jnp.array([3, 4])).round(3))
        [-1.386    nan]
    """

    def log_prob(outputs: Array, labels: Array) -> Array:
        check_shapes(outputs=(outputs, 1), labels=labels)
        return log_probability_of(outputs, labels)

    def moments(outputs: Array) -> Moments:
        logits = as_float(outputs)
        return Moments(average=categorical_entropy(logits), log_average=log_softmax(logits))

    def predictive(moments: Moments) -> CategoricalForecast:
        total = categorical_entropy(moments.log_average)
        return CategoricalForecast(moments.log_average, *_entropy_parts(total, moments.average))

    def curvature(outputs: Array) -> Array:
        log_probabilities = log_softmax(as_float(outputs))
        p, root = jnp.exp(log_probabilities), jnp.exp(0.5 * log_probabilities)
        return independent_roots(p) - p[..., :, None] * root[..., None, :]

    return Likelihood(log_prob, moments, predictive, curvature)


def poisson() -> Likelihood:
    r"""A count from its log rate, outputs `[*batch]`: $y \sim \mathrm{Poisson}(e^z)$.

    Returns:
        A `Likelihood` with a `PoissonForecast`. Information: the rate.

    Example:
        >>> import jax.numpy as jnp
        >>> [f"{value:.3f}" for value in poisson().log_prob(jnp.zeros(3), jnp.array([0, 2, -1]))]
        ['-1.000', '-1.693', 'nan']
    """

    def log_prob(outputs: Array, labels: Array) -> Array:
        log_rates = as_float(outputs)
        check_shapes(outputs=log_rates, labels=labels)
        labels = as_float(labels, log_rates)
        counts = jnp.where(labels >= 0, labels, jnp.zeros_like(labels))
        never = (counts == 0) & (log_rates == -jnp.inf)  # 0 * -inf
        some = counts * jnp.where(never, jnp.zeros_like(log_rates), log_rates)
        return undefined_unless(labels >= 0, some - jnp.exp(log_rates) - jax.scipy.special.gammaln(counts + 1))

    def moments(outputs: Array) -> Moments:
        return Moments(spread=jnp.exp(as_float(outputs)))

    def predictive(moments: Moments) -> PoissonForecast:
        return PoissonForecast(moments.spread.mean, moments.spread.mean, moments.spread.variance)

    def curvature(outputs: Array) -> Array:
        return jnp.exp(0.5 * as_float(outputs))[..., None]

    return Likelihood(log_prob, moments, predictive, curvature)
