"""Losses by name, token by token, as `jaxuq.language.finetune` takes them."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxuq._arrays import check_number
from jaxuq.language import ScheduledLoss, cross_entropy
from jaxuq.losses import (
    categorical_focal_loss,
    entropy_regularised_cross_entropy,
    smoothed_cross_entropy,
    stated_confidence_loss,
    uncertainty_aware_clm_loss,
)

TokenLoss = Callable[..., Float[Array, "batch time"]]
LOSSES = ("plain", "ual", "label-smoothing", "scheduled-smoothing", "focal", "entropy", "uncertainty-aware")


def token_loss(
    name: str,
    *,
    smoothing: float = 0.1,
    sample_smoothing: Float[Array, " examples"] | None = None,
    sample_weights: Float[Array, " examples"] | None = None,
) -> TokenLoss:
    r"""A loss of each token on its own; $\ell(z_t, y_t, i)$ may depend on the example $i$ that the token belongs to.

    - `plain`: cross entropy.
    - `label-smoothing`: with the same smoothing for all, see `jaxuq.losses.smoothed_cross_entropy`.
    - `scheduled-smoothing`: with a smoothing that falls linearly to 0 over the steps, $v_t = v\, (1 - t / T)$; a
      `ScheduledLoss`, of which `finetune` takes the one of each step.
    - `ual`: with a smoothing for each example (`sample_smoothing`, from `uncertainty_smoothing`). With
      `sample_weights` $\bar T / T_i$ its sum is that of `ual_loss`, in which a long answer weighs no more than a short.
    - `focal`: `categorical_focal_loss`, $\gamma = 2$.
    - `entropy`: `entropy_regularised_cross_entropy`, $\beta$ = `smoothing`.
    - `uncertainty-aware`: `uncertainty_aware_clm_loss`, with a mean over all tokens in place of one over the right
      and one over the wrong ones.

    Args:
        name: one of `LOSSES`.
        smoothing: of `label-smoothing`; that `scheduled-smoothing` begins with; strength of `entropy`.
        sample_smoothing: of each example of the data, for `ual`.
        sample_weights: a factor on the loss of each example's tokens; None: 1.

    Returns:
        `loss(logits, tokens, examples)`, for `finetune(token_loss=...)`.

    Raises:
        ValueError: an unknown name, `ual` without `sample_smoothing`, or smoothing outside [0, 1).

    Example:
        >>> import jax.numpy as jnp
        >>> loss = token_loss("ual", sample_smoothing=jnp.array([2 / 17]))
        >>> print(f"{loss(jnp.array([[[2.0, 1.0, 0.5, -1.0]]]), jnp.array([[0]]), jnp.array([[0]]))[0, 0]:.6f}")
        0.656947
    """
    if name not in LOSSES:
        raise ValueError(f"the loss {name!r} is unknown; choose among {', '.join(LOSSES)}")
    check_number("smoothing", smoothing, 0.0, 1.0, open_high=True)
    if name == "ual" and sample_smoothing is None:
        raise ValueError("the loss 'ual' needs the smoothing of each sample; see uncertainty_smoothing")
    if name == "scheduled-smoothing":
        return ScheduledLoss(functools.partial(_falling, smoothing, sample_weights))
    losses_of: dict[str, Callable[..., Any]] = {
        "plain": cross_entropy,
        "label-smoothing": functools.partial(smoothed_cross_entropy, smoothing=smoothing),
        "focal": categorical_focal_loss,
        "entropy": functools.partial(entropy_regularised_cross_entropy, strength=smoothing),
        "uncertainty-aware": jax.vmap(jax.vmap(uncertainty_aware_clm_loss)),  # of every token alone
        "ual": smoothed_cross_entropy,
    }
    one = losses_of[name]

    def loss(
        logits: Float[Array, "batch time vocab"],
        tokens: Int[Array, "batch time"],
        examples: Int[Array, "batch time"],
    ) -> Float[Array, "batch time"]:
        own = jnp.maximum(examples, 0)  # padding belongs to none, and is not counted
        if name == "ual" and sample_smoothing is not None:
            losses = smoothed_cross_entropy(logits, tokens, jnp.asarray(sample_smoothing)[own])
        else:
            losses = one(logits, tokens)
        return losses if sample_weights is None else losses * jnp.asarray(sample_weights)[own]

    return loss


def _falling(
    smoothing: float, sample_weights: Float[Array, " examples"] | None, share: Float[Array, ""] | float
) -> TokenLoss:
    """Label smoothing when this share of the steps is done."""
    part = smoothing * (1 - jnp.asarray(share, jnp.float32))

    def loss(
        logits: Float[Array, "batch time vocab"],
        tokens: Int[Array, "batch time"],
        examples: Int[Array, "batch time"],
    ) -> Float[Array, "batch time"]:
        losses = smoothed_cross_entropy(logits, tokens, jnp.broadcast_to(part, tokens.shape))
        return losses if sample_weights is None else losses * jnp.asarray(sample_weights)[jnp.maximum(examples, 0)]

    return loss


def stated_token_loss(levels: Int[Array, " levels"], correct: Float[Array, " examples"]) -> TokenLoss:
    """`jaxuq.losses.stated_confidence_loss` of each token: the token itself is not read, only its place is.

    Args:
        levels: tokens that stand for confidences, from the lowest to the highest.
        correct: of each example of the data, 1 if the answer in it is right, else 0.

    Returns:
        `loss(logits, tokens, examples)`, for `finetune(token_loss=...)`.

    Example:
        >>> import jax.numpy as jnp
        >>> logits = jnp.array([[[9.0, -2, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 1, 0]]])
        >>> loss = stated_token_loss(jnp.arange(1, 12), jnp.array([1.0]))
        >>> print(f"{loss(logits, jnp.array([[1]]), jnp.array([[0]]))[0, 0]:.6f}")
        0.116478
    """

    def loss(
        logits: Float[Array, "batch time vocab"],
        tokens: Int[Array, "batch time"],
        examples: Int[Array, "batch time"],
    ) -> Float[Array, "batch time"]:
        return stated_confidence_loss(jnp.take(logits, levels, axis=-1), correct[jnp.maximum(examples, 0)])

    return loss
