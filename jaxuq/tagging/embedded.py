"""Weakly labelled text with the vectors of its words, in batches of like length."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxuq.tagging.buckets import length_buckets
from jaxuq.tagging.records import WeakLabels

Embeddings = Any  # indexed by sentence number: [token, width] host arrays; a list, a 3-D array or a memory map


class Bucket(NamedTuple):
    """Sentences of like length, on the device.

    Attributes:
        embeddings: `[row, time, width]`, scaled, zero in padding.
        sentence: `[row, width]` the mean of the words' vectors, scaled.
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


def check_embeddings(data: WeakLabels, embeddings: Embeddings, *, width: int | None = None) -> int:
    """The width of the embeddings.

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
    return width


class Scaling(NamedTuple):
    """What makes the vectors of the training text have mean 0 and, in each dimension, standard deviation 1.

    Attributes:
        shift: `[width]` subtracted from all vectors.
        words: `[width]` what shifted word vectors are divided by.
        sentences: `[width]` what shifted sentence vectors are divided by.
    """

    shift: Float[Array, " width"]
    words: Float[Array, " width"]
    sentences: Float[Array, " width"]


def scaling_of(embeddings: Embeddings) -> Scaling:
    """The scaling that suits a text; a constant dimension keeps its scale."""
    means = np.stack([np.mean(vectors, axis=0, dtype=np.float64) for vectors in embeddings])
    counts = np.array([len(vectors) for vectors in embeddings], np.float64)[:, None]
    shift = (means * counts).sum(0) / counts.sum()
    square = sum(np.sum((vectors - shift) ** 2, axis=0) for vectors in embeddings) / counts.sum()
    spreads = [np.sqrt(square), np.sqrt(np.mean((means - shift) ** 2, axis=0))]
    safe = [jnp.asarray(np.where(spread > 1e-6, spread, 1.0), jnp.float32) for spread in spreads]
    return Scaling(jnp.asarray(shift, jnp.float32), *safe)


def bucketed(data: WeakLabels, embeddings: Embeddings, scaling: Scaling, *, max_padding: float) -> Bucketed:
    """Scale all vectors, and pad each bucket by itself; the vector of a sentence is the mean of its words'."""
    shift, words, sentences = (np.asarray(leaf) for leaf in scaling)
    buckets, groups = [], length_buckets(data.lengths, max_padding=max_padding)
    width = embeddings[0].shape[1]
    for rows in groups:
        time = int(data.lengths[rows].max())
        vectors = np.zeros((len(rows), time, width), np.float32)
        for place, row in enumerate(rows):
            vectors[place, : data.lengths[row]] = (embeddings[row] - shift) / words
        lengths = data.lengths[rows]
        mean = vectors.sum(1) / lengths[:, None].astype(np.float32) * (words / sentences)
        observations = np.where(
            np.arange(time)[None, :, None] < lengths[:, None, None], data.observations[rows, :time], -1
        )
        buckets.append(
            Bucket(jnp.asarray(vectors), jnp.asarray(mean), jnp.asarray(observations), jnp.asarray(lengths, jnp.int32))
        )
    return Bucketed(tuple(buckets), tuple(groups))


def scattered(
    text: Bucketed, outputs: Sequence[np.ndarray], shape: tuple[int, ...], fill: Any, dtype: Any
) -> np.ndarray:
    """Outputs of the buckets, `[row, time, ...]`, in the order and the padding of the whole text."""
    whole = np.full(shape, fill, dtype)
    for rows, values in zip(text.rows, outputs, strict=True):
        whole[rows, : values.shape[1]] = values
    return whole
