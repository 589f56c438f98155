"""Measures of several answers: worked numbers, NumPy, and what must hold of equal or unrelated samples."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.sparse.csgraph

from jaxuq import confidence as c
from tests.confidence.calling import call
from tests.confidence.fixtures import (
    CONTRA,
    ENTAIL,
    LENGTHS,
    LOGS,
    RELAXED,
    SAMPLES,
    STRICT,
    TEXTS,
    unit_diagonal,
)

NEUTRAL = 1 - ENTAIL - CONTRA
PADDED = np.array([0, 1, 1, 1, 1, 0], bool)


def close(actual, expected, atol=3e-6):
    np.testing.assert_allclose(np.asarray(actual), expected, atol=atol)


def pad(array):
    """With a row (and column) of NaN on either side."""
    return np.pad(array, 1, constant_values=np.nan)


def test_clusters_of_each_rule():
    same = {
        rule: call(c.entailment_equivalence, ENTAIL, CONTRA, rule=rule)
        for rule in ("strict", "relaxed", "not_contradicting", "either")
    }
    np.testing.assert_array_equal(call(c.greedy_clusters, np.asarray(same["strict"])), STRICT)
    for rule in ("relaxed", "not_contradicting", "either"):
        np.testing.assert_array_equal(call(c.greedy_clusters, np.asarray(same[rule])), RELAXED)
    edges = (ENTAIL > CONTRA) & (ENTAIL > CONTRA).T
    clusters = call(c.connected_clusters, edges)
    assert call(c.number_of_sets, np.asarray(clusters)) == 2


def test_clusters_against_brute_force(rng):
    for _ in range(5):
        same = rng.random((9, 9)) < 0.2
        where = rng.random(9) < 0.8
        _, labels = scipy.sparse.csgraph.connected_components((same | same.T) & where & where[:, None])
        ours = np.asarray(call(c.connected_clusters, same, where=where))
        assert np.all(ours[~where] == -1)
        for i in np.flatnonzero(where):
            for j in np.flatnonzero(where):
                assert (ours[i] == ours[j]) == (labels[i] == labels[j])
        greedy, founders = [], []
        for i in range(9):
            match = next((f for f in founders if same[f, i]), None)
            if not where[i]:
                greedy.append(-1)
            elif match is None:
                founders.append(i)
                greedy.append(len(founders) - 1)
            else:
                greedy.append(greedy[match])
        np.testing.assert_array_equal(call(c.greedy_clusters, same, where=where), greedy)


def test_semantic_entropy():
    close(call(c.semantic_entropy, SAMPLES / LENGTHS, STRICT), 1.021939)
    close(call(c.semantic_entropy, SAMPLES, STRICT), 0.858741)
    close(call(c.semantic_entropy, SAMPLES, STRICT, estimator="samples"), 1.609438)
    close(call(c.semantic_entropy, SAMPLES, STRICT, estimator="direct"), 1.204707)
    close(call(c.semantic_entropy, SAMPLES, STRICT, estimator="clusters"), 1.840487)
    close(call(c.semantic_entropy, SAMPLES / LENGTHS, STRICT, estimator="clusters") + 5, 5.513947)
    close(call(c.semantic_entropy, SAMPLES / LENGTHS, RELAXED), 0.692018)
    close(call(c.discrete_semantic_entropy, STRICT), 1.039721)
    close(call(c.discrete_semantic_entropy, RELAXED), 0.693147)
    for estimator in ("rao_blackwell", "samples", "clusters", "direct"):
        whole = call(c.semantic_entropy, SAMPLES, STRICT, estimator=estimator)
        padded = call(c.semantic_entropy, pad(SAMPLES), np.r_[-1, STRICT, -1], estimator=estimator)
        close(padded, whole)
    close(call(c.semantic_entropy, SAMPLES, np.zeros(4, int)), 0.0)  # all samples say the same
    close(call(c.semantic_entropy, SAMPLES[:1], np.zeros(1, int)), 0.0)  # a single sample
    close(call(c.semantic_entropy, SAMPLES - 2000.0, STRICT), 0.858741, atol=1e-4)  # long answers do not underflow


def test_sequence_entropy():
    close(call(c.sequence_entropy, SAMPLES), 2.027932)
    close(call(c.sequence_entropy, SAMPLES, LENGTHS), 0.730792)


def test_self_consistency():
    close(call(c.self_consistency, STRICT), 0.5)
    clusters, weights = np.array([0, 1, 0, 0, -1]), np.array([0.5, 0.8, 0.4, 0.9, 0.7])
    close(call(c.self_consistency, clusters, weights), 0.36)
    close(call(c.self_consistency, clusters), 0.6)
    close(call(c.self_consistency, np.full(3, -1)), 0.0)


def test_lexical_similarity():
    close(call(c.mean_pair_similarity, c.rouge_similarities(TEXTS)), 0.194444)
    assert np.isnan(call(c.mean_pair_similarity, np.ones((1, 1))))
    assert c.rouge_similarities(["a b c d", "a c b d"])[0, 1] == pytest.approx(0.75)  # a c d or a b d
    assert c.jaccard_similarities(["", ""])[0, 1] == 1


GRAPHS = {
    "jaccard": (c.jaccard_similarities(TEXTS), 0.645833, 2.833333, 1.732051),
    "entail": (unit_diagonal((ENTAIL + ENTAIL.T) / 2), 0.562500, 2.316672, 1.732051),
    "contra": (unit_diagonal(1 - (CONTRA + CONTRA.T) / 2), 0.396875, 1.665093, 1.000323),
    "entail_own": ((ENTAIL + ENTAIL.T) / 2, 0.569375, 2.290208, None),
    "contra_own": (1 - (CONTRA + CONTRA.T) / 2, 0.400000, 1.652844, 1.000343),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graph_measures(name):
    graph, degree, eigenvalue, spread = GRAPHS[name]
    close(call(c.degree_uncertainty, graph), degree)
    close(call(c.eigenvalue_uncertainty, graph), eigenvalue)
    close(1 - np.mean(call(c.degree_confidence, graph)), degree)
    if spread is not None:
        close(call(c.eccentricity, graph), spread)
    if name == "contra_own":
        close(call(c.eccentricity_confidence, graph), [-0.541091, -0.449854, -0.410888, -0.580265])
        close(call(c.degree_uncertainty, pad(graph), where=PADDED), degree)
        close(call(c.eigenvalue_uncertainty, pad(graph), where=PADDED), eigenvalue)
        close(call(c.eccentricity, pad(graph), where=PADDED), spread)


def test_equal_samples():
    ones = np.ones((4, 4))
    close(call(c.degree_uncertainty, ones), 0.0)
    close(call(c.eigenvalue_uncertainty, ones), 1.0)
    close(call(c.kernel_language_entropy, 2 * ones), 0.754147)
    close(call(c.kernel_language_entropy, 2 * ones, scaled=True), 0.544002)


def test_kernel_language_entropy():
    probabilities = np.stack([ENTAIL, NEUTRAL, CONTRA])
    classes = probabilities.argmax(0)
    directed = np.choose(classes, [1.0, 0.5, 0.0])
    graph = directed + directed.T
    close(call(c.kernel_language_entropy, graph), 1.264323)
    close(call(c.kernel_language_entropy, graph, scaled=True), 0.912016)
    close(call(c.kernel_language_entropy, pad(graph), where=PADDED), 1.264323)
    soft = ENTAIL + ENTAIL.T + 0.5 * (NEUTRAL + NEUTRAL.T)
    close(call(c.kernel_language_entropy, soft), 1.278153)
    close(call(c.kernel_language_entropy, soft, scaled=True), 0.921993)
    off = graph * (1 - np.eye(4))
    laplacian = np.diag(off.sum(1)) - off
    kernel = scipy.linalg.fractional_matrix_power(2 * 1.5 / 0.8**2 * np.eye(4) + laplacian, -1.5).real
    density = kernel / np.sqrt(np.outer(np.diag(kernel), np.diag(kernel))) / 4
    values = np.linalg.eigvalsh(density)
    matern = call(c.kernel_language_entropy, graph, kernel="matern", smoothness=1.5, length=0.8)
    close(matern, -np.sum(values * np.log(values)), atol=1e-5)


def test_sentence_relevance():
    similarities = np.array([[1, 0.8, 0.1, 0.1], [0.8, 1, 0.2, 0.1], [0.1, 0.2, 1, 0.5], [0.1, 0.1, 0.5, 1]])
    close(call(c.sentence_sar, SAMPLES, similarities), -4.892951)
    close(call(c.sentence_sar, -np.array([0.4, 0.9, 0.6, 1.2]), similarities), -6.045989)
    close(call(c.sentence_sar, SAMPLES - 1000.0, similarities), 1000 - 4.892951, atol=1e-3)
    close(call(c.sentence_sar, SAMPLES, np.eye(4)), 2.027932)  # unrelated samples: their mean surprise


def test_semantic_density():
    pair = (CONTRA + NEUTRAL / 2, (CONTRA + CONTRA.T) / 2 + (NEUTRAL + NEUTRAL.T) / 4)
    close(call(c.semantic_density, SAMPLES / LENGTHS, pair[1][0]), 0.554405)
    close(call(c.semantic_density, SAMPLES / LENGTHS, pair[0][0]), 0.566365)
    itself = np.r_[0.0, pair[0][0, 1:]]
    close(call(c.semantic_density, SAMPLES / LENGTHS, itself), 0.570617)


def test_agreement_of_long_answers():
    ratio = call(c.agreement_ratio, ENTAIL, CONTRA)
    close(1 - call(c.mean_pair_similarity, np.asarray(ratio)), 0.661893)


def test_cocoa():
    similarities = np.array([0.9, 0.5, 0.7])
    for uncertainty, expected in ((1.848330, 0.554499), (0.616110, 0.184833), (0.835718, 0.250716)):
        close(call(c.cocoa, np.array(uncertainty), similarities), expected)
    close(np.exp(np.mean(LOGS)) * np.mean((1 + similarities) / 2), 0.459035)  # uqlm's form, from parts


STATES = np.array([[1, 0, 0, 1], [0.9, 0.1, 0, 1], [0, 1, 1, 0]])


def test_spread_of_embeddings():
    # Rows 0 and 1 almost coincide: in single precision the least eigenvalue (about 0.005) has few digits.
    close(call(c.semantic_volume, STATES), -5.203642, atol=1e-5)
    close(call(c.semantic_volume, STATES, epsilon=1e-3), -4.892452, atol=1e-5)
    padded = np.vstack([STATES, np.full((2, 4), np.nan)])
    where = np.arange(5) < 3
    close(call(c.semantic_volume, padded, epsilon=1e-3, where=where), -4.892452, atol=1e-5)
    close(call(c.eigen_score, padded, where=where), call(c.eigen_score, STATES), atol=1e-4)


def test_equal_answers_span_no_volume_to_the_last_digit():
    row = np.random.default_rng(0).normal(size=64)
    same, unit = np.repeat(row[None], 10, axis=0).astype(np.float32), np.linalg.norm(row - row.mean())
    close(call(c.semantic_volume, same), np.log(10 + 1e-6) + 9 * np.log(1e-6), atol=1e-3)
    close(call(c.eigen_score, same), (np.log(10 * unit**2 + 1e-3) + 9 * np.log(1e-3)) / 10, atol=1e-3)
    few = np.random.default_rng(1).normal(size=(6, 3))  # more answers than dimensions
    unit = few / np.linalg.norm(few, axis=1, keepdims=True)
    expected = np.linalg.slogdet(unit @ unit.T + 1e-6 * np.eye(6))[1]
    close(call(c.semantic_volume, few.astype(np.float32)), expected, atol=1e-3)


def test_eigen_score():
    close(call(c.eigen_score, STATES), -3.562610, atol=1e-4)
    close(call(c.eigen_score, STATES, convention="published"), -1.833290, atol=1e-4)


def test_inverse_entropy():
    prompts = np.array([[1, 0.9, 0.8], [0.9, 1, 0.85], [0.8, 0.85, 1]])
    answers = np.array([[1, 0.3, 0.2], [0.3, 1, 0.4], [0.2, 0.4, 1]])
    close(call(c.inverse_entropy, prompts, answers), 1.102347)


def test_ensembles():
    members = np.log([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1]])
    close(call(c.ensemble_uncertainty, members), [0.926507, 0.872583, 0.053923, 0.110693, 0.056770])
    weighted = call(c.ensemble_uncertainty, members, np.array([2 / 3, 1 / 3]))
    close(weighted.total, 0.897946)
    sequences = call(c.ensemble_sequence_uncertainty, np.log([[0.3, 0.1], [0.2, 0.2]]))
    close([sequences.total, sequences.reverse_mutual_information], [1.577854, 0.034841])


def test_mahalanobis():
    train, background = np.array([[0, 0], [2, 0], [0, 1], [2, 1.0]]), np.array([[0, 0], [4, 0], [0, 4], [4, 4.0]])
    hidden = np.array([[3, 2.0]])
    near, far = (
        call(lambda states, h: c.mahalanobis_distance(c.fit_mahalanobis(states), h), states, hidden)
        for states in (train, background)
    )
    close(near, [9.75], atol=1e-4)
    close(far, [0.1875])
    close(np.sqrt(near) - np.sqrt(far), [2.689486], atol=1e-4)
    shrunk = c.fit_mahalanobis(jnp.asarray(np.random.default_rng(0).normal(size=(4, 8)), jnp.float32), shrinkage=0.5)
    assert np.all(np.isfinite(shrunk.cholesky))  # fewer states than dimensions


def test_relative_confidence_recovers_strengths(rng):
    strengths = rng.normal(size=8)
    wins = 1000 / (1 + np.exp(strengths[None] - strengths[:, None])) * (1 - np.eye(8))
    ours = np.asarray(call(c.relative_confidence, wins, prior=1e-3, iterations=500))
    odds = np.log(ours / (1 - ours))
    np.testing.assert_allclose(odds - odds.mean(), strengths - strengths.mean(), atol=1e-2)


def test_p_true():
    close(call(c.p_true, np.array([2.0]), np.array([0.5])), 0.817574)
    close(call(c.p_true, np.log([0.2, 0.1]), np.log([0.05, 0.05])), 0.75)


def test_clusters_may_have_any_numbers():
    log_probs = np.log([0.3, 0.1, 0.2])
    for estimator in ("rao_blackwell", "samples", "clusters", "direct"):
        expected = c.semantic_entropy(jnp.asarray(log_probs, jnp.float32), jnp.array([0, 1, 1]), estimator=estimator)
        found = c.semantic_entropy(jnp.asarray(log_probs, jnp.float32), jnp.array([5, 9, 9]), estimator=estimator)
        close(found, expected)
    close(c.discrete_semantic_entropy(jnp.array([5, 9, 9])), np.log(3) - 2 / 3 * np.log(2))
