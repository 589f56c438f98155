"""What a model thought of each token of a given text: one pass, and never `[time, vocabulary]` at once."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxuq._arguments import typed
from jaxuq._arrays import select, take_class, widened
from jaxuq._errors import OptionError
from jaxuq._shapes import checked
from jaxuq.language.attention import Captured
from jaxuq.language.logit_blocks import map_logits
from jaxuq.language.sampling import vocabulary_sum
from jaxuq.language.score_kernel import fused_scores
from jaxuq.networks import Decoder, Model, as_model, capability


class Alternatives(NamedTuple):
    """The most likely tokens at one place, most likely first.

    Attributes:
        tokens: numbers.
        log_probs: of each.
    """

    tokens: Int[Array, "*batch alternatives"]
    log_probs: Float[Array, "*batch alternatives"]


class TokenScores(NamedTuple):
    """What a distribution over the vocabulary says about a token, in nats.

    Attributes:
        log_probs: of the token.
        entropies: of the distribution.
        alternatives: the most likely tokens; None if not asked for.
    """

    log_probs: Float[Array, "*batch"]
    entropies: Float[Array, "*batch"]
    alternatives: Alternatives | None


class Scores(NamedTuple):
    r"""Per-token quantities of a text; index t belongs to token t, given those before it. Zero where not scored.

    Attributes:
        log_probs: $\log p(y_t \mid y_{<t})$.
        entropies: of $p(\\cdot \\mid y_{<t})$.
        alternatives: the most likely tokens in place of $y_t$, `[batch, time, alternatives]`; None if not asked for.
        hidden: the last hidden state, from which token t was predicted (that of token t - 1), `[batch, time, hidden]`;
            None if not asked for.
        captured: what `attention_rows` needs; None if not asked for.
        cache: keys and values of the text, for further text; None if not asked for.
    """

    log_probs: Float[Array, "batch time"]
    entropies: Float[Array, "batch time"]
    alternatives: Alternatives | None
    hidden: Float[Array, "batch time hidden"] | None
    captured: Captured | None
    cache: Any


@checked
@widened
def token_scores(
    logits: Float[Array, "*batch vocab"],
    tokens: Int[Array, "*batch"],
    *,
    top_alternatives: int = 0,
    kernel: bool = False,
) -> TokenScores:
    r"""Log-probability of a token, entropy, and the most likely tokens.

    $\log p_y = x_y - \log \sum_v e^{x_v}$ and $H = \log \sum_v e^{x_v} - \sum_v p_v x_v$, over the whole vocabulary and
    at temperature 1: the model's own distribution, whatever the token was sampled with.

    Args:
        logits: finite.
        tokens: numbers; one outside the vocabulary has a log-probability of NaN.
        top_alternatives: how many of the most likely tokens to return; at most the vocabulary.
        kernel: one Pallas kernel that reads the logits once, interpreted on a CPU. It has never been run, let alone
            measured, on an accelerator, and it has no gradient; False: plain operations.

    Returns:
        `TokenScores`. Equal alternatives come in the order of their numbers.

    Raises:
        ValueError: more alternatives than tokens.

    Example:
        >>> import jax.numpy as jnp
        >>> scores = token_scores(jnp.log(jnp.array([0.5, 0.25, 0.25])), jnp.array(1), top_alternatives=1)
        >>> round(float(scores.log_probs), 3), round(float(scores.entropies), 3), scores.alternatives.tokens.tolist()
        (-1.386, 1.04, [0])
    """
    if not 0 <= top_alternatives <= logits.shape[-1]:
        raise OptionError(f"top_alternatives is {top_alternatives}; there are {logits.shape[-1]} tokens")
    if kernel:
        return _in_kernel(logits, tokens, top_alternatives)
    highest = jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    shifted = logits - highest
    weights = jnp.exp(shifted)
    total = vocabulary_sum(weights)
    log_total = jnp.log(total)
    entropies = log_total - vocabulary_sum(weights * shifted) / total
    log_probs = take_class(shifted, tokens) - log_total
    if not top_alternatives:
        return TokenScores(log_probs, entropies, None)
    values, numbers = jax.lax.top_k(shifted, top_alternatives)
    return TokenScores(log_probs, entropies, Alternatives(numbers, values - log_total[..., None]))


def _in_kernel(logits: Array, tokens: Array, likeliest: int) -> TokenScores:
    batch, vocabulary = logits.shape[:-1], logits.shape[-1]
    known = (tokens >= 0) & (tokens < vocabulary)
    flat = jnp.where(known, tokens, 0).reshape(-1)
    found = fused_scores(logits.reshape(-1, vocabulary), flat, likeliest)
    log_probs, entropies, numbers, values = (one.reshape(*batch, *one.shape[1:]) for one in found)
    others = Alternatives(numbers, values) if likeliest else None
    return TokenScores(jnp.where(known, log_probs, jnp.nan), entropies, others)


@functools.partial(jax.jit, static_argnames=("model", "top_alternatives", "keep_hidden", "keep_queries", "keep_cache"))
def _score(
    model: Model,
    params: PyTree,
    tokens: Array,
    positions: Array,
    where: Array | None,
    cache: Any,
    *,
    top_alternatives: int,
    keep_hidden: bool,
    keep_queries: bool,
    keep_cache: bool,
) -> Scores:
    hidden, after, queries = model.hidden_of(params, tokens, positions, cache)
    before = jnp.pad(hidden[:, :-1], ((0, 0), (1, 0), *((0, 0),) * (hidden.ndim - 2)))
    follows = jnp.pad((positions[:, :-1] >= 0) & (positions[:, 1:] > positions[:, :-1]), ((0, 0), (1, 0)))
    wanted = follows if where is None else follows & where
    one = functools.partial(token_scores, top_alternatives=top_alternatives)
    scores = map_logits(one, model, params, before, tokens, where=wanted)
    captured = None
    if keep_queries and model.attention is not None:
        captured = Captured(model.layered_queries(queries), model.attention.keys(after), positions)
    return Scores(
        *scores,
        hidden=select(before, wanted) if keep_hidden else None,
        captured=captured,
        cache=after if keep_cache or cache is not None else None,
    )


@typed()
@checked
def score_tokens(
    model: Model | Decoder,
    params: PyTree,
    tokens: Int[Array, "batch time"],
    positions: Int[Array, "batch time"] | None = None,
    *,
    where: Bool[Array, "batch time"] | None = None,
    cache: Any = None,
    top_alternatives: int = 0,
    keep_hidden: bool = False,
    keep_queries: bool = False,
    keep_cache: bool = False,
) -> Scores:
    r"""What a model thinks of each token of a text, given the tokens before it; one pass.

    The quantities are those that `generate_tokens` reports of its own tokens. Differentiable in the parameters: the sum
    of `-log_probs` is the training loss of the tokens in `where`. Logits are computed for blocks of time with at most
    2^22 of them at once on a device (also in the backward pass), and not at all for blocks without a token in `where`.

    Args:
        model: or a decoder; keep one object of it, programs are found by it.
        params: of the model; for a decoder what its `apply` takes.
        tokens: padding may be any token.
        positions: of the tokens, -1 for padding on either side; None: 0, 1, 2, ...
        where: the tokens to score, such as those of a response; None: all. The first token of a text is never scored,
            for nothing predicts it; nor, with a `cache`, is the first of `tokens`: give the last token before it too.
        cache: of text before, which these tokens see.
        top_alternatives: how many of the most likely tokens to keep at each place.
        keep_hidden: return hidden states.
        keep_queries: return what `attention_rows` needs, linear in the length.
        keep_cache: return the cache.

    Returns:
        `Scores`; zeros where nothing is scored.

    Raises:
        ValueError: more alternatives than the vocabulary has tokens; `keep_queries` with a `cache`.
        CapabilityError: `keep_queries` of a model without attention, `keep_cache` of one without a cache.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.networks import DecoderConfig
        >>> decoder = Decoder(DecoderConfig(7, 4, 4, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=4))
        >>> tokens = jnp.array([[1, 2, 3]])
        >>> variables = jax.jit(decoder.init)(jax.random.key(0), tokens)
        >>> score_tokens(decoder, variables, tokens).log_probs.shape
        (1, 3)
    """
    if keep_queries and cache is not None:
        raise OptionError("queries of the tokens in a cache are not known; score the whole text to capture attention")
    model = as_model(model)
    if keep_queries:
        capability(model, "attention")
    if keep_cache or cache is not None:
        capability(model, "init_cache")
    if positions is None:
        start = 0
        if cache is not None:
            start = jnp.max(capability(model, "attention").positions(cache), axis=1, keepdims=True) + 1
        positions = jnp.broadcast_to(jnp.arange(tokens.shape[1], dtype=jnp.int32), tokens.shape)
        positions = positions + jnp.broadcast_to(jnp.asarray(start, jnp.int32), tokens.shape)
    return _score(
        model, params, tokens, positions, where, cache, top_alternatives=top_alternatives, keep_hidden=keep_hidden,
        keep_queries=keep_queries, keep_cache=keep_cache,
    )  # fmt: skip
