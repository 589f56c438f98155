"""Sampled answers as a graph: edges are similarities, uncertainty is how far the graph falls apart."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._arrays import concrete, counted, number_of, undefined_unless, weighted_mean, widened
from jaxuq._options import check_choice, check_number
from jaxuq._shapes import checked
from jaxuq.confidence._matrices import matrix_function
from jaxuq.confidence._measure import measure


def _prepared(similarities, where):
    """Symmetric similarities without the masked samples, the mask, and how many count."""
    valid = counted(where, similarities.shape[:1])
    pairs = valid[:, None] & valid[None]
    similarities = jnp.where(pairs, similarities, 0.0)
    return 0.5 * (similarities + similarities.T), valid, number_of(valid, similarities)


def _laplacian(similarities, valid):
    """Normalised Laplacian; masked samples are islands with eigenvalue 2, which no measure here reads."""
    degrees = jnp.sum(similarities, axis=1)
    scale = jax.lax.rsqrt(jnp.where(degrees > 0, degrees, 1.0))
    eye = jnp.eye(valid.shape[0], dtype=similarities.dtype)
    normal = eye - scale[:, None] * similarities * scale[None]
    pairs = valid[:, None] & valid[None]
    return jnp.where(pairs, normal, 2.0 * eye)


@checked
@widened
def degree_uncertainty(
    similarities: Float[Array, "samples samples"], *, where: Bool[Array, " samples"] | None = None
) -> Float[Array, ""]:
    r"""Degree-matrix uncertainty: one minus the mean similarity, $\mathrm{trace}(mI - D) / m^2$. Higher: uncertain.

    Args:
        similarities: $W_{ij}$ in [0, 1], 1 on the diagonal: Jaccard (`jaccard_similarities`), entailment $E$,
            or no contradiction $1 - C$. Both directions are averaged.
        where: True for the samples that count; None counts all.

    Returns:
        In [0, 1 - 1/m]; NaN if no sample counts.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(degree_uncertainty(jnp.array([[1.0, 0.5], [0.5, 1.0]]))), 4)
        0.25

    References:
        Lin, Trivedi and Sun. Generating with Confidence: Uncertainty Quantification for Black-box Large Language
        Models. TMLR 2024, section 4.2.
    """
    similarities, valid, count = _prepared(similarities, where)
    return undefined_unless(jnp.any(valid), 1.0 - jnp.sum(similarities) / count**2)


@checked
@widened
def degree_confidence(
    similarities: Float[Array, "samples samples"], *, where: Bool[Array, " samples"] | None = None
) -> Float[Array, " samples"]:
    r"""Each answer's mean similarity to all samples, $D_{jj} / m$. Higher is more confident.

    Args:
        similarities: see `degree_uncertainty`.
        where: True for the samples that count; None counts all.

    Returns:
        In [1/m, 1]; NaN where masked.

    Example:
        >>> import jax.numpy as jnp
        >>> degree_confidence(jnp.array([[1.0, 0.5], [0.5, 1.0]])).tolist()
        [0.75, 0.75]

    References:
        Lin, Trivedi and Sun. Generating with Confidence. TMLR 2024, section 4.2.
    """
    similarities, valid, count = _prepared(similarities, where)
    return undefined_unless(valid, jnp.sum(similarities, axis=1) / count)


@checked
@widened
def eigenvalue_uncertainty(
    similarities: Float[Array, "samples samples"], *, where: Bool[Array, " samples"] | None = None
) -> Float[Array, ""]:
    r"""Sum of the small eigenvalues of the graph Laplacian: a soft number of meanings. Higher is more uncertain.

    $$\sum_k \max(0, 1 - \lambda_k), \qquad L = I - D^{-1/2} W D^{-1/2}$$

    Args:
        similarities: see `degree_uncertainty`.
        where: True for the samples that count; None counts all.

    Returns:
        In [1, m]; NaN if no sample counts.

    Example:
        >>> import jax.numpy as jnp
        >>> (
        ...     round(float(eigenvalue_uncertainty(jnp.eye(3))), 4),
        ...     round(float(eigenvalue_uncertainty(jnp.ones((3, 3)))), 4),
        ... )
        (3.0, 1.0)

    References:
        Lin, Trivedi and Sun. Generating with Confidence. TMLR 2024, Eq 6.
    """
    similarities, valid, _ = _prepared(similarities, where)
    eigenvalues = jnp.linalg.eigvalsh(_laplacian(similarities, valid))
    return undefined_unless(jnp.any(valid), jnp.sum(jnp.maximum(0.0, 1.0 - eigenvalues)))


def _spread(similarities, threshold, where):
    """Distances of the spectral embedding of each answer from the centre."""
    similarities, valid, count = _prepared(similarities, where)
    eigenvalues, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(_laplacian(similarities, valid)))
    kept = (eigenvalues < threshold).astype(vectors.dtype)
    embedding = vectors * kept[None] * valid[:, None].astype(vectors.dtype)
    centred = (embedding - jnp.sum(embedding, axis=0, keepdims=True) / count) * valid[:, None].astype(vectors.dtype)
    return jnp.sqrt(jnp.sum(centred**2, axis=1)), valid


@checked
@widened
def eccentricity(
    similarities: Float[Array, "samples samples"],
    *,
    threshold: float = 0.9,
    where: Bool[Array, " samples"] | None = None,
) -> Float[Array, ""]:
    r"""Eccentricity: spread of the answers in the spectral embedding of their graph. Higher is more uncertain.

    $$\left\lVert [v_1 - \bar v, \dots, v_m - \bar v] \right\rVert_F$$

    with the rows $v_j$ of the Laplacian's eigenvectors of eigenvalue below `threshold`. It saturates at
    $\sqrt{k - 1}$ where all degrees are equal, and jumps where an eigenvalue crosses the threshold. No gradient.

    Args:
        similarities: see `degree_uncertainty`.
        threshold: for eigenvalues.
        where: True for the samples that count; None counts all.

    Returns:
        A scalar >= 0; NaN if no sample counts.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(eccentricity(jnp.eye(4))), 4)
        1.7321

    References:
        Lin, Trivedi and Sun. Generating with Confidence. TMLR 2024, Eq 8.
    """
    distances, valid = _spread(similarities, threshold, where)
    return undefined_unless(jnp.any(valid), jnp.sqrt(jnp.sum(distances**2)))


@checked
@widened
def eccentricity_confidence(
    similarities: Float[Array, "samples samples"],
    *,
    threshold: float = 0.9,
    where: Bool[Array, " samples"] | None = None,
) -> Float[Array, " samples"]:
    r"""Each answer's closeness to the centre of the spectral embedding, $-\lVert v_j - \bar v \rVert$.

    Args:
        similarities: see `degree_uncertainty`.
        threshold: see `eccentricity`.
        where: True for the samples that count; None counts all.

    Returns:
        Numbers <= 0, higher for more confident; NaN where masked.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(float(x), 3) for x in eccentricity_confidence(jnp.eye(2))]
        [-0.707, -0.707]

    References:
        Lin, Trivedi and Sun. Generating with Confidence. TMLR 2024, Eq 9.
    """
    distances, valid = _spread(similarities, threshold, where)
    return undefined_unless(valid, -distances)


@checked
@widened
def kernel_language_entropy(
    weights: Float[Array, "samples samples"],
    *,
    kernel: Literal["heat", "matern"] = "heat",
    time: float = 0.3,
    smoothness: float = 1.0,
    length: float = 1.0,
    scaled: bool = False,
    where: Bool[Array, " samples"] | None = None,
) -> Float[Array, ""]:
    r"""Kernel language entropy: von Neumann entropy of a graph kernel over answers. Higher is more uncertain.

    $$-\mathrm{tr}(\tilde K \log \tilde K), \qquad K = e^{-tL} \ \text{or}\ (2\nu/\kappa^2\, I + L)^{-\nu},\quad
      L = D - W,\quad \tilde K_{ij} = \frac{K_{ij}}{m \sqrt{K_{ii} K_{jj}}}$$

    Grades of similarity count, not only clusters. It is not 0 for equal answers. Edges of the paper: $W_{ij} = w(i \to
    j) + w(j \to i)$ with w = 1 for entailment, 1/2 neutral, 0 contradiction.

    Args:
        weights: $W$, symmetric and not negative; the diagonal does not matter.
        kernel: heat or Matérn.
        time: $t$ of the heat kernel.
        smoothness: $\nu$ of the Matérn kernel.
        length: $\kappa$ of the Matérn kernel.
        scaled: divide by $\log m$.
        where: True for the samples that count; None counts all.

    Returns:
        In [0, log m] nats (or [0, 1]); NaN if no sample counts, 0 for one sample.

    Raises:
        ValueError: if `kernel` is unknown, or a number of it is not above 0, where it is not traced.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(kernel_language_entropy(2 * jnp.ones((4, 4)))), 4)
        0.7541

    References:
        Nikitin, Kossen, Gal and Marttinen. Kernel Language Entropy: Fine-grained Uncertainty Quantification for LLMs
        from Semantic Similarities. NeurIPS 2024.
    """
    check_choice("kernel", kernel, ("heat", "matern"))
    for name, value in (("time", time), ("smoothness", smoothness), ("length", length)):
        if concrete(value):
            check_number(name, value, 0.0, open_low=True)
    weights, valid, count = _prepared(weights, where)
    eye = jnp.eye(weights.shape[0], dtype=weights.dtype)
    laplacian = jnp.diag(jnp.sum(weights, axis=1)) - weights

    def spectrum_of(eigenvalues: Array) -> tuple[Array, Array]:
        if kernel == "heat":
            values = jnp.exp(-time * eigenvalues)
            return values, -time * values
        base = 2 * smoothness / length**2 + eigenvalues
        return base**-smoothness, -smoothness * base ** (-smoothness - 1)

    matrix = matrix_function(laplacian, spectrum_of)
    diagonal = jnp.sqrt(jnp.diagonal(matrix))
    density = matrix / (diagonal[:, None] * diagonal[None] * count)
    density = jnp.where(valid[:, None] & valid[None], density, 0.0 * eye)
    spectrum = jnp.linalg.eigvalsh(density)
    entropy = jnp.sum(jnp.where(spectrum > 1e-8, jax.scipy.special.entr(jnp.maximum(spectrum, 1e-8)), 0.0))
    if scaled:
        entropy = jnp.where(count > 1, entropy / jnp.log(jnp.maximum(count, 2.0)), 0.0)
    return undefined_unless(jnp.any(valid), entropy)


@checked
@widened
def mean_pair_similarity(
    similarities: Float[Array, "samples samples"], *, where: Bool[Array, " samples"] | None = None
) -> Float[Array, ""]:
    r"""Mean similarity over pairs of different samples, $\frac{2}{m(m-1)} \sum_{i<j} g_{ij}$. Higher: confident.

    With ROUGE-L (`rouge_similarities`) it is lexical similarity; with the average of both entailment directions over
    entailment + contradiction it is 1 - LUQ.

    Args:
        similarities: of the pairs; both directions are averaged, the diagonal is not read.
        where: True for the samples that count; None counts all.

    Returns:
        A scalar; NaN if fewer than two samples count.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(mean_pair_similarity(jnp.array([[1.0, 0.2], [0.4, 1.0]]))), 4)
        0.3

    References:
        Fomicheva et al. Unsupervised Quality Estimation for Neural Machine Translation. TACL 2020.
        Zhang C. et al. LUQ: Long-text Uncertainty Quantification for LLMs. EMNLP 2024.
    """
    symmetric, valid, _ = _prepared(similarities, where)
    pairs = valid[:, None] & valid[None] & ~jnp.eye(valid.shape[0], dtype=bool)
    return weighted_mean(jnp.where(pairs, symmetric, 0.0), pairs)


ENTRIES = (
    measure("mean_pair_similarity", "Lexical similarity (ROUGE-L)", lambda seen: mean_pair_similarity(seen.rouge),
            needs=("samples", "words"), bounded=True, citation=("lexical-similarity",)),
    measure("degree_uncertainty", "Degree matrix", lambda seen: degree_uncertainty(seen.jaccard),
            needs=("samples", "words"), higher="uncertain", citation=("degree-uncertainty",)),
    measure("eigenvalue_uncertainty", "Graph eigenvalues", lambda seen: eigenvalue_uncertainty(seen.jaccard),
            needs=("samples", "words"), higher="uncertain", citation=("degree-uncertainty",)),
    measure("eccentricity", "Eccentricity", lambda seen: eccentricity(seen.jaccard),
            needs=("samples", "words"), higher="uncertain", citation=("degree-uncertainty",)),
    measure("kernel_language_entropy", "Kernel language entropy", lambda seen: kernel_language_entropy(seen.cosines),
            needs=("samples", "states"), higher="uncertain", citation=("kernel-language-entropy",)),
)  # fmt: skip
"""Graphs of similarities as measures of an answer, see `jaxuq.confidence.MEASURES`."""
