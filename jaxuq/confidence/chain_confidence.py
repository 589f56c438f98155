"""The three confidences of UQAC: of the whole chain, of the filtered chain, and of the answer alone."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arguments import typed
from jaxuq._arrays import counted, entry, widened
from jaxuq._options import check_choice, check_count
from jaxuq._shapes import checked
from jaxuq.confidence._measure import measure

_LOG_LEAST = -27.631021115928547  # log 1e-12, the least probability of the published code


class ChainConfidence(NamedTuple):
    """Joint probabilities of an answer and its chain.

    Attributes:
        attention: $\\tilde P_{attn}$, with all tokens of the chain.
        similarity: $\\tilde P_{sim}$, with the filtered ones; never less than `attention`.
    """

    attention: Float[Array, ""]
    similarity: Float[Array, ""]


class Substitutions(NamedTuple):
    """Single tokens put in the place of others: the set S without the sequence itself.

    Attributes:
        positions: index of the token replaced.
        tokens: its replacement.
        log_probs: of the replacement, given the original tokens before it.
        valid: False for places that are not used.
    """

    positions: Int[Array, " size"]
    tokens: Int[Array, " size"]
    log_probs: Float[Array, " size"]
    valid: Bool[Array, " size"]


@checked
@widened
def chain_confidence(
    log_probs: Float[Array, " time"],
    answer: Bool[Array, " time"],
    chain: Bool[Array, " time"],
    filtered: Bool[Array, " time"],
) -> ChainConfidence:
    r"""How likely the model found an answer together with the tokens that it rests on.

    $$\tilde P_{attn} = \prod_{t \in ans \cup attn} P(x_t \mid x_{<t}), \qquad
      \tilde P_{sim} = \prod_{t \in ans \cup attn'} P(x_t \mid x_{<t})$$

    Args:
        log_probs: of each token given those before it, aligned with the token; see `token_log_probs`.
        answer: True for the tokens of the answer.
        chain: see `attention_chain`.
        filtered: see `similarity_filter`.

    Returns:
        `ChainConfidence`, in [0, 1]; NaN if there is no answer or a log-probability that counts is NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> log_probs = jnp.log(jnp.array([0.5, 0.9, 0.8, 1.0]))
        >>> masks = jnp.array([[0, 0, 1, 0], [1, 1, 0, 0], [0, 1, 0, 0]], bool)
        >>> both = chain_confidence(log_probs, *masks)
        >>> round(float(both.attention), 3), round(float(both.similarity), 3)
        (0.36, 0.72)

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, section 3.3.3.
    """

    def product(kept: Array) -> Array:
        joint = jnp.exp(jnp.sum(jnp.where(kept | answer, log_probs, 0.0)))
        return jnp.where(jnp.any(answer), joint, jnp.nan)

    return ChainConfidence(product(chain), product(filtered))


@checked
@widened
def substitutions(
    tokens: Int[Array, " time"],
    filtered: Bool[Array, " time"],
    alternatives: Int[Array, "time candidates"],
    alternative_log_probs: Float[Array, "time candidates"],
    *,
    threshold: float = 0.01,
    size: int = 32,
    convention: Literal["text", "published"] = "text",
) -> Substitutions:
    r"""What else the model might have said at the tokens of a filtered chain, one token changed at a time.

    $$\{x'_{attn} \text{ with } x_t \to v : t \in attn',\ v \ne x_t,\ P(v \mid x_{<t}) > 0.01\}$$

    Put them into the sequence with `substituted_tokens`, score the rows with the model, and sum with
    `answer_approximation`.

    Args:
        tokens: of the sequence.
        filtered: see `similarity_filter`.
        alternatives: the most likely tokens in the place of each, the token itself possibly among them. At most 99 can
            exceed 0.01; with fewer candidates, the rest is missed.
        alternative_log_probs: of the alternatives, given the tokens before.
        threshold: what a probability must exceed.
        size: most substitutions to return; the likeliest are kept.
        convention: `"published"`: at most 5 candidates a token, and of all pairs (originals included) the
            `10 + tokens of the chain` likeliest; where the token itself is not among the five, the likeliest of them
            counts as what was said (as in `token_log_probs`) and is not substituted. All as in the released code.

    Returns:
        `Substitutions`, likeliest first.

    Raises:
        ValueError: if `size` is not a positive integer or `convention` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> alternatives, probabilities = jnp.array([[7, 8], [5, 6]]), jnp.array([[0.7, 0.2], [0.995, 0.005]])
        >>> found = substitutions(
        ...     jnp.array([7, 5]), jnp.array([True, True]), alternatives, jnp.log(probabilities), size=2
        ... )
        >>> found.positions.tolist(), found.tokens.tolist(), found.valid.tolist()
        ([0, 0], [8, 7], [True, False])

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, Eq 3.12 and section 3.3.3.
    """
    check_count("size", size)
    check_choice("convention", convention, ("text", "published"))
    if convention == "published":
        alternatives, alternative_log_probs = alternatives[:, :5], alternative_log_probs[:, :5]
    shape = alternatives.shape
    kept = jnp.broadcast_to(filtered[:, None], shape)
    original = alternatives == jnp.broadcast_to(tokens[:, None], shape)
    if convention == "published":
        likeliest = jnp.argmax(alternative_log_probs, axis=1)[:, None] == jnp.arange(shape[1])[None]
        original = jnp.where(original.any(1, keepdims=True), original, likeliest)
    likely = kept & (alternative_log_probs > jnp.log(threshold))
    if convention == "published":
        number = 10 + jnp.sum(filtered)
        ranks = jnp.argsort(jnp.argsort(jnp.where(likely, -alternative_log_probs, jnp.inf).ravel())).reshape(shape)
        likely &= ranks < number
    scores = jnp.where(likely & ~original, alternative_log_probs, -jnp.inf).ravel()
    best, places = jax.lax.top_k(scores, min(size, scores.shape[0]))
    places = jnp.pad(places.astype(jnp.int32), (0, size - places.shape[0]))
    best = jnp.pad(best, (0, size - best.shape[0]), constant_values=-jnp.inf)
    valid = best > -jnp.inf
    positions = places // shape[1]
    chosen = jnp.where(valid, entry(alternatives.ravel(), places, 0), entry(tokens, positions, 0))
    return Substitutions(positions, chosen, jnp.where(valid, best, -jnp.inf), valid)


@typed()
@checked
def substituted_tokens(tokens: Int[Array, " time"], changes: Substitutions) -> Int[Array, "rows time"]:
    r"""The sequences of S: the sequence itself, then one row for each substitution.

    $$x^{(0)} = x, \qquad x^{(s)} = x \text{ with } x_{t_s} \to v_s$$

    Rows agree up to the first changed position, `min(positions[valid])`: a cache of that prefix serves all of them.

    Args:
        tokens: of the sequence.
        changes: from `substitutions`; rows of places not in use repeat the sequence.

    Returns:
        Tokens, `1 + size` rows.

    Example:
        >>> import jax.numpy as jnp
        >>> changes = Substitutions(jnp.array([1]), jnp.array([9]), jnp.array([-1.0]), jnp.array([True]))
        >>> substituted_tokens(jnp.array([4, 5, 6]), changes).tolist()
        [[4, 5, 6], [4, 9, 6]]

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, section 3.3.3.
    """
    size = changes.positions.shape[0]
    rows = jnp.tile(tokens, (size + 1, 1))
    changed = jnp.where(changes.valid, changes.tokens.astype(tokens.dtype), tokens[changes.positions])
    return rows.at[jnp.arange(1, size + 1), changes.positions].set(changed)


@checked
@widened
def answer_approximation(
    log_probs: Float[Array, "rows time"],
    answer: Bool[Array, " time"],
    filtered: Bool[Array, " time"],
    *,
    convention: Literal["text", "published"] = "text",
    where: Bool[Array, " rows"] | None = None,
) -> Float[Array, ""]:
    r"""How likely the model finds an answer, whatever the words of the filtered chain: the sum over S.

    $$\tilde P = \sum_{x'_{attn} \in S} P(x_{ans}, x'_{attn} \mid x_{instr})$$

    A lower bound of the sum over all chains, since S holds the likely ones. The tokens between are those of the answer
    as given.

    Args:
        log_probs: of each token of each row given those before it in that row (rows of `substituted_tokens`).
        answer: True for the tokens of the answer.
        filtered: see `similarity_filter`.
        convention: `"published"` takes no probability below 1e-12.
        where: True for the rows that count: `[True, *changes.valid]`. None counts all, which counts a repeated
            sequence twice.

    Returns:
        $\tilde P$ in [0, 1]; NaN if there is no answer or a log-probability that counts is NaN.

    Raises:
        ValueError: if `convention` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> log_probs = jnp.log(jnp.array([[0.7, 0.9], [0.2, 0.5]]))
        >>> round(float(answer_approximation(log_probs, jnp.array([False, True]), jnp.array([True, False]))), 3)
        0.73

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, Eq 3.12.
    """
    check_choice("convention", convention, ("text", "published"))
    valid = counted(where, log_probs.shape[:1])
    taken = jnp.broadcast_to(valid[:, None], log_probs.shape) & jnp.broadcast_to(
        (answer | filtered)[None], log_probs.shape
    )
    log_probs = jnp.where(taken, log_probs, 0.0)
    if convention == "published":
        log_probs = jnp.where(taken & (log_probs < _LOG_LEAST), _LOG_LEAST, log_probs)
    joint = jnp.where(valid, jnp.exp(jnp.sum(log_probs, axis=1)), 0.0)
    return jnp.where(jnp.any(answer), jnp.sum(joint), jnp.nan)


ENTRIES = (
    measure("uqac", "UQAC: P̃",
            lambda seen: answer_approximation(
                seen.changed, seen.answer, seen.filtered.tokens, convention=seen.convention, where=seen.tried
            ),
            needs=("chain", "substitutions"), bounded=True, citation=("uqac",)),
    measure("uqac_similarity", "UQAC: P̃ sim", lambda seen: seen.joint.similarity,
            needs=("chain",), bounded=True, citation=("uqac",)),
    measure("uqac_attention", "UQAC: P̃ attn", lambda seen: seen.joint.attention,
            needs=("chain",), bounded=True, citation=("uqac",)),
)  # fmt: skip
"""The confidences of attention chains as measures of an answer, see `jaxuq.confidence.MEASURES`."""
