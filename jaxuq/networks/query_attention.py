r"""Attention of one query a row on cached keys, with the logarithm of what its weights were divided by.

$$o = \sum_j w_j v_j, \qquad w_j = e^{s_j - \ell}, \qquad \ell = \log \sum_{j\ \text{seen}} e^{s_j}, \qquad
  s_j = c \tanh(s\, q \cdot k_j / c)$$

With $\ell$ parts of a cache that lie apart can be put together, $o = \sum_p e^{\ell_p - \ell} o_p$, and any weight can
be had again from its score alone.

References:
    T. Dao et al. FlashAttention. NeurIPS 2022, algorithm 1 (the running maximum and sum).
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._arguments import typed
from jaxuq._shapes import checked

_BLOCK = 256  # keys at a time in the kernel
_LOW = -1e30


@typed()
@checked
def query_attention(
    query: Float[Array, "batch heads dim"],
    key: Float[Array, "batch kv_heads keys dim"],
    value: Float[Array, "batch kv_heads keys dim"],
    where: Bool[Array, "batch keys"],
    *,
    scale: float,
    softcap: float | None = None,
    kernel: bool = False,
) -> tuple[Float[Array, "batch heads dim"], Float[Array, "batch heads"]]:
    r"""What one query sees, and $\ell$.

    Args:
        query: after rotary embedding; head $h$ reads key head $\lfloor h / (heads / kv\_heads) \rfloor$.
        key: after rotary embedding.
        value: of the keys.
        where: keys that are seen.
        scale: $s$, usually `dim ** -0.5`.
        softcap: $c$; None: none.
        kernel: one Pallas kernel that reads each key once and holds no scores of all keys, interpreted on a CPU. It has
            never been run, let alone measured, on an accelerator, and it has no gradient; False: plain operations.

    Returns:
        The mixture, in the query's type, and $\ell$ in float32; a query that sees nothing has 0 and minus infinity.

    Example:
        >>> import jax.numpy as jnp
        >>> seen = jnp.array([[True, True, False]])
        >>> mixed, total = query_attention(
        ...     jnp.ones((1, 1, 2)), jnp.zeros((1, 1, 3, 2)), jnp.ones((1, 1, 3, 2)), seen, scale=1.0
        ... )
        >>> mixed.tolist(), round(float(total[0, 0]), 4)
        ([[[1.0, 1.0]]], 0.6931)
    """
    batch, heads, dim = query.shape
    grouped = query.reshape(batch, key.shape[1], heads // key.shape[1], dim)
    run = _in_kernel if kernel else _plain
    mixed, total = run(grouped, key, value, where, scale=scale, softcap=softcap)
    return mixed.reshape(query.shape).astype(query.dtype), total.reshape(batch, heads)


def _capped(scores: Array, scale: float, softcap: float | None) -> Array:
    scores = scores * scale
    return scores if softcap is None else softcap * jnp.tanh(scores / softcap)


def _plain(query: Array, key: Array, value: Array, where: Array, *, scale: float, softcap: float | None) -> Any:
    scores = jnp.einsum("bkgd,bktd->bkgt", query, key, preferred_element_type=jnp.float32)
    seen = jnp.broadcast_to(where[:, None, None], scores.shape)
    scores = jnp.where(seen, _capped(scores, scale, softcap), -jnp.inf)
    total = jax.nn.logsumexp(scores, axis=-1)
    finite = jnp.where(jnp.isfinite(total), total, 0.0)
    weights = jnp.exp(scores - finite[..., None])
    return jnp.einsum("bkgt,bktd->bkgd", weights, value.astype(jnp.float32)), total


def _in_kernel(query: Array, key: Array, value: Array, where: Array, *, scale: float, softcap: float | None) -> Any:
    from jax.experimental import pallas

    batch, kv_heads, group, dim = query.shape
    padding = -key.shape[2] % _BLOCK
    key, value = (jnp.pad(one, ((0, 0), (0, 0), (0, padding), (0, 0))) for one in (key, value))
    where = jnp.pad(where, ((0, 0), (0, padding)))
    keys = key.shape[2]
    own = pallas.BlockSpec((None, None, group, dim), lambda row, head: (row, head, 0, 0))
    all_keys = pallas.BlockSpec((None, None, keys, dim), lambda row, head: (row, head, 0, 0))
    body = functools.partial(_kernel, blocks=keys // _BLOCK, scale=scale, softcap=softcap, pallas=pallas)
    return pallas.pallas_call(
        body,
        grid=(batch, kv_heads),
        in_specs=[own, all_keys, all_keys, pallas.BlockSpec((None, keys), lambda row, head: (row, 0))],
        out_specs=[own, pallas.BlockSpec((None, None, group), lambda row, head: (row, head, 0))],
        out_shape=[
            jax.ShapeDtypeStruct(query.shape, jnp.float32),
            jax.ShapeDtypeStruct(query.shape[:3], jnp.float32),
        ],
        interpret=jax.default_backend() == "cpu",
    )(query, key, value, where)


def _kernel(
    query: Any, key: Any, value: Any, where: Any, mixed: Any, total: Any, *,
    blocks: int, scale: float, softcap: float | None, pallas: Any,
) -> None:  # fmt: skip
    asked = query[...].astype(jnp.float32)

    def step(number: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        highest, weight, sums = carry
        block = pallas.ds(number * _BLOCK, _BLOCK)
        scores = _capped(asked @ key[block, :].astype(jnp.float32).T, scale, softcap)
        seen = jnp.broadcast_to(where[block][None], scores.shape)
        higher = jnp.maximum(highest, jnp.max(jnp.where(seen, scores, _LOW), axis=1))
        weights = jnp.where(seen, jnp.exp(scores - higher[:, None]), 0.0)
        kept = jnp.exp(highest - higher)
        sums = sums * kept[:, None] + weights @ value[block, :].astype(jnp.float32)
        return higher, weight * kept + weights.sum(axis=1), sums

    group, dim = query.shape
    start = jnp.full((group,), _LOW), jnp.zeros((group,)), jnp.zeros((group, dim))
    highest, weight, sums = jax.lax.fori_loop(0, blocks, step, start)
    some = weight > 0
    mixed[...] = sums / jnp.where(some, weight, 1.0)[:, None]
    total[...] = jnp.where(some, highest + jnp.log(jnp.where(some, weight, 1.0)), -jnp.inf)
