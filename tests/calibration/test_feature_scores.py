"""Scores of features against SciPy's densities, scikit-learn's neighbours, and loops."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats
from sklearn.neighbors import NearestNeighbors

from jaxuq import calibration
from jaxuq._errors import ArrayError, OptionError


def _data(seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 60)
    features = rng.normal(size=(60, 4)) * (1 + labels[:, None]) + 3 * labels[:, None]
    return features, labels, rng.normal(size=(9, 4)) * 5, rng.random(60) < 0.8


@pytest.mark.parametrize("priors", [True, False])
def test_density_is_that_of_the_mixture(priors):
    features, labels, new, where = _data()
    method = calibration.feature_density(3, priors=priors, shrinkage=0.1)
    state = method.fit(*(jnp.asarray(x) for x in (features.astype(np.float32), labels)), where=jnp.asarray(where))
    found = method.score(state, jnp.asarray(new, jnp.float32))
    for row, point in enumerate(new):
        terms = []
        for number in range(3):
            mine = features[where & (labels == number)]
            covariance = 0.9 * np.cov(mine.T, bias=True)
            covariance += 0.1 * np.eye(4) * np.trace(np.cov(mine.T, bias=True)) / 4
            prior = len(mine) / where.sum() if priors else 1.0
            terms.append(np.log(prior) + stats.multivariate_normal(mine.mean(0), covariance).logpdf(point))
        np.testing.assert_allclose(found[row], -special.logsumexp(terms), rtol=1e-4)


def test_distance_under_one_covariance():
    features, labels, new, where = _data(1)
    method = calibration.mahalanobis_distance(3, shrinkage=0.0)
    state = method.fit(jnp.asarray(features, jnp.float32), jnp.asarray(labels), where=jnp.asarray(where))
    means = [features[where & (labels == number)].mean(0) for number in range(3)]
    centred = np.concatenate([features[where & (labels == number)] - means[number] for number in range(3)])
    inverse = np.linalg.inv(centred.T @ centred / len(centred))
    for row, point in enumerate(new):
        expected = min((point - mean) @ inverse @ (point - mean) for mean in means)
        np.testing.assert_allclose(method.score(state, jnp.asarray(new, jnp.float32))[row], expected, rtol=1e-4)


def test_a_class_without_examples_and_labels_out_of_range_have_no_say():
    features, labels, new, _ = _data(2)
    labels = np.where(np.arange(60) % 7 == 0, -1, labels)
    arrays = jnp.asarray(features, jnp.float32), jnp.asarray(labels)
    for make in (calibration.feature_density, calibration.mahalanobis_distance):
        more, fewer = make(5), make(3)
        known = jnp.asarray(labels >= 0)
        np.testing.assert_allclose(
            more.score(more.fit(*arrays), jnp.asarray(new, jnp.float32)),
            fewer.score(fewer.fit(*arrays, where=known), jnp.asarray(new, jnp.float32)),
            rtol=1e-4,
        )
        with pytest.raises(ArrayError, match="labels are missing"):
            more.fit(arrays[0])
        with pytest.raises(OptionError, match="shrinkage"):
            make(3, shrinkage=-0.1)


@pytest.mark.parametrize("normalised", [True, False])
def test_nearest_neighbours_are_scikit_learns(normalised):
    features, _, new, where = _data(3)
    method = calibration.nearest_features(5, normalised=normalised)
    state = method.fit(jnp.asarray(features, jnp.float32), where=jnp.asarray(where))
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True) if normalised else x  # noqa: E731
    neighbours = NearestNeighbors(n_neighbors=5).fit(unit(features[where]))
    expected = neighbours.kneighbors(unit(new))[0][:, -1]
    np.testing.assert_allclose(method.score(state, jnp.asarray(new, jnp.float32)), expected, rtol=1e-4)
    few = method.fit(jnp.asarray(features[:4], jnp.float32))
    assert np.isinf(method.score(few, jnp.asarray(new, jnp.float32))).all()


def test_energy_tells_apart_what_the_softmax_does_not():
    logits = jnp.array([[10.0, 0.0], [1.0, -9.0]])
    np.testing.assert_allclose(jnp.exp(logits[0] - 10), jnp.exp(logits[1] - 1), rtol=1e-6)
    energy = calibration.free_energy(logits, temperature=2.0)
    np.testing.assert_allclose(energy, [-2 * special.logsumexp(z) for z in np.asarray(logits) / 2], rtol=1e-6)
    assert energy[1] > energy[0]


@pytest.mark.parametrize("scale", [pytest.param(1e-25, marks=pytest.mark.long), 1e25])
def test_units_do_not_matter(scale):
    """Features whose squares single precision cannot hold, a class of one example among them."""
    rng = np.random.default_rng(5)
    features, new = rng.normal(3, 1, (9, 2)), rng.normal(3, 2, (4, 2))
    labels = jnp.asarray([0, 0, 0, 0, 1, 1, 1, 1, 2])
    for method, power, shift in (
        (calibration.feature_density(3), 0, 2 * np.log(scale)),
        (calibration.mahalanobis_distance(3), 0, 0),
        (calibration.nearest_features(3), 0, 0),
        (calibration.nearest_features(3, normalised=False), 1, 0),
    ):
        plain, large = (
            method.score(
                method.fit(jnp.asarray(unit * features, jnp.float32), labels), jnp.asarray(unit * new, jnp.float32)
            )
            for unit in (1.0, scale)
        )
        np.testing.assert_allclose(large / np.float32(scale) ** power, plain + shift, rtol=1e-4)


def test_a_class_of_one_example_is_as_wide_as_the_others():
    rng = np.random.default_rng(6)
    features, shrinkage = rng.normal(0, 0.01, (7, 2)), 0.2
    labels = np.array([0, 0, 0, 1, 1, 1, 2])
    within = sum(np.var(features[labels == c], axis=0).sum() / 2 * 3 for c in (0, 1)) / 7
    state = calibration.feature_density(3, shrinkage=shrinkage).fit(
        jnp.asarray(features, jnp.float32), jnp.asarray(labels)
    )
    expected = np.sqrt(shrinkage * within) * np.eye(2)
    np.testing.assert_allclose(state.factors[2], expected, rtol=1e-5)
