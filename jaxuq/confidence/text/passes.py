"""What a pass leaves behind for the measures: from reading a given text, or from having generated it."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxuq.confidence.text.token_quantities import Watched
from jaxuq.language import AnswerStates, Generation
from jaxuq.networks import CapabilityError, Decoder, Model, as_model, capability, on_layers


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
        queries: after rotary embedding; those of the prompt may be missing but for its last token. None: not kept.
        cache: keys and values, in slots 0, 1, 2, ... of the text; None: not kept.
        scores: log-probabilities and entropies of the tokens of the response, where they are known; 0 elsewhere.
        values: reductions of their distributions that are known too, by name.
    """

    before: Float[Array, "batch time hidden"]
    own: Float[Array, "batch time hidden"]
    queries: Float[Array, "layers batch time heads dim"] | None
    cache: Any
    scores: tuple[Float[Array, "batch time"], Float[Array, "batch time"]] | None = None
    values: dict[str, Float[Array, "batch time"]] | None = None


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


def queries_of(kept: Pass) -> Array:
    """The queries of a pass that kept them; a CapabilityError if the model gave none."""
    if kept.queries is None:
        raise CapabilityError("`read` returns no queries, which attention is made of; let it return them")
    return kept.queries


@functools.partial(jax.jit, static_argnames=("model",))
def read_texts(model: Model | Decoder, params: PyTree, texts: Texts) -> Pass:
    """Read prompts with their responses: one pass, whose queries and keys are kept. Memory is linear in the length."""
    hidden, cache, queries = as_model(model).hidden_of(params, texts.tokens, text_positions(texts))
    return Pass(_before(hidden), hidden, None if queries is None else stacked(queries), cache)


def seen_pass(seen: AnswerStates, scores: tuple[Array, Array]) -> Pass:
    """The pass that a running batch made of one answer, without another one.

    Args:
        seen: of the answer, as wide as its text.
        scores: log-probabilities and entropies, see `Pass`.
    """
    return Pass(_before(seen.hidden), seen.hidden, stacked(seen.queries), seen.cache, scores)


def _before(hidden: Array) -> Array:
    """From the states of tokens as inputs to those which they were predicted from."""
    return jnp.pad(hidden[:, :-1], ((0, 0), (1, 0), (0, 0)))


@functools.partial(jax.jit, static_argnames=("model",))
def generated_pass(model: Model | Decoder, generation: Generation, texts: Texts) -> Pass:
    """The pass that a generation was, without another one; the last token's own state is known if one followed it.

    Args:
        model: that generated.
        generation: with hidden states kept, of greedy or sampled answers, a row each; if queries were kept too, they
            and the cache are arranged as those of the texts.
        texts: the same prompts and answers.
    """
    hidden = generation.hidden
    assert hidden is not None
    slots = jnp.arange(texts.tokens.shape[1], dtype=jnp.int32)[None]
    number = slots - texts.begins[:, None]  # of the token in the response

    def states(shift: int) -> Array:
        index = number + shift
        found = (index >= 0) & (index < hidden.shape[1])
        inside = jnp.clip(index, 0, hidden.shape[1] - 1)[..., None]
        rows = jnp.take_along_axis(hidden, inside, axis=1)
        return jnp.where(found[..., None], rows, jnp.zeros((), rows.dtype))

    inside = jnp.clip(number, 0, generation.tokens.shape[1] - 1)
    response = response_mask(texts)

    def columns(whole: Array) -> Array:
        return jnp.where(response, jnp.take_along_axis(whole, inside, axis=1), 0.0)

    scores = columns(generation.log_probs), columns(generation.entropies)
    observed = generation.observed
    values = jax.tree.map(columns, observed.values) if isinstance(observed, Watched) else {}
    if generation.queries is None:
        return Pass(states(0), states(1), None, None, scores, values)
    room = jax.tree.leaves(generation.queries)[0].shape[-3]
    width = room - generation.tokens.shape[1] + 1
    place = jnp.where(number < 0, slots, width + number)  # in the generation's cache, behind the prompts' padding
    place = jnp.clip(place, 0, room - 1)

    def moved(leaf: Array, batch: int) -> Array:
        shape = [1] * leaf.ndim
        shape[batch], shape[batch + 1] = place.shape
        return jnp.take_along_axis(leaf, place.reshape(shape), axis=batch + 1)

    cache = capability(model, "rows").arrange(generation.cache, text_positions(texts), place)
    return Pass(states(0), states(1), stacked(on_layers(generation.queries, moved)), cache, scores, values)
