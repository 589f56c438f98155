"""Rewards, for reinforcement learning, of an answer together with the confidence that was stated for it."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxuq._arrays import as_float, undefined_unless
from jaxuq._options import check_choice
from jaxuq._shapes import checked

REWARDS = ("sayself", "rlcr", "rlcr-published")


@checked
def confidence_reward(
    correct: Real[Array, "*batch"] | Bool[Array, "*batch"],
    confidence: Float[Array, "*batch"],
    *,
    kind: str = "rlcr",
    well_formed: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""A reward that is highest for the likeliest answer with its true probability of being right.

    `"rlcr"`: $g - (c - g)^2$. `"sayself"`: $1 - 2 (g - c)^2$, which does not pay for being right itself.
    `"rlcr-published"`: $\tfrac12 + \tfrac12 g + \tfrac12 (1 - (g - c)^2)$, as the released code adds a part for the
    format; the first and the last differ by scale and shift alone.

    Args:
        correct: g, how right the answer is, in [0, 1].
        confidence: c, in [0, 1].
        kind: one of the three.
        well_formed: whether the text could be read; otherwise the reward is -1 (`"sayself"`) or 0.

    Returns:
        A reward each, in at least single precision. A confidence outside [0, 1], or NaN, counts as not well formed; a
        well-formed one with `correct` outside [0, 1] gets NaN.

    Raises:
        ArrayError: the shapes differ.
        OptionError: an unknown `kind`.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(float(reward), 2) for reward in confidence_reward(jnp.array([1, 0]), jnp.array([0.7, 0.7]))]
        [0.91, -0.49]

    References:
        T. Xu et al., "SaySelf: Teaching LLMs to Express Confidence with Self-Reflective Rationales", EMNLP 2024.
        M. Damani et al., "Beyond Binary Rewards: Training LMs to Reason About Their Uncertainty", 2025, Eq. 2.
    """
    check_choice("kind", kind, REWARDS)
    confidence, correct = as_float(confidence), as_float(correct, confidence)
    read = (confidence >= 0) & (confidence <= 1)
    read = read if well_formed is None else read & well_formed
    c = jnp.where(read, confidence, 0.0)
    g = jnp.where(read, correct, 0.0)
    error = (g - c) ** 2
    if kind == "sayself":
        reward = jnp.where(read, 1 - 2 * error, -1.0)
    else:
        reward = jnp.where(read, g - error if kind == "rlcr" else 0.5 + 0.5 * g + 0.5 * (1 - error), 0.0)
    return undefined_unless((g >= 0) & (g <= 1), reward)
