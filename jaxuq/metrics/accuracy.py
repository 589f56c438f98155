"""Accuracy: the share of predictions that are right."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real, Shaped

from jaxuq._arrays import undefined_unless, weighted_mean
from jaxuq._shapes import checked


@checked
def accuracy(
    predictions: Shaped[Array, " n"],
    labels: Shaped[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Share of predictions equal to their label.

    $$\mathrm{acc} = \frac{1}{N} \sum_{n=1}^N \mathbb{I}(\hat y_n = y_n)$$

    Use it for how often a decision is right. It says nothing about confidence, and on imbalanced classes a constant
    prediction scores high: look at `area_under_roc` as well.

    Args:
        predictions: predicted class indices (not logits or probabilities), of any type.
        labels: true class indices.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar in [0, 1]; NaN if no entry counts.

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> print(accuracy(jnp.array([0, 1, 1, 2]), jnp.array([0, 1, 2, 2])))
        0.75

    References:
        Pedregosa et al., Scikit-learn: Machine Learning in Python, JMLR 12, 2011 (`accuracy_score`).
    """
    common = jnp.promote_types(predictions.dtype, labels.dtype)
    hits = (predictions.astype(common) == labels.astype(common)).astype(jnp.result_type(float))
    if jnp.issubdtype(common, jnp.floating):
        hits = undefined_unless(~(jnp.isnan(predictions.astype(common)) | jnp.isnan(labels.astype(common))), hits)
    return weighted_mean(hits, where, weights)
