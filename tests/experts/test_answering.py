"""Answers by experts: grouped by the members that have a weight, and equal to asking one by one."""

import jax
import numpy as np
import pytest

from jaxuq.experts import answer_by_experts
from jaxuq.language import LanguageModel, Sampling, stack_adapters
from jaxuq.parallel import mesh_of
from tests.language.tiny_decoder import base_params, decoder_with, moved_adapters
from tests.language.words import tokenizer

PROMPTS = [np.array([3, 7, 11]), np.array([5, 1]), np.array([9, 9, 9, 2])]
WEIGHTS = np.array([[0.5, 0.0, 1.0], [0.2, 0.3, 0.4], [0.5, 0.0, 2.0]], np.float32)


@pytest.fixture(scope="module")
def model():
    return LanguageModel(decoder_with(), base_params(), tokenizer(), "tiny")


@pytest.fixture(scope="module")
def adapters(model):
    return stack_adapters([moved_adapters(model.decoder, model.params, seed) for seed in (1, 2, 3)])


def ask(model, adapters, prompts, weights, **options):
    return answer_by_experts(model, adapters, prompts, weights, max_new_tokens=5, **{"batch_size": 2} | options)


def test_a_member_without_weight_changes_nothing(model, adapters):
    answers = ask(model, adapters, PROMPTS, WEIGHTS)
    assert [answer.prompt for answer in answers] == [0, 1, 2]
    two = jax.tree.map(lambda leaf: leaf[np.array([0, 2])], adapters)
    for number in (0, 2):
        alone = ask(model, two, [PROMPTS[number]], WEIGHTS[number : number + 1, [0, 2]])[0]
        found = answers[number]
        assert found.tokens.tolist() == alone.tokens.tolist()
        np.testing.assert_allclose(found.log_probs, alone.log_probs, atol=1e-5)
        np.testing.assert_allclose(found.member_log_probs[:, [0, 2]], alone.member_log_probs, atol=1e-5)
        assert np.isnan(found.member_log_probs[:, 1]).all()
    assert np.isfinite(answers[1].member_log_probs).all()


@pytest.mark.long
@pytest.mark.parametrize("mesh", ["data=2,expert=4", "expert=2,tensor=2"])
def test_members_on_devices_of_their_own_answer_as_on_one(model, adapters, mesh):
    """Three members on two or four devices: those that lack one compute a member of weight zero."""
    alone = ask(model, adapters, PROMPTS, WEIGHTS)
    divided = ask(model, adapters, PROMPTS, WEIGHTS, mesh=mesh_of(mesh))
    for one, other in zip(divided, alone, strict=True):
        np.testing.assert_array_equal(one.tokens, other.tokens)
        for name in ("log_probs", "entropies", "mutual_information", "variances", "member_log_probs"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-5, err_msg=name)


def test_sampling_depends_on_index_and_key_alone(model, adapters):
    options = {"sampling": Sampling(temperature=2.0), "rng_key": 3}
    whole = ask(model, adapters, PROMPTS, WEIGHTS, **options)
    other = ask(model, adapters, PROMPTS[:2], WEIGHTS[:2], **options)
    assert [one.tokens.tolist() for one in other] == [one.tokens.tolist() for one in whole[:2]]


def test_bad_prompts_and_weights_are_named(model, adapters):
    with pytest.raises(ValueError, match="the weights of prompt 1"):
        ask(model, adapters, PROMPTS[:2], np.array([[1.0, 1, 1], [0, 0, 0]]))
    with pytest.raises(ValueError, match="prompt 0 has 0 tokens"):
        ask(model, adapters, [np.array([], np.int32)], WEIGHTS[:1])
    with pytest.raises(ValueError, match="a row for each of the 3 prompts"):
        ask(model, adapters, PROMPTS, WEIGHTS[:2])
