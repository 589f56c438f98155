r"""The Rademacher projection as one Pallas kernel: signs are made where they are multiplied, and never leave.

$$y_{b W + w} = \sum_j \sigma_b(r_{w j})\, x_j$$

with the words $r_{w j}$ of `random_words` and the sign $\sigma_b$ that bit $31 - b$ of one says: the matrix of
`rademacher`. It has been interpreted on a CPU, and never run, let alone measured, on an accelerator.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

from jaxuq.experts._words import random_words

_COLUMNS, _WORDS, _BITS = 512, 32, 32


def rademacher_kernel(
    seeds: UInt32[Array, "2"], x: Float[Array, "examples size"], start: int, dimension: int
) -> Float[Array, "examples dimension"]:
    """Products of `x` with columns `start, start + 1, ...` of the matrix of signs of `rademacher`."""
    from jax.experimental import pallas

    examples, size = x.shape
    words = -(-dimension // _BITS)
    blocks = -(-words // _WORDS)
    padded = jnp.pad(x, ((0, 0), (0, -size % _COLUMNS)))

    def kernel(seeds: Any, x: Any, out: Any) -> None:
        first = pallas.program_id(0).astype(jnp.uint32) * jnp.uint32(_WORDS)
        rows, both = first + jnp.arange(_WORDS, dtype=jnp.uint32), seeds[...]

        def step(block: Array, total: Array) -> Array:
            place = jnp.uint32(start) + block.astype(jnp.uint32) * jnp.uint32(_COLUMNS)
            word = random_words(both, place + jnp.arange(_COLUMNS, dtype=jnp.uint32), rows)
            part = x[:, pallas.ds(block * _COLUMNS, _COLUMNS)].T

            def bit(shift: Array, total: Array) -> Array:
                set_bit = ((word << shift.astype(jnp.uint32)) & jnp.uint32(2**31)) != 0
                return total.at[shift].add(jnp.where(set_bit, -1.0, 1.0).astype(part.dtype) @ part)

            return jax.lax.fori_loop(0, _BITS, bit, total)

        zeros = jnp.zeros((_BITS, _WORDS, examples), out.dtype)
        out[...] = jax.lax.fori_loop(0, x.shape[1] // _COLUMNS, step, zeros)

    found = pallas.pallas_call(
        kernel,
        grid=(blocks,),
        in_specs=[
            pallas.BlockSpec((2,), lambda number: (0,)),
            pallas.BlockSpec(padded.shape, lambda number: (0, 0)),
        ],
        out_specs=pallas.BlockSpec((_BITS, _WORDS, examples), lambda number: (0, number, 0)),
        out_shape=jax.ShapeDtypeStruct((_BITS, blocks * _WORDS, examples), x.dtype),
        interpret=jax.default_backend() == "cpu",
    )(seeds, padded)
    return found[:, :words].reshape(_BITS * words, examples)[:dimension].T
