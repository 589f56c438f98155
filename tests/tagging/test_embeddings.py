"""Word vectors are means of sub-word vectors, long sentences are windowed, and the cache is kept by content."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.checkpoints import load_encoder, load_subwords
from jaxuq.tagging import embed_text, embed_words, embeddings, make_weak_labels
from tests.tagging.small_data import write_encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXUQ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "embeddings"


@pytest.fixture(scope="module")
def hidden(encoder):
    """Vectors of the sub-words of one window, by the module itself."""
    loaded, subwords = load_encoder(encoder), load_subwords(encoder)
    apply = jax.jit(lambda tokens: loaded.module.apply({"params": loaded.params}, tokens).hidden)

    def function(tokens):
        return np.asarray(apply(jnp.array([[subwords.first, *tokens, subwords.last]], jnp.int32)))[0, 1:-1]

    return subwords, function


def test_a_word_is_the_mean_of_its_subwords(encoder, hidden):
    subwords, function = hidden
    words = ["ada", "unseenly", "visit", "\u200b"]
    parts = subwords.encode(words)
    assert [len(part) for part in parts] == [1, 3, 1, 1] and parts[3] == [subwords.unknown]
    vectors = function([token for part in parts for token in part])
    expected = np.stack([vectors[0], vectors[1:4].mean(0), vectors[4], vectors[5]])
    several = embed_words(encoder, [["met"], words, ["the"] * 9])
    np.testing.assert_allclose(several[1], expected, atol=2e-5)


def test_the_vector_of_a_sentence_is_its_first_token_or_the_mean_of_its_words(encoder, cache):
    subwords = load_subwords(encoder)
    loaded = load_encoder(encoder)
    long = ["ada", "met", "grace", "then", "saw", "the", "old", "rome"] * 5  # three windows
    sentences = [["ada", "unseenly", "visit"], long]
    votes = [np.zeros((len(words), 1), int) for words in sentences]
    labels = make_weak_labels(sentences, votes, None, ("O", "B-x", "I-x"), ["f"])

    def first(words):
        tokens = [token for part in subwords.encode(words) for token in part]
        row = jnp.array([[subwords.first, *tokens, subwords.last]], jnp.int32)
        return np.asarray(loaded.module.apply({"params": loaded.params}, row, jnp.ones(row.shape, bool)).hidden)[0, 0]

    pieces = [(w.last - w.first, first(long[w.start : w.end])) for w in embeddings.windows(40, 14)]
    expected = np.stack([first(sentences[0]), sum(count * vector for count, vector in pieces) / 40])
    for _ in range(2):  # computed, then read
        text = embed_text(encoder, labels, sentence_vector="cls")
        np.testing.assert_allclose(text.sentences, expected, atol=2e-5)
        mean = embed_text(encoder, labels)
        assert mean.sentences is None and len(list(cache.iterdir())) == 1
        for ours, words in zip(text.embeddings, mean.embeddings):
            np.testing.assert_array_equal(ours, words)
    with pytest.raises(ValueError, match="sentence_vector is 'first'; expected one of mean, cls"):
        inspect.unwrap(embed_text)(encoder, labels, sentence_vector="first")


def test_a_long_sentence_is_seen_through_overlapping_windows(encoder, hidden):
    subwords, function = hidden
    words = ["ada", "met", "grace", "then", "saw", "the", "old", "rome"] * 5  # 40 sub-words, 14 fit
    tokens = [part[0] for part in subwords.encode(words)]
    expected = np.zeros((40, 16), np.float32)
    for start, end, first, last in embeddings.windows(40, 14):
        assert end - start == 14 and first - start >= min(first, 3) and end - last >= min(40 - last, 3)
        expected[first:last] = function(tokens[start:end])[first - start : last - start]
    (vectors,) = embed_words(encoder, [words], cache=False)
    np.testing.assert_allclose(vectors, expected, atol=2e-5)


@pytest.mark.parametrize(("length", "limit"), [(1, 14), (14, 14), (15, 14), (40, 14), (41, 7), (500, 510), (1200, 510)])
def test_windows_take_every_position_once(length, limit):
    taken = [i for window in embeddings.windows(length, limit) for i in range(window.first, window.last)]
    assert taken == list(range(length))
    assert all(0 <= w.start <= w.first < w.last <= w.end <= length for w in embeddings.windows(length, limit))


def test_the_cache_is_kept_by_content_and_mended(encoder, cache, monkeypatch):
    sentences = [["ada", "saw", "rome"], ["met"]]
    first = [np.array(vectors) for vectors in embed_words(encoder, sentences)]
    (file,) = cache.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(embeddings, "load_encoder", lambda folder: pytest.fail("computed again"))
        again = embed_words(encoder, sentences)
    assert isinstance(again[0], np.memmap)
    np.testing.assert_array_equal(np.concatenate(again), np.concatenate(first))
    file.write_bytes(file.read_bytes()[:-40])
    np.testing.assert_array_equal(np.concatenate(embed_words(encoder, sentences)), np.concatenate(first))
    other = embed_words(encoder, [["ada", "saw"], ["rome", "met"]])  # the same words in other sentences
    assert len(list(cache.iterdir())) == 2 and np.abs(other[0][0] - first[0][0]).max() > 1e-3


def test_a_sentence_without_words_is_refused(encoder):
    with pytest.raises(ValueError, match="sentence 1 has no word"):
        embed_words(encoder, [["ada"], []])
