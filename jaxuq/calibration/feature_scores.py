"""How far an input is from those that were trained on, by the features of the network's last hidden layer."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from jaxuq._arrays import class_numbers, length, select, undefined_unless, widened, within_classes
from jaxuq._errors import ArrayError
from jaxuq._options import check_count, check_number
from jaxuq._shapes import checked

_LOG_TWO_PI = 1.8378770664093453


class FeatureScore(NamedTuple):
    """Two pure functions: one reference of the training features, and a score that is larger for stranger inputs.

    Attributes:
        fit: `(features, labels=None, *, where=None) -> state`, features `[n, dimension]`, labels class numbers.
        score: `(state, features) -> [m]`.
    """

    fit: Callable[..., Any]
    score: Callable[[Any, Float[Array, "m dimension"]], Float[Array, " m"]]


class ClassGaussians(NamedTuple):
    """A Gaussian of features for each class.

    Attributes:
        means: of each class.
        factors: lower Cholesky factors of the covariances, one a class (all alike if shared).
        log_priors: of the classes; minus infinity for one without examples.
    """

    means: Float[Array, "classes dimension"]
    factors: Float[Array, "classes dimension dimension"]
    log_priors: Float[Array, " classes"]


@checked
@widened
def _gaussians(
    features: Float[Array, "n dimension"],
    labels: Integer[Array, " n"],
    where: Bool[Array, " n"] | None,
    num_classes: int,
    shared: bool,
    shrinkage: float,
) -> ClassGaussians:
    known = within_classes(labels, num_classes)
    known = known if where is None else known & where
    features = select(features, known)
    largest = jnp.max(jnp.abs(features), initial=0)
    unit = jnp.where((largest > 0) & (largest < jnp.inf), largest, 1)
    features = features / unit
    mine = select(jax.nn.one_hot(class_numbers(labels, num_classes), num_classes, dtype=features.dtype), known)
    counts = jnp.sum(mine, axis=0)
    safe = jnp.maximum(counts, 1)
    means = jnp.einsum("nc,nd->cd", mine, features) / safe[:, None]

    def scatter(pair: tuple[Array, Array]) -> Array:
        weight, mean = pair
        centred = (features - mean[None]) * weight[:, None]
        return centred.T @ centred

    total = jnp.sum(counts)
    if shared:
        parts = jax.lax.map(scatter, (mine.T, means))
        covariances = jnp.broadcast_to(jnp.sum(parts, axis=0) / jnp.maximum(total, 1), parts.shape)
    else:
        covariances = jax.lax.map(scatter, (mine.T, means)) / safe[:, None, None]
    dimension = features.shape[-1]
    size = jnp.trace(covariances, axis1=-2, axis2=-1) / max(dimension, 1)
    within = counts @ size / jnp.maximum(total, 1)
    size = jnp.where(size > 0, size, jnp.where(within > 0, within, 1))[:, None, None]
    identity = jnp.eye(dimension, dtype=features.dtype)[None]
    factors = jnp.linalg.cholesky((1 - shrinkage) * covariances + shrinkage * size * identity)
    log_priors = jnp.where(counts > 0, jnp.log(jnp.where(counts > 0, counts, 1)), -jnp.inf) - jnp.log(
        jnp.maximum(total, 1)
    )
    return ClassGaussians(unit * means, unit * factors, log_priors)


@checked
@widened
def _squared_distances(state: ClassGaussians, features: Float[Array, "m dimension"]) -> Float[Array, "m classes"]:
    """Squared Mahalanobis distance to every class."""

    def one(pair: tuple[Array, Array]) -> Array:
        mean, factor = pair
        white = jax.scipy.linalg.solve_triangular(factor, (features - mean[None]).T, lower=True)
        return jnp.sum(jnp.square(white), axis=0)

    return jax.lax.map(one, (state.means, state.factors)).T


def feature_density(num_classes: int, *, priors: bool = True, shrinkage: float = 1e-3) -> FeatureScore:
    r"""Minus the log density of features under one Gaussian a class (the density of deep deterministic uncertainty).

    $$-\log \sum_c \pi_c\, \mathcal{N}(h; \mu_c, \Sigma_c)$$

    Use it for epistemic uncertainty from one network, trained with spectral normalisation; the entropy of its softmax
    is the aleatoric part. Densities rank inputs; their values mean little. Covariances are shrunk towards a multiple of
    the identity, $(1-s)\Sigma_c + s\,\mathrm{tr}(\Sigma_c)/d\, I$: classes with fewer examples than dimensions need it.
    A class without any spread, as of one example, is shrunk towards the mean of all classes' variances.

    Args:
        num_classes: K.
        priors: whether classes count as often as they came; without, all alike, as in the released code.
        shrinkage: s in [0, 1].

    Returns:
        A `FeatureScore` with a `ClassGaussians`, K d^2 numbers; an example whose label is no class does not count.

    Raises:
        OptionError: a number is out of range.
        ArrayError: by `fit`, if there are no labels or shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> covariance = jnp.stack([jnp.eye(2), jnp.diag(jnp.array([0.5, 2.0]))])
        >>> state = ClassGaussians(
        ...     jnp.array([[0.0, 0.0], [2.0, 0.0]]), jnp.sqrt(covariance), jnp.log(jnp.array([0.6, 0.4]))
        ... )
        >>> for priors in (True, False):
        ...     print(f"{feature_density(2, priors=priors).score(state, jnp.array([[3.0, 1.0]]))[0]:.4f}")
        3.9695
        3.0646

    References:
        J. Mukhoti, A. Kirsch, J. van Amersfoort, P. H. S. Torr, Y. Gal, "Deep Deterministic Uncertainty: A New Simple
        Baseline", CVPR 2023, section 4.
    """
    check_count("num_classes", num_classes)
    check_number("shrinkage", shrinkage, 0.0, 1.0)

    def score(state: ClassGaussians, features: Float[Array, "m dimension"]) -> Float[Array, " m"]:
        distances = _squared_distances(state, features)
        diagonal = jnp.diagonal(state.factors, axis1=-2, axis2=-1).astype(distances.dtype)
        log_volume = jnp.sum(jnp.log(diagonal), axis=-1)
        log_density = -distances / 2 - (log_volume + features.shape[-1] / 2 * _LOG_TWO_PI)[None]
        there = jnp.isfinite(state.log_priors)[None]
        weight = state.log_priors.astype(distances.dtype)[None] if priors else 0 * log_density
        return -jax.nn.logsumexp(jnp.where(there, log_density + weight, -jnp.inf), axis=-1)

    return FeatureScore(_fit_classes(num_classes, False, shrinkage), score)


def mahalanobis_distance(num_classes: int, *, shrinkage: float = 1e-3) -> FeatureScore:
    r"""Squared Mahalanobis distance to the nearest class mean, under one covariance for all classes.

    $$\min_c\ (h - \mu_c)^\top \Sigma^{-1} (h - \mu_c)$$

    Use it where classes have too few examples for a covariance each (`feature_density`). With one class for all it
    serves regression: pass labels of 0.

    Args:
        num_classes: K.
        shrinkage: of the covariance, as in `feature_density`.

    Returns:
        A `FeatureScore` with a `ClassGaussians`.

    Raises:
        OptionError: a number is out of range.
        ArrayError: by `fit`, if there are no labels or shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> method = mahalanobis_distance(1, shrinkage=0.0)
        >>> state = method.fit(jnp.array([[-1.0], [1.0]]), jnp.array([0, 0]))
        >>> print(method.score(state, jnp.array([[0.0], [3.0]])))
        [0. 9.]

    References:
        K. Lee, K. Lee, H. Lee, J. Shin, "A Simple Unified Framework for Detecting Out-of-Distribution Samples and
        Adversarial Attacks", NeurIPS 2018, Eq. 2.
    """
    check_count("num_classes", num_classes)
    check_number("shrinkage", shrinkage, 0.0, 1.0)

    def score(state: ClassGaussians, features: Float[Array, "m dimension"]) -> Float[Array, " m"]:
        distances = _squared_distances(state, features)
        return jnp.min(jnp.where(jnp.isfinite(state.log_priors)[None], distances, jnp.inf), axis=-1)

    return FeatureScore(_fit_classes(num_classes, True, shrinkage), score)


def _fit_classes(num_classes: int, shared: bool, shrinkage: float) -> Callable[..., ClassGaussians]:
    def fit(
        features: Float[Array, "n dimension"],
        labels: Integer[Array, " n"] | None = None,
        *,
        where: Bool[Array, " n"] | None = None,
    ) -> ClassGaussians:
        if labels is None:
            raise ArrayError("labels are missing; this score needs the class of each example (0 for all is one class)")
        return _gaussians(features, labels, where, num_classes, shared, shrinkage)

    return fit


def nearest_features(count: int = 50, *, normalised: bool = True) -> FeatureScore:
    r"""Distance to the k-th nearest training example, of features of unit length.

    $$\left\lVert \tfrac{h}{\lVert h \rVert} - \tfrac{h_{(k)}}{\lVert h_{(k)} \rVert} \right\rVert_2$$

    Use it where features of a class are no Gaussian cloud; no label is needed. It keeps all training features (or those
    of a random part, with a smaller k), and holds n distances at a time.

    Args:
        count: k >= 1; about 1 for a part of 1 % of the examples, 50 to 200 for all.
        normalised: whether features are brought to unit length.

    Returns:
        A `FeatureScore`, whose state are the features, NaN where an example does not count. Infinite if fewer than k
        examples count.

    Raises:
        OptionError: `count` is out of range.
        ArrayError: by `fit` and `score`, if shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> method = nearest_features(2, normalised=False)
        >>> state = method.fit(jnp.array([[0.0], [1.0], [5.0]]))
        >>> print(method.score(state, jnp.array([[0.0], [4.0]])))
        [1. 3.]

    References:
        Y. Sun, Y. Ming, X. Zhu, Y. Li, "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022, Eq. 1.
    """
    check_count("count", count)

    def fit(
        features: Float[Array, "n dimension"],
        labels: Integer[Array, " n"] | None = None,
        *,
        where: Bool[Array, " n"] | None = None,
    ) -> Float[Array, "n dimension"]:
        del labels
        return _references(features, where, normalised)

    def score(state: Float[Array, "n dimension"], features: Float[Array, "m dimension"]) -> Float[Array, " m"]:
        return _nearest(state, features, count, normalised)

    return FeatureScore(fit, score)


def _directions(features: Array, normalised: bool) -> Array:
    if not normalised:
        return features
    size = length(features)[..., None]
    return features / jnp.where(size > 0, size, 1)


@checked
@widened
def _references(
    features: Float[Array, "n dimension"], where: Bool[Array, " n"] | None, normalised: bool
) -> Float[Array, "n dimension"]:
    directions = _directions(select(features, where), normalised)
    return (
        directions
        if where is None
        else undefined_unless(jnp.broadcast_to(where[:, None], directions.shape), directions)
    )


@checked
@widened
def _nearest(
    references: Float[Array, "n dimension"], features: Float[Array, "m dimension"], count: int, normalised: bool
) -> Float[Array, " m"]:
    counts = ~jnp.any(jnp.isnan(references), axis=-1)
    references = select(references, counts)
    short = max(count - references.shape[0], 0)

    def one(direction: Array) -> Array:
        away = jnp.where(counts, length(references - direction[None]), jnp.inf)
        away = jnp.concatenate([away, jnp.full(short, jnp.inf, away.dtype)])
        return -jax.lax.top_k(-away, count)[0][-1]

    return jax.lax.map(one, _directions(features, normalised))


@checked
@widened
def free_energy(logits: Float[Array, "*batch classes"], *, temperature: float = 1.0) -> Float[Array, "*batch"]:
    r"""The energy score $-T \log \sum_k \exp(z_k / T)$, larger for stranger inputs.

    Unlike the greatest probability it keeps the size of the logits, which is what far inputs lack. `-logits.max(-1)`,
    the greatest logit, is its limit for small T.

    The logits of a network with rectifiers grow with the distance from the data, so inputs far outside can look more
    familiar than the data: compare with a distance, as `nearest_features` or `feature_density`.

    Args:
        logits: of the classes, unnormalised: log probabilities have energy 0.
        temperature: T > 0.

    Returns:
        A number for each row.

    Raises:
        OptionError: `temperature` is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> print(free_energy(jnp.log(jnp.array([3.0, 5.0]))).round(4), free_energy(jnp.zeros(2)).round(4))
        -2.0794 -0.6931

    References:
        W. Liu, X. Wang, J. D. Owens, Y. Li, "Energy-based Out-of-distribution Detection", NeurIPS 2020, Eq. 4.
    """
    scale = check_number("temperature", temperature, 0.0, open_low=True)
    return -scale * jax.nn.logsumexp(logits / scale, axis=-1)
