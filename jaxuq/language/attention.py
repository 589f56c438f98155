"""Rows of attention on demand, from the queries and keys of a pass or of a generation: never the whole matrix."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from jaxuq.networks import DecoderConfig, Places, attention_weights


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


def attention_rows(
    captured: Captured, config: DecoderConfig, positions: Int[Array, "batch rows"]
) -> Float[Array, "batch layers heads rows slots"]:
    r"""The attention of chosen tokens on all before them, in every layer and head.

    Entry $[b, l, h, i, j]$ is the weight with which the token at `positions[b, i]` saw the token at position $j$:
    columns are positions, whatever side the padding was on and wherever the cache kept a token. The row by which a
    token was predicted is that of the position before it.

    Made for few rows at a time: the result has `layers * heads * rows * slots` numbers a batch row, and nothing larger
    is held.

    Args:
        captured: from `score_tokens` or a `Generation`, with queries kept.
        config: of the decoder: scale, windows, soft-cap.
        positions: the rows wanted.

    Returns:
        Weights, float32, which sum to one over $j$; rows of positions that were not captured are zero.

    Example:
        >>> import jax.numpy as jnp
        >>> config = DecoderConfig(5, 4, 4, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=4)
        >>> captured = Captured(jnp.ones((1, 1, 3, 1, 4)), jnp.ones((1, 1, 1, 3, 4)), jnp.array([[-1, 0, 1]]))
        >>> attention_rows(captured, config, jnp.array([[0, 1, 2]]))[0, 0, 0].tolist()
        [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
    """
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
            scale=config.attention_scale,
            window=window,
            softcap=config.attention_softcap,
        )
        ordered = jnp.take_along_axis(weights, columns[:, None, None, :], axis=-1)
        kept = found[:, None, :, None] & filled[:, None, None, :]
        return jnp.where(kept, ordered, 0.0)

    if isinstance(captured.keys, tuple):
        layers = [
            one(queries, keys, config.window(layer))
            for layer, (queries, keys) in enumerate(zip(captured.queries, captured.keys))
        ]
        return jnp.stack(layers, axis=1)
    windows = [config.window(layer) for layer in range(config.num_layers)]
    if len(set(windows)) == 1:
        mapped = jax.lax.map(lambda pair: one(pair[0], pair[1], windows[0]), (captured.queries, captured.keys))
    else:
        widths = jnp.asarray([window or 2**30 for window in windows], jnp.int32)
        mapped = jax.lax.map(lambda part: one(part[0], part[1], part[2]), (captured.queries, captured.keys, widths))
    return jnp.moveaxis(mapped, 0, 1)
