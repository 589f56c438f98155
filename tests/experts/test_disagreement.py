"""What members say of a token, against sums written out."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import log_softmax
from scipy.stats import entropy

import jaxuq.experts as room

combine_logits, disagreement = jax.jit(room.combine_logits), jax.jit(room.disagreement)


def test_against_sums_written_out(rng):
    logits, weights = rng.normal(size=(3, 4, 6)) * 2, rng.uniform(0.1, 1.0, size=(3, 4))
    tokens = np.array([0, 5, 2])
    found = disagreement(jnp.asarray(logits, jnp.float32), jnp.asarray(weights, jnp.float32), jnp.asarray(tokens))
    for row in range(3):
        share = weights[row] / weights[row].sum()
        members = log_softmax(logits[row], axis=-1)
        together = log_softmax(share @ logits[row])
        each = members[:, tokens[row]]
        np.testing.assert_allclose(found.log_prob[row], together[tokens[row]], rtol=1e-5)
        np.testing.assert_allclose(found.entropy[row], entropy(np.exp(together)), rtol=1e-5)
        np.testing.assert_allclose(found.member_log_probs[row], each, rtol=1e-5)
        information = entropy(share @ np.exp(members)) - share @ entropy(np.exp(members), axis=-1)
        np.testing.assert_allclose(found.mutual_information[row], information, rtol=1e-4)
        np.testing.assert_allclose(found.variance[row], share @ (each - share @ each) ** 2, rtol=1e-4)


def test_a_member_of_weight_zero_has_no_part_and_agreement_is_zero():
    logits = jnp.array([[1.0, 2.0, 0.5], [jnp.nan, jnp.inf, 0.0], [1.0, 2.0, 0.5]])
    found = disagreement(logits, jnp.array([2.0, 0.0, 1.0]), jnp.array(1))
    alone = disagreement(logits[::2], jnp.array([2.0, 1.0]), jnp.array(1))
    np.testing.assert_allclose(found.log_prob, alone.log_prob, rtol=1e-6)
    np.testing.assert_allclose([found.mutual_information, found.variance], 0.0, atol=1e-6)
    assert combine_logits(logits, jnp.array([2.0, 0.0, 1.0])).tolist() == [3.0, 6.0, 1.5]


def test_members_sure_of_different_tokens_share_log_two():
    logits = jnp.array([[50.0, 0.0], [0.0, 50.0]])
    np.testing.assert_allclose(disagreement(logits, jnp.ones(2), jnp.array(0)).mutual_information, np.log(2), rtol=1e-5)
