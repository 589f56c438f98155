"""Random words from a hashed counter, so that any part of a projection can be made again from its place alone."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, UInt32

_GOLDEN_RATIO = 0x9E3779B1  # 2**32 / phi, odd: neighbouring counters are spread over all words


def _mix(word: UInt32[Array, "*shape"]) -> UInt32[Array, "*shape"]:
    """A bijection of words in which each input bit flips half of the output bits, within 0.2 % (Wellons' lowbias32)."""
    word = (word ^ (word >> 16)) * jnp.uint32(0x7FEB352D)
    word = (word ^ (word >> 15)) * jnp.uint32(0x846CA68B)
    return word ^ (word >> 16)


def seed_words(rng_key: Key[Array, ""]) -> UInt32[Array, "2"]:
    """The two words on which all others depend."""
    return jax.random.bits(rng_key, (2,), jnp.uint32)


def random_words(
    seeds: UInt32[Array, "2"], columns: UInt32[Array, " columns"], rows: UInt32[Array, " rows"]
) -> UInt32[Array, "rows columns"]:
    r"""Word $h(h(j\varphi + k_0) \oplus h(i\varphi + k_1))$ for column $j$ and row $i$.

    Threefry takes some 10 ns a word in XLA's CPU backend, a projection needs hundreds of millions of words, and this
    takes well under 1 ns. Words of one row never coincide, for $h$ is a bijection.
    """
    golden = jnp.uint32(_GOLDEN_RATIO)
    column = _mix(columns * golden + seeds[0])
    row = _mix(rows * golden + seeds[1])
    shape = (rows.shape[0], columns.shape[0])
    return _mix(jnp.broadcast_to(column[None], shape) ^ jnp.broadcast_to(row[:, None], shape))
