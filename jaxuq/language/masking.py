r"""Sets of tokens as bits, and what is left of a distribution that is cut to such a set.

$$q(v) = \frac{p(v)\,[v \in A]}{Z}, \qquad Z = \sum_{u \in A} p(u)$$

Token v is bit v mod 32 of word v div 32: a set takes one bit a token where a mask of logits takes 32.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt

from jaxuq._arrays import widened
from jaxuq._shapes import checked
from jaxuq.language.sampling import vocabulary_sum


def bit_words(vocabulary: int) -> int:
    """Words that a set of tokens takes."""
    return -(-vocabulary // 32)


def unpacked(bits: UInt[Array, "*batch words"], vocabulary: int) -> Bool[Array, "*batch vocab"]:
    """Sets as masks."""
    numbers = np.arange(vocabulary)
    words = bits[..., numbers // 32]
    return (words >> jnp.broadcast_to(jnp.asarray(numbers % 32, jnp.uint32), words.shape)) & 1 == 1


@checked
@widened
def mask_logits(
    logits: Float[Array, "*batch vocab"], bits: UInt[Array, "*batch words"]
) -> tuple[Float[Array, "*batch vocab"], Float[Array, "*batch"]]:
    """Logits of the tokens of a set, minus infinity for all others, and the logarithm of the set's probability.

    Args:
        logits: of the vocabulary, finite.
        bits: the set, not empty.

    Returns:
        The logits, and `log Z`: exactly 0 where the set is everything.

    Example:
        >>> import jax.numpy as jnp
        >>> kept, mass = mask_logits(jnp.log(jnp.array([0.5, 0.3, 0.2])), jnp.array([0b101], jnp.uint32))
        >>> print(f"{jnp.exp(mass):.1f}", kept.tolist()[1])
        0.7 -inf
    """
    mask = unpacked(bits, logits.shape[-1])
    weights = jnp.exp(logits - jnp.max(logits, axis=-1, keepdims=True))
    inside, outside = vocabulary_sum(jnp.where(mask, weights, 0.0)), vocabulary_sum(jnp.where(mask, 0.0, weights))
    largest = jnp.max(jnp.where(mask, logits, -jnp.inf), axis=-1)  # the set may be far less likely than all else
    shifted = jnp.where(mask, jnp.exp(logits - jnp.broadcast_to(largest[..., None], logits.shape)), 0.0)
    rare = largest - jax.nn.logsumexp(logits, axis=-1) + jnp.log(vocabulary_sum(shifted))
    mass = jnp.where(inside > outside, -jnp.log1p(outside / jnp.maximum(inside, 1e-30)), rare)
    return jnp.where(mask, logits, -jnp.inf), mass
