"""Losses for tokens that know about certainty: uncertain when wrong, focal, and with the entropy as a term."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq.losses._masked import filled, masked_mean

_LEAST_ENTROPY = 1e-6


def _log_probs(logits: Array, targets: Array, where: Array | None) -> tuple[Array, Array, Array]:
    """Log-probabilities, those of the targets, and entropies."""
    log_probs = jax.nn.log_softmax(filled(where, logits, 0.0))
    own = jnp.take_along_axis(log_probs, filled(where, targets, 0)[..., None], axis=-1)[..., 0]
    probs = jnp.exp(log_probs)
    return log_probs, own, -(probs * jnp.where(probs > 0, log_probs, 0.0)).sum(-1)


def uncertainty_aware_clm_loss(
    logits: Float[Array, "*batch classes"],
    targets: Int[Array, "*batch"],
    *,
    wrong_probability: str = "predicted",
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, ""]:
    r"""Uncertainty-aware causal language modelling: certain where the model is right, uncertain where it is wrong.

    $$\ell = -\frac1{|\tilde C|} \sum_{i \in \tilde C} p_i \log \tanh H_i
      - \frac1{|C|} \sum_{i \in C} (1 - p_i) \log(1 - \tanh H_i)$$

    with the token's entropy $H_i$ in nats, $C$ the tokens whose most likely prediction is the target and $\tilde C$ the
    others. It takes the place of cross entropy in fine-tuning for short answers. $C$ changes from step to step and is
    not differentiated. In $C$, $p_i$ is the target's probability. In $\tilde C$ the accounts leave open whose
    probability is meant: that of the wrong prediction, which the loss then lowers as its authors intend (default), or
    the target's, which the loss would lower too.

    Args:
        logits: unnormalised log probabilities, the vocabulary on the last axis.
        targets: tokens.
        wrong_probability: `"predicted"` or `"target"`.
        where: True at tokens that count; None: all. The rest may hold NaN.

    Returns:
        The sum of both means; a part without tokens is 0. Entropies below 1e-6 count as 1e-6.

    Raises:
        ValueError: an unknown `wrong_probability`.

    Example:
        >>> import jax.numpy as jnp
        >>> logits = jnp.array([[2.0, 1.0, 0.5, -1.0], [0.2, 1.4, 0.1, 0.0], [3.0, 0.0, 0.0, -1.0]])
        >>> round(float(uncertainty_aware_clm_loss(logits, jnp.zeros(3, int))), 5)
        0.41706

    References:
        R. Krishnan, P. Khanna, O. Tickoo, "Enhancing Trust in Large Language Models with Uncertainty-Aware
        Fine-Tuning", 2024.
    """
    if wrong_probability not in ("predicted", "target"):
        raise ValueError(f"wrong_probability is {wrong_probability!r}; expected 'predicted' or 'target'")
    log_probs, own, entropy = _log_probs(logits, targets, where)
    entropy = jnp.maximum(entropy, _LEAST_ENTROPY)
    counted = jnp.ones(targets.shape, bool) if where is None else where
    highest = log_probs.max(-1)
    right = own >= highest  # a tie counts as right; an argmax would cost another pass over the vocabulary
    wrong_p = jnp.exp(highest if wrong_probability == "predicted" else own)
    if_wrong = -wrong_p * jnp.log(jnp.tanh(entropy))
    log_rest = jnp.log(2.0).astype(own.dtype) - 2 * entropy - jnp.log1p(jnp.exp(-2 * entropy))  # log(1 - tanh H)
    if_right = -(1 - jnp.exp(own)) * log_rest
    return masked_mean(if_wrong, counted & ~right) + masked_mean(if_right, counted & right)


def categorical_focal_loss(
    logits: Float[Array, "*batch classes"],
    targets: Int[Array, "*batch"],
    *,
    gamma: float = 2.0,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, ""]:
    r"""Mean focal loss of classes or tokens: cross entropy that counts easy ones for less.

    $$\ell = -\frac1N \sum_n (1 - p_{n y_n})^\gamma \log p_{n y_n}$$

    `gamma=0` is `categorical_cross_entropy`. Not a proper score: it ends less confident than the frequencies. For
    binary labels see `focal_loss`.

    Args:
        logits: unnormalised log probabilities, classes on the last axis.
        targets: class numbers.
        gamma: focusing exponent, >= 0.
        where: True where the target counts; None: all. The rest may hold NaN.

    Returns:
        The mean over the targets that count; 0, with gradient 0, if there are none.

    Raises:
        ValueError: `gamma` below 0.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(categorical_focal_loss(jnp.zeros((1, 2)), jnp.array([1]))), 4)  # 0.5**2 * log 2
        0.1733

    References:
        T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, Eq. 5.
        J. Mukhoti et al., "Calibrating Deep Neural Networks using Focal Loss", NeurIPS 2020, Eq. 1.
    """
    if gamma < 0:
        raise ValueError(f"gamma is {gamma}; expected a focusing exponent >= 0")
    log_probs, own, _ = _log_probs(logits, targets, where)
    own_class = jax.nn.one_hot(filled(where, targets, 0), logits.shape[-1], dtype=bool)
    log_rest = jax.nn.logsumexp(jnp.where(own_class, -1e30, log_probs), axis=-1)  # log(1 - p), to the last bit
    return masked_mean(-jnp.exp(gamma * log_rest) * own, where)


def entropy_regularised_cross_entropy(
    logits: Float[Array, "*batch classes"],
    targets: Int[Array, "*batch"],
    *,
    strength: float = 0.1,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, ""]:
    r"""Mean cross entropy, minus a part of the prediction's entropy: a penalty on confidence.

    $$\ell = \frac1N \sum_n \big[-\log p_{n y_n} - \beta\, H(p_n)\big]$$

    A positive $\beta$ keeps predictions broad, a negative one sharpens them.

    Args:
        logits: unnormalised log probabilities, classes on the last axis.
        targets: class numbers.
        strength: $\beta$.
        where: True where the target counts; None: all. The rest may hold NaN.

    Returns:
        The mean in nats over the targets that count; 0, with gradient 0, if there are none.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(entropy_regularised_cross_entropy(jnp.zeros((1, 4)), jnp.array([1]))), 4)  # 0.9 * log 4
        1.2477

    References:
        G. Pereyra, G. Tucker, J. Chorowski, L. Kaiser, G. Hinton, "Regularizing Neural Networks by Penalizing Confident
        Output Distributions", ICLR workshop 2017, section 3.
    """
    _, own, entropy = _log_probs(logits, targets, where)
    return masked_mean(-own - strength * entropy, where)
