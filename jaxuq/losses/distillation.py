"""Distillation from the few likeliest tokens of a calibrated teacher."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from jaxuq._arrays import as_float, class_numbers, select, undefined_unless, within_classes
from jaxuq._entropies import divergence, log_softmax, log_sum_exp
from jaxuq._options import check_choice
from jaxuq._shapes import checked


@checked
def top_token_distillation(
    logits: Float[Array, "*batch classes"],
    teacher_tokens: Integer[Array, "*batch top"],
    teacher_probabilities: Float[Array, "*batch top"],
    *,
    normalise: str = "linear",
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""$\mathrm{KL}(t \,\|\, s)$ over the tokens that a teacher found likeliest, $\sum_k t_k \log (t_k / s_k)$.

    The teacher's probabilities are those after its own calibration (a temperature, or label smoothing). Both sides are
    brought to sum one over the kept tokens: divided by their sum (`"linear"`), by a softmax of the probabilities
    (`"softmax"`, which flattens them), or with one more class for all other tokens (`"rest"`). The student's side is
    computed from log probabilities, so it is as exact for a student that gives the kept tokens next to no mass.

    Args:
        logits: of the student, over the vocabulary.
        teacher_tokens: the likeliest tokens of the teacher, no token twice.
        teacher_probabilities: of each, with a sum of at most one.
        normalise: `"linear"`, `"softmax"` or `"rest"`.
        where: places that count; None: all. The rest may hold NaN.

    Returns:
        Nats for each place, in at least single precision; NaN where a token is outside the vocabulary or the teacher's
        probabilities do not sum to a positive number (`"linear"`); 0, with gradient 0, where `where` is False.

    Raises:
        ArrayError: the shapes differ.
        OptionError: an unknown `normalise`.

    Example:
        >>> import jax.numpy as jnp
        >>> student = jnp.log(jnp.array([[0.4, 0.25, 0.1, 0.1, 0.05, 0.1]]))
        >>> teacher = jnp.array([[0.6, 0.15, 0.1, 0.05, 0.02]])
        >>> print(f"{top_token_distillation(student, jnp.arange(5)[None], teacher)[0]:.4f}")
        0.1016

    References:
        K. Shum et al., "FIRST: Teach a Reliable Large Language Model Through Efficient Trustworthy Distillation",
        EMNLP 2024.
    """
    check_choice("normalise", normalise, ("linear", "softmax", "rest"))
    top = teacher_probabilities.shape[-1]
    tokens = select(teacher_tokens, where)
    teacher = select(as_float(teacher_probabilities, logits), where, 1.0 / max(top, 1))
    inside = jnp.all(within_classes(tokens, logits.shape[-1]), axis=-1)
    places = class_numbers(tokens, logits.shape[-1])
    student = select(as_float(logits, teacher), where)
    at_kept = functools.partial(jnp.take_along_axis, indices=places, axis=-1)
    if normalise == "softmax":
        log_t, log_s = log_softmax(teacher), log_softmax(jnp.exp(at_kept(log_softmax(student))))
    elif normalise == "linear":
        log_t, log_s = log_softmax(_log(teacher)), log_softmax(at_kept(student))
    else:
        kept = jnp.any(jax.nn.one_hot(places, logits.shape[-1], dtype=bool), axis=-2)
        rest = log_sum_exp(jnp.where(kept, jnp.full_like(student, -jnp.inf), student))
        rest_of_teacher = jnp.maximum(1 - jnp.sum(teacher, axis=-1, keepdims=True), 0)
        log_t = _log(jnp.concatenate([teacher, rest_of_teacher], axis=-1))
        log_s = log_softmax(jnp.concatenate([at_kept(student), rest[..., None]], axis=-1))
    return select(undefined_unless(inside, divergence(log_t, log_s)), where)


def _log(probabilities: Array) -> Array:
    """Minus infinity at 0, where it has no slope."""
    positive = probabilities != 0
    return jnp.where(positive, jnp.log(jnp.where(positive, probabilities, 1)), -jnp.inf)
