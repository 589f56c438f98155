"""How far sampled answers agree with the answer in question."""

import math
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._arrays import counted, length, masked, number_of, product, select, undefined_unless, weighted_mean, widened
from jaxuq._options import check_choice, check_number
from jaxuq._shapes import checked
from jaxuq.confidence._measure import measure
from jaxuq.confidence.token_probabilities import mean_log_probability


@checked
@widened
def semantic_density(
    log_probs: Float[Array, " references"],
    distances: Float[Array, " references"],
    *,
    where: Bool[Array, " references"] | None = None,
) -> Float[Array, ""]:
    r"""Semantic density of an answer: share of the probability that lies near it in meaning. Higher: confident.

    $$\frac{\sum_i \pi_i (1 - d_i^2)\, \mathbb{I}(d_i \le 1)}{\sum_i \pi_i}, \qquad \pi_i = P(r_i)^{1/T_i}$$

    Args:
        log_probs: $\log \pi_i$: mean token log-probabilities of the reference answers, each text once.
        distances: $d_i^2$ of each reference from the answer: $C + N/2$ from the contradiction and neutral
            probabilities of an entailment model, averaged over both directions in the authors' code.
        where: True for the references that count; None counts all.

    Returns:
        In [0, 1]; NaN if no reference counts, or all have probability 0.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(semantic_density(jnp.log(jnp.array([0.6, 0.2])), jnp.array([0.0, 0.5]))), 4)
        0.875

    References:
        Qiu and Miikkulainen. Semantic Density: Uncertainty Quantification for Large Language Models through Confidence
        Measurement in Semantic Space. NeurIPS 2024.
    """
    valid, log_probs, distances = masked(where, log_probs=log_probs, distances=distances)
    weights = jnp.where(valid, jnp.exp(log_probs - jnp.max(jnp.where(valid, log_probs, -1e30), initial=-1e30)), 0.0)
    kernel = jnp.where(distances <= 1, 1.0 - distances, 0.0)
    total = jnp.sum(weights)
    return undefined_unless(total > 0, jnp.sum(weights * kernel) / jnp.where(total > 0, total, 1.0))


@checked
@widened
def agreement_ratio(
    entailment: Float[Array, "samples samples"], contradiction: Float[Array, "samples samples"]
) -> Float[Array, "samples samples"]:
    r"""Entailment among what is decided, $E / (E + C)$: the similarity of LUQ, for `mean_pair_similarity`.

    LUQ's uncertainty is one minus that mean. For long texts, average over the sentences of the hypothesis first.

    Args:
        entailment: $E_{ij}$.
        contradiction: $C_{ij}$.

    Returns:
        In [0, 1]; 1/2 where both are 0.

    Example:
        >>> import jax.numpy as jnp
        >>> agreement_ratio(jnp.array([[0.6]]), jnp.array([[0.2]])).tolist()
        [[0.75]]

    References:
        Zhang C. et al. LUQ: Long-text Uncertainty Quantification for LLMs. EMNLP 2024, Eq 1.
    """
    total = entailment + contradiction
    return jnp.where(total > 0, entailment / jnp.where(total > 0, total, 1.0), 0.5)


@checked
@widened
def cocoa(
    uncertainty: Float[Array, ""],
    similarities: Float[Array, " samples"],
    *,
    where: Bool[Array, " samples"] | None = None,
) -> Float[Array, ""]:
    r"""CoCoA: a token-based uncertainty times the disagreement of samples, $u \cdot \frac1K \sum_k (1 - g_k)$.

    Higher is more uncertain. The authors take for $u$ `greedy_negative_log_likelihood`, minus `mean_log_probability`,
    or the mean entropy (`predictive_entropy(normalise=True)`).

    Args:
        uncertainty: $u$ of the answer.
        similarities: $g_k$ of the answer to each sample, both directions averaged, in [0, 1].
        where: True for the samples that count; None counts all.

    Returns:
        A scalar; NaN if no sample counts.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(cocoa(jnp.array(1.848330), jnp.array([0.9, 0.5, 0.7]))), 4)
        0.5545

    References:
        Vashurin et al. Uncertainty Quantification for LLMs through Minimum Bayes Risk: Bridging Confidence and
        Consistency. NeurIPS 2025.
    """
    valid, similarities = masked(where, similarities=similarities)
    return product(weighted_mean(1.0 - similarities, valid), uncertainty)


@checked
@widened
def semantic_volume(
    embeddings: Float[Array, "samples dim"],
    *,
    epsilon: float = 1e-6,
    where: Bool[Array, " samples"] | None = None,
) -> Float[Array, ""]:
    r"""Semantic volume: log-volume spanned by embeddings of answers or of paraphrased questions. Higher: uncertain.

    $$\log \det (V V^\top + \epsilon I)$$

    for unit rows $V$, with as many rows as samples. Comparable only with the same number of samples, width and epsilon,
    which decides below full rank. Project to the principal components first, if wanted.

    Args:
        embeddings: of the samples; rows are normalised here.
        epsilon: regularisation > 0.
        where: True for the samples that count; None counts all.

    Returns:
        A scalar; NaN if no sample counts.

    Raises:
        ValueError: if `epsilon` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> embeddings = jnp.array([[1.0, 0, 0, 1], [0.9, 0.1, 0, 1], [0, 1, 1, 0]])
        >>> round(float(semantic_volume(embeddings, epsilon=1e-3)), 2)
        -4.89

    References:
        Li et al. Semantic Volume: Quantifying and Detecting both External and Internal Uncertainty in LLMs. AAAI 2026.
    """
    check_number("epsilon", epsilon, 0.0, open_low=True)
    valid = counted(where, embeddings.shape[:1])
    rows = jnp.where(jnp.broadcast_to(valid[:, None], embeddings.shape), embeddings, 1.0)
    lengths = length(rows)[:, None]
    rows = rows / jnp.where(lengths > 0, lengths, 1.0)
    return _log_determinant(rows, epsilon, valid)


