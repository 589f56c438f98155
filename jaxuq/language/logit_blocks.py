"""A function of logits, token by token, without ever holding the logits of a whole text."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxuq.networks import Decoder

MAX_LOGITS = 2**22
"""Logits held at a time: 16 MiB."""


def map_logits(
    function: Callable[..., PyTree],
    decoder: Decoder,
    variables: PyTree,
    hidden: Float[Array, "batch time hidden"],
    *arrays: Array,
    max_logits: int = MAX_LOGITS,
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
        max_logits: how many logits a block may have; it has at least one moment of time.

    Returns:
        What `function` returns for the whole. Holds one block of logits and its gradient.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.networks import DecoderConfig
        >>> decoder = Decoder(DecoderConfig(7, 4, 4, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=4))
        >>> variables = decoder.init(jax.random.key(0), jnp.array([[1, 2, 3]]))
        >>> largest = map_logits(lambda logits: logits.max(-1), decoder, variables, jnp.ones((1, 5, 4)), max_logits=14)
        >>> largest.shape
        (1, 5)
    """
    batch, time = hidden.shape[:2]
    size = max(1, min(time, max_logits // (batch * decoder.config.vocab_size)))
    blocks = -(-time // size)

    def compute(hidden: Array, *arrays: Array) -> PyTree:
        return function(decoder.apply(variables, hidden, method="logits"), *arrays)

    def split(x: Any) -> Array:
        padded = jnp.pad(x, ((0, 0), (0, blocks * size - time), *((0, 0),) * (x.ndim - 2)))
        return jnp.moveaxis(padded.reshape(batch, blocks, size, *x.shape[2:]), 1, 0)

    def join(x: Array) -> Array:
        return jnp.moveaxis(x, 0, 1).reshape(batch, blocks * size, *x.shape[3:])[:, :time]

    again = jax.checkpoint(compute, prevent_cse=False)
    return jax.tree.map(join, jax.lax.map(lambda parts: again(*parts), jax.tree.map(split, (hidden, *arrays))))
