"""A language model of the user's own, in flax nnx or equinox, goes wherever jaxuq's decoder goes, to the same numbers.

Both are written as a user would write one, and hold the same weights as a decoder of ours.
"""

import functools
from typing import Any, NamedTuple

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
from jaxuq.experts import (
    AdapterCheckpoint,
    answer_by_experts,
    cluster_features,
    example_gradients,
    gradient_features,
    project,
    route,
)
from jaxuq.language import (
    GREEDY,
    Ask,
    FinetuneConfig,
    Instruction,
    LanguageModel,
    RunningBatch,
    Sampling,
    TokenBatch,
    attention_rows,
    finetune,
    generate_tokens,
    init_adapters,
    make_batch,
    plan_batches,
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
    as_model,
    capability,
    rotary_tables,
)
from jaxuq.networks.model import check_decoder
from jaxuq.tuning import token_loss
from tests.language.finetune_run import examples, tiny_model

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


def _blocks(params):
    """Our weights under the names that the user's model has."""
    blocks = []
    for layer in range(CONFIG.num_layers):
        ours = params[f"layers_{layer}"]
        block = {name: ours[theirs]["kernel"] for name, theirs in _NAMES.items()}
        blocks.append(block | {name: ours[name]["scale"] for name in ("attention_norm", "mlp_norm")})
    return blocks


def _adapters(lora):
    names = {theirs: name for name, theirs in _NAMES.items()}
    layers = (lora[f"layers_{layer}"] for layer in range(CONFIG.num_layers))
    return [{names[name]: dict(adapter) for name, adapter in layer.items()} for layer in layers]


def _adapted(block, adapters, scale):
    return block | {name: block[name] + scale * one["a"] @ one["b"] for name, one in adapters.items()}


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


def _put(cache, other, row):
    def put(whole, part):
        return jax.lax.dynamic_update_slice(whole, part, (row, *[0] * (whole.ndim - 1)))

    empty = jnp.full((1, cache["positions"].shape[1]), -1)
    positions = put(put(cache["positions"], empty), other["positions"])
    return {
        "layers": jax.tree.map(put, cache["layers"], other["layers"]),
        "positions": positions,
        "next": cache["next"],
    }


def _seek(cache, slot):
    return cache | {"next": jnp.asarray(slot, jnp.int32)}


_ATTENTION = Attention(_keys, lambda cache: cache["positions"], CONFIG.head_dim**-0.5, (None, None))


class NNXModel(nnx.Module):
    def __init__(self, params, lora, scale):
        self.embedding, self.norm = nnx.Param(params["embedding"]), nnx.Param(params["final_norm"]["scale"])
        self.blocks = nnx.data(jax.tree.map(nnx.Param, _blocks(params)))
        self.adapters, self.scale = nnx.data(jax.tree.map(nnx.LoRAParam, _adapters(lora))), scale

    def __call__(self, tokens, positions, cache):
        blocks, adapters = nnx.as_pure((self.blocks, self.adapters))
        blocks = [_adapted(block, one, self.scale) for block, one in zip(blocks, adapters)]
        return _read(blocks, self.embedding[...], self.norm[...], tokens, positions, cache)

    def head(self, hidden):
        return hidden @ self.embedding[...].T


class EquinoxModel(equinox.Module):
    embedding: jax.Array
    norm: jax.Array
    blocks: list
    adapters: list
    scale: float = equinox.field(static=True)

    def __call__(self, tokens, positions, cache):
        blocks = [_adapted(block, one, self.scale) for block, one in zip(self.blocks, self.adapters)]
        return _read(blocks, self.embedding, self.norm, tokens, positions, cache)

    def head(self, hidden):
        return hidden @ self.embedding.T


def _functions(build, **more):
    """What jaxuq asks of a model, from a function that makes it of its parameters."""
    return Model(
        lambda state, tokens, positions, cache=None: build(state)(tokens, positions, cache),
        lambda state, hidden: build(state).head(hidden),
        _empty,
        vocab_size=CONFIG.vocab_size,
        max_positions=CONFIG.max_positions,
        attention=_ATTENTION,
        rows=CacheRows(_take, _extend, _arrange, _put, _seek),
        **more,
    )


class Theirs(NamedTuple):
    """A user's model, its parameters, and how its library parts them: `part(names) -> (frozen, trained)`."""

    model: Model
    state: Any
    part: Any


