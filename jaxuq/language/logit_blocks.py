"""A function of logits, token by token, without ever holding the logits of a whole text."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from jaxuq.networks import Decoder

MAX_LOGITS = 2**22
"""Logits held at a time: 16 MiB."""


def map_logits(
    function: Callable[..., PyTree],
    decoder: Decoder,
    variables: PyTree,
    hidden: Float[Array, "batch time hidden"],
    *arrays: Array,
    where: Bool[Array, "batch time"] | None = None,
    max_logits: int | None = None,
) -> PyTree:
    r"""`function(logits, *arrays)` in blocks of time; logits are computed again in the backward pass.

    The function must treat every token on its own, as losses and scores of tokens do. Write one for logits
    `[batch, time, vocabulary]`, and it costs the memory of one block.

    Args:
        function: of float32 logits and the arrays; returns arrays with leading axes `batch time`.
        decoder: the module.
        variables: its parameters.
        hidden: last hidden states.
        *arrays: with leading axes `batch time`, such as target tokens.
        where: tokens that are wanted; the others give zeros, and blocks without any are not computed. None: all.
        max_logits: how many logits a block may have; it has at least one moment of time. None: `MAX_LOGITS`.

    Returns:
        What `function` returns for the whole. Holds one block of logits and its gradient.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.networks import DecoderConfig
        >>> decoder = Decoder(DecoderConfig(7, 4, 4, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=4))
        >>> variables = jax.jit(decoder.init)(jax.random.key(0), jnp.array([[1, 2, 3]]))
        >>> largest = map_logits(lambda logits: logits.max(-1), decoder, variables, jnp.ones((1, 5, 4)), max_logits=14)
        >>> largest.shape
        (1, 5)
    """
    batch, time = hidden.shape[:2]
    max_logits = MAX_LOGITS if max_logits is None else max_logits
    size = max(1, min(time, max_logits // (batch * decoder.config.vocab_size)))
    blocks = -(-time // size)

    wanted = jnp.ones((batch, time), bool) if where is None else where

    def compute(hidden: Array, wanted: Array, *arrays: Array) -> PyTree:
        def keep(x: Array) -> Array:
            mask = wanted.reshape(wanted.shape + (1,) * (x.ndim - 2))
            return jnp.where(jnp.broadcast_to(mask, x.shape), x, jnp.zeros_like(x))

        return jax.tree.map(keep, function(decoder.apply(variables, hidden, method="logits"), *arrays))

    def block(hidden: Array, wanted: Array, *arrays: Array) -> PyTree:
        if where is None:
            return compute(hidden, wanted, *arrays)
        shapes = jax.eval_shape(compute, hidden, wanted, *arrays)

        def skip(*parts: Array) -> PyTree:
            return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

        return jax.lax.cond(wanted.any(), compute, skip, hidden, wanted, *arrays)

    def split(x: Any) -> Array:
        padded = jnp.pad(x, ((0, 0), (0, blocks * size - time), *((0, 0),) * (x.ndim - 2)))
        return jnp.moveaxis(padded.reshape(batch, blocks, size, *x.shape[2:]), 1, 0)

    def join(x: Array) -> Array:
        return jnp.moveaxis(x, 0, 1).reshape(batch, blocks * size, *x.shape[3:])[:, :time]

    again = jax.checkpoint(block, prevent_cse=False)
    return jax.tree.map(join, jax.lax.map(lambda parts: again(*parts), jax.tree.map(split, (hidden, wanted, *arrays))))
