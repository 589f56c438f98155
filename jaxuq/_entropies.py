"""Entropies and log probabilities that are exact at the edges: infinite logits, impossible classes, certain ones."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from jaxuq._arrays import as_float, class_numbers, counted, is_class, select, undefined_unless, within_classes


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
    _, shifted, log_total = _shifted(logits)
    return log_total - jnp.sum(jnp.exp(shifted - log_total[..., None]) * shifted, axis=-1)


@categorical_entropy.defjvp
def _categorical_entropy_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    r"""The slope $-\sum_k p_k (\log p_k + H) \dot z_k$."""
    _, shifted, log_total = _shifted(primals[0])
    log_p = shifted - log_total[..., None]
    entropy = categorical_entropy(primals[0])
    slope = jnp.exp(log_p) * (log_p + entropy[..., None])
    return entropy, -jnp.sum(slope * tangents[0].astype(slope.dtype), axis=-1)


def log_probability_of(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""$z_y - \log \sum_k e^{z_k}$ of each label under a softmax; 0, with gradient 0, where `where` is False.

    In at least single precision; the limit of `log_softmax` where logits are infinite, NaN for a label that is no
    class. No array of all classes is made beside the logits and their gradient: a vocabulary is large.
    """
    known = counted(where, labels)
    found = _log_probability_of(logits, class_numbers(labels, logits.shape[-1]), known)
    return undefined_unless(within_classes(labels, logits.shape[-1]) | ~known, found)


@jax.custom_jvp
def _log_probability_of(logits: Array, classes: Array, known: Array) -> Array:
    top, _, log_total = _shifted(logits)
    own = as_float(jnp.take_along_axis(logits, classes[..., None], axis=-1)[..., 0])
    never = (top == _largest(top)) & (own < top)
    own = jnp.where(never, jnp.full_like(own, -jnp.inf), jnp.minimum(own, _largest(own)) - top)
    return select(own - log_total, known)


@_log_probability_of.defjvp
def _log_probability_of_jvp(primals: tuple[Array, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    r"""The slope $\sum_k ([k = y] - p_k) \dot z_k$, a comparison in the place of a one-hot array."""
    logits, classes, known = primals
    _, shifted, log_total = _shifted(logits)
    probabilities = jnp.exp(shifted - log_total[..., None])
    numbers = jnp.arange(logits.shape[-1], dtype=classes.dtype).reshape((1,) * classes.ndim + (-1,))
    slope = select((numbers == classes[..., None]).astype(probabilities.dtype) - probabilities, known)
    return _log_probability_of(*primals), jnp.sum(slope * tangents[0].astype(slope.dtype), axis=-1)


def _shifted(logits: Array) -> tuple[Array, Array, Array]:
    r"""The largest logit, all of them less it, and $\log \sum_k e^{z_k}$ of these.

    Infinities are the largest numbers there are, whose differences underflow as they should: no comparison is needed,
    which compilers do not fuse into a sum everywhere. NaN if all are $-\infty$ or one is NaN.
    """
    values = as_float(logits)
    most = _largest(values)
    top = jax.lax.stop_gradient(jnp.minimum(jnp.max(values, axis=-1), most))
    shifted = jnp.maximum(jnp.minimum(values, most) - top[..., None], -most)
    return top, shifted, jnp.log(jnp.sum(jnp.exp(shifted), axis=-1))


def _largest(values: Array) -> Array:
    return jnp.asarray(jnp.finfo(values.dtype).max, values.dtype)


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


def log_rest(
    log_probabilities: Float[Array, "*batch classes"], labels: Integer[Array, "*batch"]
) -> Float[Array, "*batch"]:
    r"""$\log (1 - p_y)$ by adding up the other classes: exact where $p_y$ rounds to 1, $-\infty$ where it is 1."""
    others = jnp.where(
        is_class(labels, log_probabilities.shape[-1]), jnp.full_like(log_probabilities, -jnp.inf), log_probabilities
    )
    top = jax.lax.stop_gradient(jnp.max(others, axis=-1, keepdims=True))
    some = top > -jnp.inf
    shifted = others - jnp.where(some, top, jnp.zeros_like(top))
    total = jnp.sum(jnp.where(others > -jnp.inf, jnp.exp(shifted), jnp.zeros_like(shifted)), axis=-1)
    some, top = some[..., 0], top[..., 0]
    return jnp.where(some, jnp.log(jnp.where(some, total, jnp.ones_like(total))) + top, jnp.full_like(total, -jnp.inf))


def divergence(log_p: Float[Array, "*batch classes"], log_q: Float[Array, "*batch classes"]) -> Float[Array, "*batch"]:
    r"""$\mathrm{KL}(p \,\|\, q)$ from log probabilities, nats; $\infty$ where $q$ rules out what $p$ allows."""
    possible = log_p > -jnp.inf
    safe_p, safe_q = (jnp.where(possible | jnp.isnan(log_p), a, jnp.zeros_like(a)) for a in (log_p, log_q))
    terms = jnp.exp(safe_p) * (safe_p - safe_q)
    return jnp.sum(jnp.where(possible | jnp.isnan(log_p), terms, jnp.zeros_like(terms)), axis=-1)
