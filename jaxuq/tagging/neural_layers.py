"""Layers of the neural label models, and what they make of votes for `O`."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from jaxuq.tagging.neural_model import OutsideVotes


class Linear(NamedTuple):
    """A linear layer.

    Attributes:
        weight: `[output, width]`; in this order the gradient is a product of contiguous rows.
        bias: `[output]`.
    """

    weight: Float[Array, "output width"]
    bias: Float[Array, " output"]

    def __call__(self, inputs: Float[Array, "... width"]) -> Float[Array, "... output"]:
        """The outputs."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        outputs = rows @ self.weight.T + self.bias[None]
        return outputs.reshape(*inputs.shape[:-1], -1)


def make_linear(rng_key: Key[Array, ""], width: int, bias: Float[Array, "..."], scale: float = 1.0) -> Linear:
    """Glorot-uniform weights times `scale`; the bias as given."""
    bias = jnp.ravel(bias)
    limit = scale * (6.0 / (width + bias.size)) ** 0.5
    return Linear(jax.random.uniform(rng_key, (bias.size, width), minval=-limit, maxval=limit), bias)


def transition_head(head: Linear, vectors: Float[Array, "row time width"], scheme: str) -> Array:
    """Log-transitions of each token; minus infinity where an `I-` would continue nothing."""
    states = round(head.bias.shape[0] ** 0.5)
    logits = head(vectors).reshape(*vectors.shape[:2], states, states)
    if scheme == "bio":
        allowed = jnp.asarray(allowed_transitions(states))
        logits = jnp.where(jnp.broadcast_to(allowed, logits.shape), logits, -jnp.inf)
    return jax.nn.log_softmax(logits, axis=-1)


def allowed_transitions(states: int) -> np.ndarray:
    """Which labels may follow which in the BIO scheme."""
    label = np.arange(states)
    continues = (label % 2 == 0) & (label > 0)
    return ~continues[None, :] | ((label[:, None] + 1) // 2 == (label[None, :] + 1) // 2)


def silence(observations: Int[np.ndarray, "batch time function"], num_labels: int, votes: OutsideVotes) -> np.ndarray:
    """Mark with the index `num_labels` who says `O` at a token where another function marks an entity."""
    if votes == "votes":
        return observations
    marked = (observations > 0).any(-1, keepdims=True)
    return np.where(marked & (observations == 0), -1 if votes == "abstain" else num_labels, observations)


def with_silence_column(log_emission: Float[Array, "... label"]) -> Float[Array, "... labels"]:
    r"""A last column for the soft observation $[0.01, 0.99/L, \dots]$, published code's stand-in for such an `O`."""
    labels = log_emission.shape[-1]
    emission = jnp.exp(log_emission)
    soft = 0.01 * emission[..., :1] + 0.99 / labels * jnp.sum(emission[..., 1:], axis=-1, keepdims=True)
    return jnp.concatenate([log_emission, jnp.log(soft)], axis=-1)
