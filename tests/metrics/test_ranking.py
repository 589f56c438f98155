"""Rank metrics against scikit-learn and SciPy, with many ties."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr
from sklearn import metrics as sk

from jaxuq import metrics


@pytest.mark.parametrize("levels", [3, 10, 100000])
def test_ranking_metrics_equal_sklearn(run, rng, levels):
    scores = np.round(rng.random(300) * levels) / levels
    labels = (rng.random(300) < 0.2 + 0.3 * scores).astype(np.int32)
    assert run(metrics.area_under_roc, scores, labels) == pytest.approx(sk.roc_auc_score(labels, scores), abs=1e-6)
    expected = sk.average_precision_score(labels, scores.astype(np.float32))
    assert run(metrics.average_precision, scores, labels) == pytest.approx(expected, abs=1e-6)
    assert run(metrics.spearman_correlation, scores, labels) == pytest.approx(spearmanr(scores, labels)[0], abs=1e-6)


def test_masked_ranking_equals_the_kept_entries_alone(run, rng):
    scores, labels, keep = np.round(rng.random(300), 1), (rng.random(300) < 0.4).astype(np.int32), rng.random(300) < 0.7
    for metric, oracle in (
        (metrics.area_under_roc, sk.roc_auc_score),
        (metrics.average_precision, sk.average_precision_score),
        (metrics.spearman_correlation, lambda a, b: spearmanr(a, b)[0]),
    ):
        expected = oracle(labels[keep], scores[keep].astype(np.float32))
        assert run(metric, scores, labels, where=keep) == pytest.approx(expected, abs=1e-6)


def test_scores_of_infinite_size_and_signed_zero_are_ranked(run):
    labels = np.array([0, 0, 1, 0, 1, 1])
    scores = np.array([-np.inf, -0.0, 0.0, 1.0, np.inf, np.inf])
    # Pairs won by positives: 0.0 beats -inf, ties -0.0, loses to 1.0; each infinity beats all three negatives.
    assert run(metrics.area_under_roc, scores, labels) == pytest.approx((1.5 + 3 + 3) / 9)


def test_large_samples_keep_single_precision(run, rng):
    scores = rng.random(200_000).astype(np.float32)
    labels = (rng.random(200_000) < scores).astype(np.int32)
    assert run(metrics.area_under_roc, scores, labels) == pytest.approx(sk.roc_auc_score(labels, scores), abs=1e-6)


@pytest.mark.parametrize("metric", [metrics.area_under_roc, metrics.average_precision])
@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_undefined(run, metric, label):
    assert np.isnan(run(metric, np.arange(4.0), np.full(4, label)))
    two_classes = np.array([label, label, label, 1 - label])
    assert np.isnan(run(metric, np.arange(4.0), two_classes, where=np.arange(4) < 3))


def test_constant_side_has_no_rank_correlation(run):
    assert np.isnan(run(metrics.spearman_correlation, np.ones(5), np.arange(5.0)))


@pytest.mark.parametrize("higher", [True, False])
def test_method_ranks_equal_scipy(run, rng, higher):
    scores = rng.integers(0, 4, (7, 9)).astype(np.float32)
    ranks = run(metrics.rank_methods, scores, higher_is_better=higher)
    np.testing.assert_allclose(ranks, rankdata(-scores if higher else scores, axis=0))
    np.testing.assert_allclose(run(metrics.mean_rank, ranks), ranks.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(run(metrics.mean_reciprocal_rank, ranks), (1 / ranks).mean(axis=1), rtol=1e-6)


def test_missing_methods_are_not_ranked(run):
    scores = np.array([[0.9, 0.1], [0.5, 0.2], [0.7, 0.3]])
    exists = np.array([[True, False], [True, True], [True, True]])
    ranks = run(metrics.rank_methods, scores, higher_is_better=True, where=exists)
    np.testing.assert_array_equal(ranks, [[1, np.nan], [3, 2], [2, 1]])
    np.testing.assert_array_equal(run(metrics.mean_rank, ranks), [1, 2.5, 1.5])
    np.testing.assert_allclose(run(metrics.mean_reciprocal_rank, ranks), [1, (1 / 3 + 1 / 2) / 2, 0.75], rtol=1e-6)
    each_own_way = metrics.rank_methods(jnp.asarray(scores), higher_is_better=jnp.array([True, False]))
    np.testing.assert_array_equal(each_own_way, [[1, 1], [3, 2], [2, 3]])
