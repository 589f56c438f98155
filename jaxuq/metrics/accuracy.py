"""Accuracy: the share of predictions that are right."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from jaxuq.metrics._masked import masked_mean, valid_entries


def accuracy(
    predictions: Shaped[Array, " n"], labels: Shaped[Array, " n"], *, where: Bool[Array, " n"] | None = None
) -> Float[Array, ""]:
    r"""Share of predictions equal to their label.

    $$\mathrm{acc} = \frac{1}{N} \sum_{n=1}^N \mathbb{I}(\hat y_n = y_n)$$

    Use it for how often a decision is right. It says nothing about confidence, and on imbalanced classes a constant
    prediction scores high: look at `area_under_roc` as well.

    Args:
        predictions: predicted class indices (not logits or probabilities), of the same dtype as `labels`.
        labels: true class indices.
        where: True for the entries that count; None counts all.

    Returns:
        A scalar in [0, 1]; NaN if no entry counts.

    Example:
        >>> import jax.numpy as jnp
        >>> print(accuracy(jnp.array([0, 1, 1, 2]), jnp.array([0, 1, 2, 2])))
        0.75

    References:
        Pedregosa et al., Scikit-learn: Machine Learning in Python, JMLR 12, 2011 (`accuracy_score`).
    """
    hits = (predictions == labels).astype(jnp.float32)
    return masked_mean(hits, valid_entries(where, labels))
