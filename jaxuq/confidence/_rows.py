"""One token's attention in every layer and head, from queries and keys."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxuq.networks import Places, attention_weights


def attention_row(
    queries: Float[Array, "layers time heads dim"],
    keys: Float[Array, "layers kv_heads time dim"],
    positions: Int[Array, " time"],
    source: Int[Array, ""],
    scale: float,
    windows: Int[Array, " layers"] | None,
    softcap: float | None,
) -> Float[Array, "layers*heads time"]:
    """Give the rows of one token, layer by layer; NaN in the keys of padding has no influence."""
    seen = (positions >= 0)[None, None, :, None]
    keys = jnp.where(jnp.broadcast_to(seen, keys.shape), keys, 0).astype(queries.dtype)
    query = jax.lax.dynamic_index_in_dim(queries, source, axis=1, keepdims=True)
    query_places, key_places = Places(positions[source][None, None]), Places(positions[None])

    def layer(query: Array, keys: Array, window: Array | None) -> Array:
        arguments = (query[None], keys[None], query_places, key_places)
        return attention_weights(*arguments, scale=scale, window=window, softcap=softcap)[0, :, 0]

    rows = jax.vmap(layer, in_axes=(0, 0, None if windows is None else 0))(query, keys, windows)
    return rows.reshape(-1, positions.shape[0])
