"""The one way from the losses of entries to the number that is minimised."""

from jaxtyping import Array, Bool, Float, Real

from jaxuq._arrays import weighted_mean
from jaxuq._shapes import checked


@checked
def mean_loss(
    losses: Float[Array, "*batch"],
    *,
    where: Bool[Array, "*batch"] | None = None,
    weights: Real[Array, "*batch"] | None = None,
) -> Float[Array, ""]:
    r"""Weighted mean of the losses of single entries.

    $$\ell = \frac{\sum_n w_n \ell_n}{\sum_n w_n}$$

    Give it the same `where` as the loss: an entry that the loss left out is 0 there, which a plain mean would count.
    Where a score of nothing is NaN (`jaxuq.metrics`), a loss of nothing is 0, so that an empty batch leaves parameters
    as they are.

    Args:
        losses: one number an entry, any shape.
        where: True for the entries that count; None counts all. The rest may hold NaN.
        weights: $w \ge 0$, of examples, tasks or classes; None weighs all alike. An integer weight is the same as
            repeating the entry.

    Returns:
        A scalar in at least single precision; 0, with gradient 0, if nothing counts.

    Raises:
        ArrayError: the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.losses import bernoulli_cross_entropy
        >>> known, logits, labels = jnp.array([True, True, False]), jnp.zeros(3), jnp.array([0, 1, -1])
        >>> each = bernoulli_cross_entropy(logits, labels, where=known)
        >>> print(each, mean_loss(each, where=known))
        [0.6931472 0.6931472 0. ] 0.6931472

    References:
        L. Bottou, F. E. Curtis, J. Nocedal, "Optimization Methods for Large-Scale Machine Learning", SIAM Review 60,
        2018, section 2 (the empirical risk).
    """
    return weighted_mean(losses, where, weights, empty=0.0)
