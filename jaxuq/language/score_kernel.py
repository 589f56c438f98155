r"""All that is told of a token in one pass over its logits: log-probability, entropy, the likeliest tokens.

With a running maximum $m$, $a = \sum_v e^{x_v - m}$ and $b = \sum_v e^{x_v - m} (x_v - m)$, which become
$a\, e^{m - m'}$ and $e^{m - m'} (b + (m - m') a)$ where $m'$ is higher,

$$\log p_y = x_y - m - \log a, \qquad H = \log a - b / a$$

It has been interpreted on a CPU, and never run, let alone measured, on an accelerator; it has no gradient.

References:
    M. Milakov, N. Gimelshein. Online normalizer calculation for softmax. arXiv:1805.02867, 2018, algorithms 3 and 4.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

_COLUMNS = 1024  # of the vocabulary at a time
_LOW = -1e30


def fused_scores(
    logits: Float[Array, "rows vocab"], tokens: Int[Array, "rows"], likeliest: int
) -> tuple[Array, Array, Array, Array]:
    """Log-probabilities, entropies, and numbers and log-probabilities of the likeliest tokens, in float32.

    Args:
        logits: finite.
        tokens: numbers of the vocabulary.
        likeliest: how many; equal ones come in the order of their numbers.
    """
    from jax.experimental import pallas

    rows, vocabulary = logits.shape
    padded = jnp.pad(logits, ((0, 0), (0, -vocabulary % _COLUMNS)), constant_values=_LOW)
    width = max(likeliest, 1)
    row = pallas.BlockSpec((None,), lambda number: (number,))
    few = pallas.BlockSpec((None, width), lambda number: (number, 0))
    kernel = functools.partial(_kernel, likeliest=likeliest, pallas=pallas)
    log_probs, entropies, numbers, values = pallas.pallas_call(
        kernel,
        grid=(rows,),
        in_specs=[pallas.BlockSpec((None, padded.shape[1]), lambda number: (number, 0)), row],
        out_specs=[row, row, few, few],
        out_shape=[
            jax.ShapeDtypeStruct((rows,), jnp.float32),
            jax.ShapeDtypeStruct((rows,), jnp.float32),
            jax.ShapeDtypeStruct((rows, width), jnp.int32),
            jax.ShapeDtypeStruct((rows, width), jnp.float32),
        ],
        interpret=jax.default_backend() == "cpu",
    )(padded, tokens)
    return log_probs, entropies, numbers[:, :likeliest], values[:, :likeliest]


def _kernel(
    logits: Any, token: Any, log_prob: Any, entropy: Any, numbers: Any, values: Any, *, likeliest: int, pallas: Any
) -> None:
    def step(block: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        highest, total, moment, best, places = carry
        some = logits[pallas.ds(block * _COLUMNS, _COLUMNS)].astype(jnp.float32)
        higher = jnp.maximum(highest, jnp.max(some))
        kept, weights = jnp.exp(highest - higher), jnp.exp(some - higher)
        moment = kept * (moment + (highest - higher) * total) + jnp.sum(weights * (some - higher))
        total = kept * total + jnp.sum(weights)
        here = block * _COLUMNS + jnp.arange(_COLUMNS, dtype=jnp.int32)
        return higher, total, moment, *_merged(jnp.append(best, some), jnp.append(places, here), likeliest)

    width = values.shape[0]
    start = (
        jnp.float32(_LOW), jnp.float32(0), jnp.float32(0), jnp.full((width,), _LOW), jnp.zeros((width,), jnp.int32),
    )  # fmt: skip
    blocks = logits.shape[0] // _COLUMNS
    highest, total, moment, best, places = jax.lax.fori_loop(0, blocks, step, start)
    log_total = jnp.log(total)
    log_prob[...] = logits[token[...]].astype(jnp.float32) - highest - log_total
    entropy[...] = log_total - moment / total
    numbers[...], values[...] = places, best - highest - log_total


def _merged(values: Array, places: Array, count: int) -> tuple[Array, Array]:
    """The highest of those found so far, which come first, and of a block."""
    found, where = [], []
    for _ in range(max(count, 1)):
        at = jnp.argmax(values)
        found.append(values[at])
        where.append(places[at])
        values = jnp.where(jnp.arange(values.shape[0]) == at, 2 * _LOW, values)
    return jnp.stack(found), jnp.stack(where)
