"""Best paths, draws and entropy against enumeration of all label paths."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.tagging import (
    k_best_viterbi,
    log_likelihood,
    normalised_log_probability,
    path_entropy,
    posterior_sample,
    smoothed_marginals,
    viterbi,
)
from tests.tagging.chains import RandomChain, brute_force, paths_and_scores, random_chain


@jax.jit
def _decode(*chain):
    return viterbi(*chain), k_best_viterbi(*chain, num_paths=7), path_entropy(*chain)


def _path_score(chain, b, path):
    paths, scores = paths_and_scores(chain, b)
    return scores[(paths == path[None, : chain.lengths[b]]).all(axis=1)].item()


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-4)])
def test_best_paths_and_entropy(per_token, dtype, tolerance):
    with jax.enable_x64(dtype == np.float64):
        for seed, hard in enumerate([False, True]):
            chain = random_chain(seed, 4, 6, 3, per_token=per_token, hard=hard, dtype=np.float32)
            chain = RandomChain(*(a.astype(np.float64) for a in chain[:3]), chain.lengths)
            truth = brute_force(chain, 7)
            arrays = [jnp.asarray(a.astype(dtype)) for a in chain[:3]]
            best, several, entropy = _decode(*arrays, jnp.asarray(chain.lengths))
            np.testing.assert_allclose(several.scores, truth.best_scores, rtol=tolerance, atol=tolerance)
            np.testing.assert_allclose(best.scores[:, 0], truth.best_scores[:, 0], rtol=tolerance, atol=tolerance)
            np.testing.assert_allclose(entropy, truth.entropy, rtol=tolerance, atol=tolerance)
            for b in range(4):
                exist = [tuple(p.tolist()) for p, score in zip(several.paths[b], several.scores[b]) if score > -np.inf]
                assert len(set(exist)) == len(exist), "the k best paths must differ"
                for path, score in zip(np.asarray(several.paths[b]), truth.best_scores[b]):
                    assert (path[chain.lengths[b] :] == -1).all()
                    if score == -np.inf:
                        assert (path == -1).all()
                    else:
                        np.testing.assert_allclose(_path_score(chain, b, path), score, rtol=tolerance, atol=tolerance)


def test_draws_are_paths_with_the_posterior_probability():
    chain = random_chain(3, 2, 4, 3, hard=True, dtype=np.float32)
    arrays = [*map(jnp.asarray, chain)]
    draws = np.asarray(posterior_sample(jax.random.key(0), *arrays, num_samples=20_000))
    for b in range(2):
        paths, scores = paths_and_scores(chain, b)
        probabilities = np.exp(scores - float(log_likelihood(*arrays)[b]))
        length = chain.lengths[b]
        found = (draws[:, b, None, :length] == paths[None]).all(axis=2).mean(axis=0)
        assert found.sum() == pytest.approx(1.0), "every draw is one of the paths"
        np.testing.assert_allclose(found, probabilities, atol=4 * 0.5 / np.sqrt(20_000))
        assert (draws[:, b, length:] == -1).all()


def test_a_chain_of_one_state_or_one_token_or_none():
    evidence = jnp.zeros((2, 3, 1))
    chain = (jnp.zeros(1), jnp.zeros((1, 1)), evidence, jnp.array([0, 3]))
    np.testing.assert_array_equal(viterbi(*chain).paths[:, 0], [[-1, -1, -1], [0, 0, 0]])
    np.testing.assert_array_equal(path_entropy(*chain), [0.0, 0.0])
    np.testing.assert_array_equal(log_likelihood(*chain), [0.0, 0.0])
    single = k_best_viterbi(jnp.log(jnp.array([0.2, 0.8])), jnp.zeros((2, 2)), jnp.zeros((1, 1, 2)), num_paths=3)
    np.testing.assert_array_equal(single.paths[0, :, 0], [1, 0, -1])


def test_an_empty_sequence_has_one_path_though_nothing_may_begin_it():
    chain = (jnp.full(2, -jnp.inf), jnp.zeros((2, 2)), jnp.zeros((2, 3, 2)), jnp.array([0, 3]))
    best = k_best_viterbi(*chain, num_paths=2)
    np.testing.assert_array_equal(best.scores, [[0.0, -np.inf], [-np.inf, -np.inf]])
    np.testing.assert_array_equal(log_likelihood(*chain), best.scores[:, 0])


def test_lengths_beyond_the_array_are_its_length():
    chain = (jnp.zeros(2), jnp.zeros((2, 2)), jnp.log(jnp.array([[[0.9, 0.1], [0.2, 0.8]]])))
    expected = 0.5 * np.log(0.9 * 0.8)
    for length in (2, 9):
        np.testing.assert_allclose(normalised_log_probability(*chain, jnp.array([length])), [expected], rtol=1e-5)


def test_an_impossible_sequence_is_reported_and_harms_nothing():
    evidence = jnp.zeros((2, 3, 2)).at[0, 1].set(-jnp.inf)
    chain = (jnp.zeros(2), jnp.zeros((2, 2)), evidence)
    np.testing.assert_allclose(log_likelihood(*chain), [-np.inf, 3 * np.log(2.0)], rtol=1e-6)
    np.testing.assert_array_equal(viterbi(*chain).paths[0], [[-1, -1, -1]])
    np.testing.assert_allclose(smoothed_marginals(*chain), [np.zeros((3, 2)), np.full((3, 2), 0.5)])
    gradient = jax.grad(lambda e: jnp.sum(jnp.where(jnp.arange(2) == 1, log_likelihood(*chain[:2], e), 0.0)))(evidence)
    assert np.isfinite(gradient).all()
