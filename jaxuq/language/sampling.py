"""Choosing the next token: temperature, top-k, top-p, min-p, and a draw; nothing is sorted.

The three filters each keep the tokens above a threshold. The threshold is found by bisection over the bits of float32,
which takes 32 passes over the vocabulary and is exact: no two numbers lie between neighbouring bit patterns.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, Shaped, UInt

from jaxuq._arguments import typed
from jaxuq._arrays import concrete, widened
from jaxuq._errors import OptionError
from jaxuq._meshes import vary_like
from jaxuq._options import check_count, check_number
from jaxuq._shapes import checked
from jaxuq.networks.sharding import vocabulary_parts

_BLOCK = 256


class Sampling(NamedTuple):
    """How the next token is chosen. Numbers may be traced; what is None is not compiled.

    Filters apply in the order of the attributes, each to what the one before left, renormalised.

    Attributes:
        temperature: logits are divided by it; None or 0: greedy, the most likely token (the first of equals).
        top_k: keep the k most likely tokens, and those as likely as the k-th; None or 0: all.
        top_p: keep the most likely tokens that together first reach this probability, and those as likely as the last
            of them; None or 1: all.
        min_p: keep tokens at least this many times as likely as the most likely one; None or 0: all.
    """

    temperature: float | Float[Array, ""] | None = 1.0
    top_k: int | Int[Array, ""] | None = None
    top_p: float | Float[Array, ""] | None = None
    min_p: float | Float[Array, ""] | None = None


GREEDY = Sampling(temperature=None)
PLAIN = Sampling()


@typed()
def check_sampling(sampling: Sampling) -> Sampling:
    """Refuse numbers out of range, and write what has no effect as None; traced numbers pass.

    Args:
        sampling: as given by a user.

    Returns:
        The same choice in its plainest form.

    Raises:
        ValueError: a negative or non-finite temperature, a negative `top_k`, a probability outside [0, 1], a `top_p`
            of 0.

    Example:
        >>> check_sampling(Sampling(temperature=0.0, top_k=5, top_p=1.0))
        Sampling(temperature=None, top_k=None, top_p=None, min_p=None)
    """
    temperature, top_k, top_p, min_p = sampling
    if concrete(temperature):
        temperature = check_number("temperature", temperature, 0.0) or None
    if concrete(top_k):
        top_k = check_count("top_k", top_k, 0) or None
    if concrete(top_p):
        top_p = check_number("top_p", top_p, 0.0, 1.0, open_low=True)
        top_p = None if top_p == 1 else top_p
    if concrete(min_p):
        min_p = check_number("min_p", min_p, 0.0, 1.0) or None
    return GREEDY if temperature is None else Sampling(temperature, top_k, top_p, min_p)


def vocabulary_sum(x: Shaped[Array, "*batch vocab"]) -> Shaped[Array, "*batch"]:
    """Sum over the vocabulary in blocks, which is vectorised and takes the same order whatever the batch.

    On a mesh that splits the vocabulary no block is in two parts.
    """
    parts = vocabulary_parts(x)
    x = x.reshape(*x.shape[:-1], parts, x.shape[-1] // parts)
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -x.shape[-1] % _BLOCK)])
    return padded.reshape(*x.shape[:-1], padded.shape[-1] // _BLOCK, _BLOCK).sum(-2).sum(-1).sum(-1)


def _like(x: Array, like: Array) -> Array:
    return jnp.broadcast_to(x[..., None], like.shape)


def _threshold(
    keys: UInt[Array, "*batch vocab"], enough: Callable[[Bool[Array, "*batch vocab"]], Bool[Array, "*batch"]]
) -> Bool[Array, "*batch vocab"]:
    """The mask of the keys that are at least t, for the largest t whose mask is `enough`."""

    def narrow(step: Array, bits: Array) -> Array:
        tried = bits | (jnp.uint32(1) << (jnp.uint32(31) - step.astype(jnp.uint32)))
        return jnp.where(enough(keys >= _like(tried, keys)), tried, bits)

    bits = jax.lax.fori_loop(0, 32, narrow, vary_like(jnp.zeros(keys.shape[:-1], jnp.uint32), keys))
    return keys >= _like(bits, keys)


def _ordered(x: Float[Array, "*batch vocab"]) -> UInt[Array, "*batch vocab"]:
    """Unsigned integers in the order of the numbers; both zeros are one."""
    x = jnp.where(x == 0, 0.0, x)
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
    top = jnp.uint32(1 << 31)
    return jnp.where(bits >= top, ~bits, bits | top)


@checked
def top_k_mask(logits: Float[Array, "*batch vocab"], top_k: int | Int[Array, ""]) -> Bool[Array, "*batch vocab"]:
    r"""The `top_k` largest logits: $\{v : |\{u : x_u > x_v\}| < k\}$.

    Args:
        logits: of the vocabulary.
        top_k: how many, at least 1; more than there are keeps all.

    Returns:
        The mask. All that tie with the k-th largest are in, so it may hold more than k.

    Raises:
        OptionError: a `top_k` below 1, where it is not traced.

    Example:
        >>> import jax.numpy as jnp
        >>> top_k_mask(jnp.array([1.0, 3.0, 2.0, 2.0]), 2).tolist()
        [False, True, True, True]

    References:
        A. Fan, M. Lewis, Y. Dauphin. Hierarchical neural story generation. ACL 2018.
    """
    if concrete(top_k):
        check_count("top_k", top_k)
    return _threshold(_ordered(logits), lambda mask: vocabulary_sum(mask.astype(jnp.int32)) >= top_k)


@checked
def top_p_mask(logits: Float[Array, "*batch vocab"], top_p: float | Float[Array, ""]) -> Bool[Array, "*batch vocab"]:
    r"""The nucleus: the most likely tokens, down to where their probability first reaches `top_p`.

    $\{v : \sum_{u : p_u > p_v} p_u < \mathit{top\_p}\}$, as Holtzman et al. define it, with ties kept together.

    Args:
        logits: of the vocabulary; excluded tokens have minus infinity.
        top_p: the probability, above 0; sums are rounded to float32, so a `top_p` within 1e-6 of a sum may fall on
            either side.

    Returns:
        The mask; the most likely token is always in.

    Raises:
        OptionError: a `top_p` of 0 or less, where it is not traced.

    Example:
        >>> import jax.numpy as jnp
        >>> top_p_mask(jnp.log(jnp.array([0.5, 0.25, 0.15, 0.1])), 0.7).tolist()
        [True, True, False, False]

    References:
        A. Holtzman et al. The curious case of neural text degeneration. ICLR 2020, Eq 2.
    """
    if concrete(top_p):
        check_number("top_p", top_p, 0.0, open_low=True)
    weights = jnp.exp(logits - jnp.max(logits, axis=-1, keepdims=True)).astype(jnp.float32)
    target = top_p * vocabulary_sum(weights)
    kept = _threshold(_ordered(logits), lambda mask: vocabulary_sum(jnp.where(mask, weights, 0.0)) >= target)
    return kept & (weights > 0) | (weights == 1)


@checked
def min_p_mask(logits: Float[Array, "*batch vocab"], min_p: float | Float[Array, ""]) -> Bool[Array, "*batch vocab"]:
    r"""Tokens with $p_v \ge \mathit{min\_p} \cdot \max_u p_u$.

    Args:
        logits: of the vocabulary.
        min_p: a fraction, above 0 and at most 1.

    Returns:
        The mask; the most likely token is always in.

    Raises:
        OptionError: a `min_p` outside (0, 1], where it is not traced.

    Example:
        >>> import jax.numpy as jnp
        >>> min_p_mask(jnp.log(jnp.array([0.5, 0.3, 0.2])), 0.5).tolist()
        [True, True, False]

    References:
        N. N. Minh et al. Turning up the heat: min-p sampling for creative and coherent LLM outputs. ICLR 2025.
    """
    if concrete(min_p):
        check_number("min_p", min_p, 0.0, 1.0, open_low=True)
    return logits >= jnp.max(logits, axis=-1, keepdims=True) + jnp.log(jnp.asarray(min_p, logits.dtype))


@typed()
@checked
@widened
def filter_logits(logits: Float[Array, "*batch vocab"], sampling: Sampling) -> Float[Array, "*batch vocab"]:
    r"""Logits of the distribution that is sampled from: $x / T$, minus infinity for what the filters leave out.

    Their softmax is that distribution. Logits are shifted so that the largest is 0, which makes any temperature safe.

    Args:
        logits: of the model.
        sampling: temperature and filters; not greedy.

    Returns:
        Logits in float32 at least.

    Raises:
        ValueError: `sampling` is greedy, which is not a softmax of anything; or a number is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> filter_logits(jnp.array([2.0, 1.0, 0.0]), Sampling(temperature=0.5, top_k=2)).tolist()
        [0.0, -2.0, -inf]
    """
    sampling = check_sampling(sampling)
    if sampling.temperature is None:
        raise OptionError("greedy choice filters no logits; give a temperature above 0")
    logits = (logits - jnp.max(logits, axis=-1, keepdims=True)) / sampling.temperature
    if sampling.top_k is not None:
        top_k = jnp.where(jnp.asarray(sampling.top_k) > 0, sampling.top_k, logits.shape[-1])  # a traced 0: all
        logits = jnp.where(top_k_mask(logits, top_k), logits, -jnp.inf)
    if sampling.top_p is not None:
        logits = jnp.where(top_p_mask(logits, sampling.top_p), logits, -jnp.inf)
    if sampling.min_p is not None:
        logits = jnp.where(min_p_mask(logits, sampling.min_p), logits, -jnp.inf)
    return logits


def _draw(rng_key: Key[Array, ""], weights: Float[Array, "groups"]) -> Int[Array, ""]:
    """An index in proportion to its weight, by one uniform number; never one of weight 0."""
    cumulative = jnp.cumsum(weights)
    reached = (cumulative > jax.random.uniform(rng_key) * cumulative[-1]) & (weights > 0)
    return jnp.where(reached.any(), jnp.argmax(reached), jnp.argmax(weights))


@typed()
@checked
def sample_token(
    rng_key: Key[Array, ""], logits: Float[Array, "*batch vocab"], sampling: Sampling
) -> Int[Array, "*batch"]:
    """Choose a token.

    Two uniform numbers decide, one for a block of the vocabulary and one for the token in it: the number of random bits
    does not grow with the vocabulary, and small probabilities keep their precision.

    Args:
        rng_key: of this choice; not used when greedy. Rows of a batch draw independently.
        logits: of the model, finite.
        sampling: temperature and filters.

    Returns:
        Token numbers, in range whatever the logits hold (rows with NaN mean nothing).

    Raises:
        ValueError: see `check_sampling`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> sample_token(jax.random.key(0), jnp.array([0.0, 9.0, 1.0]), GREEDY)
        Array(1, dtype=int32)
    """
    sampling = check_sampling(sampling)
    if sampling.temperature is None:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    if logits.ndim > 1:
        keys = jax.random.split(rng_key, logits.shape[0])
        return jax.vmap(lambda key, row: sample_token(key, row, sampling))(keys, logits)
    return drawn_token(rng_key, jnp.exp(filter_logits(logits, sampling)))


def drawn_token(rng_key: Key[Array, ""], weights: Float[Array, "vocab"]) -> Int[Array, ""]:
    """A token in proportion to its weight: a block of the vocabulary first, then one of its tokens."""
    blocks = jnp.pad(weights, (0, -weights.shape[0] % _BLOCK)).reshape(-1, _BLOCK)
    block_key, token_key = jax.random.split(rng_key)
    block = _draw(block_key, blocks.sum(-1))
    return (block * _BLOCK + _draw(token_key, blocks[block])).astype(jnp.int32)
