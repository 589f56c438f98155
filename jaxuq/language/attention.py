"""Rows of attention on demand, from the queries and keys of a pass or of a generation: never the whole matrix."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from jaxuq._arguments import typed
from jaxuq._shapes import checked
from jaxuq.networks import Decoder, Model, Places, attention_weights, capability


class Captured(NamedTuple):
    """What attention was computed from, in slots; `slots * layers * (heads + kv_heads) * head_dim` numbers a row.

    Attributes:
        queries: after rotary embedding, `[layers, batch, slots, heads, head_dim]`, or a tuple of layers.
        keys: after rotary embedding, `[layers, batch, kv_heads, slots, head_dim]`, or a tuple of layers.
        positions: of the slots, `[batch, slots]`; -1 for padding and for slots not in use.
    """

    queries: PyTree
    keys: PyTree
    positions: Int[Array, "batch slots"]


def _slots(positions: Int[Array, "slots"], wanted: Int[Array, "rows"]) -> tuple[Int[Array, "rows"], Array]:
    """Where positions are, and whether they are anywhere. By scattering: no [rows, slots] array."""
    size = positions.shape[0]
    target = jnp.where(positions >= 0, positions, size)  # dropped
    table = jnp.full((size,), -1, jnp.int32).at[target].set(jnp.arange(size, dtype=jnp.int32), mode="drop")
    found = jnp.where((wanted >= 0) & (wanted < size), table[jnp.clip(wanted, 0, size - 1)], -1)
    return jnp.maximum(found, 0), found >= 0


@typed()
@checked
def attention_rows(
    model: Model | Decoder, captured: Captured, positions: Int[Array, "batch rows"]
) -> Float[Array, "batch layers heads rows slots"]:
    r"""The attention of chosen tokens on all before them, in every layer and head.

    Entry $[b, l, h, i, j]$ is the weight with which the token at `positions[b, i]` saw the token at position $j$:
    columns are positions, whatever side the padding was on and wherever the cache kept a token. The row by which a
    token was predicted is that of the position before it.

    Made for few rows at a time: the result has `layers * heads * rows * slots` numbers a batch row, and nothing larger
    is held.

    Args:
        model: whose attention it was: scale, windows, soft-cap.
        captured: from `score_tokens` or a `Generation`, with queries kept.
        positions: the rows wanted.

    Returns:
        Weights, float32, which sum to one over $j$; rows of positions that were not captured are zero.

    Raises:
        CapabilityError: the model has no `attention`.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.networks import DecoderConfig
        >>> decoder = Decoder(DecoderConfig(5, 4, 4, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=4))
        >>> captured = Captured(jnp.ones((1, 1, 3, 1, 4)), jnp.ones((1, 1, 1, 3, 4)), jnp.array([[-1, 0, 1]]))
        >>> attention_rows(decoder, captured, jnp.array([[0, 1, 2]]))[0, 0, 0].tolist()
        [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
    """
    attention = capability(model, "attention")
    slots, found = jax.vmap(_slots)(captured.positions, positions)
    everywhere = jnp.broadcast_to(jnp.arange(captured.positions.shape[1], dtype=jnp.int32), captured.positions.shape)
    columns, filled = jax.vmap(_slots)(captured.positions, everywhere)
    places = Places(jnp.where(found, positions, -1))

    def one(queries: Array, keys: Array, window: Array | int | None) -> Array:
        weights = attention_weights(
            jnp.take_along_axis(queries, slots[:, :, None, None], axis=1),
            keys.astype(queries.dtype),
            places,
            Places(captured.positions),
            scale=attention.scale,
            window=window,
            softcap=attention.softcap,
        )
        ordered = jnp.take_along_axis(weights, columns[:, None, None, :], axis=-1)
        kept = found[:, None, :, None] & filled[:, None, None, :]
        return jnp.where(kept, ordered, 0.0)

    if isinstance(captured.keys, tuple):
        layers = zip(captured.queries, captured.keys, attention.windows)
        return jnp.stack([one(queries, keys, window) for queries, keys, window in layers], axis=1)
    if len(set(attention.windows)) == 1:
        whole = attention.windows[0]
        mapped = jax.lax.map(lambda pair: one(pair[0], pair[1], whole), (captured.queries, captured.keys))
    else:
        parts = (captured.queries, captured.keys, attention.window_array)
        mapped = jax.lax.map(lambda part: one(*part), parts)
    return jnp.moveaxis(mapped, 0, 1)