@pytest.fixture(scope="module", params=["nnx", "equinox"])
def theirs(request, ours):
    decoder, params, lora = ours
    if request.param == "nnx":
        graph, state = nnx.split(NNXModel(params, lora, decoder.lora.scale))
        model = _functions(functools.partial(nnx.merge, graph), join=nnx.merge_state)

        def part(*names):
            trained, frozen = nnx.split_state(state, nnx.Any(*map(nnx.PathContains, names)), ...)
            return frozen, trained

    else:
        state = EquinoxModel(
            params["embedding"], params["final_norm"]["scale"], _blocks(params), _adapters(lora), decoder.lora.scale
        )
        model = _functions(lambda state: state, join=equinox.combine)

        def part(*names):
            chosen = jax.tree_util.tree_map_with_path(
                lambda path, _: any(name in jax.tree_util.keystr(path) for name in names), state
            )
            trained, frozen = equinox.partition(state, chosen)
            return frozen, trained

    return Theirs(model, state, part)


def _close(actual, expected, atol=2e-5):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=atol), actual, expected)


def test_it_scores_and_attends_as_ours(ours, theirs):
    decoder, params, lora = ours
    wanted = jnp.array([[8, 2], [4, 1]])
    found = []
    for model, state in ((decoder, {"params": params, "lora": lora}), theirs[:2]):
        scores = score_tokens(model, state, TOKENS, POSITIONS, top_alternatives=2, keep_hidden=True, keep_queries=True)
        rows = attention_rows(model, scores.captured, wanted)
        found.append((scores.log_probs, scores.entropies, scores.alternatives, scores.hidden, rows))
    _close(found[1], found[0])


@pytest.mark.parametrize("num_samples", [1, 3])
def test_it_generates_as_ours(ours, theirs, num_samples):
    decoder, params, lora = ours
    keys, found = jax.random.split(jax.random.key(7), 2), []
    model, state, _ = theirs
    plain = model._replace(rows=None, attention=None)  # the least that can generate: prompts are read once an answer
    models = ((decoder, {"params": params, "lora": lora}), (model, state), (plain, state))
    for model, state in models:
        answer = generate_tokens(
            model, state, PROMPTS, LENGTHS, keys, max_new_tokens=6, sampling=Sampling(1.0), num_samples=num_samples,
            stop_tokens=(30,), top_alternatives=2,
        )  # fmt: skip
        found.append((answer.tokens, answer.num_generated, answer.log_probs, answer.alternatives))
    _close(found[1], found[0])
    _close(found[2], found[0])


def test_it_answers_in_a_running_batch_as_ours(ours, theirs):
    decoder, params, lora = ours
    said = []
    for model, state in ((decoder, {"params": params, "lora": lora}), (theirs.model, theirs.state)):
        batch = RunningBatch(model, state, most_rows=2, most_alternatives=0)
        texts = {batch.add(Ask([3, 5, 7 + seed], 5, jax.random.key(seed))): [] for seed in range(3)}
        while batch.busy:
            for grown in batch.advance():
                texts[grown.ticket] += grown.tokens.tolist()
        said.append(texts)
    assert said[0] == said[1] and [len(one) for one in said[0].values()] == [5, 5, 5]


def test_its_chains_and_substituted_chains_are_ours(ours, theirs):
    decoder, params, lora = ours
    found = []
    for model, state in ((decoder, {"params": params, "lora": lora}), theirs[:2]):
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
    model = theirs.model
    frozen, trained = theirs.part("")  # all of them, the tied output layer included
    where = (TOKENS % 3 != 0) & (POSITIONS > 0)
    gradients = example_gradients(model, frozen, trained, _batch()._replace(where=where))

    def loss(trained, row):
        hidden = model.read(model.join(frozen, trained), TOKENS[row : row + 1], POSITIONS[row : row + 1])[0]
        log_probs = jax.nn.log_softmax(model.logits(model.join(frozen, trained), hidden))[0]
        ahead = [t for t in range(1, 9) if where[row, t]]
        return -jnp.mean(jnp.stack([log_probs[t - 1, TOKENS[row, t]] for t in ahead]))

    for row in range(2):
        alone = jax.grad(loss)(trained, row)
        _close(jax.tree.map(lambda leaf, row=row: leaf[row], gradients), alone)


_gradients = jax.jit(example_gradients, static_argnums=0)


def _batch():
    return TokenBatch(TOKENS, POSITIONS, jnp.where(POSITIONS >= 0, jnp.array([[0], [1]]), -1), POSITIONS > 0)


def test_its_adapters_have_the_gradients_of_ours(ours, theirs):
    decoder, params, lora = ours
    frozen, trained = theirs.part("adapters")
    model = theirs.model._replace(trained_logits=False)
    expected = jax.tree.leaves(_gradients(decoder, params, lora, _batch()))
    found = jax.tree.leaves(_gradients(model, frozen, trained, _batch()))
    assert len(found) == 8 and all(jnp.abs(leaf).max() > 1e-3 for leaf in expected)
    _close(found, expected)


