"""Clusters of gradient features: BIRCH on a sample, and again within clusters much larger than the smallest."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from jaxuq._arguments import typed
from jaxuq._arrays import check_shapes
from jaxuq._entries import Entries, Entry, entry_of
from jaxuq._errors import ArrayError, OptionError
from jaxuq._options import check_count, check_number
from jaxuq.experts._cluster_models import CHUNK, Division, birch, divide, kmeans, random_parts


class Clusters(NamedTuple):
    """A partition of examples.

    Attributes:
        labels: of each example, 0 for the largest cluster; -1 for examples left out.
        centroids: mean of the cluster's features, not of unit length.
        sizes: examples in each cluster, in falling order.
        threshold: BIRCH's radius, found from the data; of the first round. NaN for other methods.
        rounds: how many there were: one, and one for each time that clusters were divided again.
        empty: clusters that a round made and that no example belongs to; they are gone.
        subclusters: leaves of BIRCH's first tree; 0 for other methods.
    """

    labels: Int[np.ndarray, " examples"]
    centroids: Float[np.ndarray, "clusters dimension"]
    sizes: Int[np.ndarray, " clusters"]
    threshold: float
    rounds: int
    empty: int
    subclusters: int

    @property
    def num_clusters(self) -> int:
        """How many there are."""
        return len(self.sizes)


@typed()
def cluster_features(
    features: Float[Array | np.ndarray, "examples dimension"],
    *,
    rng_key: Key[Array, ""],
    method: str | Entry | Callable[..., Any] = "birch",
    num_clusters: int = 5,
    rounds: int | None = None,
    sample_size: int = 5000,
    threshold: float | None = None,
    pca: int | None = None,
    max_clusters: int = 10,
    oversized: float = 5.0,
    sizes: Int[np.ndarray, " clusters"] | None = None,
    where: Bool[np.ndarray, " examples"] | None = None,
) -> Clusters:
    r"""Divide examples into clusters by their features.

    `"birch"` builds a tree of subclusters whose radius stays below a threshold on a random sample, joins them into
    `num_clusters` clusters (agglomerative, Ward's criterion, each as heavy as it has examples), and gives each example
    the cluster of its nearest subcluster. Clusters with more than `oversized` times the examples of the smallest are
    then divided in the same way into `num_clusters - 1` parts, the largest first, as long as there are no more than
    `max_clusters`; and once more into `num_clusters - 2`. From 5 that gives 8 and 10 if one cluster is divided each
    time. The threshold is searched for on a thousand examples until there are between an eighth and a half as many
    subclusters as examples.

    `"kmeans"` asks for `num_clusters` at once; `"random"` divides at random into clusters of the given `sizes`, or of
    equal ones. Sizes are what becomes of the data: take `"kmeans"` where all clusters must serve.

    Args:
        features: such as those of `gradient_features`; may be a memory-mapped file, which is read in pieces.
        rng_key: for the sample, and for k-means and random labels.
        method: `"birch"`, `"kmeans"` or `"random"`; an entry of the form of those in `CLUSTERINGS`; or a function of
            yours, `(rng, sample, count) -> (points, labels)`: an example gets the label of its nearest point (give
            the sample itself as points where a method labels that).
        num_clusters: of the first round; 5 in ELREA, and 10 for its k-means.
        rounds: at most so many; None: as many as the entry says, three for BIRCH, one for the others.
        sample_size: examples that a model is fitted to.
        threshold: BIRCH's, in the units of the features; None: found from the data.
        pca: fit principal components to the sample, and cluster so many of them; None: none.
        max_clusters: of all but random clusters, after all rounds.
        oversized: see above.
        sizes: of random clusters.
        where: False for examples to be left out, such as those without a direction; None: all.

    Returns:
        `Clusters`, not more than there are distinct examples. Holds the sample in float32 and one piece; for BIRCH
        also the distances between the sample's examples, twice.

    Raises:
        OptionError: unknown method, counts or a threshold below their least, points or labels of another shape, no
            examples, sizes that do not add up.
        ArrayError: features that are no matrix or not finite, a mask of another length.

    Example:
        >>> import jax, numpy as np
        >>> rng = np.random.default_rng(0)
        >>> features = np.repeat(np.eye(3), [60, 30, 10], axis=0) + 0.05 * rng.normal(size=(100, 3))
        >>> cluster_features(features, rng_key=jax.random.key(0), num_clusters=3, rounds=1).sizes
        array([60, 30, 10])

    References:
        T. Zhang, R. Ramakrishnan, M. Livny. BIRCH: an efficient data clustering method for very large databases.
        SIGMOD 1996.
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025, section
        5.3.3, Eq 5.8, Table 5.4.
    """
    features = features if isinstance(features, np.ndarray) else np.asarray(features)
    if features.ndim != 2 or features.dtype.kind not in "fiu":
        raise ArrayError(f"features has shape {features.shape} of {features.dtype}; expected [examples, dimension]")
    check_shapes(features=(features, 1), where=None if where is None else np.asarray(where))
    included = np.arange(len(features)) if where is None else np.flatnonzero(np.asarray(where, bool))
    entry = entry_of(CLUSTERINGS, method)
    _check(included, num_clusters, sample_size, max_clusters)
    check_number("oversized", oversized, 1.0)
    for name, count in (("rounds", rounds), ("pca", pca)):
        if count is not None:
            check_count(name, count)
    if threshold is not None:
        check_number("threshold", threshold, 0.0, open_low=True)
    if pca is not None and pca > min(features.shape[1], len(included), sample_size):
        raise OptionError(f"pca is {pca}; expected at most the {features.shape[1]} dimensions, and the examples")
    for begin in range(0, len(included), CHUNK):
        rows = included[begin : begin + CHUNK]
        wrong = rows[~np.isfinite(features[rows]).all(1)]
        if wrong.size:
            raise ArrayError(f"features of example {wrong[0]} are not finite; leave it out with where=")
    rng = np.random.default_rng(np.asarray(jax.random.key_data(rng_key)).ravel().tolist())
    if "parts" in entry.functions:
        parts = entry.functions["parts"](rng, included, num_clusters, sizes)
        return _clusters(features, parts, Division([], math.nan, 0, 0), 1, 0)

    def split(part: Int[np.ndarray, " part"], count: int) -> Division:
        return divide(rng, features, part, count, entry, sample_size=sample_size, threshold=threshold, pca=pca)

    first = split(included, min(num_clusters, max_clusters))
    parts, empty, done = first.parts, first.empty, 1
    allowed = entry.about.get("rounds", 1) if rounds is None else rounds
    for number in range(1, allowed):
        smallest, count, again = min(map(len, parts)), num_clusters - number, []
        for part in sorted(parts, key=len, reverse=True):
            room = max_clusters - len(parts) - len(again) + 1
            if len(part) > oversized * smallest and min(count, room) > 1:
                division = split(part, min(count, room))
                empty += division.empty
                if len(division.parts) > 1:
                    parts = [other for other in parts if other is not part]
                    again += division.parts
        if not again:
            break
        parts, done = parts + again, number + 1
    return _clusters(features, parts, first, done, empty)


def _clusters(
    features: Float[np.ndarray, "examples dimension"],
    parts: list[np.ndarray],
    first: Division,
    rounds: int,
    empty: int,
) -> Clusters:
    """The largest part first; of equal ones that with the earliest example."""
    parts = sorted((part for part in parts if len(part)), key=lambda part: (-len(part), part[0]))
    labels = np.full(len(features), -1)
    centroids = np.zeros((len(parts), features.shape[1]), np.float32)
    for label, part in enumerate(parts):
        labels[part] = label
        total = np.zeros(features.shape[1])
        for start in range(0, len(part), CHUNK):
            total += features[part[start : start + CHUNK]].sum(axis=0, dtype=np.float64)
        centroids[label] = total / len(part)
    sizes = np.array([len(part) for part in parts])
    return Clusters(labels, centroids, sizes, first.threshold, rounds, empty, first.subclusters)


CLUSTERINGS: Entries[Entry] = Entries(
    "clustering",
    "jaxuq.clusterings",
    {
        "birch": Entry("birch", "BIRCH", {"fit": birch}, options={"threshold": None}, about={"rounds": 3}),
        "kmeans": Entry("kmeans", "k-means", {"fit": kmeans}),
        "random": Entry("random", "Random", {"parts": random_parts}),
    },
    role="fit",
)
"""Ways of clustering by name. The functions of an entry hold `fit(rng, sample, count) -> (points, labels)`, which is
given `threshold` too if that is among its options and then returns it as a third; or `parts(rng, included, count,
sizes)`, which divides without a look at features. `about` says how many `rounds` are usual. Put yours in, or declare an
entry point of the group `jaxuq.clusterings`."""


def _check(included: Int[np.ndarray, " included"], num_clusters: int, sample_size: int, max_clusters: int) -> None:
    if not len(included):
        raise OptionError("there are no examples to cluster: all are left out, or there are none")
    for name, value in (("num_clusters", num_clusters), ("sample_size", sample_size), ("max_clusters", max_clusters)):
        check_count(name, value)
