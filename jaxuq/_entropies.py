"""Entropies and log probabilities that are exact at the edges: infinite logits, impossible classes, certain ones."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxuq._class_terms import shifted, sum_together


def bernoulli_entropy(logits: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    r"""Entropy of coins from their log odds $z$, nats: $-p \log p - (1-p) \log(1-p)$, 0 at $z = \pm\infty$.

    Value and gradient are finite for every $z$ but NaN.
    """
    finite = jnp.isfinite(logits) | jnp.isnan(logits)
    z = jnp.abs(jnp.where(finite, logits, jnp.zeros_like(logits)))
    return jnp.where(finite, jax.nn.softplus(-z) + z * jax.nn.sigmoid(-z), jnp.zeros_like(z))


@jax.custom_jvp
def categorical_entropy(logits: Float[Array, "*batch classes"]) -> Float[Array, "*batch"]:
    r"""Entropy of a softmax, nats: $-\sum_k p_k \log p_k$ with $0 \log 0 = 0$; classes of $-\infty$ are impossible.

    Value and gradient are finite unless all logits are $-\infty$ or one is NaN.
    """
    _, moved = shifted(logits)
    total, product = sum_together(jnp.exp(moved), jnp.exp(moved) * moved)
    return jnp.log(total) - product / total


@categorical_entropy.defjvp
def _categorical_entropy_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    r"""The slope $-\sum_k p_k (\log p_k + H) \dot z_k$."""
    _, moved = shifted(primals[0])
    log_p = moved - jnp.log(jnp.sum(jnp.exp(moved), axis=-1))[..., None]
    entropy = categorical_entropy(primals[0])
    slope = jnp.exp(log_p) * (log_p + entropy[..., None])
    return entropy, -jnp.sum(slope * tangents[0].astype(slope.dtype), axis=-1)


@jax.custom_jvp
def log_softmax(logits: Float[Array, "*batch classes"]) -> Float[Array, "*batch classes"]:
    r"""Normalised log probabilities; the limit where logits are infinite, in value and gradient.

    One logit of $+\infty$ is a certain class (several share it alike); $-\infty$ is an impossible one; all $-\infty$,
    or a NaN, give NaN.
    """
    certain = logits == jnp.inf
    any_certain = jnp.broadcast_to(jnp.any(certain, axis=-1, keepdims=True), logits.shape)
    limit = jnp.where(certain, jnp.zeros_like(logits), jnp.full_like(logits, -jnp.inf))
    return jax.nn.log_softmax(jnp.where(any_certain & ~jnp.isnan(logits), limit, logits), axis=-1)


@log_softmax.defjvp
def _log_softmax_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """The slope $\\dot z - \\sum_k p_k \\dot z_k$ holds in the limits too."""
    result = log_softmax(*primals)
    (slope,) = tangents
    return result, slope - jnp.sum(jnp.exp(result) * slope, axis=-1, keepdims=True)


@jax.custom_jvp
def log_sum_exp(logits: Float[Array, "*batch classes"]) -> Float[Array, "*batch"]:
    r"""$\log \sum_k e^{z_k}$, with a slope that is the limit where logits are infinite, and 0 if all are $-\infty$."""
    return jax.nn.logsumexp(logits, axis=-1)


@log_sum_exp.defjvp
def _log_sum_exp_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    result = log_sum_exp(*primals)
    nothing = jnp.broadcast_to(result[..., None] == -jnp.inf, primals[0].shape)
    p = jnp.where(nothing, jnp.zeros_like(primals[0]), jnp.exp(log_softmax(primals[0])))
    return result, jnp.sum(p * tangents[0], axis=-1)


def divergence(log_p: Float[Array, "*batch classes"], log_q: Float[Array, "*batch classes"]) -> Float[Array, "*batch"]:
    r"""$\mathrm{KL}(p \,\|\, q)$ from log probabilities, nats; $\infty$ where $q$ rules out what $p$ allows."""
    possible = log_p > -jnp.inf
    safe_p, safe_q = (jnp.where(possible | jnp.isnan(log_p), a, jnp.zeros_like(a)) for a in (log_p, log_q))
    terms = jnp.exp(safe_p) * (safe_p - safe_q)
    return jnp.sum(jnp.where(possible | jnp.isnan(log_p), terms, jnp.zeros_like(terms)), axis=-1)
