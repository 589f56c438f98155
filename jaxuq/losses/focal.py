"""Focal loss: cross entropy that counts easy examples for less."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxuq.losses._masked import filled, masked_mean


def focal_loss(
    logits: Float[Array, "*batch"],
    targets: Real[Array, "*batch"],
    *,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, ""]:
    r"""Mean sigmoid focal loss of binary labels.

    $$\ell = -\frac1N \sum_n \big[\alpha\, y_n (1 - p_n)^\gamma \log p_n
      + (1 - \alpha) (1 - y_n)\, p_n^\gamma \log(1 - p_n)\big], \qquad p_n = \sigma(z_n)$$

    Use it against class imbalance or over-confidence. It is not a proper score: its minimiser is less confident than
    the label frequencies, so report NLL or Brier score beside it. The defaults are torchvision's, which MUBen uses
    unchanged; `alpha=None` drops both class weights, which is the dissertation's Eq. A.1, and `gamma=0` then is
    `bernoulli_cross_entropy`. For soft labels this is the expected loss over the label; torchvision evaluates the
    modulating factor at the averaged probability instead (the two agree for labels in {0, 1}).

    The factors are computed as $\exp(\gamma \log\sigma(\mp z))$, so value and gradient stay finite for any finite
    logit and any `gamma` >= 0.

    Args:
        logits: log odds of the positive class, any shape.
        targets: labels in {0, 1}, or probabilities.
        alpha: weight of the positive class in [0, 1] (the negative class weighs 1 - alpha); None weighs both by 1.
        gamma: focusing exponent, >= 0.
        where: True where the label is known; None keeps all. The rest may hold NaN.

    Returns:
        The mean over the known labels; 0, with gradient 0, if there are none.

    Raises:
        ValueError: if `alpha` or `gamma` is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(focal_loss(jnp.zeros(1), jnp.ones(1))), 4)  # 0.25 * 0.5**2 * log 2
        0.0433

    References:
        T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, "Focal Loss for Dense Object Detection", ICCV 2017, Eq. 5.
        J. Mukhoti et al., "Calibrating Deep Neural Networks using Focal Loss", NeurIPS 2020.
    """
    if alpha is not None and not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; expected a weight in [0, 1], or None for no class weights")
    if gamma < 0:
        raise ValueError(f"gamma is {gamma}; expected a focusing exponent >= 0")
    logits = filled(where, logits, 0.0)
    targets = filled(where, targets, 0).astype(logits.dtype)
    log_positive, log_negative = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    if_positive = -jnp.exp(gamma * log_negative) * log_positive
    if_negative = -jnp.exp(gamma * log_positive) * log_negative
    positive_weight, negative_weight = (1.0, 1.0) if alpha is None else (alpha, 1.0 - alpha)
    losses = positive_weight * targets * if_positive + negative_weight * (1 - targets) * if_negative
    return masked_mean(losses, where)
