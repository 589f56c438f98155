"""Choosing tokens where every row of a batch has settings of its own, all of them arrays: one program for all."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxuq._arguments import typed
from jaxuq._arrays import widened
from jaxuq._shapes import checked
from jaxuq.language.sampling import drawn_token, min_p_mask, top_k_mask, top_p_mask


class RowSampling(NamedTuple):
    """`Sampling` of every row.

    Attributes:
        temperature: 0: the most likely token.
        top_k: 0: all.
        top_p: 1: all.
        min_p: 0: all.
    """

    temperature: Float[Array, "rows"]
    top_k: Int[Array, "rows"]
    top_p: Float[Array, "rows"]
    min_p: Float[Array, "rows"]


@typed()
@checked
@widened
def sample_rows(
    rng_keys: Key[Array, "rows"], logits: Float[Array, "rows vocab"], sampling: RowSampling
) -> Int[Array, "rows"]:
    """Choose a token in every row, by its own settings and key.

    What no row asks for is not computed: filters, draws. Row i is `sample_token(rng_keys[i], logits[i], ...)` with the
    settings of that row.

    Args:
        rng_keys: of this choice.
        logits: of the model, finite.
        sampling: of every row; in range, which `check_sampling` sees to.

    Returns:
        Token numbers.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> rows = RowSampling(jnp.array([0.0, 1.0]), jnp.array([0, 1]), jnp.ones(2), jnp.zeros(2))
        >>> keys, logits = jax.random.split(jax.random.key(0)), jnp.array([[0.0, 9.0], [1.0, 0.0]])
        >>> sample_rows(keys, logits, rows).tolist()
        [1, 0]
    """
    likeliest = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    warm = sampling.temperature > 0
    filters = (
        (sampling.top_k > 0, top_k_mask, sampling.top_k),
        (sampling.top_p < 1, top_p_mask, sampling.top_p),
        (sampling.min_p > 0, min_p_mask, sampling.min_p),
    )

    def drawn(logits: Array) -> Array:
        scale = jnp.where(warm, sampling.temperature, 1.0)[:, None].astype(logits.dtype)
        shifted = (logits - jnp.max(logits, axis=-1, keepdims=True)) / scale
        for wanted, mask, bound in filters:

            def kept(shifted: Array, wanted: Array = wanted, mask=mask, bound: Array = bound) -> Array:
                inside = jax.vmap(mask)(shifted, jnp.where(wanted, bound, jnp.ones((), bound.dtype)))
                return jnp.where(inside | ~wanted[:, None], shifted, -jnp.inf)

            shifted = jax.lax.cond((wanted & warm).any(), kept, lambda shifted: shifted, shifted)
        return jnp.where(warm, jax.vmap(drawn_token)(rng_keys, jnp.exp(shifted)), likeliest)

    return jax.lax.cond(warm.any(), drawn, lambda _: likeliest, logits)
