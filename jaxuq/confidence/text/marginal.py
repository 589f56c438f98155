"""The sum over substituted chains: sequences with one token changed, scored from where they differ."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from jaxuq._arguments import typed
from jaxuq.confidence.attention_chain import AttentionChain
from jaxuq.confidence.chain_confidence import answer_approximation
from jaxuq.confidence.similarity_filter import SimilarityFilter
from jaxuq.confidence.text.options import DEFAULTS, ChainOptions
from jaxuq.confidence.text.passes import Texts, read_texts
from jaxuq.confidence.text.reading import Reading, read_pass
from jaxuq.language import map_logits, token_scores
from jaxuq.networks import Decoder, Model, as_model, capability

_ROWS, _BLOCK = 32, 64  # changed sequences that run together, and tokens of each that are read at a time


def _log_prob(logits: Array, tokens: Array) -> Array:
    return token_scores(logits, tokens).log_probs


@functools.partial(jax.jit, static_argnames=("model",))
def substituted_log_probs(
    model: Model | Decoder, params: PyTree, texts: Texts, reading: Reading, cache: Any
) -> tuple[Float[Array, "batch rows time"], Bool[Array, "batch rows"]]:
    r"""Log-probabilities of each text as it is, and with single tokens of its filtered chain changed.

    Every changed sequence starts from the cache of its own text up to the change, and is read from there to the last
    token of the answer; logits are made in blocks, and for blocks without a token that counts not at all. Sequences of
    similar length, whichever texts they belong to, run together, 32 at a time and 64 tokens of each; what is not there
    costs nothing. Holds the caches of these 32, twice as long as the texts.

    Args:
        model: or a decoder; with rows of its cache.
        params: of the model.
        texts: with answers.
        reading: of the texts, with chains.
        cache: of the same pass.

    Returns:
        For the tokens of answer and filtered chain; rows beyond the first are those of `reading.changes`. And which
        rows there are.
    """
    model = as_model(model)
    assert reading.filtered is not None and reading.changes is not None
    rows, slots = capability(model, "rows"), capability(model, "attention").positions
    changes, tokens = reading.changes, texts.tokens
    (batch, time), size = tokens.shape, reading.changes.positions.shape[1]
    counts = texts.answer | reading.filtered.tokens
    places = jnp.arange(time, dtype=jnp.int32)
    ends = jnp.max(jnp.where(counts, places[None], 0), axis=1)  # the last token is predicted, not read
    valid = changes.valid & jnp.any(texts.answer, axis=1, keepdims=True)
    lengths = jnp.where(valid, jnp.maximum(ends[:, None] - changes.positions, 0), 0).ravel()
    together = min(_ROWS, batch * size)
    block = min(_BLOCK, time)
    blocks = -(-time // block)
    padding = -(batch * size) % together
    order = jnp.argsort(0 - jnp.pad(lengths, (0, padding)), stable=True).astype(jnp.int32)

    def scored(group: Array) -> Array:
        """Log-probabilities of the tokens that count behind the changes, at their places; 0 elsewhere."""
        number = jnp.minimum(group, batch * size - 1)
        owner, length = number // size, jnp.where(group < batch * size, lengths[number], 0)
        begin, changed = changes.positions.ravel()[number], changes.tokens.ravel()[number]
        own = rows.take(cache, owner)
        own = rows.arrange(own, jnp.where(slots(own) < begin[:, None], slots(own), -1))
        text, counted = tokens[owner], counts[owner]
        steps = jnp.arange(block, dtype=jnp.int32)[None]

        def read(carry: tuple[Array, Any, Array]) -> tuple[Array, Any, Array]:
            done, room, found = carry
            there = done + steps < length[:, None]
            at = begin[:, None] + done + steps
            said = jnp.take_along_axis(text, jnp.minimum(at, time - 1), axis=1)
            said = jnp.where(done + steps == 0, changed[:, None].astype(said.dtype), said)
            hidden, room, _ = model.hidden_of(params, said, jnp.where(there, at, -1), room)
            after = jnp.minimum(at + 1, time - 1)
            wanted = there & jnp.take_along_axis(counted, after, axis=1)
            targets = jnp.take_along_axis(text, after, axis=1)
            one = map_logits(_log_prob, model, params, hidden, targets, where=wanted)
            found = found.at[jnp.arange(together)[:, None], jnp.where(wanted, after, time)].set(one, mode="drop")
            return done + block, room, found

        start = (jnp.zeros((), jnp.int32), rows.extend(own, blocks * block), jnp.zeros((together, time), jnp.float32))
        longest = jnp.max(length)
        return jax.lax.while_loop(lambda carry: carry[0] < longest, read, start)[2]

    def group(numbers: Array) -> Array:
        empty = jnp.zeros((together, time), jnp.float32)
        some = lengths[jnp.minimum(numbers[0], batch * size - 1)] > 0  # the longest comes first
        return jax.lax.cond(some, scored, lambda _: empty, numbers)

    found = jax.lax.map(group, order.reshape(-1, together)).reshape(-1, time)
    found = jnp.zeros_like(found).at[order].set(found)[: batch * size].reshape(batch, size, time)
    at = changes.positions[..., None]
    behind = jnp.where(places[None, None] > at, found, reading.log_probs[:, None])
    behind = jnp.where(places[None, None] == at, changes.log_probs[..., None], behind)
    both = jnp.concatenate([reading.log_probs[:, None], behind], axis=1)
    there = jnp.concatenate([jnp.ones((batch, 1), bool), valid], axis=1)
    return jnp.where(counts[:, None] & there[..., None], both, 0.0), there


@functools.partial(jax.jit, static_argnames=("model", "options"))
def marginal_confidence(
    model: Model | Decoder,
    params: PyTree,
    texts: Texts,
    reading: Reading,
    cache: Any,
    *,
    options: ChainOptions = DEFAULTS,
) -> Float[Array, " batch"]:
    r"""$\tilde P$ of each text: the sum over the chain as it is and with single tokens changed (Eq 3.12).

    Args:
        model: or a decoder.
        params: of the model.
        texts: with answers.
        reading: of the texts, with chains.
        cache: of the same pass.
        options: of UQAC.

    Returns:
        In [0, 1]; NaN for texts without an answer.
    """
    assert reading.filtered is not None
    log_probs, there = substituted_log_probs(model, params, texts, reading, cache)
    one = functools.partial(answer_approximation, convention=options.convention)
    return jax.vmap(lambda rows, answer, filtered, where: one(rows, answer, filtered, where=where))(
        log_probs, texts.answer, reading.filtered.tokens, there
    )


class ChainScores(NamedTuple):
    """UQAC of a batch of texts.

    Attributes:
        marginal: $\\tilde P$; NaN for texts without an answer.
        similarity: $\\tilde P_{sim}$.
        attention: $\\tilde P_{attn}$.
        chain: the attention chains.
        filtered: their tokens most similar to the answers.
    """

    marginal: Float[Array, " batch"]
    similarity: Float[Array, " batch"]
    attention: Float[Array, " batch"]
    chain: AttentionChain
    filtered: SimilarityFilter


@typed()
@functools.partial(jax.jit, static_argnames=("model", "options"))
def chain_scores(
    model: Model | Decoder, params: PyTree, texts: Texts, *, options: ChainOptions = DEFAULTS
) -> ChainScores:
    r"""UQAC whole, as one function of arrays: pass, chain, filter, and the sum over substituted chains.

    $$\tilde P = \sum_{x'_{attn} \in S} P(x_{ans}, x'_{attn} \mid x_{instr})$$

    For texts that are tokens already; `uqac` begins with words. Pure: it works within `jit` and on a mesh that divides
    the texts, and holds no `[layers, heads, time, time]` and no `[batch, time, vocabulary]`.

    Args:
        model: with attention and rows of its cache; a decoder has both.
        params: of the model; for a decoder what its `apply` takes.
        texts: prompts and responses in one row each, with the places of the answers.
        options: heads, thresholds, conventions.

    Returns:
        `ChainScores`.

    Raises:
        CapabilityError: the model has no attention, or no rows.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.networks import DecoderConfig
        >>> decoder = Decoder(DecoderConfig(7, 4, 4, num_layers=2, num_heads=1, num_kv_heads=1, head_dim=4))
        >>> tokens, places = jnp.array([[1, 2, 3, 4, 5, 6]]), jnp.arange(6)[None]
        >>> texts = Texts(tokens, jnp.array([6]), jnp.array([2]), places == 5, jnp.zeros((1, 6), bool))
        >>> variables = jax.jit(decoder.init)(jax.random.key(0), tokens)
        >>> found = chain_scores(decoder, variables, texts)
        >>> bool(0 < found.attention[0]) and bool(found.attention[0] <= found.similarity[0] <= found.marginal[0])
        True

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, chapter 3.
        Li, Qiang, Moukheiber and Zhang. Language Model Uncertainty Quantification with Attention Chain. arXiv
        2503.19168, 2025.
    """
    kept = read_texts(model, params, texts)
    reading = read_pass(model, params, texts, kept, options=options, needs=frozenset(("chain", "substitutions")))
    assert reading.confidence is not None and reading.chain is not None and reading.filtered is not None
    marginal = marginal_confidence(model, params, texts, reading, kept.cache, options=options)
    confidence = reading.confidence
    return ChainScores(marginal, confidence.similarity, confidence.attention, reading.chain, reading.filtered)