def test_its_own_parameters_have_the_gradients_of_ours(ours, theirs):
    """The embedding, which is the output layer too, and a kernel of each layer."""
    decoder, params, lora = ours

    def join(frozen, trained):
        changed = {f"layers_{n}": frozen[f"layers_{n}"] | {"down": {"kernel": trained[1 + n]}} for n in range(2)}
        return {"params": frozen | changed | {"embedding": trained[0]}, "lora": lora}

    trained = (params["embedding"], *(params[f"layers_{n}"]["down"]["kernel"] for n in range(2)))
    whole = as_model(decoder)._replace(join=join, trained_logits=True)
    expected = jax.tree.leaves(_gradients(whole, params, trained, _batch()))
    frozen, trained = theirs.part("embedding", "down")
    found = jax.tree.leaves(_gradients(theirs.model, frozen, trained, _batch()))
    found = sorted(found, key=lambda leaf: -leaf.shape[1])  # equinox has the embedding first, nnx last
    _close(found, expected)


def _examples():
    """Twelve instructions of three subjects, with a response each."""
    rng, made = np.random.default_rng(3), []
    for number in range(12):
        subject = 1 + 10 * (number % 3)
        tokens = np.append(rng.integers(subject, subject + 3, 5 + number % 4), [2, 3]).astype(np.int32)
        made.append(Instruction(tokens, np.arange(len(tokens)) >= len(tokens) - 2))
    return made


def test_its_gradients_cluster_and_route_as_those_of_ours(ours, theirs):
    """From a model, its trained part and questions to the weights of experts, by one function and by each."""
    decoder, params, lora = ours
    key, found = jax.random.key(5), []
    for model, frozen, trained in ((decoder, params, lora), (theirs.model, *theirs.part("adapters"))):
        model = LanguageModel(model, frozen, tokenizer=None, name="mine")  # pyright: ignore[reportArgumentType]
        moments = [jax.tree.map(lambda leaf, c=c: jnp.full_like(leaf, c), trained) for c in (0.0, 1e-3)]
        state = AdapterCheckpoint(trained, *moments, count=3, learning_rate=1e-3)
        rows = gradient_features(model, [state], _examples(), rng_key=key, dimension=64, batch_size=4).features
        clusters = cluster_features(rows, rng_key=key, num_clusters=3, method="kmeans")
        projected = project(key, _gradients(model.decoder, frozen, trained, _batch()), dimension=64)
        routings = [route(jnp.asarray(x), jnp.asarray(clusters.centroids)) for x in (rows, projected)]
        found.append((rows, clusters.labels, clusters.centroids, projected, *routings))
    _close(found[1], found[0], atol=1e-4)
    assert len(np.unique(found[0][1])) == 3 and found[0][4].routed.all()


def test_a_part_that_no_checkpoint_can_be_of_is_refused(theirs):
    frozen, trained = theirs.part("adapters")
    plain = AdapterCheckpoint(trained, None, None, count=0, learning_rate=1.0)
    model = LanguageModel(theirs.model, frozen, tokenizer=None, name="mine")  # pyright: ignore[reportArgumentType]
    features = functools.partial(gradient_features, rng_key=jax.random.key(0), dimension=8)
    with pytest.raises(CapabilityError, match="no `join`"):
        features(model._replace(decoder=theirs.model._replace(join=None)), [plain], _examples())
    cut = plain._replace(lora=jax.tree.map(lambda leaf: leaf[:1], trained))
    with pytest.raises(ValueError, match="checkpoint 1 has adapters of the shapes"):
        features(model, [plain, cut], _examples())


def test_its_loss_is_ours_and_packed_rows_are_not_read_as_one_text(ours, theirs):
    decoder, params, lora = ours
    model, state, _ = theirs
    alone = jnp.where(POSITIONS >= 0, 0, -1)
    batch = TokenBatch(TOKENS, POSITIONS, alone, POSITIONS > 0)
    _close(response_loss(model, state, batch), response_loss(decoder, {"params": params, "lora": lora}, batch), 1e-3)
    packed = batch._replace(examples=alone.at[0, 4:].set(1))
    assert np.isnan(response_loss(model, state, packed)[0])


def test_what_a_model_lacks_is_said_by_name(theirs):
    model, state, _ = theirs
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
        example_gradients(model._replace(join=None), state, state, TokenBatch(TOKENS, POSITIONS, TOKENS, TOKENS > 0))
    with pytest.raises(CapabilityError, match="no `rng_key`, which is needed for dropout"):
        response_loss(model, state, TokenBatch(TOKENS, POSITIONS, TOKENS, TOKENS > 0), rng_key=keys[0])
    assert capability(model, "attention").scale == 0.5


