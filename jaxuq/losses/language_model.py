"""Losses for tokens that know about certainty: uncertain when wrong, focal, and with the entropy as a term."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer, Real

from jaxuq._arrays import counted, select, weighted_mean
from jaxuq._class_terms import class_terms
from jaxuq._options import check_choice, check_number
from jaxuq._shapes import checked

_LEAST_ENTROPY = 1e-6


@checked
def uncertainty_aware_clm_loss(
    logits: Float[Array, "*batch classes"],
    targets: Integer[Array, "*batch"],
    *,
    wrong_probability: str = "predicted",
    where: Bool[Array, "*batch"] | None = None,
    weights: Real[Array, "*batch"] | None = None,
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
        weights: of tokens, >= 0, as in `mean_loss`; None: all alike.

    Returns:
        The sum of both means, a scalar in at least single precision, not a loss of each token: what a token weighs
        depends on how many others are right. A part without tokens is 0; a token outside the vocabulary makes it NaN.
        Entropies below 1e-6 count as 1e-6.

    Raises:
        ArrayError: the shapes differ.
        OptionError: an unknown `wrong_probability`.

    Example:
        >>> import jax.numpy as jnp
        >>> logits = jnp.array([[2.0, 1.0, 0.5, -1.0], [0.2, 1.4, 0.1, 0.0], [3.0, 0.0, 0.0, -1.0]])
        >>> round(float(uncertainty_aware_clm_loss(logits, jnp.zeros(3, int))), 5)
        0.41706

    References:
        R. Krishnan, P. Khanna, O. Tickoo, "Enhancing Trust in Large Language Models with Uncertainty-Aware
        Fine-Tuning", 2024.
    """
    check_choice("wrong_probability", wrong_probability, ("predicted", "target"))
    terms = class_terms(logits, targets, "highest", "entropy", where=where)
    own, highest, entropy = terms.own, terms.highest, jnp.maximum(terms.entropy, _LEAST_ENTROPY)
    kept = counted(where, own)
    # A tie counts as right (an argmax would cost another pass over the vocabulary); so does NaN, and shows.
    right = ~(own < highest)
    wrong_p = jnp.exp(highest if wrong_probability == "predicted" else own)
    if_wrong = -wrong_p * jnp.log(jnp.tanh(entropy))
    log_rest = jnp.log(2.0).astype(own.dtype) - 2 * entropy - jnp.log1p(jnp.exp(-2 * entropy))  # log(1 - tanh H)
    if_right = -(1 - jnp.exp(own)) * log_rest
    parts = ((if_wrong, kept & ~right), (if_right, kept & right))
    return sum((weighted_mean(part, chosen, weights, empty=0.0) for part, chosen in parts), jnp.zeros((), own.dtype))


@checked
def categorical_focal_loss(
    logits: Float[Array, "*batch classes"],
    targets: Integer[Array, "*batch"],
    *,
    gamma: float = 2.0,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""Focal loss of classes or tokens: cross entropy that counts easy ones for less.

    $$\ell_n = -(1 - p_{n y_n})^\gamma \log p_{n y_n}$$

    `gamma=0` is `categorical_cross_entropy`. Not a proper score: it ends less confident than the frequencies. For
    binary labels see `focal_loss`.

    Args:
        logits: unnormalised log probabilities, classes on the last axis.
        targets: class numbers.
        gamma: focusing exponent, >= 0.
        where: True where the target counts; None: all. The rest may hold NaN.

    Returns:
        The loss of each entry, in at least single precision; NaN for a target that is no class; 0, with gradient 0,
        where `where` is False.

    Raises:
        ArrayError: the shapes differ.
        OptionError: `gamma` below 0.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(categorical_focal_loss(jnp.zeros((1, 2)), jnp.array([1]))[0]), 4)  # 0.5**2 * log 2
        0.1733

    References:
        T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, Eq. 5.
        J. Mukhoti et al., "Calibrating Deep Neural Networks using Focal Loss", NeurIPS 2020, Eq. 1.
    """
    check_number("gamma", gamma, 0.0)
    terms = class_terms(logits, targets, "rest", where=where)
    own, rest = terms.own, terms.rest
    # The modulating factor has reached its limit where the target is impossible (1) or certain (then the loss is 0).
    inner = (own > -jnp.inf) & (rest > -jnp.inf)
    safe_own, safe_rest = (jnp.where(inner, a, jnp.zeros_like(a)) for a in (own, rest))
    return select(jnp.where(inner, -jnp.exp(gamma * safe_rest) * safe_own, 0.0 - own), where)


@checked
def entropy_regularised_cross_entropy(
    logits: Float[Array, "*batch classes"],
    targets: Integer[Array, "*batch"],
    *,
    strength: float = 0.1,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""Cross entropy, minus a part of the prediction's entropy: a penalty on confidence.

    $$\ell_n = -\log p_{n y_n} - \beta\, H(p_n)$$

    A positive $\beta$ keeps predictions broad, a negative one sharpens them.

    Args:
        logits: unnormalised log probabilities, classes on the last axis.
        targets: class numbers.
        strength: $\beta$.
        where: True where the target counts; None: all. The rest may hold NaN.

    Returns:
        The loss of each entry in nats, in at least single precision; NaN for a target that is no class; 0, with
        gradient 0, where `where` is False.

    Raises:
        ArrayError: the shapes differ.
        OptionError: `strength` is not a finite number.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(entropy_regularised_cross_entropy(jnp.zeros((1, 4)), jnp.array([1]))[0]), 4)  # 0.9 * log 4
        1.2477

    References:
        G. Pereyra, G. Tucker, J. Chorowski, L. Kaiser, G. Hinton, "Regularizing Neural Networks by Penalizing Confident
        Output Distributions", ICLR workshop 2017, section 3.
    """
    check_number("strength", strength)
    terms = class_terms(logits, targets, "entropy", where=where)
    return 0.0 - terms.own - strength * terms.entropy
