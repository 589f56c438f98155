"""The ensemble's compiled decoding against a plain loop over separately merged models, without caches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.experts import generate_by_experts, init_gates
from jaxuq.language import Sampling, init_adapters, merge_adapters, stack_adapters
from jaxuq.networks import unstack_layers
from tests.language.tiny_decoder import base_params, decoder_with, moved_adapters

PROMPTS, LENGTHS = jnp.array([[3, 7, 11, 2, 9], [5, 1, 0, 0, 0]]), jnp.array([5, 2])
WEIGHTS = jnp.array([[0.3, 0.6, 0.4], [0.9, 0.0, 0.5]])
NEW = 6


@functools.cache
def experts():
    decoder, params = decoder_with(), base_params()
    return decoder, params, [moved_adapters(decoder, params, seed) for seed in (1, 2, 3)]


@functools.cache
def generated(sampled=False):
    decoder, params, adapters = experts()
    keys = jax.random.split(jax.random.key(4), 2)
    sampling = Sampling(temperature=1.3, top_k=20) if sampled else Sampling(temperature=None)
    return generate_by_experts(
        decoder, params, stack_adapters(adapters), WEIGHTS, PROMPTS, LENGTHS, keys, max_new_tokens=NEW,
        sampling=sampling, keep_logits=True,
    )  # fmt: skip


@functools.cache
def merged_models():
    decoder, params, adapters = experts()
    return [merge_adapters(params, one, decoder.lora) for one in adapters]


@functools.partial(jax.jit, static_argnums=0)
def plain_logits(decoder, params, tokens):
    output = decoder.apply({"params": params}, tokens)
    return decoder.apply({"params": params}, output.hidden, method="logits")


def naive(row, tokens):
    """Logits of each member for what follows each prefix of the answer, from whole merged models."""
    decoder = decoder_with().clone(lora=None)
    whole = np.concatenate([np.asarray(PROMPTS[row, : LENGTHS[row]]), tokens])
    padded = jnp.asarray(np.pad(whole, (0, 12 - len(whole))))[None]
    first = int(LENGTHS[row]) - 1
    logits = [plain_logits(decoder, params, padded)[0] for params in merged_models()]
    return np.stack([np.asarray(one)[first : first + len(tokens)] for one in logits])


@pytest.mark.parametrize("row", [0, 1])
def test_equals_separately_merged_models(row):
    found = generated()
    tokens = np.asarray(found.tokens[row])
    members = naive(row, tokens)
    together = np.einsum("m,mtv->tv", np.asarray(WEIGHTS[row]), members)
    np.testing.assert_allclose(found.observed.logits[row], together, atol=1e-4)
    assert tokens.tolist() == together.argmax(-1).tolist()
    shares = np.asarray(WEIGHTS[row] / WEIGHTS[row].sum())
    mean = jax.nn.log_softmax(jnp.einsum("m,mtv->tv", shares, members))
    np.testing.assert_allclose(found.log_probs[row], np.asarray(mean)[np.arange(NEW), tokens], atol=1e-4)
    each = np.asarray(jax.nn.log_softmax(members))[:, np.arange(NEW), tokens].T
    used = np.asarray(WEIGHTS[row]) > 0
    np.testing.assert_allclose(found.observed.member_log_probs[row][:, used], each[:, used], atol=1e-4)


def test_sampling_draws_from_the_softmax_of_the_mean_logits():
    from jaxuq.language import sample_token

    found, sampling = generated(sampled=True), Sampling(temperature=1.3, top_k=20)
    key = jax.random.fold_in(jax.random.split(jax.random.key(4), 2)[0], 0)  # of the first sample
    tokens = np.asarray(found.tokens[0])
    together = np.einsum("m,mtv->tv", np.asarray(WEIGHTS[0] / WEIGHTS[0].sum()), naive(0, tokens))
    draw = jax.jit(jax.vmap(lambda step, row: sample_token(jax.random.fold_in(key, step), row, sampling)))
    drawn = draw(jnp.arange(NEW), jnp.asarray(together, jnp.float32))
    assert tokens.tolist() == drawn.tolist()
    assert tokens.tolist() != np.asarray(generated().tokens[0]).tolist()


def test_stop_tokens_end_a_row_and_unrolled_layers_agree():
    _, params, adapters = experts()
    stop = int(generated().tokens[0, 2])
    loose = decoder_with(scan=False)
    stacked = stack_adapters([unstack_layers(one, 2) for one in adapters])
    found = generate_by_experts(
        loose, unstack_layers(params, 2), stacked, WEIGHTS, PROMPTS, LENGTHS, jax.random.split(jax.random.key(4), 2),
        max_new_tokens=NEW, stop_tokens=(stop,),
    )  # fmt: skip
    expected = np.asarray(generated().tokens[0]).tolist()
    count = expected.index(stop) + 1
    assert found.num_generated[0] == count and found.tokens[0].tolist() == expected[:count] + [-1] * (NEW - count)
    assert not found.running[0] and not np.asarray(found.log_probs[0, count:]).any()


def test_new_adapters_are_the_plain_model_and_agree():
    decoder, params, _ = experts()
    keys = jax.random.split(jax.random.key(1), 3)
    fresh = jax.vmap(init_adapters, in_axes=(0, None, None))(keys, decoder, params)
    run = functools.partial(generate_by_experts, prompts=PROMPTS, lengths=LENGTHS, max_new_tokens=NEW)
    several = run(decoder, params, fresh, WEIGHTS, rng_keys=keys[:2])
    plain = run(decoder.clone(lora=None), params, None, jnp.ones((2, 1)), rng_keys=keys[:2])
    assert several.tokens.tolist() == plain.tokens.tolist()
    np.testing.assert_allclose(several.log_probs, plain.log_probs, atol=1e-5)
    np.testing.assert_allclose(several.observed.mutual_information, 0.0, atol=1e-5)


@pytest.mark.parametrize("mix", ["routing", "merging", "gate"])
def test_mixtures_equal_adapters_made_by_hand(mix):
    """Routing is one adapter of three times the rank; merging one of averaged factors; untrained gates weigh evenly."""
    decoder, params, adapters = experts()
    stacked, share = stack_adapters(adapters), WEIGHTS[0] / WEIGHTS[0].sum()
    if mix == "gate":
        share = jnp.full(3, 1 / 3)

    def by_hand(*parts):
        if mix == "merging":
            return sum(weight * part for weight, part in zip(share, parts))
        if parts[0].shape[-1] == decoder.lora.rank:  # A, side by side
            return jnp.concatenate(parts, axis=-1)
        return jnp.concatenate([weight * part for weight, part in zip(share, parts)], axis=-2)

    wide = jax.tree.map(by_hand, *adapters)
    rank = decoder.lora.rank * (1 if mix == "merging" else 3)
    other = decoder_with(rank=rank, alpha=decoder.lora.scale * rank)
    keys = jax.random.split(jax.random.key(4), 2)[:1]
    run = functools.partial(generate_by_experts, prompts=PROMPTS[:1], lengths=LENGTHS[:1], rng_keys=keys,
                            max_new_tokens=NEW, keep_logits=True)  # fmt: skip
    gates = init_gates(stacked, scan=True) if mix == "gate" else None
    found = run(decoder, params, stacked, WEIGHTS[:1], mix=mix, gates=gates)
    expected = run(other, params, stack_adapters([wide]), jnp.ones((1, 1)))
    assert found.tokens.tolist() == expected.tokens.tolist()
    np.testing.assert_allclose(found.observed.logits, expected.observed.logits, atol=2e-4)


def test_bad_weights_and_lengths_are_named():
    decoder, params, adapters = experts()
    keys = jax.random.split(jax.random.key(4), 2)
    with pytest.raises(ValueError, match="3 members need one weight each"):
        generate_by_experts(
            decoder, params, stack_adapters(adapters), WEIGHTS[:, :2], PROMPTS, LENGTHS, keys, max_new_tokens=2
        )
    with pytest.raises(ValueError, match="max_new_tokens is 0"):
        generate_by_experts(
            decoder, params, stack_adapters(adapters), WEIGHTS, PROMPTS, LENGTHS, keys, max_new_tokens=0
        )
