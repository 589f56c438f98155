"""A function of logits, token by token, without ever holding the logits of a whole text."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from jaxuq._arguments import typed
from jaxuq._arrays import counted
from jaxuq._errors import OptionError
from jaxuq._meshes import vary_like
from jaxuq._shapes import compared
from jaxuq.networks import Decoder, Model, as_model
from jaxuq.networks.sharding import constrain_rows, constrain_tables, parts_of

MAX_LOGITS = 2**22
"""Logits that a device holds at a time: 16 MiB."""


@typed()
@compared
def map_logits(
    function: Callable[..., PyTree],
    model: Model | Decoder,
    params: PyTree,
    hidden: Float[Array, "batch time ..."],
    *arrays: Shaped[Array, "batch time"],
    where: Bool[Array, "batch time"] | None = None,
    max_logits: int | None = None,
) -> PyTree:
    r"""`function(logits, *arrays)` in blocks of time; logits are computed again in the backward pass.

    The function must treat every token on its own, as losses and scores of tokens do. Write one for logits
    `[batch, time, vocabulary]`, and it costs the memory of one block.

    Args:
        function: of logits, in float32 at least, and the arrays; returns arrays with leading axes `batch time`.
        model: or a decoder.
        params: of the model.
        hidden: last hidden states.
        *arrays: with leading axes `batch time`, such as target tokens.
        where: tokens that are wanted; the others give zeros, and blocks without any are not computed. None: all.
        max_logits: how many logits a block may have on a device, which has one moment of time at least. None:
            `MAX_LOGITS`.

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
    model, params = as_model(model), constrain_tables(params)
    wanted = counted(where, _first(hidden))

    def compute(hidden: Array, wanted: Array, *arrays: Array) -> PyTree:
        def keep(x: Array) -> Array:
            mask = wanted.reshape(wanted.shape + (1,) * (x.ndim - 2))
            return jnp.where(jnp.broadcast_to(mask, x.shape), x, jnp.zeros_like(x))

        found = of_each_token(function, model.token_logits(params, hidden, axes=2), *arrays)
        return constrain_rows(jax.tree.map(keep, found), "read")

    block = compute if where is None else _skipping(compute, params)
    again = jax.checkpoint(block, prevent_cse=False)
    return _in_blocks(again, _block_length(model, hidden, max_logits), hidden, wanted, *arrays)


@typed()
@compared
def hidden_gradient(
    loss: Callable[..., Float[Array, "batch time"]],
    model: Model | Decoder,
    params: PyTree,
    hidden: Float[Array, "batch time ..."],
    *arrays: Shaped[Array, "batch time"],
    where: Bool[Array, "batch time"] | None = None,
    max_logits: int | None = None,
) -> Float[Array, "batch time ..."]:
    r"""$\nabla_{h_t}\, \ell(W h_t)$ of every token: what a backward pass through the layers starts from.

    For adapters, whose output layer is frozen: unlike the gradient of `map_logits`, each block's logits are computed
    once, one product with the vocabulary less out of three.

    Args:
        loss: of logits, in float32 at least, and the arrays; treats every token on its own, as for `map_logits`.
        model: or a decoder.
        params: of the model.
        hidden: last hidden states.
        *arrays: with leading axes `batch time`, such as target tokens.
        where: tokens that are wanted; the others give zeros, and blocks without any are not computed. None: all.
        max_logits: see `map_logits`.

    Returns:
        The gradient of each token's own loss. Holds one block of logits and its gradient.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.networks import DecoderConfig
        >>> decoder = Decoder(DecoderConfig(7, 4, 4, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=4))
        >>> variables = jax.jit(decoder.init)(jax.random.key(0), jnp.array([[1, 2, 3]]))
        >>> loss = lambda logits: logits[..., 0]
        >>> gradient = jax.jit(lambda hidden: hidden_gradient(loss, decoder, variables, hidden))(jnp.ones((1, 5, 4)))
        >>> bool(jnp.allclose(gradient[0, 3], variables["params"]["unembedding"][:, 0]))
        True
    """
    model, params = as_model(model), constrain_tables(params)
    wanted = counted(where, _first(hidden))

    def compute(hidden: Array, wanted: Array, *arrays: Array) -> Array:
        def total(hidden: Array) -> Array:
            losses = of_each_token(loss, model.token_logits(params, hidden, axes=2), *arrays)
            return jnp.sum(jnp.where(wanted, losses, 0.0))

        return jax.grad(total)(hidden)

    block = compute if where is None else _skipping(compute, params)
    return _in_blocks(block, _block_length(model, hidden, max_logits), hidden, wanted, *arrays)


def of_each_token(function: Callable[..., PyTree], logits: Array, *arrays: Array) -> PyTree:
    """What a function of logits gives, if it gives something of each token; an OptionError names it otherwise."""
    found = function(logits, *arrays)
    for leaf in jax.tree.leaves(found):
        if jnp.shape(leaf)[:2] != logits.shape[:2]:
            name = getattr(function, "__name__", type(function).__name__)
            raise OptionError(
                f"the function of tokens `{name}` gives an array of shape {jnp.shape(leaf)} for logits of shape "
                f"{logits.shape}; expected one value for each token, [batch, time]: leave sums and means out"
            )
    return found


def _first(hidden: Float[Array, "batch time ..."]) -> Float[Array, "batch time"]:
    return hidden[(slice(None), slice(None), *(0,) * (hidden.ndim - 2))]


def _block_length(model: Model, hidden: Array, max_logits: int | None) -> int:
    """Moments of time in a block."""
    shape = (*hidden.shape[:2], model.vocab_size)
    max_logits = (MAX_LOGITS if max_logits is None else max_logits) * parts_of(hidden, "logits", shape)
    return max(1, min(hidden.shape[1], max_logits // max(hidden.shape[0] * model.vocab_size, 1)))


def _skipping(compute: Callable[..., PyTree], params: PyTree) -> Callable[..., PyTree]:
    """Zeros, at no cost, for a block in which nothing is wanted."""

    def block(hidden: Array, wanted: Array, *arrays: Array) -> PyTree:
        shapes = jax.eval_shape(compute, hidden, wanted, *arrays)

        def skip(*parts: Array) -> PyTree:
            zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype, device=leaf.sharding), shapes)
            return vary_like(zeros, params, parts)

        return jax.lax.cond(wanted.any(), compute, skip, hidden, wanted, *arrays)

    return block


def _in_blocks(block: Callable[..., PyTree], size: int, *arrays: Array) -> PyTree:
    """A function of arrays with leading axes `batch time`, applied to `size` moments of time after another."""
    batch, time = arrays[0].shape[:2]
    blocks = -(-time // size)

    def split(x: Any) -> Array:
        padded = jnp.pad(x, ((0, 0), (0, blocks * size - time), *((0, 0),) * (x.ndim - 2)))
        return jnp.moveaxis(padded.reshape(batch, blocks, size, *x.shape[2:]), 1, 0)

    def join(x: Array) -> Array:
        return jnp.moveaxis(x, 0, 1).reshape(batch, blocks * size, *x.shape[3:])[:, :time]

    found = jax.lax.map(lambda parts: block(*parts), jax.tree.map(split, arrays))
    return constrain_rows(jax.tree.map(join, found))
