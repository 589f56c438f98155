"""Vectors of whole instructions by a sentence encoder, in place of gradients."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from jaxuq._arguments import typed
from jaxuq._entries import Entries, function_of
from jaxuq._errors import OptionError
from jaxuq.checkpoints import load_encoder, plain_tokens
from jaxuq.networks import Encoder
from jaxuq.parallel import pad_rows, plan_rows

_ROWS = 16

Pooling = Callable[[Float[Array, "batch time width"], Bool[Array, "batch time"]], Float[Array, "batch width"]]
POOLINGS: Entries[Pooling] = Entries(
    "pooling",
    "jaxuq.poolings",
    {
        "mean": lambda hidden, where: jnp.where(jnp.broadcast_to(where[..., None], hidden.shape), hidden, 0.0).sum(1),
        "first": lambda hidden, where: hidden[:, 0],
    },
)
"""Directions of texts from their tokens' states, by name; put yours in, or declare an entry point of the group."""


@typed()
def embed_sentences(
    texts: Sequence[str],
    *,
    encoder: str | Path | Callable[[Sequence[str]], Float[np.ndarray, "texts width"]] = "minilm",
    pooling: str | Pooling = "mean",
    on_progress: Callable[[int, int], None] | None = None,
) -> Float[np.ndarray, "texts width"]:
    r"""$e = \sum_t h_t / \lVert \sum_t h_t \rVert$: last hidden states of an encoder, averaged, of length one.

    For the baseline that clusters and routes by what an instruction says, not by its gradient. Texts longer than the
    encoder's positions lose their end. Holds the states of 16 texts of about one length.

    Args:
        texts: instructions.
        encoder: see `jaxuq.checkpoints.load_encoder`; or a function of yours from texts to a row each.
        pooling: how a text's states become one vector: `"mean"`, `"first"` (the token that stands for the whole), or a
            function of yours, `(hidden, where) -> vectors`.
        on_progress: called with texts done and in all.

    Returns:
        One row a text, float32, of length one.

    Raises:
        CheckpointError: there is no such encoder, or its files are at fault.
        OptionError: no such pooling, or a function gives another number of rows.

    Example:
        >>> embed_sentences([], encoder="no such encoder")
        Traceback (most recent call last):
        jaxuq.checkpoints.errors.CheckpointError: no encoder is called 'no such encoder'...

    References:
        N. Reimers, I. Gurevych. Sentence-BERT. EMNLP 2019, section 3 (mean pooling).
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025,
        D.4 (instruction embedding).
    """
    pool = function_of(POOLINGS, pooling)
    if callable(encoder):
        given = np.asarray(encoder(texts), np.float32)
        if given.ndim != 2 or len(given) != len(texts):
            raise OptionError(f"the encoder gives an array of shape {given.shape} for {len(texts)} texts")
        return given / np.maximum(np.linalg.norm(given, axis=1, keepdims=True), 1e-12)
    loaded, tokenizer = _loaded(encoder)
    limit = loaded.module.config.max_tokens
    whole = plain_tokens(tokenizer, texts, begin=True)
    encoded = [one if len(one) <= limit else [*one[: limit - 1], one[-1]] for one in whole]
    vectors = np.zeros((len(texts), loaded.module.config.hidden_size), np.float32)
    embed, done = jax.jit(_embedded, static_argnums=(0, 1)), 0
    for batch in plan_rows([len(text) for text in encoded], max_rows=_ROWS, longest=limit, full=True):
        tokens, lengths = pad_rows([encoded[row] for row in batch.rows], batch)
        where = np.arange(batch.length)[None] < lengths[:, None]
        found = embed(loaded.module, pool, loaded.params, jnp.asarray(tokens), jnp.asarray(where))
        vectors[batch.rows] = np.asarray(found)[: len(batch.rows)]
        done += len(batch.rows)
        if on_progress is not None:
            on_progress(done, len(texts))
    return vectors


@functools.lru_cache(maxsize=2)
def _loaded(encoder: str | Path) -> tuple[Any, Any]:
    """An encoder and its tokenizer; a server asks for the same with every question."""
    from transformers import AutoTokenizer

    found = load_encoder(encoder)
    return found, AutoTokenizer.from_pretrained(found.path, trust_remote_code=False, local_files_only=True)


def _embedded(module: Encoder, pool: Pooling, params: PyTree, tokens: Array, where: Bool[Array, "batch time"]) -> Array:
    total = pool(module.apply({"params": params}, tokens, where).hidden, where)  # type: ignore[union-attr]
    norm = jnp.linalg.norm(total, axis=-1, keepdims=True)
    return total / jnp.broadcast_to(jnp.maximum(norm, 1e-12), total.shape)
