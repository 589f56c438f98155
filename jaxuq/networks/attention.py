"""Causal attention by positions: grouped heads, windows, soft-caps, padding, packing; never the whole matrix."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arguments import typed
from jaxuq._arrays import as_float, widest
from jaxuq._shapes import checked
from jaxuq.networks.sharding import parts_of

_MAX_SCORES = 2**24  # attention scores that a device holds at a time: 64 MiB in float32
_MASKED = -1e30


class Places(NamedTuple):
    """Where tokens are; what a token may see follows from this alone.

    Attributes:
        positions: `[batch, time]`; -1 for padding and for empty slots of a cache.
        segments: `[batch, time]`, which of several texts packed into a row a token belongs to; None: one text a row.
    """

    positions: Int[Array, "batch time"]
    segments: Int[Array, "batch time"] | None = None


@typed()
def visible(
    query_places: Places, key_places: Places, *, window: Int[Array, ""] | int | None = None
) -> Bool[Array, "batch queries keys"]:
    """Which keys a query may see: real ones, of the same text, not later, and fewer than `window` tokens back.

    Args:
        query_places: of the queries.
        key_places: of the keys.
        window: tokens seen, the query's own included; None: all.

    Returns:
        The mask. Rows of padding are False throughout.

    Example:
        >>> import jax.numpy as jnp
        >>> places = Places(jnp.array([[0, 1, 2, -1]]))
        >>> visible(places, places, window=2).astype(int)[0]
        Array([[1, 0, 0, 0],
               [1, 1, 0, 0],
               [0, 1, 1, 0],
               [0, 0, 0, 0]], dtype=int32)
    """
    query, key = query_places.positions[:, :, None], key_places.positions[:, None, :]
    shape = (query.shape[0], query.shape[1], key.shape[2])
    query, key = jnp.broadcast_to(query, shape), jnp.broadcast_to(key, shape)
    seen = (key >= 0) & (key <= query)
    if window is not None:
        seen &= query - key < window
    if query_places.segments is not None and key_places.segments is not None:
        seen &= jnp.broadcast_to(query_places.segments[:, :, None], shape) == jnp.broadcast_to(
            key_places.segments[:, None, :], shape
        )
    return seen


@typed()
@checked
def attention_weights(
    query: Float[Array, "batch queries heads dim"],
    key: Float[Array, "batch kv_heads keys dim"],
    query_places: Places,
    key_places: Places,
    *,
    scale: float,
    window: Int[Array, ""] | int | None = None,
    softcap: float | None = None,
) -> Float[Array, "batch heads queries keys"]:
    r"""Rows of the attention matrix, $\mathrm{softmax}(c \tanh(s\, q \cdot k / c))$ over the visible keys.

    Made for few queries: the result has `heads * queries * keys` numbers a batch row. `attend` applies attention
    without holding such an array.

    Args:
        query: after rotary embedding; head $h$ reads key head $\lfloor h / (heads / kv\_heads) \rfloor$.
        key: after rotary embedding.
        query_places: of the queries.
        key_places: of the keys.
        scale: $s$, usually `dim ** -0.5`.
        window: see `visible`.
        softcap: $c$; None: none.

    Returns:
        Weights, in float32 at least; they sum to one over the visible keys. Rows of padding, which see nothing, mean
        nothing.

    Example:
        >>> import jax.numpy as jnp
        >>> places = Places(jnp.arange(2)[None])
        >>> attention_weights(jnp.ones((1, 2, 1, 4)), jnp.ones((1, 1, 2, 4)), places, places, scale=0.5)[0, 0]
        Array([[1. , 0. ],
               [0.5, 0.5]], dtype=float32)

    References:
        A. Vaswani et al. Attention is all you need. NeurIPS 2017, Eq 1.
        J. Ainslie et al. GQA: training generalized multi-query transformer models. EMNLP 2023.
        Gemma team. Gemma 2. 2024, section 2 (soft-capping).
    """
    batch, queries, heads, _ = query.shape
    scores = _products(query.swapaxes(1, 2), key).reshape(batch, heads, queries, key.shape[2]) * scale
    if softcap is not None:
        scores = softcap * jnp.tanh(scores / softcap)
    seen = jnp.broadcast_to(visible(query_places, key_places, window=window)[:, None], scores.shape)
    return jax.nn.softmax(jnp.where(seen, scores, _MASKED), axis=-1)


def _products(query: Array, key: Array) -> Array:
    """Inner products `[batch, kv_heads, group * queries, keys]` of all heads' queries with the keys they read.

    A single query, as in decoding, is multiplied and summed here and in `mixture`: for a matrix product XLA wants the
    cache in another shape, and on CPUs then copies all of it at every step instead of changing it in place.
    """
    batch, heads, queries, dim = query.shape
    rows = query.reshape(batch, key.shape[1], heads // key.shape[1] * queries, dim)
    if queries == 1:
        wide = as_float(rows[:, :, :, None], query, key), as_float(key[:, :, None], query, key)
        return (wide[0] * wide[1]).sum(-1)
    wide = widest(query, key)
    return jax.lax.dot_general(rows, key, (((3,), (3,)), ((0, 1), (0, 1))), preferred_element_type=wide)


def mixture(weights: Array, value: Array) -> Array:
    """Weighted sums `[batch, heads, queries, dim]` of values `[batch, kv_heads, keys, dim]`.

    The weights come first in the product: turned around, as XLA's CPU backend does for the einsum `bhqk,bkhd->bqhd`, it
    takes two to four times as long.
    """
    batch, heads, queries, keys = weights.shape
    rows = weights.reshape(batch, value.shape[1], heads // value.shape[1] * queries, keys)
    if queries == 1:
        mixed = (rows[..., None] * as_float(value[:, :, None])).sum(3).astype(value.dtype)
    else:
        mixed = jax.lax.dot_general(rows.astype(value.dtype), value, (((3,), (2,)), ((0, 1), (0, 1))))
    return mixed.reshape(batch, heads, queries, value.shape[3])


@typed()
@checked
def attend(
    query: Float[Array, "batch queries heads dim"],
    key: Float[Array, "batch kv_heads keys dim"],
    value: Float[Array, "batch kv_heads keys dim"],
    query_places: Places,
    key_places: Places,
    *,
    scale: float,
    window: Int[Array, ""] | int | None = None,
    softcap: float | None = None,
) -> Float[Array, "batch queries heads dim"]:
    """Weighted values of every query, in blocks of queries.

    Each device holds at most 64 MiB of scores at a time (or one row of queries, if that is larger), also in the
    backward pass, which computes them again: memory is linear in the length.

    Args:
        query: after rotary embedding.
        key: after rotary embedding.
        value: of the keys.
        query_places: of the queries.
        key_places: of the keys.
        scale: see `attention_weights`.
        window: see `visible`.
        softcap: see `attention_weights`.

    Returns:
        The mixed values, of the type of `value`.

    Example:
        >>> import jax.numpy as jnp
        >>> places = Places(jnp.arange(2)[None])
        >>> keys, values = jnp.ones((1, 1, 2, 4)), jnp.array([[[[1.0] * 4, [3.0] * 4]]])
        >>> attend(jnp.ones((1, 2, 1, 4)), keys, values, places, places, scale=0.5)[0, :, 0, 0]
        Array([1., 2.], dtype=float32)
    """
    batch, queries, heads, dim = query.shape
    keys = key.shape[2]

    def block(query: Array, places: Places) -> Array:
        weights = attention_weights(query, key, places, key_places, scale=scale, window=window, softcap=softcap)
        return mixture(weights, value).swapaxes(1, 2)

    most = _MAX_SCORES * parts_of(query, "queries", query.shape)
    size = max(1, min(queries, most // max(batch * heads * keys, 1)))
    if size == queries:
        return block(query, query_places)
    size = 2 ** (size.bit_length() - 1)  # few distinct shapes
    blocks = -(-queries // size)

    def split(x: Array) -> Array:
        padded = jnp.pad(x, ((0, 0), (0, blocks * size - queries), *((0, 0),) * (x.ndim - 2)))
        return jnp.moveaxis(padded.reshape(batch, blocks, size, *x.shape[2:]), 1, 0)

    again = jax.checkpoint(block, prevent_cse=False)
    mixed = jax.lax.map(lambda one: again(*one), (split(query), jax.tree.map(split, query_places)))
    return jnp.moveaxis(mixed, 0, 1).reshape(batch, blocks * size, heads, dim)[:, :queries]
