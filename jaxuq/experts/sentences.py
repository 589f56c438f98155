"""Vectors of whole instructions by a sentence encoder, in place of gradients."""

from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from jaxuq.checkpoints import load_encoder
from jaxuq.networks import Encoder

_ROWS = 16
_LENGTHS = 32


def embed_sentences(
    texts: Sequence[str],
    *,
    encoder: str | Path = "minilm",
    on_progress: Callable[[int, int], None] | None = None,
) -> Float[np.ndarray, "texts width"]:
    r"""$e = \sum_t h_t / \lVert \sum_t h_t \rVert$: last hidden states of an encoder, averaged, of length one.

    For the baseline that clusters and routes by what an instruction says, not by its gradient. Texts longer than the
    encoder's positions lose their end.

    Args:
        texts: instructions.
        encoder: see `jaxuq.checkpoints.load_encoder`.
        on_progress: called with texts done and in all.

    Returns:
        One row a text, float32.

    Raises:
        CheckpointError: there is no such encoder, or its files are at fault.

    Example:
        >>> embed_sentences([], encoder="no such encoder")
        Traceback (most recent call last):
        jaxuq.checkpoints.errors.CheckpointError: no encoder is called 'no such encoder'...

    References:
        N. Reimers, I. Gurevych. Sentence-BERT. EMNLP 2019, section 3 (mean pooling).
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025,
        D.4 (instruction embedding).
    """
    from transformers import AutoTokenizer

    loaded = load_encoder(encoder)
    tokenizer = AutoTokenizer.from_pretrained(loaded.path, trust_remote_code=False, local_files_only=True)
    limit = loaded.module.config.max_tokens
    encoded = [
        tokenizer(text, truncation=True, max_length=limit, add_special_tokens=True)["input_ids"] for text in texts
    ]
    vectors = np.zeros((len(texts), loaded.module.config.hidden_size), np.float32)
    order = sorted(range(len(texts)), key=lambda index: len(encoded[index]))
    embed = jax.jit(_mean_hidden, static_argnums=0)
    for begin in range(0, len(order), _ROWS):
        group = order[begin : begin + _ROWS]
        longest = min(-(-max(len(encoded[index]) for index in group) // _LENGTHS) * _LENGTHS, limit)
        tokens, where = np.zeros((_ROWS, longest), np.int32), np.zeros((_ROWS, longest), bool)
        for row, index in enumerate(group):
            tokens[row, : len(encoded[index])], where[row, : len(encoded[index])] = encoded[index], True
        found = embed(loaded.module, loaded.params, jnp.asarray(tokens), jnp.asarray(where))
        vectors[group] = np.asarray(found)[: len(group)]
        if on_progress is not None:
            on_progress(min(begin + _ROWS, len(order)), len(order))
    return vectors


def _mean_hidden(module: Encoder, params: PyTree, tokens: Array, where: Bool[Array, "batch time"]) -> Array:
    hidden = module.apply({"params": params}, tokens, where).hidden  # type: ignore[union-attr]
    mask = jnp.broadcast_to(where[..., None], hidden.shape)
    total = jnp.where(mask, hidden, 0.0).sum(1)
    norm = jnp.linalg.norm(total, axis=-1, keepdims=True)
    return total / jnp.broadcast_to(jnp.maximum(norm, 1e-12), total.shape)
