r"""Which samples and tokens to learn from, by error and uncertainty: Q-Tuning's plane.

Samples of high perplexity and high entropy are noise, of low perplexity and low entropy known already; both are left
out. Of confident mistakes (high perplexity, low entropy) the worst tokens are left out; unsure successes stay whole.
"""

import functools
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arguments import typed
from jaxuq._arrays import counted, entry, widened
from jaxuq._errors import OptionError
from jaxuq._meshes import divided_like, whole
from jaxuq._options import check_number
from jaxuq._shapes import checked

NOISE, MISTAKE, REDUNDANT, UNSURE = 0, 1, 2, 3


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
    $\alpha \in [0, \frac12]$ is the infimum of those that leave at most `keep_ratio` of the samples, found exactly from
    their ranks (the quantiles interpolate between neighbours); what falls out beyond it falls out. If even
    $\alpha = \frac12$ leaves more, all of those stay. The quadrants are cut at the medians. Takes two sorts.

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
    axes = [jnp.where(kept, axis, jnp.nan) for axis in (error, entropy)]
    last = jnp.sum(kept, dtype=jnp.int32) - 1  # place of the largest
    below, upto = zip(*(_places(axis) for axis in axes))
    # A sample is noise from the margin on at which the higher quantile has fallen below both its numbers.
    leaves = jnp.minimum(jnp.maximum(*(last - place for place in below)), jnp.maximum(*upto))
    undefined = jnp.isnan(axes[0]) | jnp.isnan(axes[1])
    leaves = jnp.where(undefined, error.shape[0], leaves)
    allowed = jnp.floor(keep_ratio * (last + 1).astype(error.dtype) * (1 + 1e-6)).astype(jnp.int32)
    late_first = -jnp.sort(whole(jnp.where(kept, -leaves, 1)))
    margin = jnp.where(allowed > last, -1, entry(late_first, allowed, -1))
    halfway = 2 * leaves < last  # what the largest margin, 1/2, leaves out
    keep = kept & ~((leaves <= margin) & halfway)
    wrong, unsure = (axis > jnp.nanmedian(jnp.pad(axis, (0, 1), constant_values=jnp.nan)) for axis in axes)
    quadrant = jnp.where(wrong, jnp.where(unsure, NOISE, MISTAKE), jnp.where(unsure, UNSURE, REDUNDANT))
    share = jnp.clip(margin, 0).astype(error.dtype) / jnp.maximum(last, 1).astype(error.dtype)
    return PrunedSamples(keep, jnp.where(kept, quadrant, -1), jnp.minimum(share, 0.5))


def _places(values: Float[Array, " samples"]) -> tuple[Int[Array, " samples"], Int[Array, " samples"]]:
    """How many values are smaller than each, and how many others are not larger; NaN takes no part."""
    ordered = jnp.sort(whole(values))
    sides = (functools.partial(jnp.searchsorted, side=side) for side in ("left", "right"))
    below, upto = (divided_like(side, values, ordered, values) for side in sides)
    return below.astype(jnp.int32), upto.astype(jnp.int32) - 1


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
