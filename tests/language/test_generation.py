"""Generation against a loop of whole passes, scoring against whole softmaxes, and each against the other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxuq.language import (
    GREEDY,
    Sampling,
    attention_rows,
    continue_generation,
    generate_tokens,
    logit_blocks,
    score_tokens,
    start_generation,
    take_rows,
    token_scores,
)
from jaxuq.language import generation as generation_module
from jaxuq.networks import Decoder, DecoderConfig, KeyValueCache, unstack_layers
from tests.language.golden_decoders import load

NEW = 10
NEVER = (50, 51)  # as many stop tokens everywhere: one program
LENGTHS = np.array([5, 3, 7], np.int32)


class Model:
    """Gemma 2 (windows shorter than the prompts, soft-caps, grouped heads), unrolled and scanned."""

    def __init__(self):
        golden = load("gemma2")
        self.config = golden.config
        self.decoder, self.scanned = Decoder(self.config, scan=False), Decoder(self.config)
        self.scanned_variables = {"params": golden.params}
        self.variables = {"params": unstack_layers(golden.params, self.config.num_layers)}
        self.prompts = np.random.default_rng(0).integers(1, 40, (3, 8)).astype(np.int32)
        self.keys = jax.random.split(jax.random.key(5), 3)
        self.inputs = (jnp.asarray(self.prompts), jnp.asarray(LENGTHS), self.keys)

    def answer(self, rows=(0, 1, 2), width=8, **options):
        prompts = np.zeros((len(rows), width), np.int32)
        prompts[:, : min(width, 8)] = self.prompts[list(rows), :width]
        options = {"max_new_tokens": NEW, "sampling": GREEDY, "top_alternatives": 3, "stop_tokens": NEVER} | options
        keys = self.keys[jnp.array(rows)]
        lengths = jnp.asarray(LENGTHS[list(rows)])
        return generate_tokens(self.decoder, self.variables, jnp.asarray(prompts), lengths, keys, **options)

    @functools.cached_property
    def greedy(self):
        return self.answer(keep_hidden=True, keep_queries=True)

    @functools.cached_property
    def sampled(self):
        return self.answer(sampling=Sampling(1.0, top_k=30))

    @functools.cached_property
    def passed(self):
        """Logits and hidden states of a whole pass over one row."""

        @jax.jit
        def run(tokens):
            hidden = self.scanned.apply(self.scanned_variables, tokens).hidden
            return self.scanned.apply(self.scanned_variables, hidden, method="logits"), hidden

        return run

    def text(self, row, generation):
        """Prompt and answer of a row, padded on the right to one length."""
        whole = np.zeros(LENGTHS.max() + NEW, np.int32)
        length = LENGTHS[row]
        answer = np.asarray(generation.tokens[row])[: int(generation.num_generated[row])]
        whole[:length], whole[length : length + len(answer)] = self.prompts[row, :length], answer
        return whole


@pytest.fixture(scope="module")
def model():
    return Model()


def test_greedy_tokens_and_quantities_equal_a_loop_of_whole_passes(model):
    for row in range(3):
        text = np.zeros(LENGTHS.max() + NEW, np.int32)
        text[: LENGTHS[row]] = model.prompts[row, : LENGTHS[row]]
        for step in range(NEW):
            at = LENGTHS[row] + step
            logits, hidden = (np.asarray(part[0, at - 1]) for part in model.passed(jnp.asarray(text[None])))
            log_probs = scipy.special.log_softmax(logits.astype(np.float64))
            text[at] = np.argmax(logits)
            greedy = model.greedy
            assert greedy.tokens[row, step] == text[at]
            np.testing.assert_allclose(greedy.log_probs[row, step], log_probs[text[at]], atol=1e-4)
            entropy = -(np.exp(log_probs) * log_probs).sum()
            np.testing.assert_allclose(greedy.entropies[row, step], entropy, atol=1e-4)
            best = np.argsort(-log_probs)[:3]
            np.testing.assert_array_equal(greedy.alternatives.tokens[row, step], best)
            np.testing.assert_allclose(greedy.alternatives.log_probs[row, step], log_probs[best], atol=1e-4)
            np.testing.assert_allclose(greedy.hidden[row, step], hidden, atol=1e-4)


def test_a_row_gives_the_same_tokens_whatever_is_beside_it_and_however_it_is_padded(model):
    assert len(set(map(tuple, np.asarray(model.sampled.tokens)))) == 3
    for rows, width in (((1,), 3), ((2, 1, 0), 8)):
        alone = model.answer(rows, width, sampling=Sampling(1.0, top_k=30))
        at = rows.index(1)
        np.testing.assert_array_equal(alone.tokens[at], model.sampled.tokens[1])
        np.testing.assert_allclose(alone.log_probs[at], model.sampled.log_probs[1], atol=1e-4)
        np.testing.assert_allclose(alone.entropies[at], model.sampled.entropies[1], atol=1e-4)


def test_samples_share_a_prefill_and_more_samples_do_not_change_the_first(model):
    several = model.answer(sampling=Sampling(1.0, top_k=30), num_samples=3)
    assert several.tokens.shape == (9, NEW)
    np.testing.assert_array_equal(several.tokens[::3], model.sampled.tokens)
    assert len(set(map(tuple, np.asarray(several.tokens)))) == 9
    expected = [jax.random.fold_in(key, sample) for key in model.keys for sample in range(3)]
    assert (several.rng_keys == jnp.stack(expected)).all()


def test_stopping_on_the_way_gives_the_same(model):
    state = start_generation(
        model.decoder, model.variables, *model.inputs, capacity=NEW,
        sampling=Sampling(1.0, top_k=30), top_alternatives=3, stop_tokens=NEVER,
    )  # fmt: skip
    for until in (1, 2, 7, 99):
        state = continue_generation(
            model.decoder, model.variables, state, until=until, sampling=Sampling(1.0, top_k=30), stop_tokens=NEVER
        )
        assert int(state.step) == min(until, NEW)
        if until == 2:
            some = take_rows(model.decoder, state, jnp.array([2, -1, 0]))
    np.testing.assert_array_equal(state.tokens, model.sampled.tokens)
    np.testing.assert_allclose(state.log_probs, model.sampled.log_probs, atol=1e-5)
    some = continue_generation(
        model.decoder, model.variables, some, until=99, sampling=Sampling(1.0, top_k=30), stop_tokens=NEVER
    )
    np.testing.assert_array_equal(some.tokens[::2], model.sampled.tokens[jnp.array([2, 0])])
    assert some.num_generated.tolist() == [NEW, 2, NEW]


def test_stop_tokens_end_rows_and_the_loop(model):
    tokens = np.asarray(model.sampled.tokens)
    stop = int(tokens[0, 4])
    stopped = model.answer(sampling=Sampling(1.0, top_k=30), stop_tokens=(stop, 39))
    expected = []
    for row in range(3):
        hits = np.flatnonzero(np.isin(tokens[row], (stop, 39)))
        expected.append(int(hits[0]) + 1 if len(hits) else NEW)
    assert stopped.num_generated.tolist() == expected
    assert stopped.running.tolist() == [not np.isin(tokens[row], (stop, 39)).any() for row in range(3)]
    assert int(stopped.step) == max(expected)
    for row, count in enumerate(expected):
        np.testing.assert_array_equal(stopped.tokens[row, :count], tokens[row, :count])
        assert (stopped.tokens[row, count:] == -1).all() and not stopped.log_probs[row, count:].any()
    alone = model.answer((1,), 3, sampling=Sampling(1.0, top_k=30), stop_tokens=(int(tokens[1, 4]), 51))
    assert int(alone.step) == int(alone.num_generated[0]) < NEW  # the loop ended early


def test_an_empty_row_generates_nothing_and_disturbs_nobody(model):
    lengths = LENGTHS.copy()
    lengths[1] = 0
    answer = generate_tokens(
        model.decoder, model.variables, model.inputs[0], jnp.asarray(lengths), model.keys, max_new_tokens=NEW,
        sampling=GREEDY, top_alternatives=3, stop_tokens=NEVER,
    )  # fmt: skip
    assert answer.num_generated.tolist() == [NEW, 0, NEW]
    np.testing.assert_array_equal(answer.tokens[::2], model.greedy.tokens[::2])
    assert np.isfinite(answer.log_probs).all()


def test_stacked_layers_generate_the_same(model):
    options = {"max_new_tokens": NEW, "sampling": GREEDY, "keep_queries": True}
    scanned = generate_tokens(model.scanned, model.scanned_variables, *model.inputs, **options)
    np.testing.assert_array_equal(scanned.tokens, model.greedy.tokens)
    for part in ("keys", "queries"):
        stacked = jnp.stack(getattr(model.greedy.captured(model.decoder), part))
        np.testing.assert_allclose(getattr(scanned.captured(model.scanned), part), stacked, atol=1e-4)


def test_scoring_its_own_answers_gives_what_generation_reported(model):
    for generation, kept in ((model.greedy, True), (model.sampled, False)):
        texts = np.stack([model.text(row, generation) for row in range(3)])
        slots = np.arange(texts.shape[1], dtype=np.int32)
        ends = LENGTHS + np.asarray(generation.num_generated)
        positions = np.where(slots < ends[:, None], slots, -1).astype(np.int32)
        where = (slots >= LENGTHS[:, None]) & (slots < ends[:, None])
        scores = score_tokens(
            model.decoder, model.variables, *map(jnp.asarray, (texts, positions)), where=jnp.asarray(where),
            top_alternatives=3, keep_hidden=True,
            keep_queries=True,
        )  # fmt: skip
        assert not scores.log_probs[~where].any()
        for row in range(3):
            at = slice(int(LENGTHS[row]), int(ends[row]))
            for name in ("log_probs", "entropies"):
                np.testing.assert_allclose(getattr(scores, name)[row, at], getattr(generation, name)[row], atol=1e-4)
            np.testing.assert_array_equal(scores.alternatives.tokens[row, at], generation.alternatives.tokens[row])
            np.testing.assert_allclose(
                scores.alternatives.log_probs[row, at], generation.alternatives.log_probs[row], atol=1e-4
            )
            if kept:
                np.testing.assert_allclose(scores.hidden[row, at], generation.hidden[row], atol=1e-4)
        if kept:  # the last token was never passed through the network: its row is not there, nor in any other
            wanted = jnp.asarray(LENGTHS[:, None] + np.arange(-2, NEW), jnp.int32)
            generated = attention_rows(model.decoder, generation.captured(model.decoder), wanted)
            scored = attention_rows(model.decoder, scores.captured, wanted)
            columns = min(generated.shape[-1], scored.shape[-1])
            np.testing.assert_allclose(generated[..., :-1, :columns], scored[..., :-1, :columns], atol=1e-5)
            assert not generated[..., -1, :].any() and (scored[..., -1, :].sum(-1) > 0.999).all()


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2"])
def test_attention_rows_equal_transformers(family, stacked):
    golden = load(family)
    decoder = Decoder(golden.config, scan=stacked)
    params = golden.params if stacked else unstack_layers(golden.params, golden.config.num_layers)
    positions = jnp.asarray(np.where(golden.mask, np.cumsum(golden.mask, axis=1) - 1, -1), jnp.int32)
    wanted = jnp.asarray([[10, 0, 4, 7], [7, 0, 3, 9]], jnp.int32)  # the second row has 8 tokens, after 3 of padding

    @jax.jit
    def run(params, tokens, positions, wanted):
        scores = score_tokens(decoder, {"params": params}, tokens, positions, keep_queries=True)
        return attention_rows(decoder, scores.captured, wanted)

    rows = np.asarray(run(params, jnp.asarray(golden.tokens), positions, wanted))
    expected = np.moveaxis(golden.attentions, 1, 0)  # [batch, layers, heads, rows, keys]
    np.testing.assert_allclose(rows[0], expected[0][:, :, np.asarray(wanted[0])], atol=1e-5)
    shifted = expected[1][:, :, 3 + np.asarray(wanted[1, :3])][..., 3:]
    np.testing.assert_allclose(rows[1][:, :, :3, :8], shifted, atol=1e-5)
    assert not rows[1][..., 8:].any() and not rows[1][:, :, 3].any()


def test_token_scores_are_those_of_the_whole_softmax(rng):
    logits = (10 * rng.normal(size=(4, 700))).astype(np.float32)
    tokens = rng.integers(0, 700, 4).astype(np.int32)
    scores = token_scores(jnp.asarray(logits), jnp.asarray(tokens), top_alternatives=5)
    exact = scipy.special.log_softmax(logits.astype(np.float64), axis=-1)
    np.testing.assert_allclose(scores.log_probs, exact[np.arange(4), tokens], rtol=1e-5)
    np.testing.assert_allclose(scores.entropies, -(np.exp(exact) * exact).sum(-1), rtol=1e-4, atol=1e-6)
    best = np.argsort(-exact, axis=-1)[:, :5]
    np.testing.assert_array_equal(scores.alternatives.tokens, best)
    np.testing.assert_allclose(scores.alternatives.log_probs, np.take_along_axis(exact, best, -1), rtol=1e-4, atol=1e-5)


def test_scoring_in_blocks_has_the_values_and_gradients_of_one_softmax(model, monkeypatch):
    tokens = jnp.asarray(model.prompts)
    where = jnp.asarray(np.arange(8) >= np.array([[2], [5], [1]]))

    def plain(params):
        hidden = model.scanned.apply({"params": params}, tokens).hidden
        logits = model.scanned.apply({"params": params}, hidden, method="logits")
        log_probs = jax.nn.log_softmax(logits[:, :-1])
        picked = jnp.take_along_axis(log_probs, tokens[:, 1:, None], axis=-1)[..., 0]
        entropy = -(jnp.exp(log_probs) * log_probs).sum(-1)
        return jnp.where(where[:, 1:], picked + 0.3 * entropy, 0.0).sum()

    def blocks(params):
        scores = score_tokens(model.scanned, {"params": params}, tokens, where=where)
        return (scores.log_probs + 0.3 * scores.entropies).sum()

    monkeypatch.setattr(logit_blocks, "MAX_LOGITS", 3 * 3 * 40)  # blocks of three tokens, the last in part
    params = model.scanned_variables["params"]
    expected, actual = (jax.jit(jax.value_and_grad(function))(params) for function in (plain, blocks))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), actual, expected)


def test_a_text_after_a_cached_one_scores_as_in_one_pass(model):
    @jax.jit
    def run(variables, tokens):
        whole = score_tokens(model.scanned, variables, tokens)
        first = score_tokens(model.scanned, variables, tokens[:, :4], keep_cache=True).cache
        keys, values = (jnp.pad(part, ((0, 0),) * 3 + ((0, 4), (0, 0))) for part in (first.keys, first.values))
        positions = jnp.pad(first.positions, ((0, 0), (0, 4)), constant_values=-1)
        cache = KeyValueCache(keys, values, positions, first.length)
        return whole.log_probs, score_tokens(model.scanned, variables, tokens[:, 4:], cache=cache).log_probs

    whole, rest = run(model.scanned_variables, jnp.asarray(model.prompts))
    np.testing.assert_allclose(rest[:, 1:], whole[:, 5:], atol=1e-4)
    assert not rest[:, 0].any()


def _temporary_bytes(function, *args):
    return jax.jit(function).lower(*args).compile().memory_analysis().temp_size_in_bytes


def test_scoring_never_holds_time_by_vocabulary():
    config = DecoderConfig(131_072, 8, 8, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=8, tied=True)
    decoder = Decoder(config)
    time = 1024
    tokens = jax.ShapeDtypeStruct((1, time), jnp.int32)
    variables = jax.eval_shape(decoder.init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32))

    def loss(variables, tokens):
        scores = score_tokens(decoder, variables, tokens, top_alternatives=5)
        return scores.log_probs.sum() + scores.entropies.sum()

    whole = time * 131_072 * 4
    assert _temporary_bytes(loss, variables, tokens) < whole / 4
    assert _temporary_bytes(jax.grad(loss), variables, tokens) < whole / 2


def test_memory_of_scoring_with_attention_is_linear_in_the_length():
    config = DecoderConfig(64, 16, 16, num_layers=2, num_heads=8, num_kv_heads=2, head_dim=8, max_positions=8192)
    decoder = Decoder(config)
    variables = jax.eval_shape(decoder.init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32))

    def run(variables, tokens, wanted):
        scores = score_tokens(decoder, variables, tokens, keep_hidden=True, keep_queries=True)
        return scores.log_probs, scores.hidden, attention_rows(decoder, scores.captured, wanted)

    def bytes_at(time):
        shapes = jax.ShapeDtypeStruct((1, time), jnp.int32), jax.ShapeDtypeStruct((1, 3), jnp.int32)
        return _temporary_bytes(run, variables, *shapes)

    half, full = bytes_at(2048), bytes_at(4096)
    assert full / half < 2.2
    assert full < 8 * 4096 * 4096 * 4 / 2  # half of one layer's attention matrix


def test_one_program_serves_all_numbers(model):
    model.answer(sampling=Sampling(1.0, top_k=30))
    before = generation_module._start._cache_size(), generation_module._continue._cache_size()
    model.answer(sampling=Sampling(0.7, top_k=12))
    assert (generation_module._start._cache_size(), generation_module._continue._cache_size()) == before


def test_wrong_numbers_are_refused(model):
    with pytest.raises(ValueError, match="an integer of at least 1"):
        model.answer(max_new_tokens=0)
    with pytest.raises(ValueError, match="top_alternatives is 41"):
        model.answer(top_alternatives=41)
    with pytest.raises(ValueError, match="keep_queries=True"):
        model.sampled.captured(model.decoder)
