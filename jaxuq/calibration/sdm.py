r"""Similarity-distance-magnitude (SDM) activations: a softmax that knows its training data, and where to trust it.

$p_i \propto (2 + q)^{d z_i}$: with many like training examples right nearby (q) and at no unusual distance from them
(d), the logits count more; far from all of them (d = 0) every class is as likely as another.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Integer

from jaxuq._arrays import (
    counted,
    first_true,
    is_class,
    length,
    no_nan,
    product,
    take_class,
    undefined_unless,
    widened,
    within_classes,
)
from jaxuq._options import check_number
from jaxuq._shapes import checked


@checked
@widened
def sdm_similarity(
    features: Float[Array, "m dimension"],
    predicted: Integer[Array, " m"],
    references: Float[Array, "n dimension"],
    reference_predicted: Integer[Array, " n"],
    reference_labels: Integer[Array, " n"],
    *,
    leave_own_out: bool = False,
) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    r"""Similarity q and distance to the nearest training example.

    q counts the nearest training examples in order of distance for as long as they were predicted right and as the new
    one is; it is 0 if the nearest was not. Distances are Euclidean; n of them are held at a time.

    Args:
        features: of the examples asked about.
        predicted: their predicted classes.
        references: features of the training examples.
        reference_predicted: classes predicted for these.
        reference_labels: their true classes.
        leave_own_out: the examples are the training examples in their order, and none counts for itself.

    Returns:
        q, whole numbers, and the distance to the nearest; infinite where there is no training example, NaN where a
        feature is.

    Raises:
        ArrayError: the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> references, right = jnp.array([[0.1], [0.2], [0.3], [0.4]]), jnp.array([1, 1, 0, 1])
        >>> q, distance = sdm_similarity(jnp.zeros((1, 1)), jnp.array([1]), references, jnp.ones(4, int), right)
        >>> print(q[0], distance[0])
        2.0 0.1

    References:
        A. Schmaltz, "Similarity-Distance-Magnitude Activations", Findings of ACL 2026, section 3.
    """
    right = reference_predicted == reference_labels
    places = jnp.arange(references.shape[0], dtype=jnp.int32)

    def one(query: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        feature, of_class, place = query
        apart = references - feature[None]
        own = (places == place) & leave_own_out
        known = ~jnp.any(jnp.isnan(apart) & ~own[:, None])
        away = jnp.where(own, jnp.inf, length(apart))
        order = jnp.argsort(away)
        matches = (right & (reference_predicted == of_class) & ~own)[order]
        nearest, similarity = jnp.min(away, initial=jnp.inf), first_true(~matches).astype(away.dtype)
        return undefined_unless(known, similarity), undefined_unless(known, nearest)

    numbers = jnp.arange(features.shape[0], dtype=jnp.int32)
    return jax.lax.map(one, (jax.lax.stop_gradient(features), predicted, numbers))


@checked
@widened
def sdm_distance(
    distances: Float[Array, " m"],
    calibration_distances: Float[Array, " n"],
    labels: Integer[Array, " n"],
    num_classes: int,
    *,
    where: Bool[Array, " n"] | None = None,
) -> Float[Array, " m"]:
    r"""Distances as quantiles, $d = \min_c (1 - \hat F_c(\text{distance}))$: 1 as near as nothing in the calibration
    data, 0 beyond all of a class.

    Args:
        distances: to the nearest training example, of the examples asked about.
        calibration_distances: the same of calibration examples.
        labels: their true classes.
        num_classes: K; the smallest over classes is taken, a class without examples left out.
        where: which calibration examples count; the method takes those with q > 0.

    Returns:
        d in [0, 1]; 0 where no calibration example counts, NaN if a label that counts is no class or a distance NaN.

    Raises:
        ArrayError: the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> known = jnp.array([0.2, 0.4, 0.5, 0.9])
        >>> print(sdm_distance(jnp.array([0.45, 0.0, 2.0]), known, jnp.zeros(4, int), 1))
        [0.5 1.  0. ]
    """
    counts = counted(where, labels)
    known = ~jnp.any(counts & (~within_classes(labels, num_classes) | jnp.isnan(calibration_distances)))
    mine = is_class(labels, num_classes) & counts[:, None]
    sizes = jnp.sum(mine, axis=0)

    def one(distance: Array) -> Array:
        nearer = jnp.sum(mine & (calibration_distances < distance)[:, None], axis=0)
        share = 1 - nearer.astype(distance.dtype) / jnp.maximum(sizes, 1).astype(distance.dtype)
        least = jnp.min(jnp.where(sizes > 0, share, jnp.inf), initial=jnp.inf)
        return undefined_unless(known & ~jnp.isnan(distance), jnp.where(least < jnp.inf, least, 0))

    return jax.lax.map(one, jax.lax.stop_gradient(distances))


@checked
@widened
def sdm_logits(
    logits: Float[Array, "*batch classes"], similarity: Float[Array, "*batch"], distance: Float[Array, "*batch"]
) -> Float[Array, "*batch classes"]:
    r"""Logits whose softmax is the SDM activation, $d \ln(2 + q)\, z$: at q = e - 2, d = 1 the logits themselves.

    Args:
        logits: z.
        similarity: q >= 0.
        distance: d in [0, 1], of `sdm_distance`.

    Returns:
        Logits. The training's loss, in logarithms to the base 2 + q, is the cross entropy of these over ln(2 + q),
        with q and d of each epoch and no gradient through them.

    Raises:
        ArrayError: the shapes differ.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> p = jax.nn.softmax(sdm_logits(jnp.array([2.0, 1.0]), jnp.array(3.0), jnp.array(0.8)))
        >>> print(f"{p[0]:.4f} {-jnp.log(p[0]) / jnp.log(5.0):.4f}")
        0.7837 0.1514
    """
    factor = jnp.broadcast_to((distance * jnp.log(2 + similarity))[..., None], logits.shape)
    return product(factor, logits)


class SDMRegion(NamedTuple):
    """Where an SDM activation is to be trusted.

    Attributes:
        similarity: least rescaled similarity; infinite if there is no region.
        thresholds: least probability of each class, if it is the predicted one.
        sizes: calibration examples of each class that lie inside.
    """

    similarity: Float[Array, ""]
    thresholds: Float[Array, " classes"]
    sizes: Int[Array, " classes"]

    def band(self, level: float = 0.95) -> Float[Array, ""]:
        r"""Half the width of a band about distribution functions of so many examples, $\sqrt{\ln(2 / (1 - \alpha)) / 2
        \min_c n_c}$, at most 1: take d less and more by it for the effect of the sample's size."""
        size = jnp.min(self.sizes).astype(self.thresholds.dtype)
        band = jnp.sqrt(math.log(2 / (1 - level)) / (2 * jnp.maximum(size, 1)))
        return jnp.where(size > 0, jnp.minimum(band, 1), 1)


