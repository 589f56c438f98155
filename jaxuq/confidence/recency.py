"""Reweighting of recent tokens: attention favours what is near, whatever it means."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arguments import typed
from jaxuq._arrays import widened, widest
from jaxuq._errors import OptionError
from jaxuq._options import check_choice
from jaxuq._shapes import checked
from jaxuq.confidence._rows import attention_row

# Eq B.4, derived by its authors from Llama-3.2-1B on GSM8K and used for all models; the last is for the nearest token.
RECENCY_FACTORS: tuple[float, ...] = (
    0.93925344,
    0.87378443,
    0.81274293,
    0.73914525,
    0.67549127,
    0.59304059,
    0.46061748,
    0.32959151,
    0.20938152,
    0.16644488,
)


@typed()
@checked
@widened
def reweight_recent(
    attention: Float[Array, "heads time"],
    source: Int[Array, ""],
    positions: Int[Array, " time"],
    *,
    factors: tuple[float, ...] = RECENCY_FACTORS,
    convention: Literal["text", "published"] = "text",
) -> Float[Array, "heads time"]:
    r"""Damp the attention on the nearest tokens, remove that on the first token, and normalise again.

    $$\alpha_{T,[T-C:T]} \leftarrow \gamma \odot \alpha_{T,[T-C:T]}; \quad \alpha_{T,[1]} \leftarrow 0; \quad
      \alpha' = \alpha / \textstyle\sum \alpha$$

    The nearest of the $C$ tokens is the source itself. With `convention="published"` it is the token before: the
    released code sets the attention of a token on itself to zero and damps the $C$ tokens before it.

    Args:
        attention: rows of the source token, one for each layer and head; they sum to one.
        source: index of the source token on the time axis.
        positions: of the tokens; 0 marks the first (BOS), -1 padding.
        factors: $\gamma$, in [0, 1]; the last is for the nearest token. See `recency_factors`.
        convention: see above.

    Returns:
        $\alpha'$; a row that has nothing left (the source is the first token) is zero.

    Raises:
        ValueError: if `convention` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> attention, positions = jnp.full((1, 4), 0.25), jnp.arange(4)
        >>> [round(float(x), 3) for x in reweight_recent(attention, jnp.array(3), positions, factors=(0.5, 0.25))[0]]
        [0.0, 0.571, 0.286, 0.143]
        >>> published = reweight_recent(attention, jnp.array(3), positions, factors=(0.5, 0.25), convention="published")
        >>> [round(float(x), 3) for x in published[0]]
        [0.0, 0.667, 0.333, 0.0]

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, Eq 3.3 and section B.2.1.
    """
    check_choice("convention", convention, ("text", "published"))
    published = convention == "published"
    lag = positions[source] - positions
    gamma = jnp.asarray(((0.0,) if published else ()) + tuple(reversed(factors)), attention.dtype)
    damping = jnp.where((lag >= 0) & (lag < gamma.shape[0]), gamma[jnp.clip(lag, 0, gamma.shape[0] - 1)], 1.0)
    damping = jnp.where(positions > 0, damping, 0.0)
    damped = jnp.where((positions > 0)[None], attention, 0.0) * damping[None]
    total = jnp.sum(damped, axis=-1, keepdims=True)
    return damped / (total + 1e-12 if published else jnp.where(total > 0, total, 1.0))


@checked
def recency_profile(
    queries: Float[Array, "layers time heads dim"],
    keys: Float[Array, "layers kv_heads time dim"],
    positions: Int[Array, " time"],
    response: Bool[Array, " time"],
    *,
    scale: float,
    length: int = 50,
    windows: Int[Array, " layers"] | None = None,
    softcap: float | None = None,
) -> Float[Array, " length"]:
    r"""Mean attention of response tokens on the tokens 0, 1, 2, ... back, over all layers and heads.

    $$\bar\alpha_{[i]} = \frac{1}{H L L_{resp}} \sum_{h, l} \sum_{t \in resp} \alpha^{(l,h)}_{t,[t-i+1]}$$

    in the order of section B.2.1 (the token itself first). Average it over a thousand answers of a model, then
    `recency_factors` gives that model's factors. Tokens with fewer than `i` tokens before them are left out of the
    mean of lag `i`, which makes no difference after an instruction of `length` tokens.

    Args:
        queries: after rotary embedding.
        keys: after rotary embedding.
        positions: of the tokens, -1 for padding.
        response: True for the tokens of the response.
        scale: of the scores, usually `dim ** -0.5`.
        length: how far back.
        windows: sliding window of each layer; None: full attention.
        softcap: see `jaxuq.networks.attention_weights`.

    Returns:
        The profile; NaN for lags that no response token has. Rows are made one at a time: `layers * heads * time`.

    Example:
        >>> import jax.numpy as jnp
        >>> queries, keys = jnp.ones((1, 3, 1, 4)), jnp.ones((1, 1, 3, 4))
        >>> response = jnp.array([False, True, True])
        >>> [round(float(x), 3) for x in recency_profile(queries, keys, jnp.arange(3), response, scale=0.5, length=2)]
        [0.417, 0.417]

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, Eq B.1.
    """
    lags = jnp.arange(length, dtype=positions.dtype)

    def add(source: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        total, count = carry
        row = jnp.mean(attention_row(queries, keys, positions, source, scale, windows, softcap), axis=0)
        slots = source - lags
        there = response[source] & (slots >= 0) & (positions[jnp.maximum(slots, 0)] >= 0)
        return total + jnp.where(there, row[jnp.maximum(slots, 0)], 0.0), count + there.astype(count.dtype)

    zeros = jnp.zeros((length,), widest(queries))
    total, count = jax.lax.fori_loop(0, positions.shape[0], add, (zeros, zeros))
    return jnp.where(count > 0, total / jnp.maximum(count, 1.0), jnp.nan)


@checked
@widened
def recency_factors(profile: Float[Array, " length"], *, recent: int = 10) -> Float[Array, " recent"]:
    r"""Factors that bring the attention on recent tokens down to the straight line of the older ones.

    $$g(i) = \bar\alpha_{[C+1]} + \frac{\bar\alpha_{[m]} - \bar\alpha_{[C+1]}}{m - (C + 1)} (i - (C + 1)), \quad
      m = \lfloor (n - C) / 2 \rfloor; \qquad \gamma_{[C-i+1]} = g(i) / \bar\alpha_{[i]}$$

    clipped to [0, 1], the range that the method asks of them.

    Args:
        profile: $\bar\alpha$ with the nearest token first, from `recency_profile`; $n$ = 50 in the published factors.
        recent: $C$, how many tokens to damp.

    Returns:
        $\gamma$, the last for the nearest token; pass it as `factors=tuple(gamma.tolist())`.

    Raises:
        ValueError: if the profile is too short for `recent`.

    Example:
        >>> import jax.numpy as jnp
        >>> profile = jnp.array([0.4, 0.2] + [0.1 - 0.001 * i for i in range(2, 50)])
        >>> [round(float(x), 3) for x in recency_factors(profile, recent=2)]
        [0.495, 0.25]

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, Eq B.2 and B.3.
    """
    length = profile.shape[0]
    middle = (length - recent) // 2
    if recent < 1 or middle <= recent + 1:
        raise OptionError(
            f"recent is {recent} and the profile has {length} lags; expected at least {3 * recent + 4} lags, "
            "so that the line has two points beyond the recent tokens"
        )
    start = profile[recent]
    slope = (profile[middle - 1] - start) / (middle - recent - 1)
    numbers = jnp.arange(1, recent + 1, dtype=profile.dtype)
    line = start + slope * (numbers - (recent + 1))
    return jnp.clip(line / profile[:recent], 0.0, 1.0)[::-1]
