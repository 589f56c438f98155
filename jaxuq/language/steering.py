r"""What a user adds to the logits before a token is chosen: a bias for each token, penalties for what was said already.

$$x'_v = x_v + b_v - \alpha_f\, c_v - \alpha_p\, [c_v > 0]$$

with $c_v$ the number of times that token v is in the answer so far.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxuq._arguments import typed
from jaxuq._arrays import widened
from jaxuq._shapes import checked


class Steering(NamedTuple):
    """Added to logits. Numbers may be traced.

    Attributes:
        bias: of each token; None: none.
        frequency: taken off for each time that a token was said.
        presence: taken off once from tokens that were said.
    """

    bias: Float[Array, "vocab"] | None = None
    frequency: float | Float[Array, ""] = 0.0
    presence: float | Float[Array, ""] = 0.0


@typed()
@checked
@widened
def steer_logits(
    logits: Float[Array, "batch vocab"], tokens: Int[Array, "batch time"], steering: Steering
) -> Float[Array, "batch vocab"]:
    r"""Logits with bias and penalties.

    Use it on what a token is chosen from, not on what is scored: probabilities of the result are no longer the model's.

    Args:
        logits: of the model.
        tokens: of each answer so far; -1 where there is none yet.
        steering: what to add.

    Returns:
        $x' = x + b - \alpha_f c - \alpha_p [c > 0]$.

    Example:
        >>> import jax.numpy as jnp
        >>> said = jnp.array([[0, 0, 2, -1]])
        >>> steer_logits(jnp.zeros((1, 4)), said, Steering(frequency=0.5, presence=1.0)).tolist()
        [[-2.0, 0.0, -1.5, 0.0]]
    """
    vocabulary = logits.shape[-1]

    def counted(row: Array) -> Array:
        return jnp.zeros(vocabulary, logits.dtype).at[jnp.where(row < 0, vocabulary, row)].add(1.0, mode="drop")

    bias = None if steering.bias is None else steering.bias[None]
    return steered(logits, jax.vmap(counted)(tokens), bias, steering.frequency, steering.presence)


def steered(logits: Array, counts: Array, bias: Array | None, frequency: Any, presence: Any) -> Array:
    """Logits with bias and penalties, of tokens that were said so many times; everything broadcasts."""
    said = (counts > 0).astype(logits.dtype)
    found = logits - frequency * counts - presence * said
    return found if bias is None else found + bias
