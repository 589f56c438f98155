"""Weights of Eq 5.8 and 5.9 against numbers worked by hand and a plain loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.experts import routing

route = jax.jit(routing.route, static_argnames=("top_k", "renormalise"))


def test_weights_worked_by_hand():
    # Cosines 0.8, 0.6, 0 with the axes: mean 7/15, deviation sqrt(26)/15, so the standardised ones are
    # (5, 2, -7) / sqrt(26) = 0.98058, 0.39223, -1.37281, whose exponentials are 2.66600, 1.48028, 0.25339.
    found = route(jnp.array([4.0, 3.0, 0.0]), jnp.array([[2.0, 0, 0], [0, 1, 0], [0, 0, 9]]))
    np.testing.assert_allclose(found.cosines, [0.8, 0.6, 0.0], atol=1e-6)
    np.testing.assert_allclose(found.weights, [0.2, 0.605958, 0.336454, 0.057588], atol=1e-4)
    assert bool(found.routed)


def test_plain_loop_on_random_features(rng):
    features, centroids = rng.normal(size=(7, 5)), rng.normal(size=(4, 5))
    found = route(jnp.asarray(features, jnp.float32), jnp.asarray(centroids, jnp.float32))
    for row, feature in enumerate(features):
        cosines = [feature @ one / np.linalg.norm(feature) / np.linalg.norm(one) for one in centroids]
        standard = (np.array(cosines) - np.mean(cosines)) / np.std(cosines)
        weights = np.exp(standard) / np.exp(standard).sum()
        np.testing.assert_allclose(found.weights[row], [1 - max(cosines), *weights], rtol=2e-4)


def test_no_direction_goes_to_the_base_and_gives_no_gradient_of_nan():
    features = jnp.array([[0.0, 0.0], [jnp.nan, 1.0], [1.0, 0.0]])
    centroids = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    found = route(features, centroids)
    assert found.routed.tolist() == [False, False, True]
    assert found.weights[:2].tolist() == [[1.0, 0.0, 0.0]] * 2
    assert np.isnan(found.cosines[:2]).all()
    gradient = jax.grad(lambda x: jnp.sum(route(x, centroids).weights))(features[::2])
    assert np.isfinite(gradient).all()


def test_one_cluster_equal_cosines_and_opposite_questions():
    one = route(jnp.array([3.0, 4.0]), jnp.array([[1.0, 0.0]]))
    np.testing.assert_allclose(one.weights, [0.4, 1.0], rtol=1e-6)
    equal = route(jnp.array([1.0, 1.0]), jnp.array([[1.0, 0.0], [0.0, 1.0]]))
    np.testing.assert_allclose(equal.weights, [1 - 0.5**0.5, 0.5, 0.5], rtol=1e-6)
    against = route(jnp.array([-1.0, 0.0]), jnp.array([[1.0, 0.0]]))
    np.testing.assert_allclose(against.weights, [2.0, 1.0], rtol=1e-6)


def test_top_k_keeps_the_largest_and_may_renormalise():
    question, axes = jnp.array([4.0, 3.0, 0.0]), jnp.eye(3)
    whole = np.asarray(route(question, axes).weights)
    two = route(question, axes, top_k=2).weights
    np.testing.assert_allclose(two, [*whole[:3], 0.0], rtol=1e-6)
    again = route(question, axes, top_k=2, renormalise=True).weights
    np.testing.assert_allclose(again[1:], [*(whole[1:3] / whole[1:3].sum()), 0.0], rtol=1e-6)


def test_masked_and_empty_clusters_have_no_weight(rng):
    centroids = jnp.asarray(rng.normal(size=(3, 4)), jnp.float32)
    question = jnp.asarray(rng.normal(size=4), jnp.float32)
    alone = np.asarray(route(question, centroids[:2]).weights)
    masked = route(question, centroids, where=jnp.array([True, True, False])).weights
    np.testing.assert_allclose(masked, [*alone, 0.0], rtol=1e-5)
    empty = route(question, centroids.at[2].set(0.0)).weights
    np.testing.assert_allclose(empty, [*alone, 0.0], rtol=1e-5)


def test_no_weight_is_negative_where_a_question_points_as_a_centroid_does(rng):
    centroids = jnp.asarray(rng.normal(size=(200, 7)), jnp.float32)
    weights = jax.vmap(lambda own: route(own * 3.0, own[None]).weights)(centroids)
    assert (np.asarray(weights) >= 0).all() and np.asarray(weights)[:, 0].max() < 1e-6


def test_bad_options_are_named():
    with pytest.raises(ValueError, match="top_k is 0"):
        route(jnp.ones(2), jnp.ones((1, 2)), top_k=0)
    with pytest.raises(ValueError, match=r"centroids has shape \(1, 2\) where features has \(3,\)"):
        route(jnp.ones(3), jnp.ones((1, 2)))
