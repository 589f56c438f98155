"""The compiled loop over the rows of a running batch.

Every row has settings of its own, and draws token t with `fold_in(key of the row, t)`, as `generate_tokens` does: what
it says follows from its prompt, settings and key, not from its neighbours (but for rounding). One program for each pair
of a number of rows and a width of the cache.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from jaxuq._arrays import as_float
from jaxuq.language.masking import mask_logits
from jaxuq.language.row_sampling import sample_rows
from jaxuq.language.scoring import Alternatives, token_scores
from jaxuq.language.slots import Slots
from jaxuq.language.steering import steered
from jaxuq.language.watching import see_token
from jaxuq.networks import Model

CHUNK = 16
"""The most steps between two looks at a running batch."""


class Said(NamedTuple):
    """What a chunk of steps has made; -1 (tokens) or 0 where a row did not run.

    Attributes:
        tokens: `[rows, CHUNK]`.
        log_probs: by the model's own distribution.
        entropies: of it.
        allowed_log_probs: of all tokens together that were allowed; None if all were in all rows.
        alternatives: its most likely tokens, in rows that want them; None if none can have them.
        observed: what the model's `observe` said.
    """

    tokens: Int[Array, "rows chunk"]
    log_probs: Float[Array, "rows chunk"]
    entropies: Float[Array, "rows chunk"]
    allowed_log_probs: Float[Array, "rows chunk"] | None
    alternatives: Alternatives | None
    observed: PyTree


@functools.partial(jax.jit, static_argnames=("model", "most_alternatives"), donate_argnames=("slots",))
def advance_rows(
    model: Model,
    params: PyTree,
    slots: Slots,
    stays: Array,
    used: Array,
    steps: Array,
    stops: Array,
    allowed: Array | None,
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
        allowed: which tokens may be chosen in each row, see `masking`, for one step; None: all, for any number.
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
        mass = None
        if allowed is not None:
            mass = mask_logits(logits, allowed)[1]
            changed = mask_logits(changed, allowed)[0]
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
        return chosen, (chosen, scores.log_probs, scores.entropies, mass, others, observed)

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
        read = goes_on if slots.watched is None else running  # watched answers are read to their last token
        positions = jnp.where(read, slots.lengths + counts - 1, -1)[:, None]
        hidden, cache, queries = model.hidden_of(params, chosen[:, None], positions, slots.cache)
        watched = slots.watched
        if watched is not None:
            watched = see_token(watched, queries, hidden, used + number)
        slots = slots._replace(
            cache=cache,
            places=jax.lax.dynamic_update_slice_in_dim(slots.places, positions, used + number, axis=1),
            hidden=hidden[:, 0].astype(slots.hidden.dtype),
            counts=counts,
            said=slots.said.at[jnp.arange(rows), chosen].add(running.astype(slots.said.dtype)),
            running=goes_on,
            watched=watched,
        )
        return slots, jax.tree.map(write, said, about), number + 1

    slots, said, number = jax.lax.while_loop(unfinished, step, (slots, said, jnp.zeros((), jnp.int32)))
    return slots._replace(settings=settings), Said(*said), number