def test_what_a_model_says_of_itself_is_compared_with_what_it_gives(theirs):
    model, state, _ = theirs
    for wrong in (30, 32):
        with pytest.raises(CapabilityError, match=f"gives 31 numbers where vocab_size is {wrong}"):
            score_tokens(model._replace(vocab_size=wrong), state, TOKENS, POSITIONS)
    for windows in ((None,), (None,) * 3):
        attention = model.attention._replace(windows=windows)
        with pytest.raises(CapabilityError, match=f"2 layers where `attention.windows` has {len(windows)}"):
            score_tokens(model._replace(attention=attention), state, TOKENS, POSITIONS, keep_queries=True)


def test_what_needs_a_decoder_says_so():
    mine = Model(lambda *_: None, lambda *_: None, vocab_size=31)
    with pytest.raises(
        CapabilityError, match=r"training experts needs a `networks.Decoder`.*FinetuneConfig\(adapters=None"
    ):
        check_decoder(mine, "training experts")
    stranger = tiny_model()._replace(decoder=mine)
    with pytest.raises(CapabilityError, match=r"tuning adapters needs .*tune its own parameters: FinetuneConfig"):
        finetune(jax.random.key(0), stranger, examples(2), FinetuneConfig(max_length=16))
    with pytest.raises(CapabilityError, match=r"no `segments`.*or do not pack"):
        finetune(jax.random.key(0), stranger, examples(2), FinetuneConfig(None, max_length=16, packed=True))
    with pytest.raises(CapabilityError, match="answering with experts needs"):
        answer_by_experts(stranger, None, [np.array([1, 2])], np.ones((1, 1)), max_new_tokens=2)


DATA = [one._replace(tokens=one.tokens % CONFIG.vocab_size) for one in examples(6)]
TUNED = {"epochs": 2, "batch_size": 2, "max_length": 16, "learning_rate": 0.01, "packed": False}


@pytest.mark.parametrize("loss", ["plain", "label-smoothing", "scheduled-smoothing", "ual"])
def test_all_of_it_is_tuned_by_the_losses_of_tune_as_ours_is(ours, theirs, loss):
    """Steps of Adam, whose second moments begin at nothing, tell gradients of another size apart within the first."""
    decoder, params, _ = ours
    loss = token_loss(loss, sample_smoothing=jnp.linspace(0.0, 0.3, 6))
    config = FinetuneConfig(None, **TUNED)
    blank = jax.tree.map(jnp.zeros_like, theirs.part("adapters")[1])
    frozen, _ = theirs.part("adapters")
    made = LanguageModel(theirs.model, theirs.model.join(frozen, blank), tokenizer=None, name="theirs")
    base = LanguageModel(decoder.clone(lora=None), params, tokenizer=None, name="ours")
    found = [finetune(jax.random.key(3), one, DATA, config, token_loss=loss) for one in (base, made)]
    _close(found[1].history.loss, found[0].history.loss)
    assert found[1].history.loss[-1] < found[1].history.loss[0]
    lengths = np.array([len(one.tokens) for one in DATA])
    (plan,) = plan_batches(lengths, batch_size=6, max_length=16, seed=0, packed=False)
    batch = make_batch(DATA, plan, batch_size=6)
    losses = [response_loss(one.model.decoder, one.model.variables, batch)[0] for one in found]
    _close(losses[1], losses[0], atol=1e-3)


def test_the_part_that_it_joins_is_tuned_alone(ours, theirs, tmp_path):
    """As our adapters are; interrupted and gone on with, to the same numbers."""
    decoder, params, lora = ours
    frozen, trained = theirs.part("adapters")
    made = LanguageModel(theirs.model, frozen, tokenizer=None, name="theirs", lora=trained)
    base = LanguageModel(decoder, params, tokenizer=None, name="ours", lora=lora)
    given = [(base, FinetuneConfig(decoder.lora, **TUNED)), (made, FinetuneConfig(None, **TUNED))]
    found = [finetune(jax.random.key(3), one, DATA, config) for one, config in given]
    _close(found[1].history.loss, found[0].history.loss)
    tuned = found[1].model
    jax.tree.map(np.testing.assert_array_equal, tuned.params, frozen)
    assert any(jax.tree.leaves(jax.tree.map(lambda a, b: bool(jnp.any(a != b)), tuned.lora, trained)))
    finetune(jax.random.key(3), made, DATA, given[1][1], checkpoint=tmp_path / "kept")
    again = finetune(jax.random.key(3), made, DATA, given[1][1], checkpoint=tmp_path / "kept")
    jax.tree.map(np.testing.assert_array_equal, again.model.lora, tuned.lora)


def test_a_measure_takes_its_log_probabilities(theirs):
    model, state, _ = theirs
    scores = score_tokens(model, state, TOKENS, POSITIONS)
    where = POSITIONS > 0
    means = jax.vmap(lambda row, where: mean_log_probability(row, where=where))(scores.log_probs, where)
    expected = [np.mean(np.asarray(scores.log_probs)[row][np.asarray(where)[row]]) for row in range(2)]
    _close(means, np.asarray(expected))
