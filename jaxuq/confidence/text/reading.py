"""From one pass to what the measures are made of: token quantities, chain, filter, substitutions; what is asked for."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxuq.confidence.attention_chain import AttentionChain, attention_chain, eligible_tokens
from jaxuq.confidence.chain_confidence import ChainConfidence, Substitutions, chain_confidence, substitutions
from jaxuq.confidence.similarity_filter import SimilarityFilter, similarity_filter
from jaxuq.confidence.text.options import DEFAULTS, ChainOptions
from jaxuq.confidence.text.passes import (
    Pass,
    Texts,
    inner_mask,
    queries_of,
    response_mask,
    stacked,
    text_positions,
)
from jaxuq.confidence.text.token_quantities import Reductions, TokenQuantities, looks_back, token_quantities
from jaxuq.language import map_logits
from jaxuq.networks import Decoder, Model, as_model, capability

ALL_NEEDS = frozenset(("tokens", "attention", "states", "chain", "substitutions"))


class Reading(NamedTuple):
    """What a pass over `Texts` tells; index t belongs to token t. None: not asked for.

    Attributes:
        log_probs: of each token of the response, given those before it.
        said: the same as the convention has them.
        entropies: of the distributions that they were predicted from.
        values: further reductions of these, by the name of their measure.
        state: hidden state at the end of the prompt.
        chain: the attention chain.
        filtered: its tokens most similar to the answer.
        confidence: $\\tilde P_{attn}$ and $\\tilde P_{sim}$.
        changes: single tokens to try in the place of filtered ones; of a chain, where substitutions are asked for.
        back: attention of each token on the one before it, in the middle layers, `[batch, middle, heads, time]`.
        itself: attention of each token on itself in the middle layer, `[batch, heads, time]`.
        without: similarity of the response to itself without each token, by mean hidden states.
        embedding: mean hidden state of the response.
    """

    log_probs: Float[Array, "batch time"]
    said: Float[Array, "batch time"]
    entropies: Float[Array, "batch time"]
    values: dict[str, Array]
    state: Float[Array, "batch hidden"]
    chain: AttentionChain | None = None
    filtered: SimilarityFilter | None = None
    confidence: ChainConfidence | None = None
    changes: Substitutions | None = None
    back: Float[Array, "batch middle heads time"] | None = None
    itself: Float[Array, "batch heads time"] | None = None
    without: Float[Array, "batch time"] | None = None
    embedding: Float[Array, "batch hidden"] | None = None


@functools.partial(jax.jit, static_argnames=("model", "options", "needs", "reductions"))
def read_pass(
    model: Model | Decoder,
    params: PyTree,
    texts: Texts,
    kept: Pass,
    *,
    options: ChainOptions = DEFAULTS,
    needs: frozenset[str] = ALL_NEEDS,
    reductions: Reductions = (),
) -> Reading:
    """What the measures of one answer are made of; see `Reading`.

    Logits are made once more, in blocks, for the tokens of the responses, where their scores are not known. Beside the
    pass it holds one token's attention at a time: memory is linear in the length. Chains are found one row after the
    other.

    Args:
        model: or a decoder.
        params: of the model.
        texts: prompts with their responses.
        kept: what a pass over them left.
        options: of UQAC.
        needs: which parts are made, see `jaxuq.confidence.measures`: `chain`, `substitutions` (of the chain),
            `attention`, `states`.
        reductions: of the distributions.
    """
    model = as_model(model)
    response = response_mask(texts)
    reduce = functools.partial(token_quantities, reductions=reductions, convention=options.convention)
    values = kept.values or {}
    if kept.scores is None or options.convention == "published" or any(name not in values for name, _ in reductions):
        made = map_logits(reduce, model, params, kept.before, texts.tokens, where=response)
    else:
        log_probs, entropies = kept.scores
        made = TokenQuantities(log_probs, log_probs, entropies, {name: values[name] for name, _ in reductions})
    first = jnp.minimum(texts.begins, texts.tokens.shape[1] - 1)[:, None, None]
    state = jnp.take_along_axis(kept.before, first, axis=1)[:, 0].astype(jnp.float32)
    reading = Reading(**made._asdict(), state=state)
    if "chain" in needs:
        reading = _with_chains(model, params, texts, kept, reading, options, "substitutions" in needs)
    if "attention" in needs:
        attention = capability(model, "attention")
        keys = stacked(attention.keys(kept.cache))
        back, itself = looks_back(queries_of(kept), keys, text_positions(texts), attention)
        reading = reading._replace(back=back, itself=itself)
    return _with_states(texts, kept, reading) if "states" in needs else reading


def _with_chains(
    model: Model, params: PyTree, texts: Texts, kept: Pass, reading: Reading, options: ChainOptions, substitutes: bool
) -> Reading:
    attention, response, positions = capability(model, "attention"), response_mask(texts), text_positions(texts)
    hidden = kept.own.astype(jnp.float32)
    queries, keys = queries_of(kept), stacked(attention.keys(kept.cache))
    size = options.max_tokens
    candidates = min(options.max_substitutions + 1, model.vocab_size)

    def chain_of(row: tuple[Array, ...]) -> tuple[Any, ...]:
        queries, keys, positions, response, answer, stop, said, hidden, before, tokens = row
        eligible = eligible_tokens(response, answer, stop)
        chain = attention_chain(
            queries, keys, positions, answer, eligible, scale=attention.scale,
            windows=attention.window_array,
            softcap=attention.softcap, factors=options.factors, num_heads=options.num_heads,
            reduction=options.reduction, buffer=options.buffer, threshold=options.threshold,
            free_tokens=options.free_tokens, convention=options.convention,
        )  # fmt: skip
        among = chain.tokens if options.use_attention else eligible
        filtered = similarity_filter(
            hidden, among, answer, max_tokens=size, threshold=options.similarity_threshold,
            convention=options.convention,
        )  # fmt: skip
        confidence = chain_confidence(said, answer, among, filtered.tokens)
        if not substitutes:
            return chain, filtered, confidence, None
        places = jnp.nonzero(filtered.tokens, size=size, fill_value=tokens.shape[0])[0].astype(jnp.int32)
        inside = jnp.minimum(places, tokens.shape[0] - 1)
        logits = model.token_logits(params, before[inside]).astype(jnp.float32)
        likely, names = jax.lax.top_k(jax.nn.log_softmax(logits, axis=-1), candidates)
        changes = substitutions(
            tokens[inside], places < tokens.shape[0], names.astype(jnp.int32), likely,
            threshold=options.substitution_threshold, size=options.max_substitutions, convention=options.convention,
        )  # fmt: skip
        return chain, filtered, confidence, changes._replace(positions=inside[changes.positions])

    rows = (queries.swapaxes(0, 1), keys.swapaxes(0, 1), positions, response, texts.answer, texts.stop)
    rows = (*rows, reading.said, hidden, kept.before, texts.tokens)
    chain, filtered, confidence, changes = jax.lax.map(chain_of, rows)
    return reading._replace(chain=chain, filtered=filtered, confidence=confidence, changes=changes)


def _with_states(texts: Texts, kept: Pass, reading: Reading) -> Reading:
    inner, hidden = inner_mask(texts), kept.own.astype(jnp.float32)
    counted = jnp.broadcast_to(inner[..., None], hidden.shape)
    states = jnp.where(counted, hidden, 0.0)
    total, number = jnp.sum(states, axis=1), jnp.maximum(jnp.sum(inner, axis=1), 1).astype(jnp.float32)[:, None]
    rest = jnp.broadcast_to(total[:, None], states.shape) - states
    dots = jnp.einsum("bd,btd->bt", total, rest)
    norms = jnp.linalg.norm(total, axis=-1, keepdims=True) * jnp.linalg.norm(rest, axis=-1)
    without = jnp.where(inner & (norms > 0), dots / jnp.where(norms > 0, norms, 1.0), 1.0)
    return reading._replace(without=without, embedding=total / number)
