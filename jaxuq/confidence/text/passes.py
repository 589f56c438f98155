"""What a pass leaves behind for the measures: from reading a given text, or from having generated it."""

import functools
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxuq.language import Generation
from jaxuq.networks import Decoder, DecoderOutput, KeyValueCache


class Texts(NamedTuple):
    """Prompts with their responses, a row each, padded on the right.

    Attributes:
        tokens: of prompt and response.
        lengths: of both together; 0 for a row that is not in use.
        begins: where the response begins.
        answer: True for the tokens of the final answer.
        stop: True for tokens that no chain takes, see `stop_tokens`.
    """

    tokens: Int[Array, "batch time"]
    lengths: Int[Array, " batch"]
    begins: Int[Array, " batch"]
    answer: Bool[Array, "batch time"]
    stop: Bool[Array, "batch time"]


class Pass(NamedTuple):
    """Hidden states, queries, and cache of `Texts`; index t belongs to token t.

    Attributes:
        before: last hidden state from which a token was predicted; that of the token before it.
        own: last hidden state where the token was the input.
        queries: after rotary embedding; those of the prompt may be missing but for its last token.
        cache: keys and values, in slots 0, 1, 2, ... of the text.
    """

    before: Float[Array, "batch time hidden"]
    own: Float[Array, "batch time hidden"]
    queries: Float[Array, "layers batch time heads dim"]
    cache: KeyValueCache


def text_positions(texts: Texts) -> Int[Array, "batch time"]:
    """0, 1, 2, ...; -1 for padding."""
    slots = jnp.broadcast_to(jnp.arange(texts.tokens.shape[1], dtype=jnp.int32), texts.tokens.shape)
    return jnp.where(slots < texts.lengths[:, None], slots, -1)


def response_mask(texts: Texts) -> Bool[Array, "batch time"]:
    """True for the tokens of the responses."""
    return text_positions(texts) >= texts.begins[:, None]


def inner_mask(texts: Texts) -> Bool[Array, "batch time"]:
    """True for the tokens of the responses but the last, whose own state a generation does not know."""
    return response_mask(texts) & (text_positions(texts) < texts.lengths[:, None] - 1)


def stacked(part: Any) -> Array:
    """Layers on the first axis, however the decoder keeps them."""
    return jnp.stack(part) if isinstance(part, tuple) else part


@functools.partial(jax.jit, static_argnames=("decoder",))
def read_texts(decoder: Decoder, variables: PyTree, texts: Texts) -> Pass:
    """Read prompts with their responses: one pass, whose queries and keys are kept. Memory is linear in the length."""
    output = decoder.apply(variables, texts.tokens, text_positions(texts), keep_cache=True, keep_queries=True)
    output = cast(DecoderOutput, output)
    assert output.cache is not None
    before = jnp.pad(output.hidden[:, :-1], ((0, 0), (1, 0), (0, 0)))
    return Pass(before, output.hidden, stacked(output.queries), output.cache)


@jax.jit
def generated_pass(generation: Generation, texts: Texts) -> Pass:
    """The pass that a generation was, without another one; the last token's own state is known if one followed it.

    Args:
        generation: with hidden states and queries kept, of greedy or sampled answers, a row each.
        texts: the same prompts and answers.
    """
    hidden = generation.hidden
    assert hidden is not None
    time, width = texts.tokens.shape[1], generation.cache.positions.shape[1] - generation.tokens.shape[1] + 1
    slots = jnp.arange(time, dtype=jnp.int32)[None]
    number = slots - texts.begins[:, None]  # of the token in the response
    place = jnp.where(number < 0, slots, width + number)  # in the generation's cache, behind the prompts' padding
    place = jnp.clip(place, 0, generation.cache.positions.shape[1] - 1)

    def states(shift: int) -> Array:
        index = number + shift
        found = (index >= 0) & (index < hidden.shape[1])
        inside = jnp.clip(index, 0, hidden.shape[1] - 1)[..., None]
        rows = jnp.take_along_axis(hidden, inside, axis=1)
        return jnp.where(found[..., None], rows, jnp.zeros((), rows.dtype))

    def moved(part: Any, axis: int) -> Any:
        if isinstance(part, tuple):
            return tuple(moved(layer[None], axis)[0] for layer in part)
        shape = [1] * part.ndim
        shape[1], shape[axis] = place.shape
        return jnp.take_along_axis(part, place.reshape(shape), axis=axis)

    cache = generation.cache
    kept = KeyValueCache(
        moved(cache.keys, 3), moved(cache.values, 3), text_positions(texts), jnp.asarray(time, jnp.int32)
    )
    return Pass(states(0), states(1), moved(stacked(generation.queries), 2), kept)
