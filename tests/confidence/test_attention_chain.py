"""UQAC against a literal transcription of its equations, and against values worked by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import confidence
from jaxuq.networks import Decoder, DecoderConfig, Places, attention_weights
from tests.confidence import literal
from tests.confidence.calling import call

TIME, LAYERS, HEADS, KV_HEADS, DIM = 40, 3, 8, 4, 4


def random_case(seed):
    rng = np.random.default_rng(seed)
    queries = rng.normal(size=(LAYERS, TIME, HEADS, DIM)).astype(np.float32) * 2
    keys = rng.normal(size=(LAYERS, KV_HEADS, TIME, DIM)).astype(np.float32)
    start = rng.integers(11, 20)  # the published code needs ten tokens of instruction
    first = rng.integers(start, TIME - 4) if seed % 3 == 0 else TIME - 5
    answer = np.arange(first, first + rng.integers(1, 4))
    stop = rng.random(TIME) < 0.1
    return queries, keys, np.arange(TIME) >= start, np.isin(np.arange(TIME), answer), stop


@functools.partial(jax.jit, static_argnames=("convention", "windowed", "reduction"))
def run(queries, keys, positions, response, answer, stop, *, convention="text", windowed=False, reduction="max"):
    eligible = confidence.eligible_tokens(response, answer, stop)
    windows = jnp.array([7, 7, 7]) if windowed else None
    return eligible, confidence.attention_chain(
        queries,
        keys,
        positions,
        answer,
        eligible,
        scale=0.5,
        windows=windows,
        convention=convention,
        reduction=reduction,
    )


@pytest.mark.parametrize(("convention", "reduction"), [("text", "max"), ("published", "max"), ("published", "mean")])
def test_chain_equals_the_equations(convention, reduction):
    lengths = []
    for seed in range(12):
        queries, keys, response, answer, stop = random_case(seed)
        matrices = literal.attention(queries.astype(float), keys.astype(float), 0.5)
        alpha = literal.aggregated(matrices, 16, convention == "published", getattr(np, reduction))
        known = {"convention": convention, "reduction": reduction}
        eligible, chain = run(queries, keys, jnp.arange(TIME), response, answer, stop, **known)
        allowed = set(np.flatnonzero(response & ~stop & (np.arange(TIME) < answer.argmax())))
        assert set(np.flatnonzero(eligible)) == allowed
        follow = literal.chain_of_the_code if convention == "published" else literal.chain_of_the_text
        expected = follow(alpha, list(np.flatnonzero(answer)), allowed)
        assert set(np.flatnonzero(chain.tokens)) == set(expected)
        for token, (step, weight, *source) in expected.items():
            assert chain.steps[token] == step
            assert chain.weights[token] == pytest.approx(weight, rel=1e-4)
            assert not source or chain.sources[token] == source[0]
        assert int(chain.num_steps) == max((step for step, *_ in expected.values()), default=0)
        lengths.append(len(expected))
    assert reduction == "mean" or min(lengths) < 5 < max(lengths)  # both sides of the rule that delays the threshold


def test_windows_and_padding_do_not_change_the_chain():
    queries, keys, response, answer, stop = random_case(3)
    alpha = literal.aggregated(literal.attention(queries.astype(float), keys.astype(float), 0.5, window=7), 16, False)
    allowed = set(np.flatnonzero(response & ~stop & (np.arange(TIME) < answer.argmax())))
    expected = literal.chain_of_the_text(alpha, list(np.flatnonzero(answer)), allowed)
    _, chain = run(queries, keys, jnp.arange(TIME), response, answer, stop, windowed=True)
    assert set(np.flatnonzero(chain.tokens)) == set(expected)

    def padded(x, axis):
        widths = [(0, 0)] * x.ndim
        widths[axis] = (3, 2)
        return np.pad(x, widths, constant_values=np.nan if x.dtype.kind == "f" else False)

    positions = np.concatenate([[-1] * 3, np.arange(TIME), [-1] * 2])
    masks = [padded(mask, 0) for mask in (response, answer, stop)]
    _, other = run(padded(queries, 1), padded(keys, 2), positions, *masks, windowed=True)
    np.testing.assert_array_equal(np.asarray(other.tokens)[3:-2], chain.tokens)
    np.testing.assert_allclose(np.asarray(other.weights)[3:-2], chain.weights, rtol=1e-5)


def test_twelve_tokens_by_hand():
    """Tokens: 0 BOS, 1-3 instruction, 4 "6", 5 "*", 6 "7", 7 "is", 8 "42", 9 "so", 10 "42", 11 "." after it.

    The answer is token 10, predicted at 9; "is" and "so" are stop words.
    """
    rows = np.zeros((12, 12), np.float32)
    rows[9, [8, 6, 7, 4, 2]] = [0.9, 0.3, 0.8, 0.2, 0.95]  # answer: 42 (8), 7 (6), 6 (4)
    rows[7, [6, 4, 5]] = [0.5, 0.7, 0.6]  # "42" was predicted at 7
    rows[5, [4, 5, 2]] = [0.2, 0.4, 0.9]  # "7" was predicted at 5
    rows[3, [2, 1]] = 0.5  # "6" was predicted at the end of the instruction
    rows[4, [4, 3]] = [0.4, 0.6]  # "*" was predicted at 4
    response, answer = np.arange(12) >= 4, np.arange(12) == 10
    stop = np.isin(np.arange(12), [7, 9, 11])
    eligible = call(confidence.eligible_tokens, response, answer, stop)

    def follow(rows, answer, eligible, **options):
        return confidence.backtrack(lambda source: rows[source], answer, eligible, **options)

    chain = call(follow, rows, answer, eligible)
    # Step 1: 8, 6, 4 (0.9, 0.3, 0.2; free of the threshold); step 2: only 5 is left: 0.6 + 0.4 = 1.0; step 3: nothing.
    np.testing.assert_array_equal(np.flatnonzero(chain.tokens), [4, 5, 6, 8])
    np.testing.assert_array_equal(np.asarray(chain.steps)[[4, 5, 6, 8]], [1, 2, 1, 1])
    np.testing.assert_allclose(np.asarray(chain.weights)[[4, 5, 6, 8]], [0.2, 1.0, 0.3, 0.9], rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(chain.sources)[[4, 5, 6, 8]], [10, 8, 10, 10])
    strict = call(follow, rows, answer, eligible, free_tokens=0)
    np.testing.assert_array_equal(np.flatnonzero(strict.tokens), [4, 5, 8])  # 8; then 4 (0.7) and 5 (0.6), not 6 (0.5)
    hidden = np.zeros((12, 2), np.float32)
    hidden[[10, 8, 6, 5, 4]] = [[1, 0], [2, 0], [1, 1], [-1, 0], [0, 3]]
    kept = call(confidence.similarity_filter, hidden, chain.tokens, answer, max_tokens=2)
    np.testing.assert_array_equal(np.flatnonzero(kept.tokens), [6, 8])
    probabilities = np.full(12, 0.01, np.float32)
    probabilities[[10, 8, 6, 5, 4]] = [0.9, 0.5, 0.8, 0.5, 0.25]
    both = call(confidence.chain_confidence, np.log(probabilities), answer, chain.tokens, kept.tokens)
    assert both.attention == pytest.approx(0.9 * 0.5 * 0.8 * 0.5 * 0.25, rel=1e-5)
    assert both.similarity == pytest.approx(0.9 * 0.5 * 0.8, rel=1e-5)


@pytest.mark.parametrize("place", ["first", "none", "only"])
def test_answers_without_reasoning_have_an_empty_chain(place):
    queries, keys, response, _, stop = random_case(5)
    first = int(response.argmax())
    answer = np.zeros(TIME, bool)
    if place != "none":
        answer[first : TIME if place == "only" else first + 1] = True
    _, chain = run(queries, keys, jnp.arange(TIME), response, answer, stop)
    assert not np.any(chain.tokens)
    log_probs = np.full(TIME, np.log(0.9), np.float32)
    both = call(confidence.chain_confidence, log_probs, answer, chain.tokens, chain.tokens)
    expected = np.nan if place == "none" else 0.9 ** answer.sum()
    np.testing.assert_allclose(both.attention, expected, rtol=1e-4)


def test_rows_are_never_a_matrix():
    time = 2048
    shapes = [(4, time, 8, 16), (4, 2, time, 16)]
    queries, keys = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)
    mask, positions = jax.ShapeDtypeStruct((time,), bool), jax.ShapeDtypeStruct((time,), jnp.int32)
    program = jax.jit(functools.partial(confidence.attention_chain, scale=0.25))
    memory = program.lower(queries, keys, positions, mask, mask).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 16 * 4 * 8 * time * 4  # some rows of all heads; a matrix has `time` of them


def test_similarity_filter_equals_the_equations(rng):
    hidden = rng.normal(size=(30, 5)).astype(np.float32)
    chain, answer = np.isin(np.arange(30), rng.choice(25, 14, replace=False)), np.arange(30) >= 27
    for published, threshold in ((False, 0.0), (True, 0.1), (False, 0.4)):
        convention = "published" if published else "text"
        kept = call(
            confidence.similarity_filter,
            hidden,
            chain,
            answer,
            max_tokens=6,
            threshold=threshold,
            convention=convention,
        )
        arguments = (hidden.astype(float), np.flatnonzero(chain), np.flatnonzero(answer))
        expected, weights = literal.similarity(*arguments, 6, threshold, published)
        assert set(np.flatnonzero(kept.tokens)) == expected
        np.testing.assert_allclose(np.asarray(kept.similarities)[list(weights)], list(weights.values()), atol=1e-5)


def test_answer_approximation_is_the_marginal_of_a_small_model(rng):
    """With one token of the chain and every substitution allowed, the sum over S is the exact marginal."""
    vocabulary, tokens = 4, np.array([2, 1, 3, 0])
    table = rng.normal(size=(4, vocabulary, vocabulary))  # logits at t of each token, given the first token
    log_table = np.asarray(jax.nn.log_softmax(jnp.asarray(table, jnp.float32), axis=-1))
    answer, kept = np.arange(4) == 3, np.arange(4) == 0

    def score(rows):
        first = rows[:, 0]
        return np.stack([log_table[0, 0][rows[:, 0]]] + [log_table[t, first, rows[:, t]] for t in (1, 2, 3)], axis=1)

    alternatives = np.tile(np.argsort(-log_table[0, 0]), (4, 1))
    changes = call(
        confidence.substitutions,
        tokens,
        kept,
        alternatives,
        np.tile(np.sort(log_table[0, 0])[::-1], (4, 1)),
        threshold=1e-6,
        size=5,
    )
    assert int(changes.valid.sum()) == vocabulary - 1
    rows = np.asarray(call(confidence.substituted_tokens, tokens, changes))
    np.testing.assert_array_equal(rows[0], tokens)
    assert all((row != tokens).sum() == valid for row, valid in zip(rows[1:], np.asarray(changes.valid)))
    where = np.concatenate([[True], np.asarray(changes.valid)])
    total = call(confidence.answer_approximation, score(rows), answer, kept, where=where)
    marginal = sum(np.exp(log_table[0, 0, v] + log_table[3, v, tokens[3]]) for v in range(vocabulary))
    assert total == pytest.approx(marginal, rel=1e-5)


def test_substitutions_are_single_likely_tokens(rng):
    probabilities = np.sort(rng.dirichlet(np.full(8, 0.3), size=20), axis=1)[:, ::-1].astype(np.float32)
    alternatives = np.argsort(rng.random((20, 30)), axis=1)[:, :8]
    tokens = alternatives[np.arange(20), rng.integers(0, 2, 20)]
    kept = np.isin(np.arange(20), rng.choice(20, 10, replace=False))
    pairs = [
        (float(p), t, int(v))
        for t in np.flatnonzero(kept)
        for p, v in zip(probabilities[t], alternatives[t])
        if p > 0.01 and v != tokens[t]
    ]
    changes = call(confidence.substitutions, tokens, kept, alternatives, np.log(probabilities), size=64)
    found = {(int(t), int(v)) for t, v, valid in zip(*changes[:2], changes.valid) if valid}
    assert found == {(t, v) for _, t, v in pairs}
    few = call(confidence.substitutions, tokens, kept, alternatives, np.log(probabilities), size=7)
    assert [(int(t), int(v)) for t, v in zip(*few[:2])] == [(t, v) for _, t, v in sorted(pairs, reverse=True)[:7]]
    code = call(
        confidence.substitutions, tokens, kept, alternatives, np.log(probabilities), size=64, convention="published"
    )
    everything = [
        (float(p), t, int(v)) for t in np.flatnonzero(kept) for p, v in zip(probabilities[t, :5], alternatives[t])
    ]
    likeliest = sorted((one for one in everything if one[0] > 0.01), reverse=True)[: 10 + kept.sum()]
    expected = {(t, v) for _, t, v in likeliest if v != tokens[t]}
    assert {(int(t), int(v)) for t, v, valid in zip(*code[:2], code.valid) if valid} == expected


def test_recency_profile_is_the_mean_of_the_matrix(rng):
    queries = rng.normal(size=(2, 20, 4, 4)).astype(np.float32)
    keys = rng.normal(size=(2, 2, 20, 4)).astype(np.float32)
    matrices = literal.attention(queries.astype(float), keys.astype(float), 0.5).mean(0)
    response = np.arange(20) >= 12
    profile = call(confidence.recency_profile, queries, keys, jnp.arange(20), response, scale=0.5, length=10)
    expected = [np.mean([matrices[t, t - back] for t in range(12, 20)]) for back in range(10)]
    np.testing.assert_allclose(profile, expected, rtol=1e-4)


def test_recency_factors_follow_equations_b2_and_b3():
    numbers = np.arange(1, 51)
    profile = np.where(numbers <= 10, 0.01 + 0.3 / numbers**2, 0.02 - 0.0003 * numbers)
    line = profile[10] + (profile[19] - profile[10]) / (20 - 11) * (numbers - 11)  # through (11, .) and (20, .)
    expected = np.clip(line[:10] / profile[:10], 0, 1)[::-1]
    np.testing.assert_allclose(call(confidence.recency_factors, profile), expected, rtol=1e-4)
    with pytest.raises(ValueError, match="34 lags"):
        confidence.recency_factors(jnp.ones(30))


def test_row_is_that_of_the_attention_layer(rng):
    queries = rng.normal(size=(2, 6, 4, 4)).astype(np.float32)
    keys = rng.normal(size=(2, 2, 6, 4)).astype(np.float32)
    places = Places(jnp.broadcast_to(jnp.arange(6), (2, 6)))
    whole = attention_weights(jnp.asarray(queries), jnp.asarray(keys), places, places, scale=0.5)
    np.testing.assert_allclose(np.asarray(whole).reshape(8, 6, 6), literal.attention(queries, keys, 0.5), atol=1e-6)


def test_stop_tokens():
    texts = ["the", " Don’t", "n't", " x", " 3", ".", "**", " =", "", "<|im_end|>", " t", "’s", "�", ")."]
    expected = [True, True, True, False, False, True, False, False, True, False, False, True, False, True]
    assert confidence.stop_tokens(texts, extra=["<|im_end|>"]).tolist() == [*expected[:9], True, *expected[10:]]
    assert confidence.stop_tokens(texts).tolist() == expected


def test_chains_of_a_padded_batch_of_a_decoder(rng):
    """Queries and keys as the decoder gives them, two texts of different length in one batch, one program."""
    config = DecoderConfig(20, 16, 16, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=4)
    decoder = Decoder(config)
    tokens = jnp.asarray(rng.integers(0, 20, (2, 24)), jnp.int32)
    numbers = jnp.arange(24, dtype=jnp.int32)
    positions = jnp.stack([numbers, jnp.maximum(numbers - 5, -1)])  # the second is padded on the left
    params = decoder.init(jax.random.key(1), tokens)["params"]
    params = jax.tree.map(lambda leaf: leaf * 2 if leaf.ndim > 2 else leaf, params)  # decided, not saturated
    answer = positions >= positions[:, -1:] - 1
    eligible = (positions >= 6) & ~answer

    @jax.jit
    def chains(tokens, positions, answer, eligible):
        output = decoder.apply({"params": params}, tokens, positions)
        follow = functools.partial(confidence.attention_chain, scale=config.attention_scale, num_heads=4)
        return jax.vmap(follow, in_axes=(1, 1, 0, 0, 0))(
            output.queries, output.cache.keys, positions, answer, eligible
        ), (output.queries, output.cache.keys)

    batch, captured = chains(tokens, positions, answer, eligible)
    for row, start in ((0, 0), (1, 5)):
        alone, _ = chains(*(x[row : row + 1, start:] for x in (tokens, positions, answer, eligible)))
        np.testing.assert_array_equal(batch.tokens[row, start:], alone.tokens[0])
        np.testing.assert_allclose(batch.weights[row, start:], alone.weights[0], rtol=1e-4)
        queries, keys = (np.asarray(x[:, row], float) for x in captured)
        matrices = literal.attention(queries[:, start:], keys[:, :, start:], config.attention_scale)
        expected = literal.chain_of_the_text(
            literal.aggregated(matrices, 4, False),
            list(np.flatnonzero(answer[row, start:])),
            set(np.flatnonzero(eligible[row, start:])),
        )
        assert set(np.flatnonzero(alone.tokens[0])) == set(expected) and expected


def test_the_mean_over_the_chosen_heads():
    rows = jnp.array([[0.4, 0.3, 0.3], [0.9, 0.1, 0.0], [0.0, 0.2, 0.8]])
    found = confidence.aggregate_heads(rows, num_heads=2, reduction="mean")
    np.testing.assert_allclose(found, np.mean(np.asarray(rows)[1:], axis=0), rtol=1e-6)


def test_published_substitutions_take_the_likeliest_of_the_five_for_what_was_said():
    """`find_column_indices` of the released code: a token outside the stored five stands for the first of them."""
    log_probs = jnp.log(jnp.array([[0.3, 0.2, 0.15, 0.1, 0.08, 0.07], [0.5, 0.2, 0.1, 0.05, 0.04, 0.03]]))
    alternatives = jnp.array([[10, 11, 12, 13, 14, 15], [20, 21, 22, 23, 24, 25]])
    tokens, chain = jnp.array([15, 21]), jnp.array([True, True])  # the first lies outside the five, the second inside
    found = confidence.substitutions(tokens, chain, alternatives, log_probs, size=20, convention="published")
    pairs = set(zip(found.positions[found.valid].tolist(), found.tokens[found.valid].tolist()))
    assert pairs == {(0, t) for t in (11, 12, 13, 14)} | {(1, t) for t in (20, 22, 23, 24)}
    exact = confidence.substitutions(tokens, chain, alternatives, log_probs, size=20)
    assert (0, 10) in set(zip(exact.positions.tolist(), exact.tokens.tolist()))
