"""Which sampled answers say the same? Clusters from any pairwise equivalence."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arrays import as_float, counted, entry, first_true, select, undefined_unless, widened
from jaxuq._meshes import vary_like
from jaxuq._options import check_choice
from jaxuq._shapes import checked
from jaxuq.confidence._measure import measure


@checked
@widened
def entailment_equivalence(
    entailment: Float[Array, "samples samples"],
    contradiction: Float[Array, "samples samples"],
    *,
    rule: Literal["strict", "relaxed", "not_contradicting", "either"] = "strict",
) -> Bool[Array, "samples samples"]:
    r"""Equivalence of answers from the probabilities of an entailment model (premise: row, hypothesis: column).

    | rule | pair (i, j) is equivalent if |
    |---|---|
    | "strict" | both directions are entailment (LM-Polygraph; the semantic-entropy paper) |
    | "relaxed" | neither direction is a contradiction and not both are neutral (that paper's function default) |
    | "not_contradicting" | neither direction is a contradiction (Kuhn et al.; Lin et al.) |
    | "either" | one direction is entailment (uqlm) |

    where a direction is whichever of entailment, contradiction and neutral is likeliest.

    Args:
        entailment: $E_{ij}$.
        contradiction: $C_{ij}$; neutral is the rest, $1 - E - C$.
        rule: see above.

    Returns:
        A symmetric mask, True on the diagonal.

    Raises:
        ValueError: if `rule` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> entailment, contradiction = jnp.array([[1.0, 0.8], [0.7, 1.0]]), jnp.array([[0.0, 0.1], [0.2, 0.0]])
        >>> entailment_equivalence(entailment, contradiction).tolist()
        [[True, True], [True, True]]

    References:
        Kuhn, Gal and Farquhar. Semantic Uncertainty. ICLR 2023.
        Farquhar, Kossen, Kuhn and Gal. Detecting Hallucinations in Large Language Models Using Semantic Entropy. Nature
        630, 2024.
    """
    check_choice("rule", rule, ("strict", "relaxed", "not_contradicting", "either"))
    neutral = 1.0 - entailment - contradiction
    entails = (entailment >= contradiction) & (entailment >= neutral)
    contradicts = ~entails & (contradiction >= neutral)
    neutral_pair = ~entails & ~contradicts
    if rule == "strict":
        same = entails & entails.T
    elif rule == "either":
        same = entails | entails.T
    else:
        same = ~contradicts & ~contradicts.T
        if rule == "relaxed":
            same &= ~(neutral_pair & neutral_pair.T)
    return same | jnp.eye(same.shape[0], dtype=bool)


@checked
def greedy_clusters(
    equivalent: Bool[Array, "samples samples"], *, where: Bool[Array, " samples"] | None = None
) -> Int[Array, " samples"]:
    r"""Clusters in one sweep: each answer joins the first cluster whose *first* member it is equivalent to.

    $$c_i = c_{r},\quad r = \min\{j < i : j \text{ founded a cluster},\ \text{equivalent}_{ji}\},
      \quad\text{else } i \text{ founds one}$$

    Depends on the order where the equivalence is not transitive. `connected_clusters` does not.

    Args:
        equivalent: rows are cluster founders; any rule: normalised answers, cosine above a threshold,
            `entailment_equivalence`.
        where: True for the samples that count; None counts all.

    Returns:
        Cluster numbers 0, 1, ... in order of first appearance; -1 where masked.

    Example:
        >>> import jax.numpy as jnp
        >>> greedy_clusters(jnp.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], bool)).tolist()
        [0, 1, 0]

    References:
        Farquhar, Kossen, Kuhn and Gal. Detecting Hallucinations ... Nature 630, 2024, Algorithm 1.
    """
    size = equivalent.shape[0]
    if size == 0:
        return jnp.zeros(0, jnp.int32)
    valid = counted(where, (size,))

    def assign(sample: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        clusters, founders = carry
        matches = founders & equivalent[:, sample]
        founder = first_true(matches)
        joins = jnp.any(matches)
        number = jnp.where(joins, entry(clusters, founder, -1), jnp.sum(founders, dtype=jnp.int32))
        number = jnp.where(valid[sample], number, -1)
        return clusters.at[sample].set(number), founders.at[sample].set(valid[sample] & ~joins)

    start = (jnp.full((size,), -1, jnp.int32), jnp.zeros((size,), bool))
    return jax.lax.fori_loop(0, size, assign, vary_like(start, equivalent, valid))[0]


@checked
def connected_clusters(
    equivalent: Bool[Array, "samples samples"], *, where: Bool[Array, " samples"] | None = None
) -> Int[Array, " samples"]:
    r"""Clusters as connected components: the transitive closure of an equivalence, in either direction.

    With the edge $E_{ij} > C_{ij}$ both ways, `number_of_sets` of these is LM-Polygraph's number of semantic sets.

    Args:
        equivalent: pairs that are joined.
        where: True for the samples that count; None counts all.

    Returns:
        Cluster numbers 0, 1, ... in order of first appearance; -1 where masked.

    Example:
        >>> import jax.numpy as jnp
        >>> connected_clusters(jnp.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]], bool)).tolist()
        [0, 0, 0, 1]

    References:
        Lin, Trivedi and Sun. Generating with Confidence: Uncertainty Quantification for Black-box Large Language
        Models. TMLR 2024.
    """
    size = equivalent.shape[0]
    valid = counted(where, (size,))
    linked = (equivalent | equivalent.T | jnp.eye(size, dtype=bool)) & valid[:, None] & valid[None]
    numbers = jnp.arange(size, dtype=jnp.int32)

    def spread(_: Array, least: Array) -> Array:  # every pass lets the least member of a component travel one link
        return jnp.min(jnp.where(linked, least[None], size), axis=1, initial=size)

    least = jax.lax.fori_loop(0, size, spread, vary_like(jnp.where(valid, numbers, size), linked))
    founders = valid & (least == numbers)
    order = jnp.cumsum(founders, dtype=jnp.int32) - 1
    return jnp.where(valid, entry(order, least, -1), -1)


@checked
def number_of_sets(clusters: Int[Array, " samples"]) -> Float[Array, ""]:
    r"""Number of different meanings among the samples, $|\{c_i\}|$. Higher is more uncertain; many ties.

    Args:
        clusters: numbers of the meanings, any from 0 on; -1 for samples that do not count.

    Returns:
        A whole number; NaN if no sample counts.

    Example:
        >>> import jax.numpy as jnp
        >>> print(number_of_sets(jnp.array([0, 1, 0, -1])))
        2.0

    References:
        Lin, Trivedi and Sun. Generating with Confidence. TMLR 2024.
    """
    first, valid = by_first(clusters)
    founders = valid & (first == jnp.arange(clusters.shape[0], dtype=first.dtype))
    return undefined_unless(jnp.any(valid), as_float(jnp.sum(founders)))


def by_first(clusters: Int[Array, " samples"]) -> tuple[Int[Array, " samples"], Bool[Array, " samples"]]:
    """Clusters called by their first sample, whatever numbers they had, and which samples count."""
    size = clusters.shape[0]
    valid = clusters >= 0
    same = (clusters[:, None] == clusters[None]) & valid[None]
    first = jnp.min(jnp.where(same, jnp.arange(size, dtype=jnp.int32)[None], size), axis=1, initial=size)
    return jnp.where(valid, first, -1), valid


@checked
@widened
def self_consistency(
    clusters: Int[Array, " samples"],
    weights: Float[Array, " samples"] | None = None,
    *,
    where: Bool[Array, " samples"] | None = None,
) -> Float[Array, ""]:
    r"""Share of the majority among sampled answers. Higher is more confident.

    $$\max_a \frac1K \sum_{k : a_k = a} w_k, \qquad w_k = 1 \text{ by default}$$

    With `weights` = probability of each sample's answer tokens it is what the released code of UQAC reports. Answers
    that could not be extracted stay in $K$ but in no cluster: an answer of which half are unreadable is not sure.

    Args:
        clusters: numbers of the answers, any from 0 on; -1 for samples without an answer.
        weights: of the samples.
        where: True for the samples drawn; None counts all.

    Returns:
        In [0, 1]; 0 if no sample has an answer, NaN if no sample counts.

    Example:
        >>> import jax.numpy as jnp
        >>> print(self_consistency(jnp.array([0, 0, 1, 0, -1])))
        0.6

    References:
        Wang X. et al. Self-Consistency Improves Chain of Thought Reasoning in Language Models. ICLR 2023.
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, section 3.4.2 (baseline 7).
    """
    size = clusters.shape[0]
    valid = counted(where, (size,))
    votes = jnp.ones(size) if weights is None else select(weights, valid)
    first, answered = by_first(jnp.where(valid, clusters, -1))
    places = jnp.where(answered, first, size)
    totals = jnp.zeros((size,), votes.dtype).at[places].add(votes, mode="drop")
    count = jnp.maximum(jnp.sum(valid), 1).astype(votes.dtype)
    return undefined_unless(jnp.any(valid), jnp.max(totals, initial=0.0) / count)


ENTRIES = (
    measure("self_consistency", "Self-consistency (majority)", lambda seen: self_consistency(seen.clusters),
            needs=("samples",), bounded=True, citation=("self-consistency",)),
    measure("agreement", "Self-consistency (this answer)",
            lambda seen: undefined_unless(seen.answered, jnp.mean(seen.agrees.astype(jnp.float32))),
            needs=("samples",), bounded=True, citation=("self-consistency",)),
    measure("number_of_sets", "Number of semantic sets", lambda seen: number_of_sets(seen.clusters),
            needs=("samples",), higher="uncertain", citation=("degree-uncertainty",)),
)  # fmt: skip
"""Clusters of sampled answers as measures of an answer, see `jaxuq.confidence.MEASURES`."""
