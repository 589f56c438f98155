"""Confidence over the turns of a conversation: calibrated at every stage, and rising as evidence arrives."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from jaxuq._arrays import as_float, check_shapes, counted, select, widened
from jaxuq._options import check_count
from jaxuq._shapes import checked


@checked
@widened
def turn_calibration_error(
    confidences: Float[Array, "dialogues turns"],
    correct: Shaped[Array, "dialogues turns"],
    *,
    bins: int = 10,
    where: Bool[Array, "dialogues turns"] | None = None,
) -> Float[Array, ""]:
    r"""InfoECE: calibration error by the share of the information that has been given.

    $$\frac1B \sum_b \lvert \mathrm{acc}_b - \mathrm{conf}_b \rvert$$

    over $B$ bins of the level $s = i / L_d$ of turn $i$ of a conversation of $L_d$ turns; bins weigh alike, empty ones
    do not count. It tells of a confidence that is too high early and too low late; errors that make up for each other
    within a bin vanish, so print a Brier score beside it. Lower is better.

    Args:
        confidences: after each turn, in [0, 1]; for instance `p_true` of "are the hints enough to be sure of this
            answer?".
        correct: whether the answer after each turn is right, 1 or 0.
        bins: $B$.
        where: True for the turns that there were; None counts all.

    Returns:
        In [0, 1]; NaN if no turn counts.

    Raises:
        ValueError: no bins.

    Example:
        >>> import jax.numpy as jnp
        >>> confidences = jnp.array([[0.2, 0.9, 0.0, 0.0], [0.1, 0.3, 0.2, 0.8]])
        >>> correct, turns = jnp.array([[0, 1, 0, 0], [0, 0, 1, 1]]), jnp.array([[2], [4]]) > jnp.arange(4)[None]
        >>> round(float(turn_calibration_error(confidences, correct, bins=2, where=turns)), 4)
        0.2833

    References:
        Zhang et al. Confidence Estimation for LLMs in Multi-turn Interactions. Findings of ACL 2026.
    """
    bins = check_count("bins", bins)
    check_shapes(confidences=confidences, correct=correct, where=where)
    valid = counted(where, confidences)
    right = as_float(select(correct, valid), confidences)
    right = jnp.where((right >= 0) & (right <= 1), right, jnp.nan)
    apart = select(right - confidences, valid)
    turn = jnp.cumsum(valid, axis=1, dtype=jnp.int32)
    turns = jnp.maximum(jnp.sum(valid, axis=1, keepdims=True, dtype=jnp.int32), 1)
    place = -(-turn * bins // turns) - 1
    inside = (place[..., None] == jnp.arange(bins, dtype=jnp.int32)[None, None]) & valid[..., None]
    number = jnp.sum(inside, axis=(0, 1)).astype(apart.dtype)
    gaps = jnp.abs(jnp.sum(jnp.where(inside, apart[..., None], 0.0), axis=(0, 1))) / jnp.where(number > 0, number, 1.0)
    filled = jnp.sum(number > 0).astype(apart.dtype)
    return jnp.where(filled > 0, jnp.sum(gaps) / jnp.where(filled > 0, filled, 1.0), jnp.nan)


@checked
@widened
def turn_monotonicity(
    confidences: Float[Array, "dialogues turns"], *, where: Bool[Array, "dialogues turns"] | None = None
) -> Float[Array, " dialogues"]:
    r"""Kendall's $\tau$ of confidence with time, $(\mathrm{rises} - \mathrm{falls}) / \binom{L}{2}$ over pairs.

    1 for a confidence that rises with every turn of evidence, -1 for one that falls; equal ones count 0. Average it
    over conversations. It says nothing of calibration, and a confidence that rises with mere length has it too: compare
    with turns that say nothing.

    Args:
        confidences: after each turn.
        where: True for the turns that there were; None counts all.

    Returns:
        In [-1, 1]; NaN for a conversation of fewer than two turns.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(turn_monotonicity(jnp.array([[0.1, 0.3, 0.2, 0.8]]))[0]), 4)
        0.6667

    References:
        Zhang et al. Confidence Estimation for LLMs in Multi-turn Interactions. Findings of ACL 2026.
        Kendall. A New Measure of Rank Correlation. Biometrika 30, 1938.
    """
    valid = counted(where, confidences)
    values = select(confidences, valid)
    turns = jnp.arange(values.shape[1])
    pairs = valid[:, :, None] & valid[:, None] & (turns[:, None] < turns[None])[None]
    rises = jnp.where(pairs, jnp.sign(values[:, None] - values[:, :, None]), 0.0)
    number = jnp.sum(pairs, axis=(1, 2)).astype(values.dtype)
    return jnp.where(number > 0, jnp.sum(rises, axis=(1, 2)) / jnp.where(number > 0, number, 1.0), jnp.nan)
