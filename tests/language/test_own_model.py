"""A language model of the user's own, in flax nnx or equinox, goes wherever jaxuq's decoder goes, to the same numbers.

Both are written as a user would write one, and hold the same weights as a decoder of ours.
"""

import functools

import equinox
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxuq.confidence import mean_log_probability
from jaxuq.confidence.text.marginal import marginal_confidence
from jaxuq.confidence.text.passes import Texts, generated_pass, read_texts
from jaxuq.confidence.text.reading import read_pass
from jaxuq.experts import example_gradients
from jaxuq.language import (
    GREEDY,
    Sampling,
    TokenBatch,
    attention_rows,
    generate_tokens,
    init_adapters,
    response_loss,
    score_tokens,
    start_generation,
    take_rows,
)
from jaxuq.networks import (
    Attention,
    CacheRows,
    CapabilityError,
    Decoder,
    DecoderConfig,
    LoraConfig,
    Model,
    apply_rotary,
    capability,
    rotary_tables,
)

CONFIG = DecoderConfig(31, 16, 24, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=4, tied=True)
PROMPTS, LENGTHS = jnp.array([[3, 5, 7, 9], [2, 4, 0, 0]]), jnp.array([4, 2])
TOKENS = jnp.asarray(np.random.default_rng(0).integers(1, 31, (2, 9)), jnp.int32)
POSITIONS = jnp.asarray([[0, 1, 2, 3, 4, 5, 6, 7, 8], [-1, -1, 0, 1, 2, 3, 4, -1, -1]], jnp.int32)


@pytest.fixture(scope="module")
def ours():
    decoder = Decoder(CONFIG, lora=LoraConfig(rank=2, targets=("query", "value")), scan=False)
    variables = jax.jit(decoder.init)(jax.random.key(0), TOKENS)
    lora = init_adapters(jax.random.key(1), decoder, variables["params"])
    lora = jax.tree.map(lambda leaf: jax.random.normal(jax.random.key(leaf.size), leaf.shape) / 3, lora)
    return decoder, variables["params"], lora


def _rms(x, scale):
    return x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-5) * scale.reshape(1, 1, -1)


def _read(blocks, embedding, norm, tokens, positions, cache):
    """A transformer that a user might have: hidden states, cache and queries from a list of layers' weights."""
    x, (cosines, sines) = embedding[tokens], rotary_tables(CONFIG.rotary[0], CONFIG.head_dim, positions)
    seen, kept, queries = positions, [], []
    if cache is not None:
        seen = jax.lax.dynamic_update_slice_in_dim(cache["positions"], positions, cache["next"], axis=1)
    for layer, block in enumerate(blocks):
        normed = _rms(x, block["attention_norm"])
        heads = [(normed @ block[name]).reshape(*tokens.shape, -1, CONFIG.head_dim) for name in "qkv"]
        query, key, value = apply_rotary(heads[0], cosines, sines), apply_rotary(heads[1], cosines, sines), heads[2]
        if cache is not None:  # the user keeps time before heads
            key, value = (
                jax.lax.dynamic_update_slice_in_dim(old, new, cache["next"], axis=1)
                for old, new in zip(cache["layers"][layer], (key, value))
            )
        kept.append((key, value))
        queries.append(query)
        key, value = (jnp.repeat(part, 2, axis=2) for part in (key, value))
        visible = (seen[:, None, :] >= 0) & (seen[:, None, :] <= positions[:, :, None])
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / 2.0
        weights = jax.nn.softmax(jnp.where(visible[:, None], scores, -1e30), axis=-1)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weights, value).reshape(*tokens.shape, -1)
        x = x + mixed @ block["o"]
        normed = _rms(x, block["mlp_norm"])
        x = x + (jax.nn.silu(normed @ block["gate"]) * (normed @ block["up"])) @ block["down"]
    length = jnp.zeros((), jnp.int32) if cache is None else cache["next"]
    cache = {"layers": kept, "positions": seen, "next": length + tokens.shape[1]}
    return _rms(x, norm), cache, tuple(queries)


