"""Rademacher and Gaussian projections of one array: blocks of the matrix are made, multiplied and forgotten."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

from jaxuq._meshes import vary_like
from jaxuq.experts._words import random_words

_SIGNS = 2**17  # words of signs at a time, 32 signs each
_NORMALS = 2**20  # Gaussian entries at a time
_BITS = 32


def rademacher(
    seeds: UInt32[Array, "2"], x: Float[Array, "examples size"], start: int, dimension: int
) -> Float[Array, "examples dimension"]:
    r"""Products of `x` with columns `start, start + 1, ...` of a matrix of signs.

    Output $b W + w$ of $W = \lceil dimension / 32 \rceil$ words reads bit $31 - b$ of word $w$ of a column. The words
    of a block of columns are made once, and 32 times shifted: a product of `[W, columns]` signs each time.
    """
    words = -(-dimension // _BITS)
    width = _width(_SIGNS // words, x.shape[1])
    rows = jnp.arange(words, dtype=jnp.uint32)

    def block(total: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
        first, part = inputs

        word = random_words(seeds, first + jnp.arange(width, dtype=jnp.uint32), rows)

        def bit(carry: None, inputs: tuple[Array, Array]) -> tuple[None, Array]:
            shift, total = inputs
            sign = (word << shift) & jnp.uint32(2**31)
            signs = jax.lax.bitcast_convert_type(sign | jnp.uint32(0x3F800000), jnp.float32)  # 1 or -1
            return carry, total + signs.astype(part.dtype) @ part

        return jax.lax.scan(bit, None, (jnp.arange(_BITS, dtype=jnp.uint32), total))[1], None

    zeros = jnp.zeros((_BITS, words, x.shape[0]), x.dtype)
    total, _ = jax.lax.scan(block, vary_like(zeros, x, seeds), _blocks(x, start, width))
    return total.reshape(_BITS * words, x.shape[0])[:dimension].T


def gaussian(
    seeds: UInt32[Array, "2"], x: Float[Array, "examples size"], start: int, dimension: int
) -> Float[Array, "examples dimension"]:
    r"""Products of `x` with columns of a matrix of standard normal entries, $\sqrt 2\, \mathrm{erf}^{-1}(u)$."""
    width = _width(_NORMALS // dimension, x.shape[1])
    rows = jnp.arange(dimension, dtype=jnp.uint32)

    def block(total: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
        first, part = inputs
        columns = first + jnp.arange(width, dtype=jnp.uint32)
        uniform = (random_words(seeds, columns, rows) >> 8).astype(jnp.float32) * 2.0**-23 + (2.0**-24 - 1.0)
        return total + (math.sqrt(2.0) * jax.lax.erf_inv(uniform)).astype(part.dtype) @ part, None

    total, _ = jax.lax.scan(
        block, vary_like(jnp.zeros((dimension, x.shape[0]), x.dtype), x, seeds), _blocks(x, start, width)
    )
    return total.T


def _width(most: int, size: int) -> int:
    """Columns of a block: a power of two, no more than are needed."""
    return 2 ** min(max(most, 1).bit_length() - 1, max(size - 1, 1).bit_length())


def _blocks(x: Array, start: int, width: int) -> tuple[Array, Array]:
    """The first column of each block, and its coordinates of all examples, `[blocks, width, examples]`."""
    examples, size = x.shape
    blocks = -(-size // width)
    padded = jnp.pad(x, ((0, 0), (0, blocks * width - size)))
    first = jnp.arange(blocks, dtype=jnp.uint32) * jnp.uint32(width) + jnp.uint32(start)
    return first, jnp.moveaxis(padded.reshape(examples, blocks, width), 0, 2)
