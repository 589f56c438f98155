"""A running batch on the device: rows that answers join and leave, and the compiled loop over all of them.

Every row has settings of its own, and draws token t with `fold_in(key of the row, t)`, as `generate_tokens` does: what
it says follows from its prompt, settings and key, not from its neighbours (but for rounding). All rows write into the
same slot of the cache, `used`, which moves on by one a step; a row sees its own tokens only, since positions decide
that. When the slots are used up, `move_rows` brings the tokens of every row to the front.

Compiled once for each pair of a number of rows and a width of the cache, of which there are few (`SIZES`,
`slot_width`): `advance_rows`, `join_row`, and `move_rows` for each pair of pairs that occurs; `read_piece` for each
length of a piece and width of a cache of one row.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from jaxuq._arrays import as_float
from jaxuq.language.row_sampling import RowSampling, sample_rows
from jaxuq.language.scoring import Alternatives, token_scores
from jaxuq.language.steering import steered
from jaxuq.networks import Model, capability

SIZES = (1, 4, 16, 32, 64, 128)
"""Numbers of rows that there are programs for."""
PIECES = (32, 128)
"""Lengths of the pieces that prompts are read in; each a multiple of those before it."""
CHUNK = 16
"""The most steps between two looks at a running batch."""
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
    """

    cache: Any
    places: Int[Array, "rows slots"]
    hidden: Float[Array, "rows ..."]
    lengths: Int[Array, "rows"]
    counts: Int[Array, "rows"]
    said: Float[Array, "rows vocab"]
    running: Bool[Array, "rows"]
    settings: Any


class Said(NamedTuple):
    """What a chunk of steps has made; -1 (tokens) or 0 where a row did not run.

    Attributes:
        tokens: `[rows, CHUNK]`.
        log_probs: by the model's own distribution.
        entropies: of it.
        alternatives: its most likely tokens, in rows that want them; None if none can have them.
        observed: what the model's `observe` said.
    """

    tokens: Int[Array, "rows chunk"]
    log_probs: Float[Array, "rows chunk"]
    entropies: Float[Array, "rows chunk"]
    alternatives: Alternatives | None
    observed: PyTree


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


@functools.partial(jax.jit, static_argnames=("model", "width"))
def empty_prompt(model: Model, params: PyTree, *, width: int) -> Any:
    """The cache of one row, before a prompt is read."""
    return capability(model, "init_cache")(params, 1, width)


@functools.partial(jax.jit, static_argnames=("model", "width"))
def begin_prompt(model: Model, cache: Any, known: Array, *, width: int) -> Any:
    """A copy of the cache of one row, in which nothing but the first `known` tokens is left; `width` slots."""
    rows = capability(model, "rows")
    slots = jnp.arange(width, dtype=jnp.int32)[None]
    cache = rows.extend(cache, width)  # at least as wide; cut to `width` by arranging
    return capability(model, "rows.seek")(rows.arrange(cache, jnp.where(slots < known, slots, -1), slots), known)


@functools.partial(jax.jit, static_argnames=("model",), donate_argnames=("cache",))
def read_piece(model: Model, params: PyTree, cache: Any, tokens: Array, begin: Array, length: Array) -> tuple[Any, Any]:
    """Read `length` tokens of a prompt, those from `begin` on; the hidden state of the last, and the cache."""
    slots = jnp.arange(tokens.shape[1], dtype=jnp.int32)[None]
    hidden, cache, _ = model.hidden_of(params, tokens, jnp.where(slots < length, begin + slots, -1), cache)
    last = jax.lax.dynamic_index_in_dim(hidden, length - 1, axis=1, keepdims=False)
    return last, capability(model, "rows.seek")(cache, begin + length)


@functools.partial(jax.jit, static_argnames=("model",), donate_argnames=("slots",))
def join_row(
    model: Model, slots: Slots, row: Array, used: Array, cache: Any, hidden: Array, length: Array, own: RowSettings
) -> Slots:
    """An answer takes a free row; its prompt is in the first slots, and the next token of all rows goes behind it.

    Args:
        model: of the cache.
        slots: the batch.
        row: that is free.
        used: slots used then, at least `length`.
        cache: of the prompt, from `read_piece`.
        hidden: of its last token.
        length: of the prompt.
        own: settings without the axis of rows; no `bias`: none.
    """
    numbers = jnp.arange(slots.places.shape[1], dtype=jnp.int32)
    merged = capability(model, "rows.put")(slots.cache, cache, row)
    bias = jnp.zeros_like(slots.settings.bias[0]) if own.bias is None else own.bias

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
    taken = jax.tree.map(take, slots._replace(cache=None))
    running = taken.running & (rows >= 0)
    places = jnp.where(running[:, None], taken.places, -1)
    order = jnp.argsort(places < 0, axis=1, stable=True)[:, :width].astype(jnp.int32)
    places = jnp.take_along_axis(places, order, axis=1)
    cache = ways.arrange(cache, places, order)
    if width > old:
        cache = ways.extend(cache, width - old)
        places = jnp.pad(places, ((0, 0), (0, width - old)), constant_values=-1)
    return taken._replace(cache=capability(model, "rows.seek")(cache, used), places=places, running=running)