_NAMES = {"q": "query", "k": "key", "v": "value", "o": "output", "gate": "gate", "up": "up", "down": "down"}


def _blocks(params, lora, scale):
    """Our weights, adapters merged, under the names that the user's model has."""
    blocks = []
    for layer in range(CONFIG.num_layers):
        ours, adapters = params[f"layers_{layer}"], lora[f"layers_{layer}"]
        block = {name: ours[theirs]["kernel"] for name, theirs in _NAMES.items()}
        for name, theirs in _NAMES.items():
            if theirs in adapters:
                block[name] = block[name] + scale * adapters[theirs]["a"] @ adapters[theirs]["b"]
        blocks.append(block | {name: ours[name]["scale"] for name in ("attention_norm", "mlp_norm")})
    return blocks


def _empty(params, rows, slots):
    shape = (rows, slots, CONFIG.num_kv_heads, CONFIG.head_dim)
    layers = [(jnp.zeros(shape), jnp.zeros(shape)) for _ in range(CONFIG.num_layers)]
    return {"layers": layers, "positions": jnp.full((rows, slots), -1), "next": jnp.zeros((), jnp.int32)}


def _keys(cache):
    return tuple(key.swapaxes(1, 2) for key, _ in cache["layers"])


def _take(cache, rows):
    whole = {"layers": cache["layers"], "positions": cache["positions"]}
    return jax.tree.map(lambda leaf: jnp.take(leaf, rows, axis=0, mode="clip"), whole) | {"next": cache["next"]}


def _extend(cache, slots):
    layers = jax.tree.map(lambda leaf: jnp.pad(leaf, ((0, 0), (0, slots), (0, 0), (0, 0))), cache["layers"])
    positions = jnp.pad(cache["positions"], ((0, 0), (0, slots)), constant_values=-1)
    return {"layers": layers, "positions": positions, "next": cache["next"]}


def _arrange(cache, positions, slots=None):
    if slots is None:
        return cache | {"positions": positions}
    layers = jax.tree.map(lambda leaf: jnp.take_along_axis(leaf, slots[:, :, None, None], axis=1), cache["layers"])
    return {"layers": layers, "positions": positions, "next": jnp.asarray(slots.shape[1], jnp.int32)}


_ATTENTION = Attention(_keys, lambda cache: cache["positions"], CONFIG.head_dim**-0.5, (None, None))


class NNXModel(nnx.Module):
    def __init__(self, params, lora, scale):
        self.embedding, self.norm = nnx.Param(params["embedding"]), nnx.Param(params["final_norm"]["scale"])
        self.blocks = nnx.List(
            [nnx.data({k: nnx.Param(v) for k, v in b.items()}) for b in _blocks(params, lora, scale)]
        )

    def __call__(self, tokens, positions, cache):
        blocks = [{name: leaf[...] for name, leaf in block.items()} for block in self.blocks]
        return _read(blocks, self.embedding[...], self.norm[...], tokens, positions, cache)

    def head(self, hidden):
        return hidden @ self.embedding[...].T


class EquinoxModel(equinox.Module):
    embedding: jax.Array
    norm: jax.Array
    blocks: list

    def __call__(self, tokens, positions, cache):
        return _read(self.blocks, self.embedding, self.norm, tokens, positions, cache)

    def head(self, hidden):
        return hidden @ self.embedding.T


