"""Rows of a running batch on the device, which answers join and leave; `decode_loop` goes on with all of them.

All rows write into the same slot of the cache, `used`, which moves on by one a step; a row sees its own tokens only,
since positions decide that. When the slots are used up, `move_rows` brings the tokens of every row to the front.

Compiled once for each pair of a number of rows and a width of the cache, of which there are few (`SIZES`,
`slot_width`): `join_row`, and `move_rows` for each pair of pairs that occurs.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from jaxuq.language.row_sampling import RowSampling
from jaxuq.language.watching import Watched, arrange_watched, extend_watched, see_token
from jaxuq.networks import Model, capability

SIZES = (1, 4, 16, 32, 64, 128)
"""Numbers of rows that there are programs for."""
_NARROWEST = 128  # slots of the narrowest cache


def slot_width(tokens: int) -> int:
    """Slots of the narrowest cache that so many tokens fit into: 128, 256, 512, ..."""
    return max(_NARROWEST, 1 << max(tokens - 1, 0).bit_length())


class RowSettings(NamedTuple):
    """How every row answers.

    Attributes:
        rng_keys: of the rows.
        sampling: how tokens are chosen.
        frequency: see `Steering`.
        presence: the same.
        bias: the same.
        limit: tokens of the longest answer.
        shows: whether the likeliest tokens are wanted.
    """

    rng_keys: Key[Array, "rows"]
    sampling: RowSampling
    frequency: Float[Array, "rows"]
    presence: Float[Array, "rows"]
    bias: Float[Array, "rows vocab"]
    limit: Int[Array, "rows"]
    shows: Bool[Array, "rows"]


class Slots(NamedTuple):
    """Rows that run, and rows that are free.

    Attributes:
        cache: of the model.
        places: positions of the tokens in its slots; -1: none.
        hidden: from which the next token of each row is chosen.
        lengths: of the prompts.
        counts: tokens said.
        said: how many times each token was said.
        running: False for free rows.
        settings: `RowSettings` of the rows.
        watched: what was seen of the tokens in the slots; None: nobody watches.
    """

    cache: Any
    places: Int[Array, "rows slots"]
    hidden: Float[Array, "rows ..."]
    lengths: Int[Array, "rows"]
    counts: Int[Array, "rows"]
    said: Float[Array, "rows vocab"]
    running: Bool[Array, "rows"]
    settings: Any
    watched: Watched | None = None


def shapes_of(model: Model, params: PyTree) -> tuple[Any, Any]:
    """Shapes and types of the hidden state of one token, `[1, ...]`, and of its logits, `[1, vocab]`."""

    def one(params: PyTree) -> tuple[Array, Array]:
        cache, zero = capability(model, "init_cache")(params, 1, 1), jnp.zeros((1, 1), jnp.int32)
        hidden = model.hidden_of(params, zero, zero, cache)[0][:, 0]
        return hidden, model.token_logits(params, hidden)

    return jax.eval_shape(one, params)


def cache_bytes(model: Model, params: PyTree) -> int:
    """Bytes of one slot of one row."""

    def of(slots: int) -> int:
        shapes = jax.eval_shape(lambda params: capability(model, "init_cache")(params, 1, slots), params)
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))

    return of(2) - of(1)


@functools.partial(jax.jit, static_argnames=("model", "rows", "width"))
def empty_rows(model: Model, params: PyTree, *, rows: int, width: int) -> Slots:
    """Free rows."""
    hidden, logits = shapes_of(model, params)
    vocabulary = logits.shape[-1]
    zeros, none = jnp.zeros(rows), jnp.zeros(rows, jnp.int32)
    return Slots(
        cache=capability(model, "init_cache")(params, rows, width),
        places=jnp.full((rows, width), -1, jnp.int32),
        hidden=jnp.zeros((rows, *hidden.shape[1:]), hidden.dtype),
        lengths=none,
        counts=none,
        said=jnp.zeros((rows, vocabulary)),
        running=jnp.zeros(rows, bool),
        settings=RowSettings(
            jax.random.split(jax.random.key(0), rows),
            RowSampling(zeros, none, jnp.ones(rows), zeros),
            zeros,
            zeros,
            jnp.zeros((rows, vocabulary)),
            none,
            jnp.zeros(rows, bool),
        ),
    )


@functools.partial(jax.jit, static_argnames=("model",), donate_argnames=("slots",))
def join_row(
    model: Model,
    slots: Slots,
    row: Array,
    used: Array,
    cache: Any,
    hidden: Array,
    queries: PyTree,
    length: Array,
    own: RowSettings,
) -> Slots:
    """An answer takes a free row; its prompt is in the first slots, and the next token of all rows goes behind it.

    Args:
        model: of the cache.
        slots: the batch.
        row: that is free.
        used: slots used then, at least `length`.
        cache: of the prompt, from `read_piece`.
        hidden: of its last token.
        queries: of its last token; read where somebody watches.
        length: of the prompt.
        own: settings without the axis of rows; no `bias`: none.
    """
    numbers = jnp.arange(slots.places.shape[1], dtype=jnp.int32)
    merged = capability(model, "rows.put")(slots.cache, cache, row)
    bias = jnp.zeros_like(slots.settings.bias[0]) if own.bias is None else own.bias

    watched = slots.watched
    if watched is not None:
        watched = see_token(watched, queries, hidden[:, None], length - 1, row)

    def put(whole: Array, one: Array) -> Array:
        return whole.at[row].set(one if jnp.issubdtype(whole.dtype, jax.dtypes.prng_key) else one.astype(whole.dtype))

    return Slots(
        cache=capability(model, "rows.seek")(merged, used),
        places=slots.places.at[row].set(jnp.where(numbers < length, numbers, -1)),
        hidden=put(slots.hidden, hidden[0]),
        lengths=put(slots.lengths, length),
        counts=slots.counts.at[row].set(0),
        said=slots.said.at[row].set(0.0),
        running=slots.running.at[row].set(True),
        settings=jax.tree.map(put, slots.settings, own._replace(bias=bias)),
        watched=watched,
    )


@functools.partial(jax.jit, static_argnames=("model", "width"))
def move_rows(model: Model, slots: Slots, rows: Array, used: Array, *, width: int) -> Slots:
    """Some rows (-1: a free one), with their tokens in the first slots of `width`.

    Args:
        model: of the cache.
        slots: the batch.
        rows: to take.
        used: slots used then: tokens of the fullest row.
        width: of the cache, at least `used`.
    """
    ways, old = capability(model, "rows"), slots.places.shape[1]

    def take(leaf: Array) -> Array:
        return jnp.take(leaf, rows, axis=0, mode="clip")

    cache = ways.take(slots.cache, rows)
    taken = jax.tree.map(take, slots._replace(cache=None, watched=None))
    running = taken.running & (rows >= 0)
    places = jnp.where(running[:, None], taken.places, -1)
    order = jnp.argsort(places < 0, axis=1, stable=True)[:, :width].astype(jnp.int32)
    places = jnp.take_along_axis(places, order, axis=1)
    cache = ways.arrange(cache, places, order)
    watched = slots.watched
    if watched is not None:
        watched = extend_watched(arrange_watched(watched, rows, order), max(width - old, 0))
    if width > old:
        cache = ways.extend(cache, width - old)
        places = jnp.pad(places, ((0, 0), (0, width - old)), constant_values=-1)
    cache = capability(model, "rows.seek")(cache, used)
    return taken._replace(cache=cache, places=places, running=running, watched=watched)
