"""What the model saw of answers while it made them in a running batch, for who measures its attention and its states.

It lies in the slots of the cache: queries of every layer, and last hidden states, of the answers and of the last token
of their prompts. There is room for all rows or for none, and only while an answer is watched.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from jaxuq.networks import Model, capability, on_layers
from jaxuq.networks.sharding import constrain


class Watched(NamedTuple):
    """Queries and states of rows; index t belongs to the token in slot t.

    Attributes:
        queries: `[layers, rows, slots, heads, dim]`, or a tuple of layers without the first axis.
        hidden: where the token was the input.
    """

    queries: PyTree
    hidden: Float[Array, "rows slots ..."]


class AnswerStates(NamedTuple):
    """What the model saw of one answer: arrays of one row, in which index t belongs to token t of prompt and answer.

    Attributes:
        hidden: last hidden states where the token was the input; of the prompt only that of its last token.
        queries: after rotary embedding; the same.
        cache: keys and values of all tokens.
    """

    hidden: Float[Array, "one time ..."]
    queries: PyTree
    cache: Any


def _states(model: Model, params: PyTree, rows: int) -> tuple[Any, Any]:
    """Shapes and types of the queries and hidden states of one token of each row."""

    def one(params: PyTree) -> tuple[Any, Any]:
        cache, zero = capability(model, "init_cache")(params, rows, 1), jnp.zeros((rows, 1), jnp.int32)
        hidden, _, queries = model.hidden_of(params, zero, zero, cache)
        return model.layered_queries(queries), hidden

    return jax.eval_shape(one, params)


def watched_bytes(model: Model, params: PyTree) -> int:
    """Bytes of one slot of one row."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(_states(model, params, 1)))


@functools.partial(jax.jit, static_argnames=("model", "rows", "width"))
def empty_watched(model: Model, params: PyTree, *, rows: int, width: int) -> Watched:
    """Room for what will be seen."""
    queries, hidden = _states(model, params, rows)

    def room(leaf: Any, batch: int) -> Array:
        return constrain(jnp.zeros((*leaf.shape[: batch + 1], width, *leaf.shape[batch + 2 :]), leaf.dtype), "queries")

    return Watched(on_layers(queries, room), jnp.zeros((rows, width, *hidden.shape[2:]), hidden.dtype))


def see_token(watched: Watched, queries: PyTree, hidden: Array, slot: Array, row: Array | None = None) -> Watched:
    """Write one token: of one row, or of all into the same slot.

    Args:
        watched: so far.
        queries: of the token, `[..., rows, 1, heads, dim]`.
        hidden: `[rows, 1, ...]`.
        slot: of the token.
        row: of the token; None: all.
    """

    def put(whole: Array, new: Array, batch: int) -> Array:
        at: list[Any] = [0] * whole.ndim
        at[batch], at[batch + 1] = 0 if row is None else row, slot
        return jax.lax.dynamic_update_slice(whole, new.astype(whole.dtype), at)

    batch = 0 if isinstance(watched.queries, tuple) else 1
    written = jax.tree.map(lambda whole, new: put(whole, new, batch), watched.queries, queries)
    return Watched(written, put(watched.hidden, hidden, 0))


def arrange_watched(watched: Watched, rows: Int[Array, "taken"], slots: Int[Array, "taken time"]) -> Watched:
    """Those rows, with those slots of each in that order."""

    def moved(leaf: Array, batch: int) -> Array:
        shape = [1] * leaf.ndim
        shape[batch], shape[batch + 1] = slots.shape
        return jnp.take_along_axis(jnp.take(leaf, rows, axis=batch, mode="clip"), slots.reshape(shape), axis=batch + 1)

    def queries(leaf: Array, batch: int) -> Array:
        return constrain(moved(leaf, batch), "queries")

    return Watched(on_layers(watched.queries, queries), moved(watched.hidden, 0))


def extend_watched(watched: Watched, slots: int) -> Watched:
    """With so many empty slots more."""

    def room(leaf: Array, batch: int) -> Array:
        return jnp.pad(leaf, [(0, slots) if axis == batch + 1 else (0, 0) for axis in range(leaf.ndim)])

    return Watched(on_layers(watched.queries, room), room(watched.hidden, 0))


@functools.partial(jax.jit, static_argnames=("model", "width"))
def states_of_row(
    model: Model, cache: Any, places: Int[Array, "rows slots"], watched: Watched, row: Array, *, width: int
) -> AnswerStates:
    """What was seen of a row, in the order of its tokens.

    Args:
        model: of the cache.
        cache: of the rows.
        places: positions of the tokens in the slots; -1: none.
        watched: of the rows.
        row: which.
        width: of the arrays, at most as many as slots; tokens beyond it are left out.
    """
    ways, own = capability(model, "rows"), row[None]
    order = jnp.argsort(places[own] < 0, axis=1, stable=True)[:, :width].astype(jnp.int32)
    positions = jnp.take_along_axis(places[own], order, axis=1)
    seen = arrange_watched(watched, own, order)
    return AnswerStates(seen.hidden, seen.queries, ways.arrange(ways.take(cache, own), positions, order))
