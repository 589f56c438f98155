"""Dropout whose masks cost next to nothing on a CPU."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, UInt32

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq._meshes import divided_like
from jaxuq.networks.module import Module

_GOLDEN_RATIO = 0x9E3779B1  # 2**32 / phi, odd: multiplying by it spreads neighbouring counters over all words


def _mix(word: UInt32[Array, "*shape"]) -> UInt32[Array, "*shape"]:
    """The finaliser of MurmurHash3: a bijection of words in which each input bit flips half of the output bits."""
    word = (word ^ (word >> 16)) * jnp.uint32(0x85EBCA6B)
    word = (word ^ (word >> 13)) * jnp.uint32(0xC2B2AE35)
    return word ^ (word >> 16)


@typed()
def keep_mask(rng_key: Key[Array, ""], shape: tuple[int, ...], rate: float) -> Bool[Array, "..."]:
    r"""Independent Bernoulli draws that are true with probability `1 - rate`, from a hashed counter.

    Element $i$ is kept when $h(h(i\varphi + k_0) \oplus k_1) \ge \text{rate} \cdot 2^{32}$, with $h$ the finaliser of
    MurmurHash3 and $k$ two words drawn from `rng_key`. It is made for masks: XLA's CPU backend runs Threefry as a loop
    of some 10 ns a word, which is half the time of training a small network, while this fuses into the multiplication
    that uses it. For anything that needs more than a mask, use `jax.random`.

    Args:
        rng_key: a key of any implementation.
        shape: of the mask; at most 2**32 elements.
        rate: probability of False, in [0, 1]; resolved to 2**-32.

    Returns:
        The mask.

    Example:
        >>> import jax
        >>> print(f"{keep_mask(jax.random.key(0), (100_000,), rate=0.1).mean():.2f}")
        0.90

    References:
        A. Appleby. MurmurHash3, 2011 (the finaliser `fmix32`).
        J. K. Salmon et al. Parallel random numbers: as easy as 1, 2, 3. SC 2011 (counter-based generation).
    """
    if not 0 <= rate <= 1:
        raise OptionError(f"rate is {rate}; a dropout rate is a probability in [0, 1]")
    words = jax.random.bits(rng_key, (2,), jnp.uint32)
    counter = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    hashed = _mix(_mix(counter * jnp.uint32(_GOLDEN_RATIO) + words[0]) ^ words[1])
    return hashed >= jnp.uint32(min(round(rate * 2**32), 2**32 - 1))


class Dropout(Module):
    """Zero each unit with probability `rate` and scale the rest by `1 / (1 - rate)`, if there is a `dropout` key.

    Without a key in `rngs` the layer is the identity, so whether dropout acts is decided by the caller alone:
    `module.apply(variables, x)` or `module.apply(variables, x, rngs={"dropout": rng_key})`.

    Attributes:
        rate: probability of zero, in [0, 1).

    References:
        N. Srivastava et al. Dropout: a simple way to prevent neural networks from overfitting. JMLR 15, 2014.
    """

    rate: float

    @nn.compact
    def __call__(self, x: Float[Array, "*batch units"]) -> Float[Array, "*batch units"]:
        """Apply the mask to `x`."""
        if self.rate == 0 or not self.has_rng("dropout"):
            return x
        keep = divided_like(lambda key: keep_mask(key, x.shape, self.rate), x, self.make_rng("dropout"))
        return jnp.where(keep, x / (1 - self.rate), jnp.zeros_like(x))
