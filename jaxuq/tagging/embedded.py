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
        embeddings: `[row, time, width]`, zero in padding.
        sentence: `[row, width]` the mean of the words' vectors.
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


def bucketed(data: WeakLabels, embeddings: Embeddings, *, max_padding: float) -> Bucketed:
    """Pad each bucket by itself; the vector of a sentence is the mean of its words'."""
    buckets, groups = [], length_buckets(data.lengths, max_padding=max_padding)
    width = embeddings[0].shape[1]
    for rows in groups:
        time = int(data.lengths[rows].max())
        vectors = np.zeros((len(rows), time, width), np.float32)
        for place, row in enumerate(rows):
            vectors[place, : data.lengths[row]] = embeddings[row]
        lengths = data.lengths[rows]
        mean = vectors.sum(1) / lengths[:, None].astype(np.float32)
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
