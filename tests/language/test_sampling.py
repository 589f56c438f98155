"""Filters against sorting in NumPy; frequencies of samples against exact probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxuq.language import (
    GREEDY,
    Sampling,
    check_sampling,
    filter_logits,
    min_p_mask,
    sample_token,
    top_k_mask,
    top_p_mask,
)

_VOCAB = 11


def _sorted_top_k(row, k):
    order = np.argsort(-row, kind="stable")
    return row >= row[order[min(k, len(row)) - 1]]


def _sorted_top_p(row, p):
    weights = np.exp((row - row.max()).astype(np.float64))
    weights /= weights.sum()
    order = np.argsort(-weights, kind="stable")
    last = np.searchsorted(np.cumsum(weights[order]), p)
    return row >= row[order[min(last, len(row) - 1)]]


_TOP_K = jax.jit(top_k_mask)
_TOP_P = jax.jit(top_p_mask)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([-3.0, -0.0, 0.0, 0.5, 1.25, 2.0, 1e30, -1e30, 1e-40]), min_size=_VOCAB, max_size=_VOCAB),
    st.integers(1, 14),
)
def test_top_k_is_what_sorting_gives_with_ties_kept(values, k):
    row = np.asarray(values, np.float32)
    row = np.where(np.abs(row) < 1e-38, 0.0, row).astype(np.float32)  # devices flush subnormal numbers
    np.testing.assert_array_equal(_TOP_K(jnp.asarray(row), k), _sorted_top_k(row, k))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-6, 6), min_size=_VOCAB, max_size=_VOCAB), st.floats(0.01, 0.99))
def test_top_p_is_what_sorting_gives(values, p):
    row = np.asarray(values, np.float32) / 2
    weights = np.exp(row.astype(np.float64))
    distance = np.abs(np.cumsum(np.sort(weights)[::-1]) / weights.sum() - p).min()
    if distance > 1e-5:
        np.testing.assert_array_equal(_TOP_P(jnp.asarray(row), p), _sorted_top_p(row, p))


def test_filters_over_a_large_vocabulary(rng):
    logits = rng.normal(0, 3, (2, 50_003)).astype(np.float32)
    top_k, top_p = _TOP_K(logits, 17), _TOP_P(logits, 0.9)
    for row in range(2):
        assert top_k[row].sum() == 17
        np.testing.assert_array_equal(top_k[row], _sorted_top_k(logits[row], 17))
        assert abs(int(top_p[row].sum()) - int(_sorted_top_p(logits[row], 0.9).sum())) <= 2  # rounding of the sum
        weights = np.exp(logits[row].astype(np.float64))
        assert abs(weights[top_p[row]].sum() / weights.sum() - 0.9) < 1e-4


def test_min_p_compares_with_the_largest(rng):
    probabilities = np.array([0.4, 0.1, 0.3, 0.039, 0.161], np.float32)
    kept = min_p_mask(jnp.log(probabilities), 0.1)
    assert kept.tolist() == [True, True, True, False, True]


def test_filters_apply_one_after_another():
    probabilities = np.array([0.4, 0.3, 0.15, 0.1, 0.05], np.float32)
    # 0.4 + 0.3 is 0.70 of all tokens, which falls short of 0.73, but 0.737 of the first four, which does not.
    kept = np.isfinite(filter_logits(jnp.log(probabilities), Sampling(top_k=4, top_p=0.73)))
    assert kept.tolist() == [True, True, False, False, False]
    kept = np.isfinite(filter_logits(jnp.log(probabilities), Sampling(top_p=0.73)))
    assert kept.tolist() == [True, True, True, False, False]


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(0.5), Sampling(1.5, top_k=4), Sampling(0.8, top_p=0.8), Sampling(2.0, min_p=0.3)]
)
def test_frequencies_are_the_probabilities(sampling, rng):
    logits = rng.normal(0, 1.5, 600).astype(np.float32)  # three blocks, the last in part
    logits[rng.permutation(600)[:588]] = -30.0
    scaled = np.where(np.isfinite(filter_logits(jnp.asarray(logits), sampling)), logits / sampling.temperature, -np.inf)
    exact = np.exp(scaled.astype(np.float64) - scaled.max())
    exact /= exact.sum()
    keys = jax.random.split(jax.random.key(3), 20_000)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: sample_token(key, jnp.asarray(logits), sampling)))(keys))
    counts = np.bincount(drawn, minlength=600)
    assert not counts[exact == 0].any()
    often = exact * 20_000 > 5
    observed = np.append(counts[often], counts[~often].sum())
    expected = np.append(exact[often], exact[~often].sum()) * 20_000
    keep = expected > 0.5
    expected = expected[keep] * observed[keep].sum() / expected[keep].sum()
    assert scipy.stats.chisquare(observed[keep], expected).pvalue > 1e-4


def test_rows_of_a_batch_draw_independently():
    drawn = sample_token(jax.random.key(0), jnp.zeros((4000, 2)), Sampling())
    assert abs(float(drawn.astype(jnp.float32).mean()) - 0.5) < 0.04
    assert abs(float((drawn[1:] == drawn[:-1]).astype(jnp.float32).mean()) - 0.5) < 0.04


def test_greedy_takes_the_first_of_the_largest():
    logits = jnp.array([[0.0, 2.0, 2.0], [5.0, 1.0, 0.0]])
    for sampling in (GREEDY, Sampling(temperature=0.0), Sampling(temperature=0.0, top_k=2)):
        assert sample_token(jax.random.key(0), logits, sampling).tolist() == [1, 0]


def test_tiny_and_huge_temperatures_stay_finite():
    logits = jnp.array([80.0, 79.0, -80.0])
    keys = jax.random.split(jax.random.key(1), 500)

    def draw(temperature):
        return np.asarray(jax.vmap(lambda key: sample_token(key, logits, Sampling(temperature)))(keys))

    assert (draw(1e-30) == 0).all()
    assert set(draw(1e30).tolist()) == {0, 1, 2}


def test_numbers_may_be_traced_and_compile_once():
    traces = 0

    @jax.jit
    def kept(sampling):
        nonlocal traces
        traces += 1
        return jnp.isfinite(filter_logits(jnp.arange(10.0), sampling)).sum()

    assert [int(kept(Sampling(1.0, top_k=k))) for k in (1, 4, 9)] == [1, 4, 9]
    assert traces == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Sampling(-1.0), "temperature"),
        (Sampling(float("nan")), "temperature"),
        (Sampling(top_k=-2), "top_k"),
        (Sampling(top_p=0.0), "top_p"),
        (Sampling(top_p=1.1), "top_p"),
        (Sampling(min_p=-0.1), "min_p"),
    ],
)
def test_numbers_out_of_range_are_named(wrong, said):
    with pytest.raises(ValueError, match=said):
        check_sampling(wrong)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, np.float16, np.asarray, jnp.asarray])
def test_numbers_of_any_library_mean_the_same(kind):
    whole = kind(0) if kind not in (np.float16, np.float32, np.float64) else 0
    assert check_sampling(Sampling(kind(2), whole, kind(1), kind(0))) == Sampling(2.0)
    assert check_sampling(Sampling(kind(0))) == GREEDY
    with pytest.raises(ValueError, match="top_p is"):
        check_sampling(Sampling(top_p=kind(-1)))


@pytest.mark.parametrize("name", ["temperature", "top_k", "top_p", "min_p"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "1", True, [1], np.float32("nan"), np.ones(2), 1j])
def test_what_is_no_number_in_range_is_named(name, value):
    with pytest.raises(ValueError, match=f"{name} is"):
        check_sampling(Sampling(**{name: value}))


@pytest.mark.parametrize("value", [1.5, np.float64(2.0), jnp.float32(3.0)])
def test_a_number_of_tokens_is_whole(value):
    with pytest.raises(ValueError, match="top_k is"):
        check_sampling(Sampling(top_k=value))


def test_a_top_k_of_numpys_zero_keeps_all():
    logits = jnp.zeros((1, 7))
    drawn = [
        int(sample_token(key, logits, check_sampling(Sampling(top_k=np.int64(0))))[0])
        for key in jax.random.split(jax.random.key(0), 30)
    ]
    assert len(set(drawn)) > 4


def test_a_traced_top_k_of_zero_keeps_all_tokens():
    logits = jnp.array([2.0, 1.0, 0.0, -1.0])
    filtered = jax.jit(lambda top_k: filter_logits(logits, Sampling(1.0, top_k)))
    for top_k, kept in ((0, 4), (1, 1), (3, 3), (9, 4)):
        assert int(jnp.isfinite(filtered(top_k)).sum()) == kept
        assert int(jnp.isfinite(filter_logits(logits, Sampling(1.0, top_k))).sum()) == kept