@pytest.fixture(scope="module", params=["nnx", "equinox"])
def theirs(request, ours):
    decoder, params, lora = ours
    if request.param == "nnx":
        graph, state = nnx.split(NNXModel(params, lora, decoder.lora.scale))

        def build(state):
            return nnx.merge(graph, state)

    else:
        blocks = _blocks(params, lora, decoder.lora.scale)
        state = EquinoxModel(params["embedding"], params["final_norm"]["scale"], blocks)

        def build(state):
            return state

    model = Model(
        lambda state, tokens, positions, cache=None: build(state)(tokens, positions, cache),
        lambda state, hidden: build(state).head(hidden),
        _empty,
        vocab_size=CONFIG.vocab_size,
        attention=_ATTENTION,
        rows=CacheRows(_take, _extend, _arrange),
    )
    return model, state


def _close(actual, expected, atol=2e-5):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=atol), actual, expected)


def test_it_scores_and_attends_as_ours(ours, theirs):
    decoder, params, lora = ours
    wanted = jnp.array([[8, 2], [4, 1]])
    found = []
    for model, state in ((decoder, {"params": params, "lora": lora}), theirs):
        scores = score_tokens(model, state, TOKENS, POSITIONS, top_alternatives=2, keep_hidden=True, keep_queries=True)
        rows = attention_rows(model, scores.captured, wanted)
        found.append((scores.log_probs, scores.entropies, scores.alternatives, scores.hidden, rows))
    _close(found[1], found[0])


@pytest.mark.parametrize("num_samples", [1, 3])
def test_it_generates_as_ours(ours, theirs, num_samples):
    decoder, params, lora = ours
    keys, found = jax.random.split(jax.random.key(7), 2), []
    model, state = theirs
    plain = model._replace(rows=None, attention=None)  # the least that can generate: prompts are read once an answer
    models = ((decoder, {"params": params, "lora": lora}), theirs, (plain, state))
    for model, state in models:
        answer = generate_tokens(
            model, state, PROMPTS, LENGTHS, keys, max_new_tokens=6, sampling=Sampling(1.0), num_samples=num_samples,
            stop_tokens=(30,), top_alternatives=2,
        )  # fmt: skip
        found.append((answer.tokens, answer.num_generated, answer.log_probs, answer.alternatives))
    _close(found[1], found[0])
    _close(found[2], found[0])


def test_its_chains_and_substituted_chains_are_ours(ours, theirs):
    decoder, params, lora = ours
    found = []
    for model, state in ((decoder, {"params": params, "lora": lora}), theirs):
        made = generate_tokens(
            model, state, PROMPTS, LENGTHS, jax.random.split(jax.random.key(0), 2), max_new_tokens=8, sampling=GREEDY,
            keep_hidden=True, keep_queries=True,
        )  # fmt: skip
        time = PROMPTS.shape[1] + 7
        tokens = np.zeros((2, time), np.int32)
        for row, length in enumerate(LENGTHS.tolist()):
            tokens[row, : length + 7] = [*PROMPTS[row, :length].tolist(), *made.tokens[row, :7].tolist()]
        ends = LENGTHS + 7
        answer = np.arange(time)[None] >= np.asarray(ends)[:, None] - 2
        answer &= np.arange(time)[None] < np.asarray(ends)[:, None]
        texts = Texts(jnp.asarray(tokens), ends, LENGTHS, jnp.asarray(answer), jnp.zeros((2, time), bool))
        for kept in (generated_pass(model, made, texts), read_texts(model, state, texts)):
            reading = read_pass(model, state, texts, kept)
            sums = marginal_confidence(model, state, texts, reading, kept.cache)
            found.append((*reading, sums))
    for other in found[1:]:
        _close(other, found[0], atol=2e-4)