@checked
@widened
def rescaled_similarity(
    similarity: Float[Array, "*batch"], probability: Float[Array, "*batch"]
) -> Float[Array, "*batch"]:
    r"""$\min(q, (2 + q)^{p})$ with p the probability of the predicted class: similarity that confidence bears out.

    Args:
        similarity: q.
        probability: of the predicted class, by the SDM activation.

    Returns:
        What `sdm_region` compares.

    Example:
        >>> import jax.numpy as jnp
        >>> print(*(f"{q:.2f}" for q in rescaled_similarity(jnp.array([3.0, 100.0]), jnp.array([0.783732, 0.5]))))
        3.00 10.10
    """
    return jnp.minimum(similarity, (2 + similarity) ** probability)


@checked
@widened
def sdm_region(
    similarity: Float[Array, " n"],
    probabilities: Float[Array, "n classes"],
    labels: Integer[Array, " n"],
    *,
    level: float = 0.95,
) -> SDMRegion:
    r"""The widest region in which each class's own examples are given it with high probability.

    The least similarity is raised over those that occur, until for every class the $(1 - \alpha)$ quantile $\psi_c$ of
    the probabilities that its own calibration examples give to it is at least $\alpha$. Trust a prediction whose
    rescaled similarity is at least the region's and whose probability is at least $\psi_{\hat y}$. If no similarity
    does, nothing is trusted. It is a selection by calibration data, not a guarantee. O(n) candidates with a sort each.

    Args:
        similarity: of calibration examples, rescaled.
        probabilities: of theirs, by the SDM activation.
        labels: true classes.
        level: $\alpha$ in (0, 1).

    Returns:
        The region; NaN if a label is no class, or a number NaN.

    Raises:
        ArrayError: the shapes differ.
        OptionError: `level` is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> p = jnp.array([[0.6, 0.4], [0.99, 0.01], [0.98, 0.02], [0.03, 0.97]])
        >>> region = sdm_region(jnp.array([1.0, 3.0, 4.0, 5.0]), p, jnp.array([1, 0, 0, 1]))
        >>> print(region.similarity, region.thresholds, region.sizes)
        3.0 [0.98 0.97] [2 1]

    References:
        A. Schmaltz, "Similarity-Distance-Magnitude Activations", Findings of ACL 2026, Algorithm 1.
    """
    check_number("level", level, 0.0, 1.0, open_low=True, open_high=True)
    classes = probabilities.shape[-1]
    known, own = jnp.all(within_classes(labels, classes)), is_class(labels, classes)
    known = known & no_nan(similarity, probabilities)
    given = take_class(probabilities, labels)

    def quantiles(least: Array) -> tuple[Array, Array]:
        inside = own & (similarity >= least)[:, None]
        sizes = jnp.sum(inside, axis=0, dtype=jnp.int32)
        ordered = jnp.sort(jnp.where(inside, given[:, None], jnp.inf), axis=0)
        rank = jnp.maximum(jnp.ceil((1 - level) * sizes.astype(given.dtype) - 1e-6).astype(jnp.int32) - 1, 0)
        found = (
            jnp.take_along_axis(ordered, rank[None], axis=0, mode="clip")[0]
            if similarity.shape[0]
            else rank.astype(given.dtype)
        )
        return jnp.where(sizes > 0, found, -jnp.inf).astype(given.dtype), sizes

    candidates = jnp.sort(jnp.where(similarity > 0, similarity, jnp.inf))
    good = jax.lax.map(lambda least: jnp.all(quantiles(least)[0] >= level) & (least < jnp.inf), candidates)
    place = jnp.pad(candidates, (0, 1), constant_values=jnp.inf)[first_true(good)]
    thresholds, sizes = quantiles(place)
    thresholds = jnp.where(place < jnp.inf, thresholds, jnp.inf)
    return SDMRegion(undefined_unless(known, place), undefined_unless(known, thresholds), sizes)
