"""Measures of texts: against sequences scored whole, against a generation, and on every kind of bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import confidence
from jaxuq.confidence.text import generating
from jaxuq.confidence.text.answering import locate_answer, make_texts
from jaxuq.confidence.text.assess import Plan, assess
from jaxuq.confidence.text.generating import generate_greedy
from jaxuq.confidence.text.marginal import marginal_confidence, substituted_log_probs
from jaxuq.confidence.text.measuring import measured, reading_fields
from jaxuq.confidence.text.options import ChainOptions
from jaxuq.confidence.text.passes import Pass, Texts, generated_pass, read_texts, response_mask
from jaxuq.confidence.text.reading import read_pass
from jaxuq.confidence.text.spans import token_pieces, tokens_within
from jaxuq.confidence.text.token_quantities import reductions_of
from jaxuq.language import PromptError, encode_prompt
from jaxuq.networks import Decoder, DecoderConfig
from jaxuq.questions import Question
from tests.confidence import literal
from tests.confidence.tiny_text import CONFIG, PROMPTS, RESPONSES, model

SINGLE = [one for one in confidence.chosen_measures(["single"]) if one.name != "uqac" and "score" in one.functions]
TEXT, CHOICE = (Question("", "?", kind=kind) for kind in ("text", "choice"))


def asked(prompt, response=None, kind="number"):
    return Question("", "q", kind=kind, prompt=prompt, response=response)


def single_answer_measures(texts, reading):
    """All measures of one answer but the marginal, a row each."""
    fields = reading_fields(texts, reading, answered=texts.answer.any(1), published=False)
    return measured(SINGLE, fields, [{} for _ in texts.tokens])


def reductions():
    return reductions_of(SINGLE)


@functools.cache
def given(scan=True):
    tiny = model(scan)
    found = []
    for prompt, response in zip(PROMPTS, RESPONSES):
        tokens = tiny.tokenizer(response, add_special_tokens=False)["input_ids"]
        prompt_tokens = encode_prompt(tiny.tokenizer, prompt, chat=True)
        found.append(locate_answer(tiny, np.array(prompt_tokens), np.array(tokens), TEXT))
    return tuple(found), make_texts(found, rows=4)


@functools.cache
def read(convention="text"):
    tiny, (_, texts) = model(), given()
    kept = read_texts(tiny.decoder, tiny.variables, texts)
    options = ChainOptions(convention=convention, max_substitutions=6)
    known = {"options": options, "reductions": reductions()}
    return kept, read_pass(tiny.decoder, tiny.variables, texts, kept, **known), options


@jax.jit
def _log_probs(variables, tokens):
    decoder = model().decoder
    output = decoder.apply(variables, tokens[None])
    return jax.nn.log_softmax(decoder.apply(variables, output.hidden[0], method="logits"))


def whole(tokens):
    """log P of every token of a sequence given those before it, by one plain pass without a cache."""
    padded = np.zeros(128, np.int32)
    padded[: len(tokens)] = tokens
    rows = np.asarray(_log_probs(model().variables, jnp.asarray(padded)), np.float64)
    return np.concatenate([[0.0], rows[np.arange(len(tokens) - 1), tokens[1:]]]), rows


@pytest.mark.parametrize("convention", ["text", "published"])
def test_uqac_equals_its_equations_on_texts_scored_whole(convention):
    tiny = model()
    responses, texts = given()
    kept, reading, options = read(convention)
    sums = marginal_confidence(tiny.decoder, tiny.variables, texts, reading, kept.cache, options=options)
    tried = 0
    for row, one in enumerate(responses):
        tokens = np.concatenate([one.prompt, one.tokens])
        begin, end = len(one.prompt), len(tokens)
        answer = begin + np.flatnonzero(one.answer)
        assert tiny.tokenizer.decode(tokens[answer]).strip() == one.found.text
        log_probs, rows = whole(tokens)
        np.testing.assert_allclose(reading.log_probs[row, begin:end], log_probs[begin:end], atol=1e-4)

        queries = np.asarray(kept.queries[:, row, :end], np.float64)
        keys = np.asarray(kept.cache.keys[:, row, :, :end], np.float64)
        alpha = literal.aggregated(
            literal.attention(queries, keys, CONFIG.attention_scale), 16, convention == "published"
        )
        stop = confidence.stop_tokens(one.pieces)
        allowed = {at for at in range(begin, answer[0]) if not stop[at - begin]}
        follow = literal.chain_of_the_code if convention == "published" else literal.chain_of_the_text
        chain = set(follow(alpha, list(answer), allowed))
        assert set(np.flatnonzero(reading.chain.tokens[row])) == chain
        hidden = np.asarray(kept.own[row, :end], np.float64)
        filtered, _ = literal.similarity(hidden, chain, answer, 10, 0.0, convention == "published")
        assert set(np.flatnonzero(reading.filtered.tokens[row])) == filtered

        said_log_probs = log_probs.copy()
        if convention == "published":  # of a token that is not among the five likeliest: of the likeliest
            for at in range(begin, end):
                if tokens[at] not in np.argsort(-rows[at - 1], kind="stable")[:5]:
                    said_log_probs[at] = rows[at - 1].max()
        joint = sorted({*answer, *filtered})
        np.testing.assert_allclose(reading.confidence.similarity[row], np.exp(said_log_probs[joint].sum()), rtol=1e-3)
        joint = sorted({*answer, *chain})
        np.testing.assert_allclose(reading.confidence.attention[row], np.exp(said_log_probs[joint].sum()), rtol=1e-3)

        joint = sorted({*answer, *filtered})
        pairs, said = [], {}
        for at in filtered:
            ranked = np.argsort(-rows[at - 1], kind="stable")[: 5 if convention == "published" else None]
            said[at] = tokens[at] if tokens[at] in ranked else ranked[0]
            pairs += [(rows[at - 1, v], at, v) for v in ranked if rows[at - 1, v] > np.log(0.01)]
        pairs.sort(reverse=True)
        if convention == "published":
            pairs = pairs[: 10 + len(filtered)]
        pairs = [(at, v) for _, at, v in pairs if v != said[at]][: options.max_substitutions]
        floor = np.log(1e-12) if convention == "published" else -np.inf
        total = np.exp(np.maximum(log_probs[joint], floor).sum())
        for at, token in pairs:
            changed = tokens.copy()
            changed[at] = token
            total += np.exp(np.maximum(whole(changed)[0][joint], floor).sum())
            tried += 1
        np.testing.assert_allclose(sums[row], total, rtol=2e-3)
    assert tried > 6
    assert np.isnan(sums[3])  # the row that is not in use


@pytest.mark.parametrize("convention", ["text", "published"])
def test_uqac_is_one_function_of_arrays(convention):
    """Within another `jit`, with the texts divided over devices, it is what its steps give one after the other."""
    tiny, texts = model(), given()[1]
    kept, reading, options = read(convention)
    options = options._replace(reduction="mean")
    again = read_pass(tiny.decoder, tiny.variables, texts, kept, options=options)
    assert (again.chain.weights != reading.chain.weights).any()
    expected = marginal_confidence(tiny.decoder, tiny.variables, texts, again, kept.cache, options=options)
    mesh = jax.make_mesh((4,), ("texts",), (jax.sharding.AxisType.Auto,), devices=jax.devices()[:4])
    divided = jax.device_put(texts, jax.NamedSharding(mesh, jax.P("texts")))
    whole = jax.jit(lambda params, texts: confidence.chain_scores(tiny.decoder, params, texts, options=options))
    for one in (texts, divided):
        found = whole(tiny.variables, one)
        np.testing.assert_allclose(found.marginal, expected, rtol=1e-5)
        # exponentials of sums of some thirty: the sums are compared
        np.testing.assert_allclose(np.log(found.similarity), np.log(again.confidence.similarity), rtol=1e-6)
        np.testing.assert_array_equal(found.chain.tokens, again.chain.tokens)
    assert np.isfinite(found.marginal[:3]).all() and np.isnan(found.marginal[3])


def test_many_changed_sequences_are_scored_as_if_read_whole():
    """More of them than run together, of texts of different lengths, some with none."""
    tiny, (responses, texts), (kept, _, _) = model(), given(), read()
    options = ChainOptions(max_substitutions=24, substitution_threshold=0.01)
    reading = read_pass(tiny.decoder, tiny.variables, texts, kept, options=options)
    log_probs, there = substituted_log_probs(tiny.decoder, tiny.variables, texts, reading, kept.cache)
    assert there.shape == (4, 25) and there[:, 0].all() and there.sum() > 40 and not there[3, 1:].any()
    counted = np.asarray(texts.answer | reading.filtered.tokens)
    for row, one in enumerate(responses):
        tokens = np.concatenate([one.prompt, one.tokens])
        at = np.flatnonzero(counted[row])
        for number in np.flatnonzero(there[row]):
            changed = tokens.copy()
            if number:
                changed[reading.changes.positions[row, number - 1]] = reading.changes.tokens[row, number - 1]
            np.testing.assert_allclose(log_probs[row, number, at], whole(changed)[0][at], atol=2e-4)
    assert not np.asarray(log_probs)[~np.broadcast_to(counted[:, None], log_probs.shape)].any()


def test_layers_apart_give_the_same_as_layers_together():
    tiny, (_, texts), (_, expected, options) = model(), given(), read()
    from jaxuq.networks import unstack_layers

    apart = tiny._replace(
        decoder=Decoder(CONFIG, scan=False), params=unstack_layers(tiny.params, CONFIG.num_layers)
    )  # fmt: skip
    kept = read_texts(apart.decoder, apart.variables, texts)
    found = read_pass(apart.decoder, apart.variables, texts, kept, options=options)
    np.testing.assert_array_equal(found.chain.tokens, expected.chain.tokens)
    sums = marginal_confidence(apart.decoder, apart.variables, texts, found, kept.cache, options=options)
    both = marginal_confidence(tiny.decoder, tiny.variables, texts, expected, read()[0].cache, options=options)
    np.testing.assert_allclose(sums[:3], both[:3], rtol=1e-3)


@pytest.mark.parametrize("watched", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_generation_leaves_the_pass_that_reading_it_again_would(watched):
    tiny = model()
    prompts = [encode_prompt(tiny.tokenizer, prompt, chat=True) for prompt in PROMPTS]
    reduced = reductions() if watched else ()
    generation, tokens = generate_greedy(tiny, prompts, max_new_tokens=12, stops=(2,), rows=4, reductions=reduced)
    found = [locate_answer(tiny, np.array(p), t, CHOICE) for p, t in zip(prompts, tokens)]
    found = [one._replace(answer=np.arange(len(one.tokens)) == len(one.tokens) - 2) for one in found]
    texts = make_texts(found, rows=4)
    passes = []
    known = generated_pass(tiny.decoder, generation, texts)
    assert set(known.values) == {name for name, _ in reduced}  # nothing of these is made from logits again
    for kept in (known, read_texts(tiny.decoder, tiny.variables, texts)):
        reading = read_pass(tiny.decoder, tiny.variables, texts, kept, reductions=reductions())
        sums = marginal_confidence(tiny.decoder, tiny.variables, texts, reading, kept.cache)
        rows = single_answer_measures(texts, reading)
        found = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        passes.append(found | {"uqac": np.asarray(sums), "state": np.asarray(reading.state)})
    assert np.isfinite(passes[0]["uqac"][:3]).all() and len(passes[0]) == len(SINGLE) + 2
    for name, values in passes[0].items():
        np.testing.assert_allclose(values[:3], passes[1][name][:3], rtol=2e-3, atol=1e-4, err_msg=name)


def test_long_samples_that_go_on_in_a_smaller_batch_are_the_same(monkeypatch):
    tiny = model()
    prompts = [encode_prompt(tiny.tokenizer, prompt, chat=True) for prompt in PROMPTS]
    options = {"num_samples": 4, "temperature": 1.0, "max_new_tokens": 9, "stops": tuple(range(2, 40, 3))}
    found = []
    for most_end_here in (3, 9):
        monkeypatch.setattr(generating, "_MOST_END_HERE", most_end_here)
        keys = jax.random.split(jax.random.key(0), 4)
        found.append(generating.sample_answers(tiny, prompts, keys, **options))
    lengths = [len(tokens) for one in found[0] for tokens in one.tokens]
    assert min(lengths) < 3 < max(lengths) and sum(length > 3 for length in lengths) <= len(lengths) // 2
    for some, whole in zip(*found):
        for ours, theirs in zip(some.tokens, whole.tokens):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_allclose(some.log_probs, whole.log_probs, rtol=1e-5)
        np.testing.assert_allclose(some.embeddings, whole.embeddings, rtol=1e-4, atol=1e-5)


def test_single_answer_measures_equal_sums_over_tokens():
    responses, texts = given()
    kept, reading, _ = read()
    found = single_answer_measures(texts, reading)[0]
    one = responses[0]
    begin, tokens = len(one.prompt), np.concatenate([one.prompt, one.tokens])
    log_probs, rows = whole(tokens)
    inside = np.arange(begin, len(tokens))
    probabilities = np.exp(rows[inside - 1])
    entropies = -(probabilities * rows[inside - 1]).sum(1)
    expected = {
        "response_probability": np.exp(log_probs[inside].sum()),
        "answer_probability": np.exp(log_probs[begin:][one.answer].sum()),
        "mean_response_probability": np.exp(log_probs[inside]).mean(),
        "perplexity": np.exp(-log_probs[inside].mean()),
        "predictive_entropy": entropies.sum(),
        "normalised_predictive_entropy": entropies.mean(),
        "self_certainty": -(rows[inside - 1].mean(1) + np.log(40)).mean(),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-30, err_msg=name)
    queries = np.asarray(kept.queries[:, 0, : len(tokens)], np.float64)
    keys = np.asarray(kept.cache.keys[:, 0, :, : len(tokens)], np.float64)
    rows = literal.attention(queries, keys, CONFIG.attention_scale).reshape(3, 8, len(tokens), len(tokens))
    np.testing.assert_allclose(
        reading.back[0, :, :, inside].transpose(1, 2, 0), rows[1:3, :, inside, inside - 1], atol=1e-4
    )
    np.testing.assert_allclose(reading.itself[0][:, inside], rows[2][:, inside, inside], atol=1e-4)


BAD = {
    "no answer": ("a cat eats fish", "text"),
    "the answer at the first token": ("b. so it is", "text"),
    "an answer of one character": ("so it is. the answer is b", "text"),
    "an answer longer than the reasoning": ("the answer is a green fish that swims in the sea", "text"),
    "no reasoning": ("the answer is oak", "text"),
    "characters in pieces": ("naïve 🙂. the answer is café 🙂", "text"),
    "nothing but stop words": ("it is the. the answer is oak", "text"),
}


def test_bad_responses_cost_themselves_alone():
    known = {"the answer at the first token": "b"}
    batch = [asked("name a fish", text, kind) for text, kind in BAD.values()]
    answers = [known.get(name) for name in BAD]
    found = assess(model(), batch, jax.random.key(0), plan=Plan(), rows=8, answers=answers)
    for name, one in zip(BAD, found):
        assert one.text == "".join(one.pieces)
        if name == "no answer":
            assert one.found is None and np.isnan(one.confidence) and not one.chain
            assert np.isnan(one.measures["answer_probability"]) and np.isfinite(one.measures["perplexity"])
            continue
        assert one.found is not None, name
        assert 0 <= one.confidence <= 1.0001, name
        held = "".join(piece for piece, inside in zip(one.pieces, one.answer) if inside)
        assert one.found.text in held, name
    first = found[list(BAD).index("the answer at the first token")]
    assert not first.chain  # nothing comes before it: the answer alone
    assert first.confidence == pytest.approx(first.measures["answer_probability"], rel=1e-4)
    alone = assess(model(), batch[3:4], jax.random.key(0), plan=Plan(), rows=8)[0]
    assert alone.confidence == pytest.approx(found[3].confidence, rel=1e-3)
    with pytest.raises(PromptError, match="empty"):
        assess(model(), [asked("name a fish", " ")], jax.random.key(0), rows=1)


def test_pieces_of_characters_count_for_the_character():
    tokenizer = model().tokenizer
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    words.pre_tokenizer, words.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words)
    text = "é🙂=5€."
    tokens = tokenizer(text)["input_ids"]
    pieces = token_pieces(tokenizer, tokens)
    assert "".join(pieces) == text and len(tokens) == len(text.encode())
    marks = tokens_within(tokenizer, tokens, pieces, 1, 2)
    assert bytes(b for b, inside in zip(text.encode(), marks) if inside).decode() == "🙂"
    assert tokens_within(tokenizer, tokens, pieces, 4, 5).sum() == 3  # the euro sign


def test_nan_weights_give_nan_not_a_number_from_nowhere():
    tiny = model()
    broken = tiny._replace(params=jax.tree.map(lambda leaf: leaf * jnp.nan, tiny.params))
    found = assess(broken, [asked("name a fish", RESPONSES[0], "text")], jax.random.key(0), rows=1)[0]
    assert np.isnan(found.confidence) and np.isnan(found.measures["perplexity"])


@pytest.mark.long
def test_samples_that_agree_and_a_single_one():
    plan = Plan(6, num_samples=1, temperature=1e-4, measures=confidence.chosen_measures(["all"]))
    one = assess(model(), [asked(PROMPTS[0], kind="choice")], jax.random.key(0), plan=plan, rows=1)[0]
    assert one.samples[0][0].startswith(one.text[:3])
    same = assess(
        model(), [asked(PROMPTS[0], kind="choice")], jax.random.key(1), plan=plan._replace(num_samples=3), rows=1
    )[0]
    assert len({text for text, _ in same.samples}) == 1
    if same.found is not None:
        assert same.measures["agreement"] == same.measures["self_consistency"] == 1.0
    assert same.measures["degree_uncertainty"] == pytest.approx(0.0, abs=1e-6)
    assert np.isnan(one.measures["mean_pair_similarity"])  # of no pair


def test_memory_grows_linearly_with_the_length():
    config = DecoderConfig(
        vocab_size=64, hidden_size=32, intermediate_size=32, num_layers=6, num_heads=8, num_kv_heads=2, head_dim=8,
        max_positions=8192, tied=True,
    )  # fmt: skip
    decoder = Decoder(config)
    variables = jax.eval_shape(decoder.init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32))

    def extra(time):
        def shape(*sizes, kind=jnp.float32):
            return jax.ShapeDtypeStruct(sizes, kind)

        flags = shape(1, time, kind=bool)
        texts = Texts(shape(1, time, kind=jnp.int32), *(shape(1, kind=jnp.int32),) * 2, flags, flags)
        kept = jax.eval_shape(read_texts, decoder, variables, texts)
        compiled = read_pass.lower(decoder, variables, texts, Pass(*kept)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    short, long = extra(1024), extra(4096)
    assert long < 4.8 * short
    assert long < 6 * 8 * 4096 * 4096 * 4 / 10  # a tenth of [layers, heads, time, time]


@pytest.mark.long
def test_uqac_whole_holds_neither_matrices_nor_logits_of_texts():
    config = DecoderConfig(
        vocab_size=20_000, hidden_size=32, intermediate_size=32, num_layers=6, num_heads=8, num_kv_heads=2, head_dim=8,
        max_positions=4096, tied=True,
    )  # fmt: skip
    decoder, time = Decoder(config), 4096
    variables = jax.eval_shape(decoder.init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32))
    numbers, flags = jax.ShapeDtypeStruct((2,), jnp.int32), jax.ShapeDtypeStruct((2, time), bool)
    texts = Texts(jax.ShapeDtypeStruct((2, time), jnp.int32), numbers, numbers, flags, flags)
    program = jax.jit(functools.partial(confidence.chain_scores, decoder)).lower(variables, texts).compile()
    held = program.memory_analysis().temp_size_in_bytes
    assert held < 0.7 * 2 * time * 20_000 * 4 < 6 * 8 * time * time * 4


def test_explanations_escape_what_people_and_models_write():
    found = assess(
        model(), [asked(PROMPTS[0], RESPONSES[0], "text")._replace(question="<b>q</b>")], jax.random.key(0), rows=1
    )[0]
    page = confidence.explain(found._replace(pieces=["<script>", *found.pieces[1:]]))
    assert "<script>" not in page and "&lt;script&gt;" in page and "&lt;b&gt;q" in page
    assert page.count("Step ") >= max(link.step for link in found.chain)
    figure = confidence.explain_figure(found)
    assert any("answer bird" in axes.get_title(loc="left") for axes in figure.axes)


def test_uqac_answers_and_says_what_does_not_fit():
    found = confidence.uqac(model(), list(PROMPTS), list(RESPONSES), kind="text", batch_size=2)
    assert [one.found.text for one in found] == ["bird", "green", "oak"]
    known = confidence.uqac(model(), PROMPTS[0], RESPONSES[0], answers=["fish"], kind="text")[0]
    assert known.found.text == "fish" and known.confidence != found[0].confidence
    with pytest.raises(ValueError, match="3 questions have 1 responses"):
        confidence.uqac(model(), list(PROMPTS), ["a"])
    assert response_mask(given()[1]).sum() == sum(len(one.tokens) for one in given()[0])
