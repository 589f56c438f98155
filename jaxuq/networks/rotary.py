"""Rotary position embeddings and the ways of stretching them to longer contexts."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxuq._arguments import typed
from jaxuq._arrays import as_float
from jaxuq._errors import OptionError
from jaxuq._options import check_choice, check_number
from jaxuq._shapes import checked

ROTARY_KINDS = ("default", "linear", "llama3", "yarn")


@dataclasses.dataclass(frozen=True)
class Rotary:
    """How positions turn into angles; field names are those of Hugging Face's `rope_parameters`.

    Attributes:
        theta: base of the geometric series of wavelengths.
        kind: `default`, `linear`, `llama3` or `yarn`.
        factor: how many times longer the context becomes.
        original_context: length the model was first trained on (`llama3`, `yarn`).
        low_freq_factor: `llama3`: wavelengths above `original_context / low_freq_factor` are stretched in full.
        high_freq_factor: `llama3`: wavelengths below `original_context / high_freq_factor` are left alone.
        beta_fast: `yarn`: rotations over the original context above which nothing is stretched.
        beta_slow: `yarn`: rotations below which all is stretched.
        attention_factor: `yarn`: multiplies cosines and sines; None: `0.1 ln(factor) + 1`.
        truncate: `yarn`: whether the two limits are rounded to whole dimensions.
        partial: share of each head that is turned, its first numbers; the rest stays as it is.
    """

    theta: float = 10_000.0
    kind: str = "default"
    factor: float = 1.0
    original_context: int = 8192
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    truncate: bool = True
    partial: float = 1.0

    def __post_init__(self):
        check_choice("rotary kind", self.kind, ROTARY_KINDS)
        check_number("partial", self.partial, 0.0, 1.0, open_low=True)

    def width(self, head_dim: int) -> int:
        """How many numbers of a head of this width are turned, which is even."""
        width = int(head_dim * self.partial)
        if width % 2 or not width:
            raise OptionError(f"{self.partial:g} of a head of {head_dim} is {width}; pairs need an even number above 0")
        return width


@typed()
def rotary_frequencies(rotary: Rotary, head_dim: int) -> tuple[np.ndarray, float]:
    r"""Angular frequencies of each pair of dimensions, and the factor on cosines and sines.

    $\omega_i = \theta^{-2i/d}$, then by kind: `linear` divides all by the factor $s$; `llama3` divides long
    wavelengths by $s$, leaves short ones, and interpolates between; `yarn` mixes $\omega_i$ and $\omega_i / s$ by a
    ramp over dimensions, between those that turn `beta_fast` and `beta_slow` times over the original context.

    Args:
        rotary: the kind and its numbers.
        head_dim: width of a head, of which $d$ numbers are turned (all, unless `partial` says otherwise).

    Returns:
        Frequencies in radians a token, float32 `[d / 2]`, and the factor (1 except for `yarn`).

    Example:
        >>> rotary_frequencies(Rotary(theta=100.0), 4)[0]
        array([1. , 0.1], dtype=float32)

    References:
        J. Su et al. RoFormer: enhanced transformer with rotary position embedding. Neurocomputing 568, 2024.
        B. Peng et al. YaRN: efficient context window extension of large language models. ICLR 2024, section 3.
        A. Grattafiori et al. The Llama 3 herd of models. 2024 (`llama3`).
    """
    head_dim = rotary.width(head_dim)  # what is not turned has no part in anything below
    frequencies = 1.0 / rotary.theta ** (np.arange(0, head_dim, 2) / head_dim)
    factor = 1.0
    if rotary.kind == "linear":
        frequencies = frequencies / rotary.factor
    elif rotary.kind == "llama3":
        wavelengths_in_context = rotary.original_context * frequencies / (2 * math.pi)
        low, high = rotary.low_freq_factor, rotary.high_freq_factor
        kept = np.clip((wavelengths_in_context - low) / (high - low), 0.0, 1.0)
        frequencies = (1 - kept) * frequencies / rotary.factor + kept * frequencies
    elif rotary.kind == "yarn":

        def dimension(rotations: float) -> float:
            turns = rotary.original_context / (rotations * 2 * math.pi)
            return head_dim * math.log(turns) / (2 * math.log(rotary.theta))

        low, high = dimension(rotary.beta_fast), dimension(rotary.beta_slow)
        if rotary.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, head_dim - 1)
        ramp = np.clip((np.arange(head_dim // 2) - low) / max(high - low, 0.001), 0.0, 1.0)
        frequencies = ramp * frequencies / rotary.factor + (1 - ramp) * frequencies
        factor = rotary.attention_factor
        if factor is None:
            factor = 0.1 * math.log(rotary.factor) + 1.0 if rotary.factor > 1 else 1.0
    return frequencies.astype(np.float32), float(factor)


@typed()
@checked
def rotary_tables(
    rotary: Rotary, head_dim: int, positions: Int[Array, "*batch time"]
) -> tuple[Float[Array, "*batch time half"], Float[Array, "*batch time half"]]:
    """Cosines and sines of each token's angles.

    Args:
        rotary: the kind and its numbers.
        head_dim: width of a head.
        positions: of the tokens; those of padding may be anything.

    Returns:
        `(cosines, sines)`.

    Example:
        >>> import jax.numpy as jnp
        >>> cosines, sines = rotary_tables(Rotary(theta=100.0), 4, jnp.array([0, 1]))
        >>> cosines.shape, float(sines[0, 0])
        ((2, 2), 0.0)
    """
    frequencies, factor = rotary_frequencies(rotary, head_dim)
    places = as_float(positions)
    angles = jnp.einsum("...t,f->...tf", places, jnp.asarray(frequencies, places.dtype))
    return jnp.cos(angles) * factor, jnp.sin(angles) * factor


@checked
def apply_rotary(
    x: Float[Array, "*batch time heads dim"],
    cosines: Float[Array, "*batch time half"],
    sines: Float[Array, "*batch time half"],
) -> Float[Array, "*batch time heads dim"]:
    r"""Turn each pair $(x_i, x_{i + d/2})$ of the first $d$ numbers by its token's angle; the others stay.

    Args:
        x: queries or keys.
        cosines: from `rotary_tables`, of $d / 2$ angles.
        sines: from `rotary_tables`.

    Returns:
        The turned array, of the type of `x`; norms are kept (times the factor of `yarn`).

    Example:
        >>> import jax.numpy as jnp
        >>> apply_rotary(jnp.array([[[1.0, 0.0]]]), jnp.array([[0.0]]), jnp.array([[1.0]]))
        Array([[[0., 1.]]], dtype=float32)

    References:
        J. Su et al. RoFormer. Neurocomputing 568, 2024, Eq 34 (pairs half a head apart, as in Llama).
    """
    half = cosines.shape[-1]
    wide = as_float(x)
    first, second, rest = wide[..., :half], wide[..., half : 2 * half], wide[..., 2 * half :]
    cosines, sines = cosines[..., None, :], sines[..., None, :]
    turned = [
        first * _like(cosines, first) - second * _like(sines, second),
        second * _like(cosines, second) + first * _like(sines, first),
    ]
    return jnp.concatenate([*turned, rest], axis=-1).astype(x.dtype)


def _like(table: Array, x: Array) -> Array:
    return jnp.broadcast_to(table, x.shape).astype(x.dtype)
