"""The area under the accuracy-rejection curve."""

from jaxtyping import Array, Bool, Float, Real, Shaped

from jaxuq._arrays import undefined_unless, weighted, within_unit
from jaxuq._shapes import checked
from jaxuq.metrics.selective import area_under_risk_coverage


@checked
def area_under_accuracy_rejection(
    uncertainty: Float[Array, " n"],
    correct: Shaped[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Area under the accuracy-rejection curve (AUARC): accuracy of the k most certain, averaged over all k.

    $$\mathrm{AUARC} = \frac1N \sum_{k=1}^N \frac1k \sum_{i=1}^k a_{(i)},\qquad u_{(1)} \le \dots \le u_{(N)}$$

    The score of work on answers of language models; it is 1 minus `area_under_risk_coverage` of the errors, with the
    same ties. A measure that ranks at random gets the accuracy.

    Args:
        uncertainty: larger for less certain answers.
        correct: 0 or 1 (or booleans), or a quality in [0, 1].
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar; NaN if no entry counts, or one that counts is NaN or outside [0, 1].

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> print(area_under_accuracy_rejection(jnp.array([0.1, 0.2, 0.3, 0.4]), jnp.array([1, 1, 1, 0])))
        0.9375

    References:
        M. S. A. Nadeem, J.-D. Zucker, B. Hanczar, "Accuracy-Rejection Curves (ARCs) for Comparing Classification
        Methods with a Reject Option", MLSB 2009.
    """
    _, right = weighted(where, weights, correct=correct)
    area = area_under_risk_coverage(uncertainty, correct, where=where, weights=weights)
    return undefined_unless(within_unit(right), area)
