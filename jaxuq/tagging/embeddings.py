"""Vectors of words and sentences from an encoder: computed once, kept on disk, read by memory map."""

import hashlib
import itertools
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxuq._cache import cache_folder
from jaxuq.checkpoints import (
    LoadedEncoder,
    SubwordTokenizer,
    encoder_digest,
    find_encoder,
    load_encoder,
    load_subwords,
)
from jaxuq.parallel import pad_rows, plan_rows
from jaxuq.tagging.neural_model import EmbeddedText
from jaxuq.tagging.records import WeakLabels

_VERSION = "2"  # of how vectors are computed and kept: those of all words, then that of each sentence's first token
_TOKENS = 4096  # sub-words of a batch, padding included


SentenceVector = Literal["mean", "cls"]
_OnProgress = Callable[[int, int], None] | None


class Window(NamedTuple):
    """A stretch of a sentence's sub-words that the encoder sees at once.

    Attributes:
        start: its first sub-word.
        end: one beyond its last.
        first: the first sub-word whose vector is taken from it.
        last: one beyond the last of these.
    """

    start: int
    end: int
    first: int
    last: int


def embed_words(
    encoder: str | Path | LoadedEncoder,
    sentences: Sequence[Sequence[str]],
    *,
    cache: bool = True,
    on_progress: _OnProgress = None,
) -> list[Float[np.ndarray, "token width"]]:
    """A vector for every word: the mean of the last layer over its sub-words.

    A sentence longer than the encoder's limit is seen through windows that overlap by half, and each sub-word's vector
    comes from the window in which it is farthest from an edge: nothing is cut. Words are told apart as the data has
    them; one without printable letters counts as unknown.

    The vectors of one call are one file, named by a hash of the encoder and of all words. The second call with the same
    words only maps it into memory. While computing, one batch of 4,096 sub-words is held. With the labels of a text and
    the vectors of its sentences: `embed_text`.

    Args:
        encoder: a name such as `"minilm"`, a folder, or what `jaxuq.checkpoints.load_encoder` gave.
        sentences: the words of each sentence.
        cache: keep the vectors in the folder `embeddings` of the cache; False: in memory.
        on_progress: called with the number of sub-words done and in all.

    Returns:
        For each sentence `[token, width]`, in float32; slices of one memory map, to be read only.

    Raises:
        CheckpointError: there is no such encoder, or its files are at fault.
        ValueError: a sentence has no word.

    Example:
        >>> embed_words("no such encoder", [["a"]])
        Traceback (most recent call last):
        jaxuq.checkpoints.errors.CheckpointError: no encoder is called 'no such encoder'...

    References:
        Devlin, Chang, Lee, Toutanova. BERT: pre-training of deep bidirectional transformers for language understanding.
        NAACL 2019.
    """
    return _divide(_vectors(encoder, sentences, cache, on_progress), sentences)


def embed_text(
    encoder: str | Path | LoadedEncoder,
    labels: WeakLabels,
    *,
    sentence_vector: SentenceVector = "mean",
    cache: bool = True,
    on_progress: _OnProgress = None,
) -> EmbeddedText:
    """Weakly labelled text with the vectors of its words and sentences, as the neural label models take it.

    Sparse-CHMM and ConNet read a vector of the whole sentence. `"mean"`, the mean of its words' vectors, suits encoders
    whose training pooled so, as MiniLM's and MPNet's did: the first token of these was never asked to stand for the
    sentence. `"cls"`, the last layer at the first token, is what the published code of Sparse-CHMM takes from BERT,
    whose next-sentence task trained it. In a sentence of several windows it is their mean, weighted by the sub-words
    that count in each. Both come from one pass and one cached file.

    Args:
        encoder: see `embed_words`.
        labels: the sentences and what the labelling functions say of them.
        sentence_vector: which vector a sentence has.
        cache: see `embed_words`.
        on_progress: see `embed_words`.

    Returns:
        `EmbeddedText`, its `sentences` None for means of words.

    Raises:
        CheckpointError: there is no such encoder, or its files are at fault.
        ValueError: a sentence has no word, or the name is unknown.

    Example:
        >>> import numpy as np
        >>> from jaxuq.tagging import make_weak_labels
        >>> labels = make_weak_labels([["a"]], [np.array([[0]])], None, ("O", "B-x", "I-x"), ["f"])
        >>> embed_text("no such encoder", labels)
        Traceback (most recent call last):
        jaxuq.checkpoints.errors.CheckpointError: no encoder is called 'no such encoder'...

    References:
        Reimers, Gurevych. Sentence-BERT: sentence embeddings using siamese BERT networks. EMNLP 2019, section 3.
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, section 4.3.1.
    """
    if sentence_vector not in get_args(SentenceVector):
        raise ValueError(
            f"sentence_vector is {sentence_vector!r}; expected one of {', '.join(get_args(SentenceVector))}"
        )
    vectors = _vectors(encoder, labels.tokens, cache, on_progress)
    first = np.asarray(vectors[len(vectors) - len(labels.tokens) :]) if sentence_vector == "cls" else None
    return EmbeddedText(labels, _divide(vectors, labels.tokens), first)


