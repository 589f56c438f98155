"""What a pass says about each token: reductions of its distribution, and how it attends to its neighbours."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxuq.confidence.token_distributions import (
    boosted_probability,
    fisher_rao_distance,
    renyi_divergence,
    self_certainty,
)
from jaxuq.language import token_scores
from jaxuq.networks import Attention, Places, attention_weights

_SEARCH = 64  # likeliest tokens among which `boosted_probability` looks
_BLOCK = 64  # tokens whose attention is held at a time


class TokenQuantities(NamedTuple):
    """Reductions of the distribution that a token came from, in nats.

    Attributes:
        log_probs: of the token.
        entropies: of the distribution.
        self_certainty: `self_certainty`.
        renyi: `renyi_divergence`.
        fisher_rao: `fisher_rao_distance`.
        boosted: `boosted_probability`.
    """

    log_probs: Float[Array, "*batch"]
    entropies: Float[Array, "*batch"]
    self_certainty: Float[Array, "*batch"]
    renyi: Float[Array, "*batch"]
    fisher_rao: Float[Array, "*batch"]
    boosted: Float[Array, "*batch"]


def token_quantities(logits: Float[Array, "*batch vocab"], tokens: Int[Array, "*batch"]) -> TokenQuantities:
    """All reductions that the single-answer measures are made of, so that the logits are made once."""
    scores = token_scores(logits, tokens)
    return TokenQuantities(
        scores.log_probs,
        scores.entropies,
        self_certainty(logits),
        renyi_divergence(logits),
        fisher_rao_distance(logits),
        boosted_probability(logits, tokens, search=min(_SEARCH, logits.shape[-1])),
    )


def middle_layers(num_layers: int) -> tuple[int, int]:
    """First and last layer that RAUQ reads, both included."""
    return num_layers // 3, min(-(-2 * num_layers // 3), num_layers - 1)


def looks_back(
    queries: Float[Array, "layers batch time heads dim"],
    keys: Float[Array, "layers batch kv_heads time dim"],
    positions: Int[Array, "batch time"],
    attention: Attention,
) -> tuple[Float[Array, "batch middle heads time"], Float[Array, "batch heads time"]]:
    """Attention of each token on the one before it (middle layers), and on itself (middle layer).

    Rows are made for 64 tokens of one text at a time, and forgotten.
    """
    first, last = middle_layers(len(attention.windows))
    time = positions.shape[1]
    size = min(_BLOCK, time)
    blocks = -(-time // size)
    pad = blocks * size - time

    def text(row: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        queries, keys, positions = row  # [layers, time, heads, dim], [layers, kv_heads, time, dim], [time]
        queries = jnp.pad(queries, ((0, 0), (0, pad), (0, 0), (0, 0)))
        wanted = jnp.pad(positions, (0, pad), constant_values=-1)

        def block(begin: Array) -> tuple[Array, Array]:
            places = jax.lax.dynamic_slice_in_dim(wanted, begin, size)
            slots = begin + jnp.arange(size, dtype=begin.dtype)

            def layer(number: int) -> tuple[Array, Array]:
                asked = jax.lax.dynamic_slice_in_dim(queries[number - first], begin, size, axis=0)
                rows = attention_weights(
                    asked[None], keys[number - first][None].astype(asked.dtype), Places(places[None]),
                    Places(positions[None]), scale=attention.scale, window=attention.windows[number],
                    softcap=attention.softcap,
                )[0]  # fmt: skip

                def column(at: Array) -> Array:
                    index = jnp.clip(at, 0, time - 1)[None, :, None]
                    index = jnp.broadcast_to(index, (*rows.shape[:2], 1))
                    return jnp.take_along_axis(rows, index, axis=-1)[..., 0]

                return column(slots - 1), column(slots)

            both = [layer(number) for number in range(first, last + 1)]
            return jnp.stack([one[0] for one in both]), both[len(both) // 2][1]

        before, itself = jax.lax.map(block, jnp.arange(blocks, dtype=jnp.int32) * size)
        # [blocks, layers, heads, size] to [layers, heads, time]
        before = jnp.moveaxis(before, 0, 2).reshape(*before.shape[1:3], blocks * size)[..., :time]
        return before, jnp.moveaxis(itself, 0, 1).reshape(itself.shape[1], blocks * size)[:, :time]

    part = slice(first, last + 1)
    return jax.lax.map(text, (queries[part].swapaxes(0, 1), keys[part].swapaxes(0, 1), positions))
