"""Which tokens of a chain are closest in meaning to the answer, by the model's own hidden states."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._arrays import length, number_of, widened
from jaxuq._options import check_choice, check_count
from jaxuq._shapes import checked


class SimilarityFilter(NamedTuple):
    """The filtered chain.

    Attributes:
        tokens: True for the tokens of $x'_{attn}$.
        similarities: $w$ of every token of the chain; 0 outside.
    """

    tokens: Bool[Array, " time"]
    similarities: Float[Array, " time"]


@checked
@widened
def similarity_filter(
    hidden: Float[Array, "time hidden"],
    chain: Bool[Array, " time"],
    answer: Bool[Array, " time"],
    *,
    max_tokens: int = 10,
    threshold: float = 0.0,
    convention: Literal["text", "published"] = "text",
) -> SimilarityFilter:
    r"""Keep the tokens of a chain whose last hidden states are most similar to those of the answer.

    $$w_{[n]} = \sum_m \frac{h_m^\top h_n}{\lVert h_m \rVert \lVert h_n \rVert}, \qquad
      x'_{attn} = \{x_n : w_{[n]} > 0,\ n \in \operatorname{arg\,max}_{k \le L'_{attn}} w\}$$

    A token's hidden state is that at its own position, where it is the input. The ablation without attention chains
    (Table 3.2) passes the whole reasoning as `chain`, see `eligible_tokens`.

    Args:
        hidden: last hidden states, after the final norm; those of tokens outside chain and answer are not read.
        chain: True for the tokens of the chain.
        answer: True for the tokens of the answer.
        max_tokens: $L'_{attn}$.
        threshold: what $w$ must exceed.
        convention: `"published"`: the mean over the answer's tokens instead of the sum, and reaching the threshold is
            enough, as in the released code.

    Returns:
        `SimilarityFilter`; empty for an empty chain. Equal similarities are kept in the order of the tokens.

    Raises:
        ValueError: if `max_tokens` is not a positive integer or `convention` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> hidden = jnp.array([[1.0, 0.0], [1.0, 1.0], [-1.0, 0.2], [2.0, 0.0]])
        >>> kept = similarity_filter(hidden, jnp.array([1, 1, 1, 0], bool), jnp.array([0, 0, 0, 1], bool), max_tokens=2)
        >>> kept.tokens.tolist(), [round(float(x), 3) for x in kept.similarities]
        ([True, True, False, False], [1.0, 0.707, -0.981, 0.0])

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, Eq 3.9 and 3.10.
    """
    check_count("max_tokens", max_tokens)
    check_choice("convention", convention, ("text", "published"))
    used = jnp.broadcast_to((chain | answer)[:, None], hidden.shape)
    states = jnp.where(used, hidden, 1.0)
    norms = length(states)[:, None]
    directions = states / jnp.where(norms > 0, norms, 1.0)
    total = jnp.sum(jnp.where(jnp.broadcast_to(answer[:, None], hidden.shape), directions, 0.0), axis=0)
    if convention == "published":
        total = total / number_of(answer, total)
    similarities = jnp.where(chain, directions @ total, 0.0)
    _, order = jax.lax.top_k(jnp.where(chain, similarities, -jnp.inf), min(max_tokens, chain.shape[0]))
    enough = similarities >= threshold if convention == "published" else similarities > threshold
    return SimilarityFilter(jnp.zeros_like(chain).at[order].set(True) & enough & chain, similarities)
