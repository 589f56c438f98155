"""Weights of experts for a question, from the direction of its gradient."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._arrays import counted, widened
from jaxuq._entries import Entries, Entry
from jaxuq._errors import ArrayError
from jaxuq._options import check_count
from jaxuq._shapes import checked


class Routing(NamedTuple):
    """How much each member of an ensemble is to say about a question.

    Attributes:
        cosines: with the centroid of each cluster; NaN where the feature has no direction.
        weights: of the base adapter (first) and of the expert of each cluster; they need not sum to one.
        routed: False where the feature has no direction: the base adapter answers alone.
    """

    cosines: Float[Array, "*batch clusters"]
    weights: Float[Array, "*batch members"]
    routed: Bool[Array, "*batch"]


@checked
@widened
def route(
    features: Float[Array, "*batch dim"],
    centroids: Float[Array, "clusters centroid_dim"],
    *,
    top_k: int | None = None,
    renormalise: bool = False,
    where: Bool[Array, " clusters"] | None = None,
) -> Routing:
    r"""Weights of the base adapter and of the experts for every question.

    $$w_c = \frac{\exp \cos'_c}{\sum_{c'} \exp \cos'_{c'}}, \qquad \cos'_c = \frac{\cos_c - \mu}{\sigma}, \qquad
      w_{\mathrm{base}} = 1 - \max_c \cos_c$$

    where $\cos_c$ is the cosine of the question's feature with the centroid of cluster $c$, and $\mu$, $\sigma$ are its
    mean and standard deviation (dividing by the number of clusters) over the clusters. Where all cosines are equal, as
    with one cluster, the experts share their weight evenly. The weights sum to $1 + w_{\mathrm{base}}$, not to one: use
    them on logits as they are, or divide by the sum where a mixture of probabilities is meant.

    A feature of zeros, or one that is not finite, points nowhere: its weights are one for the base adapter and zero for
    the experts, and `routed` is False. Count them: many of them mean that something is wrong with the features.

    Args:
        features: of questions; their lengths do not matter.
        centroids: means of the features of each cluster; their lengths do not matter.
        top_k: keep the experts with the largest weights; ties at the k-th are kept. None: all.
        renormalise: let the experts that are kept sum to one again; else their weights stay what they were.
        where: clusters that count; the others have weight zero. None: all.

    Returns:
        `Routing`.

    Raises:
        ValueError: `top_k` below one, or features and centroids of different lengths.

    Example:
        >>> import jax.numpy as jnp
        >>> centroids = jnp.array([[1.0, 0.0], [0.0, 1.0]])
        >>> found = route(jnp.array([0.8, 0.6]), centroids)
        >>> [f"{weight:.3f}" for weight in found.weights.tolist()]
        ['0.200', '0.881', '0.119']

    References:
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025,
        Eq 5.8 and 5.9, and section 5.3.4.
    """
    if top_k is not None:
        check_count("top_k", top_k)
    if features.shape[-1] != centroids.shape[-1]:
        raise ArrayError(
            f"centroids has shape {centroids.shape} where features has {features.shape}; make both with the same "
            "projection"
        )
    counts = counted(where, (centroids.shape[0],))
    directions, some = _directions(features)
    means, clear = _directions(centroids)
    counts = counts & clear
    routed = some & counts.any()
    cosines = jnp.einsum("...d,cd->...c", directions, means)
    mask = jnp.broadcast_to(counts, cosines.shape)
    standard = _standardised(cosines, mask)
    experts = jnp.where(mask, jax.nn.softmax(jnp.where(mask, standard, -1e9), axis=-1), 0.0)
    if top_k is not None and top_k < centroids.shape[0]:
        least = jax.lax.top_k(jax.lax.stop_gradient(experts), top_k)[0][..., -1:]
        experts = jnp.where(experts >= jnp.broadcast_to(least, experts.shape), experts, 0.0)
        if renormalise:
            total = experts.sum(-1, keepdims=True)
            experts = experts / jnp.broadcast_to(jnp.where(total > 0, total, 1.0), experts.shape)
    base = jnp.maximum(1.0 - jnp.max(jnp.where(mask, cosines, -1.0), axis=-1), 0.0)  # a cosine of 1 may round up
    known = routed[..., None]
    weights = jnp.concatenate([jnp.where(known, base[..., None], 1.0), jnp.where(known, experts, 0.0)], axis=-1)
    return Routing(jnp.where(known & mask, cosines, jnp.nan), weights, routed)


def _by_cosines(features: Array, centroids: Array) -> Array:
    return route(features, centroids).weights


ROUTINGS: Entries[Entry] = Entries(
    "routing rule", "jaxuq.routings", {"elrea": Entry("elrea", "ELREA", {"weights": _by_cosines})}, role="weights"
)
"""Rules by name. The functions of an entry hold `weights(features, centroids)`, of the base adapter and each expert for
every question: not negative, some of them positive. Put yours in, or declare an entry point of the group."""


def _directions(x: Array) -> tuple[Array, Array]:
    """Vectors of length one, and whether there is such a direction."""
    finite = jnp.isfinite(x).all(-1, keepdims=True)
    x = jnp.where(finite, x, 0.0)
    largest = jnp.max(jnp.abs(x), axis=-1, keepdims=True)
    some = largest > 0
    scaled = jnp.where(some, x, 1.0) / jnp.where(some, largest, 1.0)  # neither tiny nor huge features lose digits
    norm = jnp.sqrt(jnp.sum(scaled**2, axis=-1, keepdims=True))
    return jnp.where(some, scaled / norm, 0.0), some[..., 0]


def _standardised(cosines: Array, mask: Array) -> Array:
    count = jnp.maximum(mask.sum(-1, keepdims=True), 1).astype(cosines.dtype)
    mean = jnp.where(mask, cosines, 0.0).sum(-1, keepdims=True) / count
    centred = jnp.where(mask, cosines - mean, 0.0)
    variance = (centred**2).sum(-1, keepdims=True) / count
    spread = variance > 1e-12  # below that, cosines differ by rounding only
    return jnp.where(spread, centred / jnp.sqrt(jnp.where(spread, variance, 1.0)), 0.0)
