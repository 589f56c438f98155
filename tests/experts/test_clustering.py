"""Clusters: scikit-learn's own BIRCH as oracle, families that are recovered, and data with nothing to divide."""

import jax
import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering, Birch
from sklearn.metrics import adjusted_rand_score

from jaxuq.experts import cluster_features

KEY = jax.random.key(4)


def families(sizes, seed=0, dimension=24, noise=0.25):
    """Unit vectors around as many random directions, in a random order."""
    rng = np.random.default_rng(seed)
    family = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = rng.normal(size=(len(sizes), dimension))
    rows = centres[family] / np.linalg.norm(centres[family], axis=1, keepdims=True)
    rows = rows + noise * rng.normal(size=rows.shape) / np.sqrt(dimension)
    return family, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("method", ["birch", "kmeans"])
def test_families_are_recovered(method):
    family, features = families([90, 60, 40, 30])
    found = cluster_features(features, rng_key=KEY, method=method, num_clusters=4)
    assert adjusted_rand_score(family, found.labels) == 1.0
    assert found.sizes.tolist() == [90, 60, 40, 30] and found.rounds == 1 and found.empty == 0
    for label in range(4):
        np.testing.assert_allclose(found.centroids[label], features[found.labels == label].mean(0), atol=1e-6)
    assert np.isnan(found.threshold) == (method == "kmeans") and (found.subclusters > 0) == (method == "birch")


def test_one_round_is_scikit_learns_birch_with_every_subcluster_as_heavy_as_its_examples():
    _, features = families([50, 40, 30], noise=0.9)
    found = cluster_features(features, rng_key=KEY, num_clusters=5, rounds=1)
    assert 15 <= found.subclusters <= 60  # between an eighth and a half as many as examples
    tree = Birch(threshold=found.threshold, n_clusters=None).fit(features)
    assert found.subclusters == len(tree.subcluster_centers_)
    stacked = tree.subcluster_centers_[tree.labels_]  # at distance 0, equal points are joined first
    expected = AgglomerativeClustering(5).fit_predict(stacked)
    assert adjusted_rand_score(expected, found.labels) == 1.0
    alike = Birch(threshold=found.threshold, n_clusters=5).fit(features)
    assert adjusted_rand_score(alike.labels_, found.labels) < 1.0


def test_a_sample_is_enough_and_the_rest_is_read_from_disk(tmp_path):
    family, features = families([3000, 1500, 700])
    np.save(tmp_path / "features.npy", features)
    found = cluster_features(
        np.load(tmp_path / "features.npy", mmap_mode="r"), rng_key=KEY, num_clusters=3, sample_size=150
    )
    assert adjusted_rand_score(family, found.labels) == 1.0
    again = cluster_features(features, rng_key=KEY, num_clusters=3, sample_size=150)
    np.testing.assert_array_equal(found.labels, again.labels)
    other = cluster_features(features, rng_key=jax.random.key(5), num_clusters=3, sample_size=150)
    assert adjusted_rand_score(other.labels, found.labels) == 1.0


def test_large_clusters_are_divided_again():
    """One family of 300 with four parts close together, and four of 40: 5 clusters, then 8."""
    _, small = families([40, 40, 40, 40], seed=1)
    part, close = families([75, 75, 75, 75], seed=2, noise=0.05)
    large = np.eye(24, dtype=np.float32)[0] * 4 + close
    features = np.concatenate([small, large / np.linalg.norm(large, axis=1, keepdims=True)])
    first = cluster_features(features, rng_key=KEY, rounds=1)
    assert first.sizes.tolist() == [300, 40, 40, 40, 40]
    found = cluster_features(features, rng_key=KEY)
    assert found.sizes.tolist() == [75, 75, 75, 75, 40, 40, 40, 40] and found.rounds == 2
    assert adjusted_rand_score(part, found.labels[160:]) == 1.0
    assert cluster_features(features, rng_key=KEY, max_clusters=6).num_clusters == 6
    assert cluster_features(features, rng_key=KEY, oversized=7.6).num_clusters == 5


def test_principal_components_first():
    family, features = families([90, 60, 40, 30])
    found = cluster_features(features, rng_key=KEY, method="kmeans", num_clusters=4, pca=3)
    assert adjusted_rand_score(family, found.labels) == 1.0
    assert found.centroids.shape == (4, 24)


def test_random_clusters_keep_sizes():
    _, features = families([90, 60, 50])
    found = cluster_features(features, rng_key=KEY, method="random", sizes=np.array([60, 130, 10]))
    assert found.sizes.tolist() == [130, 60, 10]
    assert np.bincount(found.labels).tolist() == [130, 60, 10]
    equal = cluster_features(features, rng_key=KEY, method="random", num_clusters=7)
    assert sorted(equal.sizes.tolist()) == [28, 28, 28, 29, 29, 29, 29]
    np.testing.assert_allclose(equal.centroids[6], features[equal.labels == 6].mean(0), atol=1e-6)
    with pytest.raises(ValueError, match="sizes add up to 60; there are 200 examples"):
        cluster_features(features, rng_key=KEY, method="random", sizes=np.array([30, 30]))


@pytest.mark.parametrize("method", ["birch", "kmeans", "random"])
def test_fewer_examples_than_clusters(method):
    features = np.eye(3, dtype=np.float32)
    found = cluster_features(features, rng_key=KEY, method=method)
    assert sorted(found.labels.tolist()) == [0, 1, 2] and found.sizes.tolist() == [1, 1, 1]


@pytest.mark.parametrize("method", ["birch", "kmeans"])
def test_identical_examples_are_one_cluster(method):
    rows = np.repeat(np.eye(3, dtype=np.float32)[:1], 30, axis=0)
    found = cluster_features(rows, rng_key=KEY, method=method)
    assert found.sizes.tolist() == [30] and np.all(found.labels == 0)
    two = cluster_features(np.concatenate([rows, np.eye(3, dtype=np.float32)[1:2]]), rng_key=KEY, method=method)
    assert two.sizes.tolist() == [30, 1]
    one = cluster_features(families([9, 9])[1], rng_key=KEY, method=method, num_clusters=1)
    assert one.sizes.tolist() == [18]


def test_examples_left_out_and_bad_options():
    family, features = families([30, 20])
    features[:5] = 0
    found = cluster_features(features, rng_key=KEY, num_clusters=2, where=np.arange(50) >= 5)
    assert np.all(found.labels[:5] == -1) and adjusted_rand_score(family[5:], found.labels[5:]) == 1.0
    with pytest.raises(ValueError, match="there is no clustering 'dbscan'"):
        cluster_features(features, rng_key=KEY, method="dbscan")
    with pytest.raises(ValueError, match="no examples to cluster"):
        cluster_features(features, rng_key=KEY, where=np.zeros(50, bool))
    with pytest.raises(ValueError, match="num_clusters is 0"):
        cluster_features(features, rng_key=KEY, num_clusters=0)


def test_a_radius_too_large_gives_one_cluster_and_empty_ones_are_gone():
    _, features = families([30, 20])
    assert cluster_features(features, rng_key=KEY, num_clusters=2, threshold=10.0).sizes.tolist() == [50]
