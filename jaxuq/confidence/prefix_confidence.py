"""Confidence at any prefix of an answer (FineCE): targets from completions, and integration from the end backwards."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from jaxuq._arrays import as_float, counted, root, select, widened
from jaxuq._meshes import vary_like
from jaxuq._options import check_number
from jaxuq._shapes import checked
from jaxuq.confidence._measure import measure


class PrefixTargets(NamedTuple):
    """How often a text, completed, ends in the right answer.

    Attributes:
        share: of right completions, the target; NaN where no completion counts.
        standard_error: of that share.
        smoothed: $(r + 1) / (n + 2)$, the mean under a uniform prior, 1/2 where no completion counts.
    """

    share: Float[Array, "*batch"]
    standard_error: Float[Array, "*batch"]
    smoothed: Float[Array, "*batch"]


@checked
@widened
def prefix_targets(
    correct: Shaped[Array, "*batch completions"], *, where: Bool[Array, "*batch completions"] | None = None
) -> PrefixTargets:
    r"""What a confidence at a prefix should say: the share of right answers among completions, $c = r / n$.

    Complete the bare question, the question with part of an answer, and (for a finished answer: 1 or 0) nothing. Each
    prefix is counted by itself; the released code never resets its counters, so that its prefix $j$ has the mean of
    prefixes 1 to $j$, in tenths. Cross-entropy with these as soft targets is least at the true chance of success.

    Args:
        correct: whether each completion is right, 1 or 0.
        where: True for the completions that count; None counts all.

    Returns:
        `PrefixTargets`.

    Example:
        >>> import jax.numpy as jnp
        >>> prefix_targets(jnp.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])).share.tolist()
        [0.5, 1.0, 0.0]

    References:
        Han et al. Mind the Generation Process: Fine-Grained Confidence Estimation During LLM Generation. arXiv
        2508.12040, 2025, Eq 2.
    """
    valid = counted(where, correct.shape)
    right = as_float(select(correct, valid))
    right = jnp.where((right >= 0) & (right <= 1), right, jnp.nan)
    number = jnp.sum(valid, axis=-1).astype(right.dtype)
    total, some = jnp.sum(right, axis=-1), number > 0
    share = jnp.where(some, total / jnp.where(some, number, 1.0), jnp.nan)
    error = root(share * (1.0 - share) / jnp.where(some, number, 1.0))
    return PrefixTargets(share, error, (total + 1.0) / (number + 2.0))


@checked
@widened
def integrated_confidence(
    confidence: Float[Array, "*batch"],
    continued: Float[Array, "*batch width"],
    *,
    weight: float = 0.5,
    where: Bool[Array, "*batch width"] | None = None,
) -> Float[Array, "*batch"]:
    r"""One step backwards: a prefix's confidence with that of its continuations,
    $c' = \alpha c + (1 - \alpha) \frac1w \sum_i c'_i$.

    Apply it from the leaves to the root of the continuations that were sampled, as deep as they go.

    Args:
        confidence: $c$ of the prefix.
        continued: $c'_i$ of its sampled continuations, integrated themselves.
        weight: $\alpha$ in [0, 1], of the prefix itself.
        where: True for the continuations that count; None counts all. A prefix without any keeps its own.

    Returns:
        $c'$.

    Raises:
        ValueError: `weight` outside [0, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(integrated_confidence(jnp.array(0.6), jnp.array([0.9, 0.3]))), 4)
        0.6

    References:
        Han et al. Mind the Generation Process. arXiv 2508.12040, 2025, Eq 5.
    """
    weight = check_number("weight", weight, 0.0, 1.0)
    valid = counted(where, continued.shape)
    number = jnp.sum(valid, axis=-1).astype(continued.dtype)
    some = number > 0
    mean = jnp.sum(select(continued, valid), axis=-1) / jnp.where(some, number, 1.0)
    return jnp.where(some, weight * confidence + (1.0 - weight) * mean, confidence)


@checked
@widened
def backward_integration(
    confidences: Float[Array, " prefixes"], *, weight: float = 0.5, where: Bool[Array, " prefixes"] | None = None
) -> Float[Array, " prefixes"]:
    r"""Confidence at each prefix of one answer, corrected by what came after:
    $c'_N = c_N$, $c'_j = \alpha c_j + (1 - \alpha) c'_{j+1}$.

    It uses the future: for judging an answer that is there, never for deciding when to stop.

    Args:
        confidences: $c_j$, from the question alone to the finished answer.
        weight: $\alpha$ in [0, 1].
        where: True for the prefixes that count, which are each other's neighbours; None counts all.

    Returns:
        $c'$, within the range of what comes at or after each; NaN where masked.

    Raises:
        ValueError: `weight` outside [0, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> [round(float(one), 4) for one in backward_integration(jnp.array([0.4, 0.6, 0.9]))]
        [0.575, 0.75, 0.9]

    References:
        Han et al. Mind the Generation Process. arXiv 2508.12040, 2025, Eq 5.
    """
    weight = check_number("weight", weight, 0.0, 1.0)
    valid = counted(where, confidences.shape)

    def back(after: tuple[Array, Array], prefix: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        (later, known), (own, counts) = after, prefix
        here = jnp.where(known, weight * own + (1.0 - weight) * later, own)
        return (jnp.where(counts, here, later), known | counts), jnp.where(counts, here, jnp.nan)

    own = select(confidences, valid)
    start = vary_like((jnp.zeros((), own.dtype), jnp.zeros((), bool)), own, valid)
    return jax.lax.scan(back, start, (own, valid), reverse=True)[1]


ENTRIES = (
    measure("backward_integration", "FineCE", needs=("a confidence at every prefix",), bounded=True,
            citation=("prefix-confidence",)),
)  # fmt: skip
"""Confidence at prefixes as a measure of an answer, see `jaxuq.confidence.MEASURES`."""
