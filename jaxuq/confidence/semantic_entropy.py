"""Semantic entropy: uncertainty about what is meant, not about how it is said."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxuq._arrays import number_of, product, select, undefined_unless, weighted_mean, widened
from jaxuq._options import check_choice
from jaxuq._shapes import checked
from jaxuq.confidence._measure import measure
from jaxuq.confidence.semantic_clusters import by_first

_LOW = -1e30


@checked
@widened
def semantic_entropy(
    log_probs: Float[Array, " samples"],
    clusters: Int[Array, " samples"],
    *,
    estimator: Literal["rao_blackwell", "samples", "clusters", "direct"] = "rao_blackwell",
) -> Float[Array, ""]:
    r"""Entropy over the meanings of sampled answers. Higher is more uncertain.

    | estimator | with $P(c) = \sum_{k \in c} e^{\ell_k}$ |
    |---|---|
    | "rao_blackwell" | $-\sum_c q_c \log q_c$, $q_c = P(c) / \sum_{c'} P(c')$ (the Nature paper) |
    | "samples" | $-\frac1K \sum_k \log P(c(k))$ (LM-Polygraph) |
    | "clusters" | $-\frac1{\lvert C \rvert} \sum_c \log P(c)$ (the ICLR paper's code, which adds a constant 5) |
    | "direct" | $-\sum_k P(c(k)) \log P(c(k))$ (LM-Polygraph's option; repeats clusters by their size) |

    They differ by more than noise: compare numbers of one estimator only. The Nature paper passes mean token
    log-probabilities (length-normalised), LM-Polygraph sums. Without probabilities see `discrete_semantic_entropy`.

    Args:
        log_probs: of the samples.
        clusters: numbers of the samples' meanings, see `greedy_clusters`; -1 for samples that do not count.
        estimator: see above.

    Returns:
        A scalar in nats; NaN if no sample counts. "rao_blackwell" gives 0 for a single sample.

    Raises:
        ValueError: if `estimator` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> log_probs, clusters = jnp.log(jnp.array([0.3, 0.1, 0.2, 0.05])), jnp.array([0, 0, 1, 2])
        >>> round(float(semantic_entropy(log_probs, clusters)), 4)
        0.8587

    References:
        Kuhn, Gal and Farquhar. Semantic Uncertainty. ICLR 2023, Eq 4.
        Farquhar, Kossen, Kuhn and Gal. Detecting Hallucinations in Large Language Models Using Semantic Entropy. Nature
        630, 2024, Eq 5.
    """
    check_choice("estimator", estimator, ("rao_blackwell", "samples", "clusters", "direct"))
    size = clusters.shape[0]
    clusters, valid = by_first(clusters)
    members = (clusters[None] == jnp.arange(size, dtype=clusters.dtype)[:, None]) & valid[None]
    scores = jnp.where(members, select(log_probs, valid)[None], _LOW)
    filled = jnp.any(members, axis=1)
    masses = select(jax.nn.logsumexp(scores, axis=1), filled)  # log P(c), 0 for clusters that do not exist
    masses = jnp.where(masses > 0.5 * _LOW, masses, -jnp.inf)
    mine = masses[jnp.where(valid, clusters, 0)]
    if estimator == "samples":
        result = 0.0 - weighted_mean(mine, valid)
    elif estimator == "clusters":
        result = 0.0 - weighted_mean(masses, filled)
    elif estimator == "direct":
        result = 0.0 - jnp.sum(select(product(jnp.exp(mine), mine), valid))
    else:
        log_q = masses - jax.nn.logsumexp(jnp.where(filled, masses, -jnp.inf))
        result = 0.0 - jnp.sum(select(product(jnp.exp(log_q), log_q), filled))
    return undefined_unless(jnp.any(valid), result)


@checked
def discrete_semantic_entropy(clusters: Int[Array, " samples"]) -> Float[Array, ""]:
    r"""Entropy of the shares of meanings among the samples, $-\sum_c \frac{n_c}{K} \log \frac{n_c}{K}$.

    Needs no probabilities. Higher is more uncertain. Its bounded confidence is $1 - H / \log K$.

    Args:
        clusters: numbers of the meanings; -1 for samples that do not count.

    Returns:
        In [0, log K] nats; NaN if no sample counts.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(discrete_semantic_entropy(jnp.array([0, 0, 1, 2]))), 4)
        1.0397

    References:
        Farquhar, Kossen, Kuhn and Gal. Detecting Hallucinations ... Nature 630, 2024.
    """
    size = clusters.shape[0]
    clusters, valid = by_first(clusters)
    counts = jnp.zeros(size).at[jnp.where(valid, clusters, size)].add(1.0, mode="drop")
    shares = counts / number_of(valid, counts)
    return undefined_unless(jnp.any(valid), jnp.sum(jax.scipy.special.entr(shares)))


ENTRIES = (
    measure("discrete_semantic_entropy", "Discrete semantic entropy",
            lambda seen: discrete_semantic_entropy(seen.clusters),
            needs=("samples",), higher="uncertain", citation=("semantic-entropy",)),
    measure("semantic_entropy", "Semantic entropy",
            lambda seen: semantic_entropy(
                seen.sample_log_probs / jnp.maximum(seen.sample_lengths, 1).astype(jnp.float32), seen.clusters
            ),
            needs=("samples",), higher="uncertain", citation=("semantic-entropy",)),
)  # fmt: skip
"""Entropies of meanings as measures of an answer, see `jaxuq.confidence.MEASURES`."""
