r"""Likelihoods as values: how the outputs of a network are read as a distribution of the label.

A `Likelihood` is four functions. Those that come with jaxuq have names (`"gaussian"`, `"bernoulli"`, `"categorical"`,
`"poisson"`, `"evidential"`); wherever a name is taken, a record of the user's own is taken too:

    laplace_noise = Likelihood(log_prob, moments, predictive, curvature)
    forecast = predict_forecast(apply_fn, samples, inputs, laplace_noise)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree, Shaped

from jaxuq._arrays import as_float, check_shapes, take_class, undefined_unless
from jaxuq._entries import Entries
from jaxuq._entropies import bernoulli_entropy, categorical_entropy, log_softmax
from jaxuq._errors import ArrayError, OptionError
from jaxuq._options import check_number
from jaxuq.losses import normal_inverse_gamma_parameters
from jaxuq.posterior.forecast import (
    BernoulliForecast,
    CategoricalForecast,
    GaussianForecast,
    PoissonForecast,
)

VARIANCE_FLOOR = 1e-6


class Spread(NamedTuple):
    """Mean and variance over the samples of what `Moments.spread` holds of each.

    Attributes:
        mean: over samples.
        variance: over samples, divided by their number.
    """

    mean: PyTree
    variance: PyTree


class Moments(NamedTuple):
    """What a sample says about the label, by how it is averaged; each field a pytree of arrays, `()` for nothing.

    Attributes:
        average: averaged.
        spread: averaged, and its variance kept beside: `predictive` gets a `Spread`.
        log_average: logarithms of what is averaged, such as log probabilities; of the average again a logarithm.
    """

    average: Any = ()
    spread: Any = ()
    log_average: Any = ()


class Likelihood(NamedTuple):
    """How network outputs are read. Outputs are `[*batch, *event]` for labels `[*batch]`, tasks among the batch axes.

    Attributes:
        log_prob: `log_prob(outputs, labels) -> [*batch]`, nats; NaN for a label that cannot be.
        moments: `moments(outputs) -> Moments`, what one parameter sample says.
        predictive: `predictive(moments) -> forecast`, from the moments averaged over all samples.
        curvature: `curvature(outputs) -> [*batch, *event, roots]`, a square root $R$ of each label's Fisher information
            in its own outputs, $R R^\\top = \\mathbb{E}_y[\\nabla \\log p\\, \\nabla \\log p^\\top]$. One form serves
            all structures: products $J^\\top R (R^\\top J v)$, and the columns $J^\\top r_k$.
    """

    log_prob: Callable[[Array, Array], Array]
    moments: Callable[[Array], Moments]
    predictive: Callable[[Moments], Any]
    curvature: Callable[[Array], Array]


def _pair(outputs: Array, width: int, meaning: str) -> Array:
    if outputs.ndim == 0 or outputs.shape[-1] != width:
        raise ArrayError(
            f"outputs have shape {outputs.shape}; the last axis must hold {width} numbers a label: {meaning}"
        )
    return as_float(outputs)


def _diagonal_root(information: Array) -> Array:
    """Roots of independent outputs, `[..., k, k]` from their information `[..., k]`."""
    positive = information > 0
    root = jnp.where(positive, jnp.sqrt(jnp.where(positive, information, 1.0)), 0.0)
    return root[..., None] * jnp.eye(information.shape[-1], dtype=root.dtype).reshape(
        (1,) * (root.ndim - 1) + (information.shape[-1],) * 2
    )


def gaussian(noise_scale: float | None = None) -> Likelihood:
    r"""A normal label whose noise is the network's second output, or known.

    $y \sim \mathcal{N}(\mu, \mathrm{softplus}(s) + 10^{-6})$ for outputs `[*batch, 2]` $= (\mu, s)$; or
    $y \sim \mathcal{N}(\mu, \sigma^2)$ for outputs `[*batch]`.

    Args:
        noise_scale: $\sigma > 0$, the same for all labels; None: a second output for each.

    Returns:
        A `Likelihood` with a `GaussianForecast`. Information: $1/\sigma^2$ of the mean and
        $(\partial\sigma^2/\partial s)^2 / (2\sigma^4)$ of the raw variance.

    Raises:
        OptionError: a scale that is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> print(gaussian(2.0).log_prob(jnp.zeros(1), jnp.array([2.0])).round(3))
        [-2.112]
    """
    if noise_scale is not None:
        variance_of_all = check_number("noise_scale", noise_scale, 0.0, open_low=True) ** 2

    def read(outputs: Array) -> tuple[Array, Array]:
        if noise_scale is not None:
            outputs = as_float(outputs)
            return outputs, jnp.full_like(outputs, variance_of_all)
        outputs = _pair(outputs, 2, "mean and raw variance")
        return outputs[..., 0], jax.nn.softplus(outputs[..., 1]) + VARIANCE_FLOOR

    def log_prob(outputs: Array, labels: Array) -> Array:
        mean, variance = read(outputs)
        check_shapes(outputs=mean, labels=labels)
        return jax.scipy.stats.norm.logpdf(as_float(labels, mean), mean, jnp.sqrt(variance))

    def moments(outputs: Array) -> Moments:
        mean, variance = read(outputs)
        return Moments(average=variance, spread=mean)

    def curvature(outputs: Array) -> Array:
        _, variance = read(outputs)
        if noise_scale is not None:
            return (1 / jnp.sqrt(variance))[..., None]
        slope = jax.nn.sigmoid(as_float(outputs)[..., 1])
        return _diagonal_root(jnp.stack([1 / variance, slope**2 / (2 * variance**2)], axis=-1))

    return Likelihood(log_prob, moments, _mean_and_variance, curvature)


def _mean_and_variance(moments: Moments) -> GaussianForecast:
    return GaussianForecast(moments.spread.mean, moments.average, moments.spread.variance)


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
        return take_class(log_softmax(as_float(outputs)), labels)

    def moments(outputs: Array) -> Moments:
        logits = as_float(outputs)
        return Moments(average=categorical_entropy(logits), log_average=log_softmax(logits))

    def predictive(moments: Moments) -> CategoricalForecast:
        total = categorical_entropy(moments.log_average)
        return CategoricalForecast(moments.log_average, *_entropy_parts(total, moments.average))

    def curvature(outputs: Array) -> Array:
        log_probabilities = log_softmax(as_float(outputs))
        p, root = jnp.exp(log_probabilities), jnp.exp(0.5 * log_probabilities)
        return _diagonal_root(p) - p[..., :, None] * root[..., None, :]

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


def student_t(degrees_of_freedom: float) -> Likelihood:
    r"""A label with heavy tails: outputs `[*batch, 2]`, location and raw squared scale (read as a Gaussian's variance).

    $y \sim t_\nu(\mu, \mathrm{softplus}(s) + 10^{-6})$. Use it where labels have outliers that a Gaussian would follow.

    Args:
        degrees_of_freedom: $\nu > 2$, so that there is a variance; 4 is heavy, 30 nearly normal.

    Returns:
        A `Likelihood` with a `GaussianForecast` of mean and variance $\sigma^2 \nu / (\nu - 2)$, not of the tails.
        Information: $\frac{\nu+1}{(\nu+3)\sigma^2}$ of the location, $\frac{\nu}{2(\nu+3)\sigma^4}$ of $\sigma^2$.

    Raises:
        OptionError: two degrees of freedom or fewer.

    Example:
        >>> import jax.numpy as jnp
        >>> [f"{value:.3f}" for value in student_t(4.0).log_prob(jnp.array([[0.0, 0.5413]]), jnp.array([2.0]))]
        ['-2.714']

    References:
        K. L. Lange, R. J. A. Little, J. M. G. Taylor, "Robust Statistical Modeling Using the t Distribution", JASA
        1989, appendix B (the information).
    """
    nu = check_number("degrees_of_freedom", degrees_of_freedom, 2.0, open_low=True)

    def read(outputs: Array) -> tuple[Array, Array]:
        outputs = _pair(outputs, 2, "location and raw squared scale")
        return outputs[..., 0], jax.nn.softplus(outputs[..., 1]) + VARIANCE_FLOOR

    def log_prob(outputs: Array, labels: Array) -> Array:
        location, squared = read(outputs)
        check_shapes(outputs=location, labels=labels)
        return jax.scipy.stats.t.logpdf(as_float(labels, location), nu, location, jnp.sqrt(squared))

    def moments(outputs: Array) -> Moments:
        location, squared = read(outputs)
        return Moments(average=squared * (nu / (nu - 2)), spread=location)

    def curvature(outputs: Array) -> Array:
        _, squared = read(outputs)
        slope = jax.nn.sigmoid(as_float(outputs)[..., 1])
        scale = nu / (2 * (nu + 3)) * (slope / squared) ** 2
        return _diagonal_root(jnp.stack([(nu + 1) / ((nu + 3) * squared), scale], axis=-1))

    return Likelihood(log_prob, moments, _mean_and_variance, curvature)


def evidential() -> Likelihood:
    r"""A Student t whose parameters come from a normal-inverse-gamma distribution, outputs `[*batch, 4]`.

    $y \sim t_{2\alpha}(\gamma, \beta (1 + \nu) / (\nu \alpha))$, read by
    `jaxuq.losses.normal_inverse_gamma_parameters`. One network has an epistemic part of its own,
    $\beta / (\nu (\alpha - 1))$, which the samples' spread adds to.

    Returns:
        A `Likelihood` with a `GaussianForecast`. Its `curvature` is that of the location alone, the other three outputs
        having none: a Laplace approximation sees the mean's uncertainty.

    Example:
        >>> import jax.numpy as jnp
        >>> evidential().log_prob(jnp.zeros((5, 4)), jnp.zeros(5)).shape
        (5,)

    References:
        A. Amini, W. Schwarting, A. Soleimany, D. Rus, "Deep Evidential Regression", NeurIPS 2020, Eq. 5 to 7.
    """

    def read(outputs: Array) -> Any:
        return normal_inverse_gamma_parameters(_pair(outputs, 4, "gamma, nu, alpha, beta"))

    def squared_scale(p: Any) -> Array:
        return p.beta * (1 + p.nu) / (p.nu * p.alpha)

    def log_prob(outputs: Array, labels: Array) -> Array:
        p = read(outputs)
        check_shapes(outputs=p.gamma, labels=labels)
        return jax.scipy.stats.t.logpdf(as_float(labels, p.gamma), 2 * p.alpha, p.gamma, jnp.sqrt(squared_scale(p)))

    def moments(outputs: Array) -> Moments:
        p = read(outputs)
        return Moments(average=(p.aleatoric, p.epistemic), spread=p.gamma)

    def predictive(moments: Moments) -> GaussianForecast:
        aleatoric, epistemic = moments.average
        return GaussianForecast(moments.spread.mean, aleatoric, epistemic + moments.spread.variance)

    def curvature(outputs: Array) -> Array:
        p = read(outputs)
        root = jnp.sqrt((2 * p.alpha + 1) / ((2 * p.alpha + 3) * squared_scale(p)))
        return jnp.stack([root, *[jnp.zeros_like(root)] * 3], axis=-1)[..., None]

    return Likelihood(log_prob, moments, predictive, curvature)


LIKELIHOODS: Entries[Likelihood] = Entries(
    "likelihood",
    "jaxuq.likelihoods",
    {
        "gaussian": gaussian(),
        "bernoulli": bernoulli(),
        "categorical": categorical(),
        "poisson": poisson(),
        "evidential": evidential(),
    },
)
"""Those with a name; put your own in, or declare an entry point of the group `jaxuq.likelihoods`."""


def likelihood_of(likelihood: str | Likelihood) -> Likelihood:
    """The likelihood of a name, or the record itself.

    Args:
        likelihood: a name in `LIKELIHOODS`, or a record.

    Returns:
        The record.

    Raises:
        OptionError: a name that there is not, or something that is neither.

    Example:
        >>> likelihood_of("bernoulli") is likelihood_of(likelihood_of("bernoulli"))
        True
    """
    if isinstance(likelihood, Likelihood):
        return likelihood
    if isinstance(likelihood, str):
        return LIKELIHOODS[likelihood]
    raise OptionError(f"likelihood is {likelihood!r}; expected a name ({', '.join(LIKELIHOODS)}) or a Likelihood")


def total_log_prob(
    likelihood: Likelihood,
    outputs: Float[Array, "..."],
    labels: Shaped[Array, "*batch"],
    where: Any = None,
) -> Float[Array, ""]:
    """Sum of the log likelihood of all labels that `where` keeps; the outputs of the others may be anything finite."""
    check_shapes(labels=labels, where=where)
    if where is None:
        return jnp.sum(likelihood.log_prob(outputs, labels))
    labels = jnp.where(where, labels, jnp.zeros_like(labels))
    terms = likelihood.log_prob(outputs, labels)
    return jnp.sum(jnp.where(where, terms, jnp.zeros_like(terms)))
