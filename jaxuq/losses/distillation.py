"""Distillation from the few likeliest tokens of a calibrated teacher."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq.losses._masked import filled, masked_mean

_LEAST = 1e-6


def top_token_distillation(
    logits: Float[Array, "*batch classes"],
    teacher_tokens: Int[Array, "*batch top"],
    teacher_probabilities: Float[Array, "*batch top"],
    *,
    normalise: str = "linear",
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, ""]:
    r"""Mean $\mathrm{KL}(t \,\|\, s)$ over the tokens that a teacher found likeliest, $\sum_k t_k \log (t_k / s_k)$.

    The teacher's probabilities are those after its own calibration (a temperature, or label smoothing). Both sides are
    brought to sum one over the kept tokens: divided by their sum (`"linear"`), by a softmax of the probabilities
    (`"softmax"`, which flattens them), or with one more class for all other tokens (`"rest"`).

    Args:
        logits: of the student, over the vocabulary.
        teacher_tokens: the likeliest tokens of the teacher.
        teacher_probabilities: of each, with a sum of at most one.
        normalise: `"linear"`, `"softmax"` or `"rest"`.
        where: places that count; None: all. The rest may hold NaN.

    Returns:
        Nats; 0, with gradient 0, if no place counts.

    Raises:
        ValueError: an unknown `normalise`.

    Example:
        >>> import jax.numpy as jnp
        >>> student = jnp.log(jnp.array([[0.4, 0.25, 0.1, 0.1, 0.05, 0.1]]))
        >>> teacher = jnp.array([[0.6, 0.15, 0.1, 0.05, 0.02]])
        >>> print(f"{top_token_distillation(student, jnp.arange(5)[None], teacher):.4f}")
        0.1016

    References:
        K. Shum et al., "FIRST: Teach a Reliable Large Language Model Through Efficient Trustworthy Distillation",
        EMNLP 2024.
    """
    if normalise not in ("linear", "softmax", "rest"):
        raise ValueError(f"normalise is {normalise!r}; expected 'linear', 'softmax' or 'rest'")
    tokens = filled(where, teacher_tokens, 0)
    teacher = filled(where, teacher_probabilities, 1.0 / teacher_probabilities.shape[-1])
    student = jnp.take_along_axis(jax.nn.softmax(filled(where, logits, 0.0)), tokens, axis=-1)

    def sides(p: Array) -> Array:
        if normalise == "softmax":
            return jax.nn.softmax(p)
        if normalise == "rest":
            return jnp.concatenate([p, jnp.maximum(1 - p.sum(-1, keepdims=True), _LEAST)], axis=-1)
        return p / jnp.maximum(p.sum(-1, keepdims=True), _LEAST)

    t, s = sides(teacher), jnp.maximum(sides(student), 1e-30)
    return masked_mean(jnp.sum(jax.scipy.special.xlogy(t, t) - t * jnp.log(s), axis=-1), where)