@pytest.mark.long
def test_gradients_of_a_part_of_its_parameters_are_those_of_each_row_alone(theirs):
    model, state = theirs
    leaves, structure = jax.tree.flatten(state)
    trained = tuple(leaves)  # all of them, the tied output layer included
    model = model._replace(join=lambda frozen, trained: jax.tree.unflatten(structure, trained))
    examples = jnp.where(POSITIONS >= 0, jnp.arange(2)[:, None] * jnp.ones_like(POSITIONS), -1)
    where = (TOKENS % 3 != 0) & (POSITIONS > 0)
    gradients = example_gradients(model, state, trained, TokenBatch(TOKENS, POSITIONS, examples, where))

    def loss(trained, row):
        hidden = model.read(model.join(None, trained), TOKENS[row : row + 1], POSITIONS[row : row + 1])[0]
        log_probs = jax.nn.log_softmax(model.logits(model.join(None, trained), hidden))[0]
        ahead = [t for t in range(1, 9) if where[row, t]]
        return -jnp.mean(jnp.stack([log_probs[t - 1, TOKENS[row, t]] for t in ahead]))

    for row in range(2):
        alone = jax.grad(loss)(trained, row)
        _close(jax.tree.map(lambda leaf, row=row: leaf[row], gradients), alone)


def test_its_adapters_have_the_gradients_of_ours(ours, theirs):
    decoder, params, lora = ours
    model, state = theirs
    if isinstance(state, EquinoxModel):

        def join(frozen, lora):
            return EquinoxModel(frozen.embedding, frozen.norm, _blocks(params, lora, decoder.lora.scale))

        model = model._replace(join=join, trained_logits=False)
        batch = TokenBatch(TOKENS, POSITIONS, jnp.zeros_like(TOKENS), POSITIONS > 0)
        _close(example_gradients(model, state, lora, batch), example_gradients(decoder, params, lora, batch))


def test_its_loss_is_ours_and_packed_rows_are_not_read_as_one_text(ours, theirs):
    decoder, params, lora = ours
    model, state = theirs
    alone = jnp.where(POSITIONS >= 0, 0, -1)
    batch = TokenBatch(TOKENS, POSITIONS, alone, POSITIONS > 0)
    _close(response_loss(model, state, batch), response_loss(decoder, {"params": params, "lora": lora}, batch), 1e-3)
    packed = batch._replace(examples=alone.at[0, 4:].set(1))
    assert np.isnan(response_loss(model, state, packed)[0])


def test_what_a_model_lacks_is_said_by_name(theirs):
    model, state = theirs
    least = Model(model.read, model.logits, vocab_size=31)
    keys = jax.random.split(jax.random.key(0), 2)
    assert score_tokens(least, state, TOKENS, POSITIONS).log_probs.shape == TOKENS.shape
    with pytest.raises(CapabilityError, match="no `init_cache`, which is needed to generate"):
        generate_tokens(least, state, PROMPTS, LENGTHS, keys, max_new_tokens=2)
    with pytest.raises(CapabilityError, match="no `attention`, which is needed for rows of attention"):
        score_tokens(least, state, TOKENS, POSITIONS, keep_queries=True)
    generation = start_generation(model, state, PROMPTS, LENGTHS, keys, capacity=3)
    with pytest.raises(CapabilityError, match="no `rows`, which is needed to divide its cache"):
        take_rows(model._replace(rows=None), generation, jnp.array([0]))
    with pytest.raises(CapabilityError, match="no `join`"):
        example_gradients(model, state, state, TokenBatch(TOKENS, POSITIONS, TOKENS, TOKENS > 0))
    with pytest.raises(CapabilityError, match="no `rng_key`, which is needed for dropout"):
        response_loss(model, state, TokenBatch(TOKENS, POSITIONS, TOKENS, TOKENS > 0), rng_key=keys[0])
    assert capability(model, "attention").scale == 0.5


def test_a_measure_takes_its_log_probabilities(theirs):
    model, state = theirs
    scores = score_tokens(model, state, TOKENS, POSITIONS)
    where = POSITIONS > 0
    means = jax.vmap(lambda row, where: mean_log_probability(row, where=where))(scores.log_probs, where)
    expected = [np.mean(np.asarray(scores.log_probs)[row][np.asarray(where)[row]]) for row in range(2)]
    _close(means, np.asarray(expected))
