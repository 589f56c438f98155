"""Forward and backward in scaled probabilities, both in one loop, with a proof afterwards that nothing was lost.

Several times faster than the log-space passes, since the loop has neither logarithm nor exponential. A probability that
underflows is lost here; whether that could matter is read off afterwards, and the caller then falls back on log space.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._meshes import vary_like
from jaxuq.tagging._chain import Chain, long_sum
from jaxuq.tagging._log_matmul import finite_or_zero

_HIGHEST = jax.lax.Precision.HIGHEST


class Scaled(NamedTuple):
    """Messages with the state axis before the batch axis, the layout in which the products are fastest.

    Attributes:
        alpha: `[time, state, batch]` filtered probabilities.
        beta: `[time, state, batch]` backward messages that sum to one.
        overlap: `[time, batch]` sum over states of `alpha * beta`.
        beta_scale: `[time - 1, batch]` what `beta` of tokens 0, 1, ... was divided by.
        evidence: `[time, state, batch]` evidence divided by its largest value.
        transition: `[state, state]` transitions divided by the largest.
        log_likelihood: `[batch]`.
        trusted: whether every number is as exact as in log space.
    """

    alpha: Float[Array, "time state batch"]
    beta: Float[Array, "time state batch"]
    overlap: Float[Array, "time batch"]
    beta_scale: Float[Array, "steps batch"]
    evidence: Float[Array, "time state batch"]
    transition: Float[Array, "state state"]
    log_likelihood: Float[Array, " batch"]
    trusted: Bool[Array, ""]


def scaled_messages(chain: Chain) -> Scaled:
    """Both passes for a transition matrix that all tokens share.

    A product that underflows is below `tiny` of the float type (1e-38) times the scale of its step. The messages are
    therefore exact to rounding if each step's scale and each token's overlap of the two messages, which measures how
    much the future can favour what the past has lost, stay above the square root of `tiny` times 10,000 (1e-15).
    """
    assert chain.shared is not None
    largest = finite_or_zero(jnp.max(chain.shared))
    transition = jnp.exp(chain.shared - largest)
    peak = finite_or_zero(jnp.max(chain.evidence, axis=-1))
    evidence = jnp.swapaxes(jnp.exp(chain.evidence - peak[..., None]), 1, 2)
    enough = 1e4 * float(jnp.finfo(evidence.dtype).tiny) ** 0.5

    def divide(values: Array) -> tuple[Array, Array]:
        scale = jnp.sum(values, axis=0)
        return values / jnp.where(scale > 0, scale, 1.0)[None], scale

    def step(carry, inputs):
        alpha, beta = carry
        evidence, later_evidence, later_valid = inputs
        following, scale = divide(jnp.matmul(transition.T, alpha, precision=_HIGHEST) * evidence)
        earlier, beta_scale = divide(jnp.matmul(transition, beta * later_evidence, precision=_HIGHEST))
        earlier = jnp.where(later_valid[None], earlier, beta)
        return (following, earlier), (following, beta, scale, beta_scale)

    initial_peak = finite_or_zero(jnp.max(chain.initial, axis=-1))
    first, first_scale = divide(jnp.exp(chain.initial - initial_peak[:, None]).T * evidence[0])
    uniform = jnp.full_like(first, 1.0 / first.shape[0])
    valid = chain.valid[1:]
    # The forward pass runs on into the padding: nothing reads what it finds there.
    inputs = (evidence[1:], evidence[1:][::-1], valid[::-1])
    (_, beta_first), (alpha, beta, scales, beta_scales) = jax.lax.scan(
        step, vary_like((first, uniform), chain), inputs, unroll=4
    )

    alpha = jnp.concatenate([first[None], alpha])
    beta = jnp.concatenate([beta, beta_first[None]])[::-1]
    overlap = jnp.sum(alpha * beta, axis=1)
    scales = jnp.where(chain.valid, jnp.concatenate([first_scale[None], scales]), 1.0)
    beta_scales = jnp.where(valid, beta_scales[::-1], 1.0)
    smallest = jnp.minimum(jnp.min(scales, initial=1.0), jnp.min(overlap, where=chain.valid, initial=1.0))
    smallest = jnp.minimum(smallest, jnp.min(beta_scales, initial=1.0))
    steps = jnp.sum(valid, axis=0).astype(evidence.dtype)
    logs = jnp.log(scales) + jnp.where(chain.valid, peak, 0.0)
    log_likelihood = long_sum(logs) + initial_peak + steps * largest
    log_likelihood = jnp.where(chain.valid[0], log_likelihood, 0.0)
    return Scaled(alpha, beta, overlap, beta_scales, evidence, transition, log_likelihood, smallest > enough)


def scaled_marginals(messages: Scaled, chain: Chain) -> Float[Array, "time batch state"]:
    """Smoothed marginals, zero in padding."""
    weight = jnp.where(chain.valid, 1.0 / jnp.where(chain.valid, messages.overlap, 1.0), 0.0)
    return jnp.swapaxes(messages.alpha * messages.beta * weight[:, None, :], 1, 2)


def scaled_transition_counts(messages: Scaled, chain: Chain) -> Float[Array, "state state"]:
    """Expected transitions summed over batch and time: one matrix product over all tokens."""
    valid = chain.valid[1:]
    scale = jnp.where(valid, messages.overlap[:-1] * messages.beta_scale, 1.0)
    before = messages.alpha[:-1] * jnp.where(valid, 1.0 / scale, 0.0)[:, None, :]
    after = messages.beta[1:] * messages.evidence[1:]
    return messages.transition * jnp.einsum("tib,tjb->ij", before, after, precision=_HIGHEST)
