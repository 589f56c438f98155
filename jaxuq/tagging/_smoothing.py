"""Smoothed marginals and expected counts in log space, and the choice between that and the scaled passes."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxuq._meshes import vary_like
from jaxuq.tagging._chain import Chain, Filtered, forward, mask_lengths, normalise, transition_at
from jaxuq.tagging._log_matmul import responsibilities_pullback
from jaxuq.tagging._scaled import scaled_marginals, scaled_messages, scaled_transition_counts


def step_back(
    log_alpha: Float[Array, "batch state"],
    transition: Array,
    log_predicted: Float[Array, "batch state"],
    weights: Float[Array, "batch state"],
) -> tuple[Float[Array, "batch state"], Array]:
    """Marginals of a token from those of the next, and the expected transitions between the two."""
    if transition.ndim == 2:
        return responsibilities_pullback(log_alpha, transition, log_predicted, weights)
    before, counts = responsibilities_pullback(log_alpha[:, None], transition, log_predicted[:, None], weights[:, None])
    return before[:, 0], counts


def smooth_in_log_space(chain: Chain, filtered: Filtered) -> tuple[Float[Array, "time batch state"], Array]:
    """Smoothed marginals, zero in padding, and the expected transitions summed over time.

    The second is `[state, state]`, summed over the batch too, or `[batch, state, state]` where tokens have their own.
    """
    last = normalise(filtered.log_alpha[-1])

    def step(carry, inputs):
        marginals, counts = carry
        log_alpha, predicted, own, valid = inputs
        weights = jnp.where(valid[:, None], marginals, 0.0)
        before, transitions = step_back(log_alpha, transition_at(chain, own, valid), predicted, weights)
        before = jnp.where(valid[:, None], before, marginals)
        return (before, counts + transitions), before

    states = last.shape[-1]
    counts = jnp.zeros((states, states) if chain.own is None else (last.shape[0], states, states), last.dtype)
    inputs = (filtered.log_alpha[:-1], filtered.log_predicted, chain.own, chain.valid[1:])
    (_, counts), marginals = jax.lax.scan(step, vary_like((last, counts), inputs), inputs, reverse=True)
    return mask_lengths(jnp.concatenate([marginals, last[None]]), chain), counts


def _smoothed_exact(chain: Chain) -> Float[Array, "time batch state"]:
    return smooth_in_log_space(chain, forward(chain))[0]


@jax.custom_vjp
def smoothed(chain: Chain) -> Float[Array, "time batch state"]:
    """Smoothed marginals by the fastest way that is exact; derivatives always by log space."""
    if chain.shared is None:
        return _smoothed_exact(chain)
    messages = scaled_messages(chain)
    return jax.lax.cond(messages.trusted, lambda: scaled_marginals(messages, chain), lambda: _smoothed_exact(chain))


def _smoothed_forward(chain):
    return jax.vjp(_smoothed_exact, chain)


def _smoothed_backward(pullback, gradient):
    return pullback(gradient)


smoothed.defvjp(_smoothed_forward, _smoothed_backward)


def counts(
    chain: Chain,
) -> tuple[Float[Array, " batch"], Float[Array, "time batch state"], Float[Array, "state state"]]:
    """Log-likelihood, smoothed marginals and the expected transitions over batch and time."""

    def exact() -> tuple[Array, Array, Array]:
        filtered = forward(chain)
        marginals, transitions = smooth_in_log_space(chain, filtered)
        return filtered.log_likelihood, marginals, transitions if chain.own is None else jnp.sum(transitions, axis=0)

    if chain.shared is None:
        return exact()
    messages = scaled_messages(chain)

    def fast() -> tuple[Array, Array, Array]:
        return (
            messages.log_likelihood,
            scaled_marginals(messages, chain),
            scaled_transition_counts(messages, chain),
        )

    return jax.lax.cond(messages.trusted, fast, exact)
