"""Scores of tokens in one kernel are those of plain operations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.language.scoring import token_scores


@pytest.mark.parametrize(("vocabulary", "likeliest"), [(7, 0), (7, 7), (2500, 3)])
def test_one_pass_over_the_logits_says_what_three_say(vocabulary, likeliest):
    rng = np.random.default_rng(0)
    logits = 4 * rng.normal(size=(2, 3, vocabulary)).astype(np.float32)
    logits[0, 0], logits[0, 1, :] = np.round(logits[0, 0]), 1e4  # ties; all alike, and far from zero
    tokens = rng.integers(0, vocabulary, size=(2, 3)).astype(np.int32)
    tokens[1, 2] = vocabulary  # outside
    plain, fused = (
        jax.jit(lambda *given, kernel=kernel: token_scores(*given, top_alternatives=likeliest, kernel=kernel))(
            logits, tokens
        )
        for kernel in (False, True)
    )
    np.testing.assert_allclose(fused.log_probs, plain.log_probs, atol=2e-5)
    np.testing.assert_allclose(fused.entropies, plain.entropies, atol=2e-5)
    assert (fused.alternatives is None) == (likeliest == 0)
    if likeliest:
        np.testing.assert_array_equal(fused.alternatives.tokens, plain.alternatives.tokens)
        np.testing.assert_allclose(fused.alternatives.log_probs, plain.alternatives.log_probs, atol=2e-5)


def test_half_precision_is_widened():
    logits = jnp.asarray(np.random.default_rng(1).normal(size=(4, 1500)), jnp.bfloat16)
    plain, fused = (token_scores(logits, jnp.arange(4), kernel=kernel) for kernel in (False, True))
    np.testing.assert_allclose(fused.log_probs, plain.log_probs, atol=2e-5)
