"""What every recursion over a batch of chains starts from: checked shapes, time first, padding made harmless."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arrays import as_float
from jaxuq._meshes import vary_like
from jaxuq.tagging._log_matmul import finite_or_zero, log_matmul, safe_logsumexp

Initial = Float[Array, " state"] | Float[Array, "batch state"]
Transition = Float[Array, "state state"] | Float[Array, "batch time state state"]


class Chain(NamedTuple):
    """A batch of chains, time first.

    Attributes:
        initial: `[batch, state]` log-probabilities of the first state.
        shared: `[state, state]` log-transitions, or None where each token has its own.
        own: `[time - 1, batch, state, state]` log-transitions into tokens 1, 2, ..., or None; anything in padding.
        evidence: `[time, batch, state]` log-evidence, 0 in padding.
        valid: `[time, batch]`, False in padding.
    """

    initial: Float[Array, "batch state"]
    shared: Float[Array, "state state"] | None
    own: Float[Array, "steps batch state state"] | None
    evidence: Float[Array, "time batch state"]
    valid: Bool[Array, "time batch"]


class Filtered(NamedTuple):
    """Messages of the forward pass.

    Attributes:
        log_alpha: `[time, batch, state]` filtered log-probabilities, each shifted to a maximum of 0; in padding the
            last one is repeated.
        log_predicted: `[time - 1, batch, state]` what reaches each state of token t + 1 from the shifted `log_alpha`
            of t.
        log_likelihood: `[batch]`.
    """

    log_alpha: Float[Array, "time batch state"]
    log_predicted: Float[Array, "steps batch state"]
    log_likelihood: Float[Array, " batch"]


def make_chain(
    log_initial: Initial, log_transition: Transition, log_evidence: Float[Array, "batch time state"], lengths: Any
) -> Chain:
    """Check the shapes, widen half precision and bring time to the front."""
    batch, time, states = log_evidence.shape
    if time < 1:
        raise ValueError(f"log_evidence has shape {log_evidence.shape}; expected at least one time step")
    own = log_transition.ndim == 4
    expected = (batch, time, states, states) if own else (states, states)
    if log_transition.shape != expected:
        raise ValueError(
            f"log_transition has shape {log_transition.shape} and log_evidence {log_evidence.shape}; expected "
            f"log_transition as {(states, states)}, shared, or {(batch, time, states, states)}, one per token"
        )
    if log_initial.shape not in ((states,), (batch, states)):
        raise ValueError(
            f"log_initial has shape {log_initial.shape}; expected {(states,)} or {(batch, states)} as in log_evidence"
        )
    if lengths is None:
        valid = jnp.ones((time, batch), bool)
    else:
        if lengths.shape != (batch,):
            raise ValueError(f"lengths has shape {lengths.shape}; expected {(batch,)}, one length per sequence")
        valid = jnp.arange(time, dtype=lengths.dtype)[:, None] < lengths[None, :]
    floats = (log_initial, log_transition, log_evidence)
    log_initial, log_transition, log_evidence = (as_float(values, *floats) for values in floats)
    evidence = jnp.where(valid[..., None], jnp.moveaxis(log_evidence, 1, 0), 0.0)
    initial = jnp.broadcast_to(log_initial, (batch, states))
    if own:
        return Chain(initial, None, jnp.moveaxis(log_transition[:, 1:], 1, 0), evidence, valid)
    return Chain(initial, log_transition, None, evidence, valid)


def batch_first(values: Array) -> Array:
    """`[time, batch, ...]` as `[batch, time, ...]`."""
    return jnp.moveaxis(values, 0, 1)


def transition_at(chain: Chain, own: Array | None, valid: Bool[Array, " batch"]) -> Array:
    """The log-transition into one token: `[state, state]`, or `[batch, state, state]` with 0 in padding."""
    if own is None:
        return chain.shared  # type: ignore[return-value]
    return jnp.where(valid[:, None, None], own, 0.0)


def advance(log_alpha: Float[Array, "batch state"], transition: Array) -> Float[Array, "batch state"]:
    """What reaches each state of the next token."""
    if transition.ndim == 2:
        return log_matmul(log_alpha, transition)
    return log_matmul(log_alpha[:, None, :], transition)[:, 0]


def rescale(values: Float[Array, "batch state"]) -> tuple[Float[Array, "batch state"], Float[Array, " batch"]]:
    """Shift the maximum to 0 and return the shift."""
    shift = jax.lax.stop_gradient(finite_or_zero(jnp.max(values, axis=-1)))
    return values - shift[:, None], shift


def start(chain: Chain) -> tuple[Float[Array, "batch state"], Float[Array, " batch"]]:
    """The shifted message of the first token."""
    return rescale(chain.initial + chain.evidence[0])


def long_sum(values: Float[Array, "time batch"]) -> Float[Array, " batch"]:
    """The sum over time in two levels, so that ten thousand float32 terms lose no more than a hundred would."""
    time, batch = values.shape
    chunk = math.isqrt(time - 1) + 1 if time else 1
    chunks = -(-time // chunk)
    padded = jnp.pad(values, ((0, chunks * chunk - time), (0, 0)))
    return jnp.sum(jnp.sum(padded.reshape(chunks, chunk, batch), axis=1), axis=0)


def scan_steps(chain: Chain, step: Callable, carry: Any, *, checkpoint: bool = False) -> tuple[Any, Any]:
    """`lax.scan` of `step(carry, (own, evidence, valid))` over tokens 1, 2, ...

    With `checkpoint` in blocks of about the square root of their number, of which the backward pass recomputes one at
    a time.
    """
    inputs = (chain.own, chain.evidence[1:], chain.valid[1:])
    carry = vary_like(carry, chain)
    if not checkpoint:
        return jax.lax.scan(step, carry, inputs)
    steps = chain.valid.shape[0] - 1
    block = max(1, math.isqrt(steps))
    count = -(-steps // block)

    def blocks(leaf: Array) -> Array:
        padding = ((0, count * block - steps), *((0, 0),) * (leaf.ndim - 1))
        return jnp.pad(leaf, padding).reshape(count, block, *leaf.shape[1:])

    @jax.checkpoint
    def outer(carry, inputs):
        return jax.lax.scan(step, carry, inputs)

    carry, outputs = jax.lax.scan(outer, carry, jax.tree.map(blocks, inputs))
    return carry, jax.tree.map(lambda leaf: leaf.reshape(count * block, *leaf.shape[2:])[:steps], outputs)


def forward_step(chain: Chain, log_alpha: Array, inputs: tuple) -> tuple[Array, Array, Array]:
    """One token of the forward recursion: the message, what was predicted, the shift."""
    own, evidence, valid = inputs
    predicted = advance(log_alpha, transition_at(chain, own, valid))
    message, shift = rescale(predicted + evidence)
    return jnp.where(valid[:, None], message, log_alpha), predicted, jnp.where(valid, shift, 0.0)


def finish(chain: Chain, shifts: Float[Array, "time batch"], last: Float[Array, "batch state"]) -> Array:
    """The log-likelihood from the shifts and the last message; 0 for an empty sequence."""
    return jnp.where(chain.valid[0], long_sum(shifts) + safe_logsumexp(last), 0.0)


def forward(chain: Chain) -> Filtered:
    """The forward pass with everything that the passes back need."""
    first, shift = start(chain)

    def step(log_alpha, inputs):
        message, predicted, shift = forward_step(chain, log_alpha, inputs)
        return message, (message, predicted, shift)

    last, (messages, predicted, shifts) = scan_steps(chain, step, first)
    log_likelihood = finish(chain, jnp.concatenate([shift[None], shifts]), last)
    return Filtered(jnp.concatenate([first[None], messages]), predicted, log_likelihood)


def normalise(log_weights: Float[Array, "... state"]) -> Float[Array, "... state"]:
    """Probabilities; all zero where everything is impossible."""
    return jnp.exp(log_weights - finite_or_zero(safe_logsumexp(log_weights))[..., None])


def mask_lengths(values: Array, chain: Chain) -> Array:
    """Zero in padding, for `[time, batch, ...]`."""
    return jnp.where(chain.valid.reshape(*chain.valid.shape, *(1,) * (values.ndim - 2)), values, 0.0)


def lengths_of(chain: Chain) -> Int[Array, " batch"]:
    """The lengths again."""
    return jnp.sum(chain.valid, axis=0, dtype=jnp.int32)
