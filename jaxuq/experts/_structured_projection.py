"""Sparse and Hadamard projections of one array: fewer operations than a product with a dense matrix."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

from jaxuq._meshes import vary_like
from jaxuq.experts._words import random_words

NONZEROS = 8
"""Entries of each column of a sparse projection that are not zero."""
_COLUMNS = 2**12  # of a sparse projection, at a time
_SIGN_ROW = 2**31  # rows of words that no other use reads
_ORDER_ROW = 2**31 + 1


def sparse(
    seeds: UInt32[Array, "2"], x: Float[Array, "examples size"], start: int, dimension: int
) -> Float[Array, "examples dimension"]:
    r"""Products of `x` with columns of 8 signs each, one in each eighth of the outputs, scaled by $\sqrt{d / 8}$."""
    nonzeros = min(NONZEROS, dimension)
    while dimension % nonzeros:
        nonzeros -= 1
    part = dimension // nonzeros
    width = min(_COLUMNS, x.shape[1])
    examples, size = x.shape
    blocks = -(-size // width)
    padded = jnp.pad(x, ((0, 0), (0, blocks * width - size)))
    parts = jnp.moveaxis(padded.reshape(examples, blocks, width), 0, 2)
    firsts = jnp.arange(blocks, dtype=jnp.uint32) * jnp.uint32(width) + jnp.uint32(start)
    rows = jnp.arange(nonzeros, dtype=jnp.uint32)

    def block(total: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
        first, values = inputs
        words = random_words(seeds, first + jnp.arange(width, dtype=jnp.uint32), rows)
        places = ((words >> 1) % jnp.uint32(part)).astype(jnp.int32)
        signs = 1.0 - 2.0 * (words & 1).astype(x.dtype)

        def one(carry: None, inputs: tuple[Array, Array]) -> tuple[None, Array]:
            place, sign = inputs
            signed = values * jnp.broadcast_to(sign[:, None], values.shape)
            return carry, jnp.zeros((part, examples), x.dtype).at[place].add(signed)

        return total + jax.lax.scan(one, None, (places, signs))[1], None

    total, _ = jax.lax.scan(block, vary_like(jnp.zeros((nonzeros, part, examples), x.dtype), x, seeds), (firsts, parts))
    return total.reshape(dimension, examples).T * (dimension / nonzeros) ** 0.5


def hadamard(
    seeds: UInt32[Array, "2"], x: Float[Array, "examples size"], start: int, dimension: int
) -> Float[Array, "examples dimension"]:
    r"""Sums of $P_b H D_b x_b$ over blocks $b$ of coordinates, twice as wide as there are outputs or more.

    Random signs $D_b$, the Hadamard matrix $H$ of $\pm 1$ by two products with small ones, and $P_b$, which takes
    `dimension` of its rows in random order and with random signs. Blocks lie on a grid that does not depend on where
    an array starts.
    """
    order = max(2 * dimension - 1, 63).bit_length()
    width = 2**order
    left, right = (_hadamard_matrix(half).astype(x.dtype) for half in (order // 2, order - order // 2))
    examples, size = x.shape
    skipped = start % width
    blocks = -(-(skipped + size) // width)
    padded = jnp.pad(x, ((0, 0), (skipped, blocks * width - skipped - size)))
    parts = jnp.moveaxis(padded.reshape(examples, blocks, *left.shape[:1], *right.shape[:1]), 1, 0)
    firsts = jnp.arange(blocks, dtype=jnp.uint32) * jnp.uint32(width) + jnp.uint32(start - skipped)
    rows = jnp.array([_SIGN_ROW, _ORDER_ROW], jnp.uint32)

    def block(total: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
        first, values = inputs
        signs, order = random_words(seeds, first + jnp.arange(width, dtype=jnp.uint32), rows)
        signs = (1.0 - 2.0 * (signs >> 31).astype(x.dtype)).reshape(1, *values.shape[1:])
        signed = values * jnp.broadcast_to(signs, values.shape)
        mixed = jnp.einsum("ij,ejk,kl->eil", left, signed, right).reshape(examples, width)
        taken = jnp.argsort(order)[:dimension]
        flips = 1.0 - 2.0 * (order[taken] & 1).astype(x.dtype)  # or the constant rows of all blocks would be one
        return total + mixed[:, taken] * jnp.broadcast_to(flips[None], total.shape), None

    return jax.lax.scan(block, vary_like(jnp.zeros((examples, dimension), x.dtype), x, seeds), (firsts, parts))[0]


def _hadamard_matrix(order: int) -> Float[Array, "width width"]:
    """Sylvester's matrix of width `2**order`."""
    matrix = jnp.ones((1, 1), jnp.float32)
    for _ in range(order):
        matrix = jnp.block([[matrix, matrix], [matrix, -matrix]])
    return matrix
