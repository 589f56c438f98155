"""Attention chains (UQAC): the tokens of a reasoning that its answer rests on, found by following attention back."""

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arguments import typed
from jaxuq._arrays import as_float, first_true, widened
from jaxuq._meshes import vary_like, whole
from jaxuq._options import check_choice, check_count
from jaxuq._shapes import checked
from jaxuq.confidence._rows import attention_row
from jaxuq.confidence.recency import RECENCY_FACTORS, reweight_recent


class AttentionChain(NamedTuple):
    """The chain of one answer, token by token.

    Attributes:
        tokens: True for the tokens of the chain, $x_{attn}$; the answer's own are not among them.
        steps: the step of the backtracking that took a token, from 1; 0 for tokens outside the chain.
        weights: cumulative attention $\\phi$ with which a token was taken; 0 outside.
        sources: the token, of those whose prediction was traced back in that step, that attended most; -1 outside.
        num_steps: steps that took something.
    """

    tokens: Bool[Array, " time"]
    steps: Int[Array, " time"]
    weights: Float[Array, " time"]
    sources: Int[Array, " time"]
    num_steps: Int[Array, ""]


class _State(NamedTuple):
    chain: AttentionChain
    frontier: Int[Array, " time"]  # tokens whose predictors are the sources of the next step
    count: Int[Array, ""]


@checked
def eligible_tokens(
    response: Bool[Array, " time"], answer: Bool[Array, " time"], stop: Bool[Array, " time"]
) -> Bool[Array, " time"]:
    r"""Tokens that a chain may take: of the reasoning $x_{cot}$, and no stop words or punctuation.

    The reasoning is the response up to the first token of the answer; what follows the answer is disregarded.

    Args:
        response: True for the tokens of the response.
        answer: True for the tokens of the final answer.
        stop: True for the tokens of $\mathbb{V}_{stop}$; see `stop_tokens`.

    Returns:
        The mask; all False if the answer is the first token of the response, or if there is none.

    Example:
        >>> import jax.numpy as jnp
        >>> response, answer = jnp.array([0, 1, 1, 1, 1], bool), jnp.array([0, 0, 0, 1, 0], bool)
        >>> eligible_tokens(response, answer, jnp.array([0, 0, 1, 0, 0], bool)).tolist()
        [False, True, False, False, False]

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, section 3.2 and Eq 3.6.
    """
    before = jnp.arange(answer.shape[0]) < first_true(answer)
    return response & before & ~stop & jnp.any(answer)


@checked
@widened
def aggregate_heads(
    attention: Float[Array, "heads time"],
    *,
    num_heads: int = 16,
    reduction: Literal["max", "mean"] = "max",
    convention: Literal["text", "published"] = "text",
) -> Float[Array, " time"]:
    r"""Element-wise maximum (or mean) over the heads of lowest entropy.

    $$(l,h)_k = \operatorname{arg\,min}_k \mathcal{H}(\alpha'^{(l,h)}), \quad k \le K; \qquad
      \alpha^*_{[t]} = \max_k \alpha'^{(l,h)_k}_{[t]}$$

    A maximum no longer sums to one. Heads of equal entropy are taken in their order.

    Args:
        attention: $\alpha'$ of one token, all layers' heads; see `reweight_recent`.
        num_heads: $K$; all, if there are fewer.
        reduction: over the chosen heads; the released code has `"mean"` as a choice.
        convention: `"published"` adds 1e-12 within the logarithm, as the released code does.

    Returns:
        $\alpha^*$.

    Raises:
        ValueError: if `num_heads` is not a positive integer, or `reduction` or `convention` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> rows = jnp.array([[0.4, 0.3, 0.3], [0.9, 0.1, 0.0], [0.0, 0.2, 0.8]])
        >>> aggregate_heads(rows, num_heads=2)
        Array([0.9, 0.2, 0.8], dtype=float32)

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, Eq 3.4 and 3.5.
    """
    check_count("num_heads", num_heads)
    check_choice("reduction", reduction, ("max", "mean"))
    check_choice("convention", convention, ("text", "published"))
    if convention == "published":
        entropy = -jnp.sum(attention * jnp.log(attention + 1e-12), axis=-1)
    else:
        entropy = jnp.sum(jax.scipy.special.entr(attention), axis=-1)
    _, chosen = jax.lax.top_k(-entropy, min(num_heads, attention.shape[0]))
    return (jnp.max if reduction == "max" else jnp.mean)(attention[chosen], axis=0)