def _vectors(
    encoder: str | Path | LoadedEncoder, sentences: Sequence[Sequence[str]], cache: bool, on_progress: _OnProgress
) -> Float[np.ndarray, "row width"]:
    """The vectors of all words and then those of all sentences, in one array."""
    for number, words in enumerate(sentences):
        if not len(words):
            raise ValueError(f"sentence {number} has no word; expected at least one")
    loaded, digest = (encoder, encoder.digest) if isinstance(encoder, LoadedEncoder) else (None, "")
    if loaded is None:
        folder = find_encoder(encoder, progress=on_progress is not None)  # type: ignore[arg-type]
        digest = encoder_digest(folder)
    count = sum(len(words) for words in sentences) + len(sentences)
    path = cache_folder() / "embeddings" / f"{_digest(digest, sentences)}.npy"
    vectors = _open(path, count) if cache else None
    if vectors is not None:
        return vectors
    loaded = load_encoder(folder) if loaded is None else loaded
    shape = (count, loaded.module.config.hidden_size)
    if not cache:
        vectors = np.zeros(shape, np.float32)
        _compute(loaded, sentences, vectors, on_progress)
        return vectors
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".embedding-")
    os.close(descriptor)
    try:
        written = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        _compute(loaded, sentences, written, on_progress)
        written.flush()
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def windows(length: int, limit: int) -> list[Window]:
    """Divide a sequence into windows that overlap by half, and say which part of each counts.

    Args:
        length: sub-words of the sentence, at least 1.
        limit: most sub-words of a window, at least 2.

    Returns:
        Windows whose counted parts follow each other without a gap.

    Example:
        >>> windows(5, 8)
        [Window(start=0, end=5, first=0, last=5)]
        >>> [tuple(window) for window in windows(10, 6)]
        [(0, 6, 0, 4), (3, 9, 4, 6), (4, 10, 6, 10)]
    """
    if length <= limit:
        return [Window(0, length, 0, length)]
    step = limit - limit // 2
    starts = [*range(0, length - limit, step), length - limit]
    # as far from the end of one as from the start of the next
    middles = [(a + limit + b) // 2 for a, b in itertools.pairwise(starts)]
    bounds = [0, *middles, length]
    return [Window(a, a + limit, first, last) for a, first, last in zip(starts, bounds, bounds[1:])]


def _digest(encoder: str, sentences: Sequence[Sequence[str]]) -> str:
    digest = hashlib.sha256(f"{_VERSION} {encoder}\n".encode())
    for words in sentences:
        for word in words:
            digest.update(word.encode("utf-8", "surrogatepass") + b"\0")
        digest.update(b"\1")
    return digest.hexdigest()[:40]


def _open(path: Path, count: int) -> np.ndarray | None:
    """The stored vectors, if there are any and they are whole."""
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except (FileNotFoundError, ValueError, OSError, EOFError):
        return None
    whole = vectors.ndim == 2 and vectors.shape[0] == count and vectors.dtype == np.float32
    return vectors if whole else None


def _divide(vectors: np.ndarray, sentences: Sequence[Sequence[str]]) -> list[np.ndarray]:
    ends = np.cumsum([len(words) for words in sentences])
    return [vectors[end - len(words) : end] for words, end in zip(sentences, ends)]


class _Piece(NamedTuple):
    """A window with its tokens and the word, over all sentences, of each sub-word that counts."""

    tokens: list[int]
    first: int
    words: np.ndarray
    sentence: int
    share: float  # of the sentence's sub-words, that count in this window


def _pieces(
    subwords: SubwordTokenizer, sentences: Sequence[Sequence[str]], limit: int
) -> tuple[list[_Piece], np.ndarray]:
    """All windows of all sentences, and how many sub-words each word has."""
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(w for words in sentences for w in words))}
    encoded = subwords.encode(vocabulary)
    pieces, counts, done = [], [], 0
    for number, words in enumerate(sentences):
        parts = [encoded[vocabulary[word]] for word in words]
        lengths = [len(part) for part in parts]
        tokens = [token for part in parts for token in part]
        owner = np.repeat(np.arange(done, done + len(words)), lengths)
        for window in windows(len(tokens), limit):
            row = [subwords.first, *tokens[window.start : window.end], subwords.last]
            counted = owner[window.first : window.last]
            pieces.append(_Piece(row, 1 + window.first - window.start, counted, number, len(counted) / len(tokens)))
        counts += lengths
        done += len(words)
    return pieces, np.array(counts, np.float32)


@partial(jax.jit, static_argnums=0)
def _encode(module: Any, params: Any, tokens: Array, where: Array) -> Array:
    return module.apply({"params": params}, tokens, where).hidden.astype(jnp.float32)


def _compute(
    loaded: LoadedEncoder,
    sentences: Sequence[Sequence[str]],
    vectors: np.ndarray,
    on_progress: _OnProgress,
) -> None:
    """Fill `vectors`, which holds zeros."""
    subwords = load_subwords(loaded.path)
    longest = loaded.module.config.max_tokens
    pieces, counts = _pieces(subwords, sentences, longest - 2)
    done, total = 0, sum(len(piece.words) for piece in pieces)
    sizes = [len(piece.tokens) for piece in pieces]
    for batch in plan_rows(sizes, max_tokens=_TOKENS, longest=longest, full=True):
        group = [pieces[number] for number in batch.rows]
        tokens, lengths = pad_rows([piece.tokens for piece in group], batch, fill=subwords.padding)
        where = np.arange(batch.length)[None] < lengths[:, None]
        hidden = np.asarray(_encode(loaded.module, loaded.params, jnp.asarray(tokens), jnp.asarray(where)))
        for row, piece in enumerate(group):
            found = hidden[row, piece.first : piece.first + len(piece.words)]
            np.add.at(vectors, piece.words, found / counts[piece.words, None])
            vectors[len(counts) + piece.sentence] += piece.share * hidden[row, 0]
            done += len(piece.words)
        if on_progress is not None:
            on_progress(done, total)
