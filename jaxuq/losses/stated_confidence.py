"""The Brier score of a confidence that a language model states as a token."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxuq.losses._masked import filled, masked_mean


def stated_confidence_loss(
    logits: Float[Array, "*batch levels"],
    correct: Real[Array, "*batch"],
    *,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, ""]:
    r"""Expected Brier score of the confidence that the model would state.

    $$\ell = \frac1N \sum_n \sum_{i=0}^{M} q_{ni} \Big(y_n - \frac iM\Big)^2, \qquad q_n = \mathrm{softmax}(z_n)$$

    over the logits of the $M + 1$ tokens that stand for the confidences 0, 1/M, ..., 1, at the place where the model
    has to write one. Proper: for an answer that is right with probability $\eta$, the best $q$ puts all mass on the
    level nearest to $\eta$. Every level must be a single token: check the tokenizer.

    Args:
        logits: of the tokens of the levels, from the lowest to the highest; at least two.
        correct: 1 if the model's own answer was right, else 0.
        where: True where the answer was graded; None: all. The rest may hold NaN.

    Returns:
        The mean over the graded answers, in [0, 1]; 0, with gradient 0, if there are none.

    Raises:
        ValueError: fewer than two levels.

    Example:
        >>> import jax.numpy as jnp
        >>> logits = jnp.array([[-2, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 1, 0]])
        >>> [round(float(stated_confidence_loss(logits, jnp.array([y]))), 6) for y in (1, 0)]
        [0.116478, 0.55776]

    References:
        Y. Li, M. Xiong, J. Wu, B. Hooi, "ConfTuner: Training Large Language Models to Express Their Confidence
        Verbally", NeurIPS 2025 (the tokenised Brier score).
    """
    levels = logits.shape[-1]
    if levels < 2:
        raise ValueError(f"there are logits of {levels} level; expected those of at least two confidences")
    stated = jnp.linspace(0.0, 1.0, levels, dtype=logits.dtype)
    y = filled(where, correct, 0).astype(logits.dtype)[..., None]
    q = jax.nn.softmax(filled(where, logits, 0.0))
    distance = jnp.broadcast_to(y, q.shape) - jnp.broadcast_to(stated, q.shape)
    return masked_mean((q * distance**2).sum(-1), where)