@typed()
@checked
def backtrack(
    row: Callable[[Array], Array],
    answer: Bool[Array, " time"],
    eligible: Bool[Array, " time"],
    *,
    buffer: int = 3,
    threshold: float = 0.5,
    free_tokens: int = 5,
    convention: Literal["text", "published"] = "text",
) -> AttentionChain:
    r"""Follow attention back from an answer, a few tokens a step, until nothing new is found.

    $$\phi_{[t]} = \sum_s \alpha^*_{t_s,[t]}; \qquad
      x_{tgt} = \{x_t : \phi_{[t]} > \theta,\ t \in \operatorname{arg\,max}_{k \le L_{tgt}} \phi\}$$

    A token is traced back from where it was *predicted*: the sources of a step are the tokens one before those of the
    last step (of the answer, at first). Tokens that are not eligible or already in the chain do not compete for the
    $L_{tgt}$ places. $\theta$ is not applied while the chain has fewer than `free_tokens`; what is not attended at all
    is never taken.

    `convention="published"` follows the released code: a source contributes its five strongest tokens only (and, if
    nothing was found so far in this step and the chain is short, its strongest eligible one); $\phi = \theta$
    suffices; the tokens picked within a step count twice towards `free_tokens`.

    Args:
        row: gives $\alpha^*$ of the source token at an index of the time axis, `[time]`; called in a loop of `jit`.
        answer: True for the tokens of the answer.
        eligible: see `eligible_tokens`.
        buffer: $L_{tgt}$, most tokens a step.
        threshold: $\theta$.
        free_tokens: length of the chain from which on the threshold counts.
        convention: see above.

    Returns:
        `AttentionChain`; empty if nothing is found. Memory beyond what `row` holds: some arrays `[time]`.

    Raises:
        ValueError: if `buffer` is not a positive integer or `convention` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> attention = jnp.array([[1.0, 0, 0, 0], [0.4, 0.6, 0, 0], [0.1, 0.8, 0.1, 0], [0.0, 0, 0, 0]])
        >>> answer, eligible = jnp.array([0, 0, 0, 1], bool), jnp.array([0, 1, 1, 0], bool)
        >>> chain = backtrack(lambda source: attention[source], answer, eligible, buffer=1)
        >>> chain.tokens.tolist(), chain.sources.tolist()  # token 3 was predicted at 2, which attends to 1
        ([False, True, False, False], [-1, 3, -1, -1])

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, Eq 3.6 to 3.8, section 3.4.3.
    """
    check_count("buffer", buffer)
    check_choice("convention", convention, ("text", "published"))
    published = convention == "published"
    answer, eligible = whole(answer), whole(eligible)  # `row` is a function, so placement by axes does not act
    size = answer.shape[0]
    buffer = min(buffer, size)
    picks = jnp.arange(buffer, dtype=jnp.int32)

    def visited(alpha: Array, remaining: Array, total: Array, short: Array) -> Array:
        _, strongest = jax.lax.top_k(alpha, min(5, size))
        among = remaining & jnp.zeros((size,), bool).at[strongest].set(True)
        found = jnp.any(total > 0) | jnp.any(among & (alpha > 0))
        best = jnp.arange(size) == jnp.argmax(jnp.where(remaining, alpha, -1.0))
        return among | (remaining & best & ~found & short)

    def step(state: _State) -> _State:
        chain = state.chain
        remaining = eligible & ~chain.tokens
        length = jnp.sum(chain.tokens, dtype=jnp.int32)

        def add(number: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            total, strongest, origin = carry
            target = state.frontier[number]
            alpha = jnp.where(target > 0, row(jnp.maximum(target - 1, 0)).astype(total.dtype), 0.0)
            keep = visited(alpha, remaining, total, length < free_tokens) if published else remaining
            alpha = jnp.where(keep, alpha, 0.0)
            stronger = alpha > strongest
            return total + alpha, jnp.where(stronger, alpha, strongest), jnp.where(stronger, target, origin)

        zeros = jnp.zeros((size,), chain.weights.dtype)
        start = (zeros, zeros, jnp.full((size,), -1, jnp.int32))
        total, _, origin = jax.lax.fori_loop(0, state.count, add, vary_like(start, state))
        scores, chosen = jax.lax.top_k(total, buffer)
        chosen = chosen.astype(jnp.int32)
        free = length + (2 if published else 1) * picks < free_tokens
        enough = scores >= threshold if published else scores > threshold
        taken = (scores > 0) & (free | enough)
        places = jnp.where(taken, chosen, size)  # out of range: dropped
        count = jnp.sum(taken, dtype=jnp.int32)
        number = chain.num_steps + jnp.where(count > 0, 1, 0).astype(jnp.int32)
        chain = AttentionChain(
            chain.tokens.at[places].set(True, mode="drop"),
            chain.steps.at[places].set(number, mode="drop"),
            chain.weights.at[places].set(scores, mode="drop"),
            chain.sources.at[places].set(origin[chosen], mode="drop"),
            number,
        )
        return _State(chain, state.frontier.at[:buffer].set(chosen), count)

    weights = as_float(row(jnp.int32(0))) if size else jnp.zeros(0)
    empty = AttentionChain(
        jnp.zeros((size,), bool),
        jnp.zeros((size,), jnp.int32),
        jnp.zeros((size,), weights.dtype),
        jnp.full((size,), -1, jnp.int32),
        jnp.zeros((), jnp.int32),
    )
    if size == 0:
        return empty
    first = jnp.nonzero(answer, size=size, fill_value=0)[0].astype(jnp.int32)
    start = _State(empty, first, jnp.sum(answer, dtype=jnp.int32))
    return jax.lax.while_loop(lambda state: state.count > 0, step, vary_like(start, answer, eligible, weights)).chain


@typed()
@checked
def attention_chain(
    queries: Float[Array, "layers time heads dim"],
    keys: Float[Array, "layers kv_heads time dim"],
    positions: Int[Array, " time"],
    answer: Bool[Array, " time"],
    eligible: Bool[Array, " time"],
    *,
    scale: float,
    windows: Int[Array, " layers"] | None = None,
    softcap: float | None = None,
    factors: tuple[float, ...] = RECENCY_FACTORS,
    num_heads: int = 16,
    reduction: Literal["max", "mean"] = "max",
    buffer: int = 3,
    threshold: float = 0.5,
    free_tokens: int = 5,
    convention: Literal["text", "published"] = "text",
) -> AttentionChain:
    r"""The attention chain of an answer, from the queries and keys of one pass (UQAC, Eq 3.2 to 3.8).

    $$\alpha^{(l,h)}_T = \mathrm{softmax}(K_T q_T / \sqrt{d_k}) \to \text{reweight} \to \text{heads} \to
      \text{backtrack}$$

    `reweight_recent`, `aggregate_heads` and `backtrack` in one program. It says on which tokens an answer rests; how
    likely those were is `chain_confidence`. Rows of attention are computed when a token is traced back and then
    forgotten: memory is that of one token's rows, `layers * heads * time`, linear in the length.

    Args:
        queries: after rotary embedding; a model's `read` gives them.
        keys: after rotary embedding, of the same tokens.
        positions: 0, 1, 2, ... of the tokens; -1 for padding on either side. Tokens of a text are neighbours.
        answer: True for the tokens of the answer.
        eligible: see `eligible_tokens`.
        scale: of the scores, usually `dim ** -0.5`.
        windows: sliding window of each layer; None: full attention.
        softcap: see `jaxuq.networks.attention_weights`.
        factors: see `reweight_recent`.
        num_heads: see `aggregate_heads`.
        reduction: see `aggregate_heads`.
        buffer: see `backtrack`.
        threshold: see `backtrack`.
        free_tokens: see `backtrack`.
        convention: `"published"` takes the released code's choices in all three.

    Returns:
        `AttentionChain`.

    Raises:
        ValueError: as the three functions.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> keys = jax.random.normal(jax.random.key(0), (2, 2, 12, 4))
        >>> queries, positions = 4 * keys.transpose(0, 2, 1, 3), jnp.arange(12)
        >>> chain = attention_chain(
        ...     queries, keys, positions, positions == 11, (positions > 3) & (positions < 11), scale=0.5
        ... )
        >>> int(chain.num_steps) > 0 and not bool(chain.tokens[11])
        True

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, section 3.3.1.
        Li, Qiang, Moukheiber and Zhang. Language Model Uncertainty Quantification with Attention Chain. arXiv
        2503.19168, 2025.
    """
    reweight = functools.partial(reweight_recent, factors=factors, convention=convention)

    def row(source: Array) -> Array:
        attention = attention_row(queries, keys, positions, source, scale, windows, softcap)
        reweighted = reweight(attention, source, positions)
        return aggregate_heads(reweighted, num_heads=num_heads, reduction=reduction, convention=convention)

    options = {"buffer": buffer, "threshold": threshold, "free_tokens": free_tokens}
    return backtrack(row, answer, eligible, **options, convention=convention)
