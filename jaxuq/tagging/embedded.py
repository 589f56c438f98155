"""Weakly labelled text with the vectors of its words, in batches of like length."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxuq.parallel import plan_rows
from jaxuq.tagging.records import WeakLabels

Embeddings = Any  # indexed by sentence number: [token, width] host arrays; a list, a 3-D array or a memory map


class Bucket(NamedTuple):
    """Sentences of like length, on the device.

    Attributes:
        embeddings: `[row, time, width]`, scaled, zero in padding.
        sentence: `[row, width]` the vector of the sentence, scaled.
        observations: `[row, time, function]`, -1 in padding.
        lengths: `[row]`.
    """

    embeddings: Float[Array, "row time width"]
    sentence: Float[Array, "row width"]
    observations: Int[Array, "row time function"]
    lengths: Int[Array, " row"]

    def take(self, rows: Int[Array, " batch"]) -> "Bucket":
        """Some of the sentences."""
        return jax.tree.map(lambda leaf: leaf[rows], self)


class Bucketed(NamedTuple):
    """A whole text in buckets.

    Attributes:
        buckets: the buckets.
        rows: the sentence numbers of each.
    """

    buckets: tuple[Bucket, ...]
    rows: tuple[Int[np.ndarray, " row"], ...]


def check_embeddings(
    data: WeakLabels, embeddings: Embeddings, sentences: np.ndarray | None = None, *, width: int | None = None
) -> int:
    """The width of the embeddings, which that of the sentences' own vectors must be too.

    Raises:
        ValueError: if they do not fit the sentences, each other, or the width of a fitted model.
    """
    if len(embeddings) != len(data.lengths):
        raise ValueError(f"there are embeddings of {len(embeddings)} sentences and {len(data.lengths)} sentences")
    width = int(embeddings[0].shape[1]) if width is None else width
    for name, length, vectors in zip(data.ids, data.lengths, embeddings):
        if vectors.shape != (length, width):
            raise ValueError(
                f"sentence {name} has embeddings of shape {tuple(vectors.shape)}; expected {(int(length), width)}: one "
                "vector for each token, of the width of the first sentence or of the fitted model"
            )
    if sentences is not None and sentences.shape != (len(data.lengths), width):
        raise ValueError(
            f"the vectors of the sentences have shape {sentences.shape}; expected {(len(data.lengths), width)}, one "
            "for each sentence, of the width of the words' vectors"
        )
    return width


class Scaling(NamedTuple):
    """What makes the vectors of the training text have mean 0 and, in each dimension, standard deviation 1.

    Attributes:
        shift: `[width]` subtracted from word vectors.
        words: `[width]` what shifted word vectors are divided by.
        sentence_shift: `[width]` subtracted from sentence vectors; `shift` where these are means of words.
        sentences: `[width]` what shifted sentence vectors are divided by.
    """

    shift: Float[Array, " width"]
    words: Float[Array, " width"]
    sentence_shift: Float[Array, " width"]
    sentences: Float[Array, " width"]


def sentence_vectors(embeddings: Embeddings, sentences: np.ndarray | None) -> Float[np.ndarray, "sentence width"]:
    """The vectors of the sentences in float64: their own, or the means of their words'."""
    if sentences is not None:
        return np.asarray(sentences, np.float64)
    return np.stack([np.mean(vectors, axis=0, dtype=np.float64) for vectors in embeddings])


def scaling_of(embeddings: Embeddings, sentences: np.ndarray | None = None) -> Scaling:
    """The scaling that suits a text; a constant dimension keeps its scale."""
    counts = np.array([len(vectors) for vectors in embeddings], np.float64)
    shift = sum(np.sum(vectors, axis=0, dtype=np.float64) for vectors in embeddings) / counts.sum()
    square = sum(np.sum((vectors - shift) ** 2, axis=0) for vectors in embeddings) / counts.sum()
    whole = sentence_vectors(embeddings, sentences)
    sentence_shift = shift if sentences is None else whole.mean(0)
    spreads = [np.sqrt(square), np.sqrt(np.mean((whole - sentence_shift) ** 2, axis=0))]
    of_words, of_sentences = (np.where(spread > 1e-6, spread, 1.0) for spread in spreads)
    leaves = (shift, of_words, sentence_shift, of_sentences)
    return Scaling(*(jnp.asarray(leaf, jnp.float32) for leaf in leaves))


def scaled_sentences(
    embeddings: Embeddings, sentences: np.ndarray | None, scaling: Scaling
) -> Float[np.ndarray, "sentence width"]:
    """The vectors of the sentences as the models read them."""
    shift, spread = np.asarray(scaling.sentence_shift), np.asarray(scaling.sentences)
    return np.asarray((sentence_vectors(embeddings, sentences) - shift) / spread, np.float32)


def bucketed(
    data: WeakLabels,
    embeddings: Embeddings,
    scaling: Scaling,
    sentences: np.ndarray | None = None,
    *,
    max_padding: float,
) -> Bucketed:
    """Scale all vectors, and pad each bucket by itself; a sentence without a vector has the mean of its words'."""
    shift, words = np.asarray(scaling.shift), np.asarray(scaling.words)
    whole = scaled_sentences(embeddings, sentences, scaling)
    buckets, batches = [], plan_rows(data.lengths, max_padding=max_padding, least=None)
    width = embeddings[0].shape[1]
    for rows, _, time in batches:
        vectors = np.zeros((len(rows), time, width), np.float32)
        for place, row in enumerate(rows):
            vectors[place, : data.lengths[row]] = (embeddings[row] - shift) / words
        lengths = data.lengths[rows]
        observations = np.where(
            np.arange(time)[None, :, None] < lengths[:, None, None], data.observations[rows, :time], -1
        )
        buckets.append(
            Bucket(
                jnp.asarray(vectors),
                jnp.asarray(whole[rows]),
                jnp.asarray(observations),
                jnp.asarray(lengths, jnp.int32),
            )
        )
    return Bucketed(tuple(buckets), tuple(batch.rows for batch in batches))


def scattered(
    text: Bucketed, outputs: Sequence[np.ndarray], shape: tuple[int, ...], fill: Any, dtype: Any
) -> np.ndarray:
    """Outputs of the buckets, `[row, time, ...]`, in the order and the padding of the whole text."""
    whole = np.full(shape, fill, dtype)
    for rows, values in zip(text.rows, outputs, strict=True):
        whole[rows, : values.shape[1]] = values
    return whole
