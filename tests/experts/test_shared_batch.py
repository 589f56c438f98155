"""Experts in a running batch: answers with other weights share it, and each is that of `generate_by_experts`."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq.experts import generate_by_experts
from jaxuq.experts.shared_batch import Members, weighted_experts
from jaxuq.language import Ask, RunningBatch, Sampling
from tests.language.tiny_decoder import base_params, decoder_with, moved_adapters

DECODER = decoder_with()
WEIGHTS = np.float32([[1, 0, 0], [0.2, 0.5, 0.9], [0, 1, 1], [0.1, 0.1, 2]])


def test_each_answer_has_its_own_weights_in_the_batch_of_all():
    params = base_params()
    adapters = [moved_adapters(DECODER, params, seed=seed) for seed in (1, 2, 3)]
    experts = jax.tree.map(lambda *leaves: jnp.stack(leaves), *adapters)
    rng = np.random.default_rng(0)
    prompts = [rng.integers(4, 40, length).tolist() for length in (3, 40, 17, 33)]
    keys = jax.vmap(lambda number: jax.random.fold_in(jax.random.key(0), number))(jnp.arange(4))
    batch = RunningBatch(
        weighted_experts(DECODER), Members(params, experts), stop_tokens=(3,), most_rows=4, most_tokens=2048,
        most_alternatives=0,
    )  # fmt: skip
    found = {number: [[], [], [], []] for number in range(4)}
    for number, prompt in enumerate(prompts):
        batch.add(Ask(prompt, 20, keys[number], sampling=Sampling(0.9), condition=WEIGHTS[number]))
        collect(batch.advance(), found)
    while batch.busy:
        collect(batch.advance(), found)
    lengths = jnp.asarray(list(map(len, prompts)))
    padded = jnp.asarray([prompt + [0] * (40 - len(prompt)) for prompt in prompts])
    made = generate_by_experts(
        DECODER, params, experts, jnp.asarray(WEIGHTS), padded, lengths, keys, max_new_tokens=20,
        sampling=Sampling(0.9), stop_tokens=(3,),
    )  # fmt: skip
    for number in range(4):
        count, (tokens, log_probs, information, members) = int(made.num_generated[number]), found[number]
        assert tokens == made.tokens[number, :count].tolist()
        np.testing.assert_allclose(log_probs, made.log_probs[number, :count], atol=1e-5)
        np.testing.assert_allclose(information, made.observed.mutual_information[number, :count], atol=1e-5)
        np.testing.assert_allclose(members, made.observed.member_log_probs[number, :count], atol=1e-4)


def collect(grown, found):
    for one in grown:
        parts = one.tokens, one.log_probs, one.observed.mutual_information, one.observed.member_log_probs
        for old, new in zip(found[one.ticket], parts):
            old += new.tolist()
