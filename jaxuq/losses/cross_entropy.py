"""Cross entropies of binary tasks and of classes: the negative log-likelihoods of the two classification heads."""

import jax
from jaxtyping import Array, Bool, Float, Integer, Real

from jaxuq._arrays import as_float, product, select, undefined_unless
from jaxuq._class_terms import log_probability_of
from jaxuq._shapes import checked


@checked
def bernoulli_cross_entropy(
    logits: Float[Array, "*batch"],
    targets: Real[Array, "*batch"] | Bool[Array, "*batch"],
    *,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""Negative log-likelihood of independent binary labels, each on its own.

    $$\ell_n = -y_n \log\sigma(z_n) - (1 - y_n) \log(1 - \sigma(z_n))$$

    Use it for binary and multi-task binary classification, one logit a task. Its `mean_loss` averages over every known
    label (tasks with more labels weigh more), not over tasks. For exclusive classes use `categorical_cross_entropy`.

    Args:
        logits: log odds of the positive class, any shape; infinities are certainties.
        targets: labels in {0, 1}, or probabilities in [0, 1] (soft labels).
        where: True where the label is known; None keeps all. The rest may hold NaN.

    Returns:
        The loss of each entry in nats, in at least single precision: 0 for a certain right answer, infinity for a
        certain wrong one, NaN for a target outside [0, 1]; 0, with gradient 0, where `where` is False.

    Raises:
        ArrayError: the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> print(bernoulli_cross_entropy(jnp.array([0.0, 0.0, jnp.inf]), jnp.array([0, 1, 1])))
        [0.6931472 0.6931472 0. ]

    References:
        C. M. Bishop, "Pattern Recognition and Machine Learning", Springer, 2006, Eq. 4.90.
    """
    z = select(as_float(logits), where)
    y = select(as_float(targets, z), where)
    losses = product(y, jax.nn.softplus(-z)) + product(1 - y, jax.nn.softplus(z))
    return undefined_unless((y >= 0) & (y <= 1), select(losses, where))


@checked
def categorical_cross_entropy(
    logits: Float[Array, "*batch classes"],
    targets: Integer[Array, "*batch"],
    *,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""Negative log-likelihood of class labels under a softmax, each on its own.

    $$\ell_n = -\log \mathrm{softmax}(z_n)_{y_n}$$

    Use it for exclusive classes, tokens included. It takes the class number, not a one-hot vector.

    Args:
        logits: unnormalised log probabilities, classes on the last axis; minus infinity is an impossible class.
        targets: class numbers in [0, classes), any integer type.
        where: True where the label is known; None keeps all. The rest may hold NaN logits and any integer.

    Returns:
        The loss of each entry in nats, in at least single precision: infinity for an impossible class, NaN for a target
        that is no class; 0, with gradient 0, where `where` is False.

    Raises:
        ArrayError: the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> print(categorical_cross_entropy(jnp.zeros((3, 4)), jnp.array([0, 3, 4])))
        [1.3862944 1.3862944 nan]

    References:
        C. M. Bishop, "Pattern Recognition and Machine Learning", Springer, 2006, Eq. 4.108.
    """
    return 0.0 - log_probability_of(logits, targets, where)
