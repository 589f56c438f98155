"""One division of a part of the examples: a model fitted to a sample, then applied to all of the part."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxuq._entries import Entry
from jaxuq._errors import OptionError

CHUNK = 2048
"""Rows of features read at a time."""
_SEARCH_SAMPLE = 1000  # examples for which a threshold is searched
_SEARCH_STEPS = 10


class Division(NamedTuple):
    """What became of a part.

    Attributes:
        parts: numbers of the examples; none is empty.
        threshold: of BIRCH; NaN for other methods.
        subclusters: of BIRCH's tree; 0 for other methods.
        empty: clusters of the model without examples.
    """

    parts: list[np.ndarray]
    threshold: float
    subclusters: int
    empty: int


class _Model(NamedTuple):
    """Points and the cluster of each; an example has that of the nearest."""

    points: Float[np.ndarray, "points dimension"]
    labels: Int[np.ndarray, " points"]
    threshold: float


def divide(
    rng: np.random.Generator,
    features: Float[np.ndarray, "examples dimension"],
    part: Int[np.ndarray, " part"],
    count: int,
    method: Entry,
    *,
    sample_size: int,
    threshold: float | None,
    pca: int | None,
) -> Division:
    """Divide examples into at most `count` parts, and no more than there are distinct ones in the sample."""
    chosen = part if len(part) <= sample_size else np.sort(rng.choice(part, sample_size, replace=False))
    sample = np.asarray(features[chosen], np.float32)
    reduce: Callable[[Any], Any] = np.asarray
    if pca is not None:
        from sklearn.decomposition import PCA

        reduce = PCA(min(pca, *sample.shape), random_state=int(rng.integers(2**31))).fit(sample).transform
        sample = np.asarray(reduce(sample), np.float32)
    count = min(count, len(np.unique(sample, axis=0)))
    options = {"threshold": threshold} if "threshold" in method.options else {}
    if count == 1:
        return Division([part], math.nan if threshold is None else threshold, 1 if options else 0, 0)
    model = _model(method.name, sample, *method.functions["fit"](rng, sample, count, **options))
    labels = np.concatenate(
        [_nearest(model, reduce(features[part[start : start + CHUNK]])) for start in range(0, len(part), CHUNK)]
    )
    pieces = [part[labels == label] for label in range(int(model.labels.max()) + 1)]
    full = [piece for piece in pieces if len(piece)]
    subclusters = len(model.points) if options else 0
    return Division(full, model.threshold, subclusters, len(pieces) - len(full))


def _model(name: str, sample: np.ndarray, points: Any, labels: Any, threshold: float = math.nan) -> _Model:
    """What a method found, with its labels counted from 0."""
    points, labels = np.asarray(points, np.float32), np.asarray(labels)
    if points.shape != (len(points), sample.shape[1]) or labels.shape != (len(points),) or not len(points):
        raise OptionError(
            f"{name} gives points of shape {points.shape} and labels of shape {labels.shape} for a sample of shape "
            f"{sample.shape}; expected a row of features and a label for each point"
        )
    return _Model(points, np.unique(labels, return_inverse=True)[1].reshape(-1), threshold)


def random_parts(
    rng: np.random.Generator,
    included: Int[np.ndarray, " included"],
    num_clusters: int,
    sizes: Int[np.ndarray, " clusters"] | None,
) -> list[np.ndarray]:
    """Parts of the given sizes, or of equal ones."""
    shuffled = rng.permutation(included)
    if sizes is None:
        return [np.sort(part) for part in np.array_split(shuffled, num_clusters)]
    if min(sizes, default=0) < 0:
        raise OptionError(f"sizes holds {min(sizes)}; expected counts of examples, of which none is negative")
    if int(np.sum(sizes)) != len(included):
        raise OptionError(f"sizes add up to {int(np.sum(sizes))}; there are {len(included)} examples")
    return [np.sort(part) for part in np.split(shuffled, np.cumsum(sizes)[:-1])]


def _nearest(model: _Model, rows: Any) -> Int[np.ndarray, " rows"]:
    rows = np.asarray(rows, np.float32)
    distances = (model.points**2).sum(1)[None] - 2 * rows @ model.points.T
    return model.labels[distances.argmin(1)]


def kmeans(
    rng: np.random.Generator, sample: Float[np.ndarray, "sample dimension"], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Centres, each a cluster of its own."""
    from sklearn.cluster import KMeans

    options: Any = {"n_init": 4, "random_state": int(rng.integers(2**31))}
    fitted = KMeans(count, **options).fit(sample)
    return np.asarray(fitted.cluster_centers_, np.float32), np.arange(count)


def birch(
    rng: np.random.Generator, sample: Float[np.ndarray, "sample dimension"], count: int, threshold: float | None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Subclusters, the cluster of each, and the threshold."""
    from scipy.cluster.hierarchy import cut_tree, linkage
    from scipy.spatial.distance import pdist, squareform

    if threshold is None:
        threshold = _find_threshold(rng, sample, count)
    points, members = _subclusters(sample, threshold)
    if len(points) <= count:
        return points, np.arange(len(points)), threshold
    # A subcluster counts as often as it has members: alone, an outlier would weigh as much as a hundred examples.
    distances = squareform(pdist(points))[np.ix_(members, members)]
    of_members = cut_tree(linkage(squareform(distances, checks=False), "ward"), n_clusters=count).ravel()
    _, first = np.unique(members, return_index=True)
    return points, of_members[first], threshold


def _subclusters(
    sample: Float[np.ndarray, "sample dimension"], threshold: float
) -> tuple[Float[np.ndarray, "subclusters dimension"], Int[np.ndarray, " sample"]]:
    """Centroids of the leaves of BIRCH's tree, and the nearest to each example; leaves without any are left out."""
    from sklearn.cluster import Birch

    options: Any = {"threshold": threshold, "n_clusters": None}
    tree = Birch(**options).fit(sample)
    used, members = np.unique(tree.labels_, return_inverse=True)
    return np.asarray(tree.subcluster_centers_, np.float32)[used], members


def _find_threshold(rng: np.random.Generator, sample: Float[np.ndarray, "sample dimension"], count: int) -> float:
    """By bisection, a radius with between an eighth and a half as many subclusters as examples, but twice `count`."""
    if len(sample) > _SEARCH_SAMPLE:
        sample = sample[rng.choice(len(sample), _SEARCH_SAMPLE, replace=False)]
    fewest = min(max(len(sample) // 8, 2 * count), len(sample))
    most = max(len(sample) // 2, fewest)
    low, high = 0.0, float(np.sqrt(((sample - sample.mean(0)) ** 2).sum(1).max()))
    best = high * 1e-4  # nearly every example is a subcluster of its own
    for _ in range(_SEARCH_STEPS):
        middle = (low + high) / 2
        found = len(_subclusters(sample, middle)[0])
        if found < fewest:
            high = middle
        else:
            best = middle
            if found <= most:
                break
            low = middle
    return best
