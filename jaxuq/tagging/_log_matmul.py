r"""The one operation that every chain recursion is made of: a matrix product of exponentials.

$C_{nm} = \log \sum_k \exp(a_{nk} + b_{km})$
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_HIGHEST = jax.lax.Precision.HIGHEST


def finite_or_zero(values: Float[Array, "..."]) -> Float[Array, "..."]:
    """The values, with 0 for minus infinity: a shift that leaves `-inf - shift` at minus infinity and not at NaN."""
    return jnp.where(values > -jnp.inf, values, 0.0)


def safe_log(values: Float[Array, "..."]) -> Float[Array, "..."]:
    """The logarithm, minus infinity at 0 with gradient 0 there."""
    positive = values > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, values, 1.0)), -jnp.inf)


def safe_logsumexp(values: Float[Array, "... k"]) -> Float[Array, "..."]:
    """The logarithm of the sum over the last axis; minus infinity, with gradient 0, where all are minus infinity."""
    shift = jax.lax.stop_gradient(finite_or_zero(jnp.max(values, axis=-1)))
    return safe_log(jnp.sum(jnp.exp(values - shift[..., None]), axis=-1)) + shift


def _smallest(dtype: jnp.dtype) -> float:
    """The logarithm of a scaled sum under which the terms that were flushed to zero exceed one part in 6e7."""
    return math.log(jnp.finfo(dtype).tiny) + 18.0


def _shifts(
    a: Float[Array, "*batch n k"], b: Float[Array, "*batch k m"]
) -> tuple[Float[Array, "*batch n 1"], Float[Array, "*batch 1 m"]]:
    rows, columns = jnp.max(a, axis=-1, keepdims=True), jnp.max(b, axis=-2, keepdims=True)
    return jax.lax.stop_gradient(finite_or_zero(rows)), jax.lax.stop_gradient(finite_or_zero(columns))


def _terms(a: Float[Array, "*batch n k"], b: Float[Array, "*batch k m"]) -> Float[Array, "*batch n k m"]:
    return a[..., :, :, None] + b[..., None, :, :]  # fused into the reduction that follows, never stored


def _log_matmul(a: Float[Array, "*batch n k"], b: Float[Array, "*batch k m"]) -> Float[Array, "*batch n m"]:
    rows, columns = _shifts(a, b)
    product = jnp.matmul(jnp.exp(a - rows), jnp.exp(b - columns), precision=_HIGHEST)
    possible = (jnp.max(a, axis=-1, keepdims=True) > -jnp.inf) & (jnp.max(b, axis=-2, keepdims=True) > -jnp.inf)
    lost = possible & (product < math.exp(_smallest(a.dtype)))

    def exact() -> Float[Array, "*batch n m"]:
        return safe_logsumexp(jnp.swapaxes(_terms(a, b), -1, -2))

    def fast() -> Float[Array, "*batch n m"]:
        return safe_log(jnp.where(lost, 0.0, product)) + rows + columns

    return jax.lax.cond(jnp.any(lost), exact, fast)


@jax.custom_vjp
def log_matmul(a: Float[Array, "*batch n k"], b: Float[Array, "*batch k m"]) -> Float[Array, "*batch n m"]:
    r"""$\log(\exp(a) \exp(b))$, exact for every finite value and for minus infinity, with finite gradients.

    Rows of `a` and columns of `b` are shifted by their maximum, exponentiated and multiplied as matrices, several times
    faster than a log-sum-exp over the three axes. A sum that nearly underflows, which takes both a tiny probability and
    a transition that is impossible from everywhere else, sends the whole product to the slow form.
    """
    return _log_matmul(a, b)


def responsibilities_pullback(
    a: Float[Array, "*batch n k"],
    b: Float[Array, "*batch k m"],
    out: Float[Array, "*batch n m"],
    weights: Float[Array, "*batch n m"],
) -> tuple[Float[Array, "*batch n k"], Float[Array, "*batch k m"]]:
    r"""What each term contributed: $\sum_m R_{nkm} w_{nm}$ and $\sum_n R_{nkm} w_{nm}$.

    $R_{nkm} = \exp(a_{nk} + b_{km} - C_{nm})$ is the probability that the path into $m$ came from $k$, so with
    smoothed marginals as weights the sums are the marginals one step earlier and the expected transition counts. They
    are also the vector-Jacobian products of `log_matmul`, `out` being its value. $R$ is never stored.
    """
    rows, columns = _shifts(a, b)
    reached = out > -jnp.inf
    log_inverse = rows + columns - jnp.where(reached, out, rows + columns)
    most = -_smallest(a.dtype)

    def fast() -> tuple[Float[Array, "*batch n k"], Float[Array, "*batch k m"]]:
        p, q = jnp.exp(a - rows), jnp.exp(b - columns)
        scaled = jnp.where(reached, weights * jnp.exp(jnp.minimum(log_inverse, most)), 0.0)
        return (
            p * jnp.matmul(scaled, jnp.swapaxes(q, -1, -2), precision=_HIGHEST),
            q * jnp.matmul(jnp.swapaxes(p, -1, -2), scaled, precision=_HIGHEST),
        )

    def exact() -> tuple[Float[Array, "*batch n k"], Float[Array, "*batch k m"]]:
        joint = (
            jnp.exp(_terms(a, b) - finite_or_zero(out)[..., None, :]) * jnp.where(reached, weights, 0.0)[..., None, :]
        )
        return jnp.sum(joint, axis=-1), jnp.sum(joint, axis=-3)

    return jax.lax.cond(jnp.any(log_inverse > most), exact, fast)


def _forward(a, b):
    out = _log_matmul(a, b)
    return out, (a, b, out)


def _backward(residuals, gradient):
    a, b, out = residuals
    return responsibilities_pullback(a, b, out, gradient)


log_matmul.defvjp(_forward, _backward)
