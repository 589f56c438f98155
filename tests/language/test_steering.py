"""Biases and penalties, against a loop over tokens, and in the loop that generates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.language import GREEDY, Sampling, Steering, generate_tokens, score_tokens, steer_logits
from tests.language.golden_decoders import load


def test_the_definition_by_a_loop():
    rng = np.random.default_rng(0)
    logits, tokens = rng.normal(size=(3, 7)).astype(np.float32), rng.integers(-1, 7, size=(3, 12))
    bias = rng.normal(size=7).astype(np.float32)
    expected = logits.astype(np.float64) + bias
    for row in range(3):
        for token in range(7):
            count = sum(one == token for one in tokens[row])
            expected[row, token] -= 0.7 * count + 0.3 * (count > 0)
    found = steer_logits(jnp.asarray(logits), jnp.asarray(tokens, jnp.int32), Steering(jnp.asarray(bias), 0.7, 0.3))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def golden():
    return load("llama")


def answer(golden, steering, sampling=GREEDY):
    from jaxuq.networks import Decoder

    prompts, lengths = jnp.array([[5, 6, 7], [8, 9, 0]]), jnp.array([3, 2])
    keys = jax.random.split(jax.random.key(0), 2)
    variables = {"params": golden.params}
    decoder = Decoder(golden.config)
    made = generate_tokens(
        decoder, variables, prompts, lengths, keys, max_new_tokens=8, sampling=sampling, steering=steering
    )
    return decoder, variables, np.asarray(made.tokens), np.asarray(made.log_probs)


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(1.0)])
def test_a_bias_of_a_hundred_forces_and_forbids_and_scores_stay_the_models_own(golden, sampling):
    bias = np.zeros(golden.config.vocab_size, np.float32)
    bias[11] = 100.0
    decoder, variables, tokens, log_probs = answer(golden, Steering(jnp.asarray(bias)), sampling)
    assert (tokens == 11).all()
    text = jnp.asarray([[5, 6, 7, *tokens[0]]], jnp.int32)
    scores = score_tokens(decoder, variables, text).log_probs
    np.testing.assert_allclose(log_probs[0], scores[0, 3:], atol=1e-4)
    free = answer(golden, None, sampling)[2]
    bias[:] = 0
    bias[np.unique(free)] = -100.0
    assert not set(answer(golden, Steering(jnp.asarray(bias)), sampling)[2].ravel()) & set(free.ravel())


def test_a_large_presence_penalty_says_nothing_twice(golden):
    tokens = answer(golden, Steering(presence=1000.0))[2]
    assert all(len(set(row)) == 8 for row in tokens.tolist())
    np.testing.assert_array_equal(answer(golden, Steering())[2], answer(golden, None)[2])
