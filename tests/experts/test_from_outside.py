"""What a stranger adds to experts from outside the package: rules of routing, methods, projections, clusterings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import JaxuqError, experts
from jaxuq._entries import Entry
from jaxuq.experts.pipeline.configuration import EvaluateConfiguration
from jaxuq.experts.pipeline.features import Features
from jaxuq.experts.pipeline.methods import methods_of
from jaxuq.experts.pipeline.weights import feature_weights
from tests.experts.tiny import BATCH, DECODER, checkpoint, lora, model, params, questions

OPTIONS = EvaluateConfiguration((), baselines="none")


def tiny_features(**options):
    return experts.gradient_features(
        model(), [checkpoint(1)], questions(4), rng_key=jax.random.key(1), dimension=16, batch_size=4, **options
    ).features


def nearest(features, centroids):
    """All weight to the expert of the nearest centroid, none to the base adapter."""
    cluster = jnp.argmax(features @ centroids.T, axis=1)
    return jnp.concatenate([jnp.zeros((len(features), 1)), jax.nn.one_hot(cluster, len(centroids))], axis=1)


def test_a_rule_of_ones_own_routes_what_has_a_direction():
    asked = Features(np.array([[3.0, 1.0], [0.0, 0.0], [0.1, 0.2]], np.float32), np.array([0, 2, 3]), 1)
    weights, unrouted = feature_weights(asked, np.eye(2, dtype=np.float32), 4, routing=nearest)
    assert weights.tolist() == [[0, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]] and unrouted == 2
    for wrong, said in (
        (lambda features, centroids: jnp.zeros((3, 3)), r"gives question 0 the weights \[0\. 0\. 0\.\]"),
        (lambda features, centroids: -nearest(features, centroids), "none below 0"),
        (lambda features, centroids: jnp.ones((3, 2)), r"shape \(3, 2\); expected 3 questions by 3 members"),
    ):
        with pytest.raises(JaxuqError, match=said):
            feature_weights(asked, np.eye(2, dtype=np.float32), 4, routing=wrong)
    own, unrouted = feature_weights(asked, np.eye(2, dtype=np.float32), 4, routing="elrea")
    expected = experts.route(jnp.asarray(asked.rows), jnp.eye(2)).weights
    np.testing.assert_allclose(own[asked.kept], expected, atol=1e-6)


def test_rows_are_named_and_taken_names_refused():
    def names(**given):
        return [row.name for row in methods_of(OPTIONS, **given)]

    entry = Entry("x", "Nearest", {"weights": nearest})
    assert names(routing=nearest) == ["elrea", "nearest"]
    assert names(routing={"one": nearest, "two": entry}, methods={"mine": len}) == ["elrea", "mine", "one", "two"]
    for given, said in (
        ({"methods": {"mole": len}}, "there is a method 'mole' already"),
        ({"routing": {"mine": nearest}, "methods": {"mine": len}}, "'mine' is the name of another row"),
        ({"routing": {"elrea-5": nearest}}, "'elrea-5' is the name of another row"),
        ({"routing": {"mine": "elrea"}}, "expected an Entry or a function"),
        ({"methods": {"mine": 3}}, "a method is 3"),
    ):
        with pytest.raises(JaxuqError, match=said):
            names(**given)


def _signs(seeds, x, *, start, dimension):
    columns = start + jnp.arange(x.shape[1])
    matrix = jnp.where((columns[:, None] * 7 + jnp.arange(dimension)[None]) % 3 > 0, 1.0, -1.0)
    return x @ matrix


def test_a_projection_of_ones_own_is_one_matrix_over_all_leaves():
    x = np.random.default_rng(0).normal(size=(3, 20)).astype(np.float32)
    whole = experts.project(jax.random.key(0), jnp.asarray(x), dimension=8, kind=_signs)
    parts = {"a": jnp.asarray(x[:, :5]), "b": jnp.asarray(x[:, 5:].reshape(3, 3, 5))}
    np.testing.assert_allclose(experts.project(jax.random.key(0), parts, dimension=8, kind=_signs), whole, rtol=1e-4)
    np.testing.assert_allclose(whole, _signs(None, x, start=0, dimension=8) / 8**0.5, rtol=1e-5)
    with pytest.raises(JaxuqError, match=r"gives \(3, 20\) where \(3, 8\) is expected"):
        experts.project(jax.random.key(0), jnp.asarray(x), dimension=8, kind=lambda seeds, x, *, start, dimension: x)


def test_features_with_functions_are_those_with_their_names(tmp_path):
    named = tiny_features(kind="rademacher", tokens="response", convention="less", reduction="sum")
    given = tiny_features(
        kind=experts.PROJECTIONS["rademacher"], tokens=lambda example: np.asarray(example.response),
        convention=lambda first, second, checkpoint: first / jnp.sqrt(second + checkpoint.epsilon),
        reduction=lambda count: jnp.ones_like(count),
    )  # fmt: skip
    np.testing.assert_allclose(given, named, atol=1e-6)
    with pytest.raises(JaxuqError, match=r"choice of tokens has the shape \(1,\)"):
        tiny_features(tokens=lambda example: np.ones(1, bool))
    tiny_features(folder=tmp_path, kind=_signs)
    with pytest.raises(ValueError, match="features with other kind"):
        tiny_features(folder=tmp_path, kind=lambda seeds, x, *, start, dimension: -_signs(
            seeds, x, start=start, dimension=dimension))  # fmt: skip


@pytest.mark.parametrize("shifted", [False, True])
def test_a_clustering_of_ones_own_gives_every_example_its_nearest_points_label(shifted):
    rng = np.random.default_rng(0)
    features = np.sign(rng.normal(size=(40, 1))) * 5 + rng.normal(size=(40, 3))

    def by_sign(rng, sample, count):
        assert count == 3
        return sample, np.where(sample[:, 0] > 0, 9, 4) if shifted else sample[:, 0] > 0  # any labels will do

    found = experts.cluster_features(features, rng_key=jax.random.key(0), method=by_sign, num_clusters=3)
    positive = features[:, 0] > 0
    assert found.num_clusters == 2 and len(set(found.labels[positive])) == 1 == len(set(found.labels[~positive]))
    for label in range(2):
        np.testing.assert_allclose(found.centroids[label], features[found.labels == label].mean(0), rtol=1e-5)
    with pytest.raises(JaxuqError, match="by_half gives points of shape"):

        def by_half(rng, sample, count):
            return sample[:, :1], sample[:, 0] > 0

        experts.cluster_features(features, rng_key=jax.random.key(0), method=by_half)


def test_a_way_of_mixing_of_ones_own():
    members = jax.tree.map(lambda *leaves: jnp.stack(leaves), lora(1), lora(2))
    layers, tokens = experts.mixture_adapters(members, scan=True), BATCH.tokens[:2]
    weights = jnp.array([[1.0, 3.0], [2.0, 0.0]])

    def first_alone(x, a, b, weights):
        return (x @ a[0]) @ b[0]

    def read(kind, adapters):
        with experts.mixing(kind, DECODER.lora.scale, weights):
            return DECODER.clone(lora=None).apply({"params": params(), "lora": adapters}, tokens).hidden

    alone = DECODER.apply({"params": params(), "lora": lora(1)}, tokens).hidden
    np.testing.assert_allclose(read(first_alone, layers), alone, atol=1e-5)
    assert jnp.abs(read("routing", layers) - alone).max() > 1e-3
    with pytest.raises(JaxuqError, match="no gates in the adapters"):
        read("gate", layers)
    with pytest.raises(JaxuqError, match="no way of mixing 'sum'"):
        read("sum", layers)


def test_sentences_by_a_function_of_ones_own():
    found = experts.embed_sentences(["ab", "c"], encoder=lambda texts: [[len(text), 0.0] for text in texts])
    assert found.tolist() == [[1.0, 0.0], [1.0, 0.0]]
    with pytest.raises(JaxuqError, match=r"shape \(1, 2\) for 2 texts"):
        experts.embed_sentences(["ab", "c"], encoder=lambda texts: [[1.0, 0.0]])
    with pytest.raises(JaxuqError, match="no pooling 'median'"):
        experts.embed_sentences([], pooling="median")