@checked
@widened
def eigen_score(
    states: Float[Array, "samples dim"],
    *,
    alpha: float = 1e-3,
    convention: Literal["paper", "published"] = "paper",
    where: Bool[Array, " samples"] | None = None,
) -> Float[Array, ""]:
    r"""EigenScore (INSIDE): mean log-eigenvalue of the covariance of answers' hidden states. Higher: uncertain.

    $$\frac1K \log \det(Z J Z^\top + \alpha I), \qquad J = I - \tfrac1d 1 1^\top$$

    Each row is centred over its *features*.

    Args:
        states: of the samples, from a middle layer at the last real token.
        alpha: regularisation > 0.
        convention: `"published"` divides the covariance by d - 1 and takes logarithms to base 10, as the released code
            does (which also averages the states over tokens).
        where: True for the samples that count; None counts all.

    Returns:
        A scalar; NaN if no sample counts.

    Raises:
        ValueError: if `alpha` is not positive or `convention` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> states = jnp.array([[1.0, 0, 0, 1], [0.9, 0.1, 0, 1], [0, 1, 1, 0]])
        >>> round(float(eigen_score(states)), 2)
        -3.56

    References:
        Chen C. et al. INSIDE: LLMs' Internal States Retain the Power of Hallucination Detection. ICLR 2024.
    """
    check_choice("convention", convention, ("paper", "published"))
    check_number("alpha", alpha, 0.0, open_low=True)
    valid = counted(where, states.shape[:1])
    rows = jnp.where(jnp.broadcast_to(valid[:, None], states.shape), states, 0.0)
    rows = rows - jnp.mean(rows, axis=1, keepdims=True)
    scale = 1.0
    if convention == "published":
        rows, scale = rows / math.sqrt(states.shape[1] - 1), jnp.log(10.0)
    return _log_determinant(rows, alpha, valid) / (number_of(valid, rows) * scale)


def _log_determinant(rows, epsilon, valid):
    r"""$\log\det(R R^\top + \epsilon I)$ over the rows that count.

    By singular values: squared by the product, those of near equal rows would drown in the rounding of the largest.
    """
    values = jnp.linalg.svd(select(rows, valid), compute_uv=False)
    # What is missing beside the rows that count is a zero, worth log(epsilon); so is each masked row, beyond them.
    missing = jnp.sum(valid).astype(rows.dtype) - values.shape[0]
    logs = jnp.sum(jnp.log(jnp.square(values) + epsilon)) + missing * jnp.log(jnp.asarray(epsilon, rows.dtype))
    return undefined_unless(jnp.any(valid), logs)


@checked
@widened
def inverse_entropy(
    prompt_similarities: Float[Array, "samples samples"], answer_similarities: Float[Array, "samples samples"]
) -> Float[Array, ""]:
    r"""Inv-Entropy: do similar questions get similar answers? Higher is more uncertain.

    $$U = -\sum_i d_i \log d_i, \qquad d = \mathrm{diag}(P_y P_x)$$

    with row-normalised similarities of paraphrased questions $P_x$ and of one answer to each $P_y$. $d$ need not sum to
    one: a ranking score. Average it over draws of the answers.

    Args:
        prompt_similarities: $\lvert\cos\rvert$ between paraphrases, not negative.
        answer_similarities: between their answers.

    Returns:
        A scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(inverse_entropy(jnp.eye(2), jnp.eye(2))), 4)
        0.0

    References:
        Song et al. Inv-Entropy: A Fully Probabilistic Framework for Uncertainty Quantification in Language Models.
        NeurIPS 2025.
    """
    rows, columns = (
        similarities / jnp.sum(similarities, axis=1, keepdims=True)
        for similarities in (answer_similarities, prompt_similarities)
    )
    shares = jnp.sum(rows * columns.T, axis=1)
    positive = shares > 0
    return jnp.sum(jnp.where(positive, -shares * jnp.log(jnp.where(positive, shares, 1.0)), 0.0))


ENTRIES = (
    measure("semantic_volume", "Semantic volume", lambda seen: semantic_volume(seen.sample_embeddings),
            needs=("samples", "states"), higher="uncertain", citation=("semantic-volume",)),
    measure("eigen_score", "EigenScore", lambda seen: eigen_score(seen.sample_embeddings),
            needs=("samples", "states"), higher="uncertain", citation=("eigen-score",)),
    measure("semantic_density", "Semantic density",
            lambda seen: semantic_density(
                seen.sample_log_probs / jnp.maximum(seen.sample_lengths, 1).astype(jnp.float32), 1.0 - seen.near,
                where=seen.distinct,
            ),
            needs=("samples", "states"), bounded=True, citation=("semantic-density",)),
    measure("cocoa", "CoCoA",
            lambda seen: cocoa(0.0 - mean_log_probability(seen.log_probs, where=seen.response), seen.near),
            needs=("tokens", "samples", "states"), higher="uncertain", citation=("cocoa",)),
    measure("inverse_entropy", "Inv-Entropy", needs=("paraphrases of every question",), higher="uncertain",
            citation=("inverse-entropy",)),
)  # fmt: skip
"""Agreement of sampled answers as measures of an answer, see `jaxuq.confidence.MEASURES`."""
