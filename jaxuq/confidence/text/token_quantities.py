"""What a pass says about each token: reductions of its distribution, and how it attends to its neighbours."""

import functools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from jaxuq._arrays import as_float
from jaxuq._entries import Entry
from jaxuq.confidence.token_distributions import token_entropy
from jaxuq.confidence.token_probabilities import token_log_probs
from jaxuq.language import token_scores
from jaxuq.language.logit_blocks import of_each_token
from jaxuq.networks import Attention, Model, Places, attention_weights

_BLOCK = 64  # tokens whose attention is held at a time
Reductions = tuple[tuple[str, Callable[..., Array]], ...]
"""Names, and `token(logits, tokens)` of measures."""


def reductions_of(measures: Sequence[Entry]) -> Reductions:
    """Those that measures are made of."""
    return tuple((one.name, one.functions["token"]) for one in measures if "token" in one.functions)


class TokenQuantities(NamedTuple):
    """Reductions of the distribution that a token came from, in nats.

    Attributes:
        log_probs: of the token.
        said: the same as the convention has them.
        entropies: of the distribution, as the convention has them.
        values: further ones, by the name of their measure.
    """

    log_probs: Float[Array, "*batch"]
    said: Float[Array, "*batch"]
    entropies: Float[Array, "*batch"]
    values: dict[str, Array]


def token_quantities(
    logits: Float[Array, "*batch vocab"],
    tokens: Int[Array, "*batch"],
    *,
    reductions: Reductions = (),
    convention: Literal["text", "published"] = "text",
) -> TokenQuantities:
    """All reductions that the measures of one answer are made of, so that the logits are made once.

    Args:
        logits: that predicted the tokens.
        tokens: that were said.
        reductions: further ones, of measures.
        convention: `"published"` knows the five likeliest tokens only.

    Returns:
        `TokenQuantities`.
    """
    scores = token_scores(logits, tokens)
    said, entropies = scores.log_probs, scores.entropies
    if convention == "published":
        said, entropies = token_log_probs(logits, tokens, convention="published"), token_entropy(logits, top_k=5)
    values = {name: reduce(logits, tokens) for name, reduce in reductions}
    return TokenQuantities(scores.log_probs, said, entropies, values)


class Watched(NamedTuple):
    """What `watching` keeps of each generated token.

    Attributes:
        values: reductions of its distribution, by the name of their measure.
    """

    values: dict[str, Float[Array, "*batch"]]


@functools.lru_cache(maxsize=32)  # programs are found by the model: it must be the same one each time
def watching(model: Model, reductions: Reductions) -> Model:
    """The model, which reduces each distribution while it generates from it: no logits need to be made again.

    The logits that `observe` asks for are those that the token is chosen from; the compiled loop makes them once.

    Args:
        model: that has no `observe` of its own.
        reductions: of measures.

    Returns:
        A model whose generations have `Watched` in `observed`.
    """

    def observe(params: PyTree, hidden: Array, tokens: Array) -> Watched:
        logits = as_float(model.token_logits(params, hidden))[:, None]  # [rows, time, vocabulary], as when reading
        found = of_each_token(
            lambda *both: {name: reduce(*both) for name, reduce in reductions}, logits, tokens[:, None]
        )
        return Watched({name: values[:, 0] for name, values in found.items()})

    return model._replace(observe=observe)


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
