r"""Which samples and tokens to learn from, by error and uncertainty: Q-Tuning's plane.

Samples of high perplexity and high entropy are noise, of low perplexity and low entropy known already; both are left
out. Of confident mistakes (high perplexity, low entropy) the worst tokens are left out; unsure successes stay whole.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arguments import typed
from jaxuq._arrays import counted, widened
from jaxuq._errors import OptionError
from jaxuq._meshes import vary_like
from jaxuq._options import check_number
from jaxuq._shapes import checked

NOISE, MISTAKE, REDUNDANT, UNSURE = 0, 1, 2, 3
_HALVINGS = 30


class PrunedSamples(NamedTuple):
    """Samples by their place in the plane.

    Attributes:
        keep: whether to learn from the sample.
        quadrant: 0 noise, 1 confident mistake, 2 redundant, 3 unsure but right; -1 where masked.
        margin: of the quantiles, in [0, 1/2]: the plane is cut at `margin` and `1 - margin` of each axis.
    """

    keep: Bool[Array, " samples"]
    quadrant: Int[Array, " samples"]
    margin: Float[Array, ""]


@checked
@widened
def prune_samples(
    error: Float[Array, " samples"],
    entropy: Float[Array, " samples"],
    keep_ratio: float,
    *,
    where: Bool[Array, " samples"] | None = None,
) -> PrunedSamples:
    r"""Leave out noise and redundant samples, as many as a ratio allows.

    A sample is noise if both its numbers lie above the quantile $1 - \alpha$, redundant if both lie below $\alpha$;
    $\alpha \in [0, \frac12]$ is found by bisection as the smallest that leaves at most `keep_ratio` of the samples. If
    even $\alpha = \frac12$ leaves more, all of those stay. The quadrants are cut at the medians.

    Args:
        error: of each sample, such as its perplexity under the model.
        entropy: mean entropy of its tokens.
        keep_ratio: in (0, 1].
        where: samples that count.

    Returns:
        `PrunedSamples`; masked ones are not kept.

    Raises:
        ValueError: `keep_ratio` outside (0, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> found = prune_samples(jnp.array([1.0, 9.0, 1.5, 8.0]), jnp.array([0.1, 2.0, 1.9, 0.2]), 0.5)
        >>> found.quadrant.tolist(), found.keep.tolist()
        ([2, 0, 3, 1], [False, False, True, True])

    References:
        S. Wang et al., "Winning the Pruning Gamble: A Unified Approach to Joint Sample and Token Pruning for Efficient
        Supervised Fine-Tuning", 2025 (the quadrants; the rule for the thresholds is jaxuq's reading).
    """
    check_number("keep_ratio", keep_ratio, 0.0, 1.0, open_low=True)
    kept = counted(where, error)
    error, entropy = jnp.where(kept, error, jnp.nan), jnp.where(kept, entropy, jnp.nan)
    wanted = keep_ratio * kept.sum(dtype=error.dtype)
    axes = [jnp.pad(axis, (0, 1), constant_values=jnp.nan) for axis in (error, entropy)]  # there may be no sample

    def survivors(margin: Array) -> Array:
        low = [jnp.nanquantile(axis, margin) for axis in axes]
        high = [jnp.nanquantile(axis, 1 - margin) for axis in axes]
        noise = (error > high[0]) & (entropy > high[1])
        redundant = (error < low[0]) & (entropy < low[1])
        return kept & ~noise & ~redundant

    def halve(_: Array, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = (low + high) / 2
        enough = survivors(middle).sum(dtype=error.dtype) <= wanted
        return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

    start = vary_like((jnp.zeros((), error.dtype), jnp.full((), 0.5, error.dtype)), error, entropy, kept)
    _, margin = jax.lax.fori_loop(0, _HALVINGS, halve, start)
    margin = jnp.where(survivors(start[0]).sum(dtype=error.dtype) <= wanted, 0.0, margin)
    wrong, unsure = (axis[:-1] > jnp.nanmedian(axis) for axis in axes)
    quadrant = jnp.where(wrong, jnp.where(unsure, NOISE, MISTAKE), jnp.where(unsure, UNSURE, REDUNDANT))
    return PrunedSamples(survivors(margin), jnp.where(kept, quadrant, -1), margin)


@typed()
@checked
@widened
def token_error(
    log_probs: Float[Array, "*batch time"],
    neighbours: float = 0.25,
    *,
    convention: str = "sum",
    where: Bool[Array, "*batch time"] | None = None,
) -> Float[Array, "*batch time"]:
    r"""Error of each token, smoothed over its neighbours, $s_i = (1 - \lambda)\, P_i + \lambda\, (P_{i-1} + P_{i+1})$.

    $P_i = 1 / p_i$; beyond the ends it is zero. `convention="mean"` uses $\lambda / 2$ for each neighbour: the
    published account leaves that open. Leave out the tokens of confident mistakes that score highest.

    Args:
        log_probs: of the tokens, nats.
        neighbours: $\lambda$ in [0, 1].
        convention: `"sum"` or `"mean"`.
        where: tokens that count; the others count as beyond the ends, and get 0.

    Returns:
        The scores.

    Raises:
        ValueError: `neighbours` outside [0, 1], an unknown convention.

    Example:
        >>> import jax.numpy as jnp
        >>> token_error(jnp.array([-0.1, -2.0, -0.3, -0.2, -1.2])).round(4)
        Array([2.6761, 6.1555, 3.165 , 2.0835, 2.7954], dtype=float32)

    References:
        S. Wang et al., "Winning the Pruning Gamble", 2025.
    """
    check_number("neighbours", neighbours, 0.0, 1.0)
    if convention not in ("sum", "mean"):
        raise OptionError(f"convention is {convention!r}; expected 'sum' or 'mean'")
    weight = neighbours if convention == "sum" else neighbours / 2
    kept = counted(where, log_probs)
    perplexity = jnp.where(kept, jnp.exp(jnp.where(kept, 0.0 - log_probs, 0.0)), 0.0)
    ends = ((0, 0),) * (log_probs.ndim - 1)
    before = jnp.pad(perplexity[..., :-1], (*ends, (1, 0)))
    after = jnp.pad(perplexity[..., 1:], (*ends, (0, 1)))
    return jnp.where(kept, (1 - neighbours) * perplexity + weight * (before + after), 0.0)