@functools.partial(jax.jit, static_argnames=("model", "most_alternatives"), donate_argnames=("slots",))
def advance_rows(
    model: Model,
    params: PyTree,
    slots: Slots,
    stays: Array,
    used: Array,
    steps: Array,
    stops: Array,
    *,
    most_alternatives: int,
) -> tuple[Slots, Said, Array]:
    """Some steps of all rows that run; ends early when none does.

    Args:
        model: that answers.
        params: of the model.
        slots: the batch.
        stays: False for rows that are called off.
        used: slots used, of which `steps` more are there.
        steps: at most `CHUNK`.
        stops: tokens that end an answer.
        most_alternatives: how many of the likeliest tokens are told where they are wanted.

    Returns:
        The batch, what was said, and the number of steps.
    """
    rows, settings = slots.running.shape[0], slots.settings
    slots = slots._replace(running=slots.running & stays, settings=None)  # which no step changes
    steers = (settings.frequency != 0) | (settings.presence != 0) | (settings.bias != 0).any(1)

    def choose(slots: Slots) -> tuple[Array, Any]:
        logits = as_float(model.token_logits(params, slots.hidden))
        changed = jax.lax.cond(
            (steers & slots.running).any(),
            lambda logits: steered(
                logits, slots.said, settings.bias, settings.frequency[:, None], settings.presence[:, None]
            ).astype(logits.dtype),
            lambda logits: logits,
            logits,
        )
        keys = jax.vmap(jax.random.fold_in)(settings.rng_keys, slots.counts)
        chosen = sample_rows(keys, changed, settings.sampling)
        scores = token_scores(logits, chosen)
        others = None
        if most_alternatives:
            shape = (rows, most_alternatives)
            others = jax.lax.cond(
                (settings.shows & slots.running).any(),
                lambda logits: token_scores(logits, chosen, top_alternatives=most_alternatives).alternatives,
                lambda logits: Alternatives(jnp.zeros(shape, jnp.int32), jnp.zeros(shape, logits.dtype)),
                logits,
            )
        observed = None if model.observe is None else model.observe(params, slots.hidden, chosen)
        return chosen, (chosen, scores.log_probs, scores.entropies, others, observed)

    def column(slots: Slots) -> Any:
        return choose(slots)[1]

    def blank(leaf: Any) -> Array:
        return jnp.zeros((rows, CHUNK, *leaf.shape[1:]), leaf.dtype)

    said = jax.tree.map(blank, jax.eval_shape(column, slots))
    said = (said[0] - 1, *said[1:])

    def unfinished(carry: tuple[Slots, Any, Array]) -> Array:
        return (carry[2] < steps) & carry[0].running.any()

    def step(carry: tuple[Slots, Any, Array]) -> tuple[Slots, Any, Array]:
        slots, said, number = carry
        running = slots.running
        chosen, about = choose(slots)

        def write(whole: Array, new: Array) -> Array:
            old = jax.lax.dynamic_index_in_dim(whole, number, axis=1, keepdims=False)
            mask = running.reshape(-1, *(1,) * (new.ndim - 1))
            return jax.lax.dynamic_update_index_in_dim(whole, jnp.where(mask, new, old), number, axis=1)

        counts = slots.counts + running.astype(jnp.int32)
        goes_on = running & (counts < settings.limit)
        if stops.size:
            goes_on &= ~(chosen[:, None] == stops[None]).any(1)
        positions = jnp.where(goes_on, slots.lengths + counts - 1, -1)[:, None]
        hidden, cache, _ = model.hidden_of(params, chosen[:, None], positions, slots.cache)
        slots = slots._replace(
            cache=cache,
            places=jax.lax.dynamic_update_slice_in_dim(slots.places, positions, used + number, axis=1),
            hidden=hidden[:, 0].astype(slots.hidden.dtype),
            counts=counts,
            said=slots.said.at[jnp.arange(rows), chosen].add(running.astype(slots.said.dtype)),
            running=goes_on,
        )
        return slots, jax.tree.map(write, said, about), number + 1

    slots, said, number = jax.lax.while_loop(unfinished, step, (slots, said, jnp.zeros((), jnp.int32)))
    return slots._replace(settings=settings), Said(*said), number
