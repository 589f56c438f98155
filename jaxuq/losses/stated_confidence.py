"""The Brier score of a confidence that a language model states as a token."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxuq._arrays import as_float, select, undefined_unless
from jaxuq._entropies import log_softmax
from jaxuq._errors import ArrayError
from jaxuq._shapes import checked


@checked
def stated_confidence_loss(
    logits: Float[Array, "*batch levels"],
    correct: Real[Array, "*batch"] | Bool[Array, "*batch"],
    *,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""Expected Brier score of the confidence that the model would state.

    $$\ell_n = \sum_{i=0}^{M} q_{ni} \Big(y_n - \frac iM\Big)^2, \qquad q_n = \mathrm{softmax}(z_n)$$

    over the logits of the $M + 1$ tokens that stand for the confidences 0, 1/M, ..., 1, at the place where the model
    has to write one. Proper: for an answer that is right with probability $\eta$, the best $q$ puts all mass on the
    level nearest to $\eta$. Every level must be a single token: check the tokenizer.

    Args:
        logits: of the tokens of the levels, from the lowest to the highest; at least two.
        correct: 1 if the model's own answer was right, else 0.
        where: True where the answer was graded; None: all. The rest may hold NaN.

    Returns:
        The loss of each answer, in [0, 1], in at least single precision; NaN for a `correct` outside [0, 1]; 0, with
        gradient 0, where `where` is False.

    Raises:
        ArrayError: fewer than two levels, or the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> logits = jnp.array([[-2, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 1, 0]])
        >>> [round(float(stated_confidence_loss(logits, jnp.array([y]))[0]), 6) for y in (1, 0)]
        [0.116478, 0.55776]

    References:
        Y. Li, M. Xiong, J. Wu, B. Hooi, "ConfTuner: Training Large Language Models to Express Their Confidence
        Verbally", NeurIPS 2025 (the tokenised Brier score).
    """
    levels = logits.shape[-1]
    if levels < 2:
        raise ArrayError(f"there are logits of {levels} level; expected those of at least two confidences")
    z = select(as_float(logits), where)
    y = select(as_float(correct, z), where)
    stated = jnp.linspace(0.0, 1.0, levels, dtype=z.dtype)
    distance = jnp.broadcast_to(y[..., None], z.shape) - jnp.broadcast_to(stated, z.shape)
    losses = jnp.sum(jnp.exp(log_softmax(z)) * distance**2, axis=-1)
    return undefined_unless((y >= 0) & (y <= 1), select(losses, where))
