"""Cross entropies of binary tasks and of classes: the negative log-likelihoods of the two classification heads."""

import optax
from jaxtyping import Array, Bool, Float, Int, Real

from jaxuq.losses._masked import filled, masked_mean


def bernoulli_cross_entropy(
    logits: Float[Array, "*batch"],
    targets: Real[Array, "*batch"],
    *,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, ""]:
    r"""Mean negative log-likelihood of independent binary labels.

    $$\ell = -\frac1N \sum_n \big[y_n \log\sigma(z_n) + (1 - y_n) \log(1 - \sigma(z_n))\big]$$

    Use it for binary and multi-task binary classification, one logit a task. It averages over every known label
    (tasks with more labels weigh more), not over tasks. For exclusive classes use `categorical_cross_entropy`.

    Args:
        logits: log odds of the positive class, any shape.
        targets: labels in {0, 1}, or probabilities in [0, 1] (soft labels).
        where: True where the label is known; None keeps all. The rest may hold NaN.

    Returns:
        The mean over the known labels in nats; 0, with gradient 0, if there are none.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(bernoulli_cross_entropy(jnp.zeros(2), jnp.array([0, 1]))), 4)
        0.6931

    References:
        C. M. Bishop, "Pattern Recognition and Machine Learning", Springer, 2006, Eq. 4.90.
    """
    losses = optax.losses.sigmoid_binary_cross_entropy(
        filled(where, logits, 0.0), filled(where, targets, 0).astype(logits.dtype)
    )
    return masked_mean(losses, where)


def categorical_cross_entropy(
    logits: Float[Array, "*batch classes"],
    targets: Int[Array, "*batch"],
    *,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, ""]:
    r"""Mean negative log-likelihood of class labels under a softmax.

    $$\ell = -\frac1N \sum_n \log \mathrm{softmax}(z_n)_{y_n}$$

    Use it for exclusive classes, tokens included. It takes the class number, not a one-hot vector.

    Args:
        logits: unnormalised log probabilities, classes on the last axis.
        targets: class numbers in [0, classes).
        where: True where the label is known; None keeps all. The rest may hold NaN logits and any integer.

    Returns:
        The mean over the known labels in nats; 0, with gradient 0, if there are none.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(categorical_cross_entropy(jnp.zeros((2, 4)), jnp.array([0, 3]))), 4)
        1.3863

    References:
        C. M. Bishop, "Pattern Recognition and Machine Learning", Springer, 2006, Eq. 4.108.
    """
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(
        filled(where, logits, 0.0), filled(where, targets, 0)
    )
    return masked_mean(losses, where)
