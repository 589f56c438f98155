"""Scores of sampled answers and of claims for `conformal_threshold`, and the answers that a threshold lets through."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from jaxuq._arrays import as_float, counted, number_of, select, undefined_unless, within_unit
from jaxuq._shapes import checked


@checked
def answer_nonconformity(
    clusters: Int[Array, " samples"],
    correct: Shaped[Array, " samples"],
    *,
    where: Bool[Array, " samples"] | None = None,
) -> Float[Array, ""]:
    r"""How strange the right answer is among sampled ones: one minus its frequency. Infinite if it was not sampled.

    The score of a calibration question for `conformal_threshold`. Where the right answer is often not among the
    samples, a high coverage is impossible and the threshold is infinite.

    Args:
        clusters: 0, 1, ... of the samples' answers; -1 for samples without one.
        correct: whether a sample's answer is right: True or 1; anything between 0 and 1 is not.
        where: True for the samples drawn; None counts all.

    Returns:
        In [0, 1), or infinity; NaN for a label outside [0, 1].

    Raises:
        ArrayError: if the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> print(answer_nonconformity(jnp.array([0, 0, 1, 0]), jnp.array([True, True, False, True])))
        0.25

    References:
        Su et al. API Is Enough: Conformal Prediction for Large Language Models Without Logit-Access. Findings of EMNLP
        2024.
    """
    frequencies = _frequencies(clusters, where)
    labels = select(as_float(correct), where)
    right = (labels == 1) & (frequencies > 0)
    strangeness = jnp.where(jnp.any(right), 1 - jnp.max(jnp.where(right, frequencies, 0), initial=0), jnp.inf)
    return undefined_unless(within_unit(labels), strangeness)


@checked
def answer_set(
    clusters: Int[Array, " samples"], threshold: Float[Array, ""], *, where: Bool[Array, " samples"] | None = None
) -> Bool[Array, " samples"]:
    r"""The sampled answers that a conformal threshold lets into the set: $1 - n_c / K \le \hat q$.

    Args:
        clusters: 0, 1, ... of the samples' answers; -1 for samples without one.
        threshold: from `conformal_threshold` of `answer_nonconformity` over calibration questions.
        where: True for the samples drawn; None counts all.

    Returns:
        True for the samples whose answer is in the set (all samples of a cluster alike).

    Raises:
        ArrayError: if the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> answer_set(jnp.array([0, 0, 1, 2]), jnp.array(0.6)).tolist()
        [True, True, False, False]

    References:
        Su et al. API Is Enough. Findings of EMNLP 2024.
    """
    frequencies = _frequencies(clusters, where)
    return (frequencies > 0) & (1.0 - frequencies <= threshold)


def _frequencies(clusters, where):
    """Share of the samples drawn that say the same as each; 0 where masked or without an answer."""
    drawn = counted(where, clusters)
    usable = drawn & (clusters >= 0)
    alike = (clusters[:, None] == clusters[None, :]) & usable[None, :]
    mine = as_float(jnp.sum(alike, axis=1))
    return jnp.where(usable, mine / number_of(drawn, mine), 0.0)


@checked
def claim_nonconformity(
    scores: Float[Array, " claims"], correct: Shaped[Array, " claims"], *, where: Bool[Array, " claims"] | None = None
) -> Float[Array, ""]:
    r"""The least threshold above which every claim of an answer is right: the highest score of a wrong claim.

    Conformal factuality: keep the claims with a score above `conformal_threshold` of these over calibration answers,
    and all that is kept is right with the wanted probability.

    Args:
        scores: confidence of each claim.
        correct: whether it is right: True or 1; anything between 0 and 1 is not.
        where: True for the claims that count; None counts all.

    Returns:
        A scalar; minus infinity if no claim is wrong, NaN for a label outside [0, 1].

    Raises:
        ArrayError: if the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> print(round(float(claim_nonconformity(jnp.array([0.9, 0.4, 0.6]), jnp.array([1, 0, 1]))), 2))
        0.4

    References:
        Mohri and Hashimoto. Language Models with Conformal Factuality Guarantees. ICML 2024.
    """
    labels = select(as_float(correct), where)
    wrong = counted(where, scores) & (labels != 1)
    highest = jnp.max(select(as_float(scores), wrong, -jnp.inf), initial=-jnp.inf)
    return undefined_unless(within_unit(labels), highest)
