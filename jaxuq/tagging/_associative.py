"""The same messages by `lax.associative_scan`: logarithmic depth for `state` times the work and memory."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxuq.tagging._chain import Chain, finish, mask_lengths, normalise, start
from jaxuq.tagging._log_matmul import finite_or_zero, log_matmul, safe_logsumexp


def _rescale_matrix(matrix: Array) -> tuple[Array, Array]:
    shift = jax.lax.stop_gradient(finite_or_zero(jnp.max(matrix, axis=(-1, -2))))
    return matrix - shift[..., None, None], shift


def _chain_products(earlier: tuple, later: tuple) -> tuple:
    """Product of two stretches of a chain; one in padding leaves the other as it is."""
    product, shift = _rescale_matrix(log_matmul(earlier[0], later[0]))
    valid = later[2]
    return (
        jnp.where(valid[..., None, None], product, earlier[0]),
        jnp.where(valid, earlier[1] + later[1] + shift, earlier[1]),
        earlier[2],
    )


def _elements(chain: Chain) -> tuple[Array, Array, Array]:
    """One `[state, state]` log-matrix, shift and validity for each token after the first."""
    transitions = chain.shared[None, None] if chain.own is None else chain.own  # type: ignore[index]
    matrices = jnp.where(chain.valid[1:, :, None, None], transitions + chain.evidence[1:, :, None, :], 0.0)
    return (*_rescale_matrix(matrices), chain.valid[1:])


def associative_forward(chain: Chain) -> tuple[Float[Array, "time batch state"], Float[Array, " batch"]]:
    """Filtered log-probabilities (shifted) of every token, and the log-likelihood."""
    first, first_shift = start(chain)
    matrices, shifts, valid = _elements(chain)
    states = first.shape[-1]
    head = jnp.broadcast_to(first[:, None, :], (first.shape[0], states, states))
    elements = (
        jnp.concatenate([head[None], matrices]),
        jnp.concatenate([first_shift[None], shifts]),
        jnp.concatenate([jnp.ones_like(valid[:1]) if valid.shape[0] else jnp.ones((1, first.shape[0]), bool), valid]),
    )
    matrices, shifts, _ = jax.lax.associative_scan(_chain_products, elements)
    log_alpha = matrices[:, :, 0, :]
    return log_alpha, finish(chain, shifts[-1:], log_alpha[-1])


def associative_smoothed(chain: Chain) -> Float[Array, "time batch state"]:
    """Smoothed marginals, zero in padding."""
    log_alpha, _ = associative_forward(chain)
    suffixes = _elements(chain)
    if suffixes[1].shape[0]:
        suffixes = jax.lax.associative_scan(
            lambda later, earlier: _chain_products(earlier, later), suffixes, reverse=True
        )
    log_beta = jnp.where(suffixes[2][..., None], safe_logsumexp(suffixes[0]), 0.0)
    log_beta = jnp.concatenate([log_beta, jnp.zeros_like(log_alpha[:1])])
    return mask_lengths(normalise(log_alpha + log_beta), chain)
