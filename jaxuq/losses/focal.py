"""Focal loss: cross entropy that counts easy examples for less."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxuq._arrays import as_float, product, select, undefined_unless
from jaxuq._options import check_number
from jaxuq._shapes import checked


@checked
def focal_loss(
    logits: Float[Array, "*batch"],
    targets: Real[Array, "*batch"] | Bool[Array, "*batch"],
    *,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""Sigmoid focal loss of binary labels.

    $$\ell_n = -\alpha\, y_n (1 - p_n)^\gamma \log p_n - (1 - \alpha) (1 - y_n)\, p_n^\gamma \log(1 - p_n), \quad
      p_n = \sigma(z_n)$$

    Use it against class imbalance or over-confidence. It is not a proper score: its minimiser is less confident than
    the label frequencies, so report NLL or Brier score beside it. The defaults are torchvision's, which MUBen uses
    unchanged; `alpha=None` drops both class weights, which is the dissertation's Eq. A.1, and `gamma=0` then is
    `bernoulli_cross_entropy`. For soft labels this is the expected loss over the label; torchvision evaluates the
    modulating factor at the averaged probability instead (the two agree for labels in {0, 1}).

    The factors are computed as $\exp(\gamma \log\sigma(\mp z))$, so value and gradient stay finite for any finite
    logit and any `gamma` >= 0. An infinite logit gives the limit.

    Args:
        logits: log odds of the positive class, any shape.
        targets: labels in {0, 1}, or probabilities.
        alpha: weight of the positive class in [0, 1] (the negative class weighs 1 - alpha); None weighs both by 1.
        gamma: focusing exponent, >= 0.
        where: True where the label is known; None keeps all. The rest may hold NaN.

    Returns:
        The loss of each entry, in at least single precision; NaN for a target outside [0, 1]; 0, with gradient 0,
        where `where` is False.

    Raises:
        ArrayError: the shapes differ.
        OptionError: if `alpha` or `gamma` is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(focal_loss(jnp.zeros(()), jnp.ones(()))), 4)  # 0.25 * 0.5**2 * log 2
        0.0433

    References:
        T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, "Focal Loss for Dense Object Detection", ICCV 2017, Eq. 5.
        J. Mukhoti et al., "Calibrating Deep Neural Networks using Focal Loss", NeurIPS 2020.
    """
    if alpha is not None:
        check_number("alpha", alpha, 0.0, 1.0)
    check_number("gamma", gamma, 0.0)
    z = select(as_float(logits), where)
    y = select(as_float(targets, z), where)
    positive_weight, negative_weight = (1.0, 1.0) if alpha is None else (alpha, 1.0 - alpha)
    losses = product(positive_weight * y, _if_positive(z, gamma))
    losses += product(negative_weight * (1 - y), _if_positive(-z, gamma))
    return undefined_unless((y >= 0) & (y <= 1), select(losses, where))


def _if_positive(z: Array, gamma: float) -> Array:
    """The loss of a positive label, unweighted; at infinite log odds the modulating factor has reached its limit."""
    finite = jnp.isfinite(z) | jnp.isnan(z)
    safe = jnp.where(finite, z, jnp.zeros_like(z))
    modulated = -jnp.exp(gamma * jax.nn.log_sigmoid(-safe)) * jax.nn.log_sigmoid(safe)
    return jnp.where(finite, modulated, jax.nn.softplus(-z))
