"""Losses token by token, as `jaxuq.language.finetune` takes them: an open table, and functions of the user's."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxuq._arguments import typed
from jaxuq._arrays import as_float, entry
from jaxuq._entries import Entries, Entry, entry_of
from jaxuq._errors import OptionError
from jaxuq._meshes import divided_like
from jaxuq._options import check_number
from jaxuq._shapes import compared
from jaxuq.language import ScheduledLoss, cross_entropy
from jaxuq.language.logit_blocks import of_each_token
from jaxuq.losses import (
    categorical_focal_loss,
    entropy_regularised_cross_entropy,
    smoothed_cross_entropy,
    stated_confidence_loss,
    uncertainty_aware_clm_loss,
)

TokenLoss = Callable[..., Float[Array, "batch time"]]


class LossSettings(NamedTuple):
    """What a loss of the table is made with.

    Attributes:
        smoothing: in [0, 1): of `label-smoothing`; that `scheduled-smoothing` begins with; strength of `entropy`.
        sample_smoothing: of each example of the data, for losses that need `uncertainty`.
        sample_weights: a factor on the loss of each example's tokens; None: 1.
    """

    smoothing: float = 0.1
    sample_smoothing: Float[Array, " examples"] | None = None
    sample_weights: Float[Array | np.ndarray, " examples"] | None = None


@typed()
def token_loss(
    loss: str | Entry | TokenLoss,
    *,
    smoothing: float = 0.1,
    sample_smoothing: Float[Array, " examples"] | None = None,
    sample_weights: Float[Array | np.ndarray, " examples"] | None = None,
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
        loss: a name in `LOSSES`, an entry of the same form, or a function `(logits, tokens, examples) -> losses` of
            yours, which is returned as it is unless there are weights.
        smoothing: see `LossSettings`.
        sample_smoothing: see `LossSettings`.
        sample_weights: see `LossSettings`.

    Returns:
        `loss(logits, tokens, examples)`, for `finetune(token_loss=...)`.

    Raises:
        OptionError: an unknown name, a loss that needs `sample_smoothing` without it, or smoothing outside [0, 1).

    Example:
        >>> import jax.numpy as jnp
        >>> loss = token_loss("ual", sample_smoothing=jnp.array([2 / 17]))
        >>> print(f"{loss(jnp.array([[[2.0, 1.0, 0.5, -1.0]]]), jnp.array([[0]]), jnp.array([[0]]))[0, 0]:.6f}")
        0.656947
    """
    check_number("smoothing", smoothing, 0.0, 1.0, open_high=True)
    entry = entry_of(LOSSES, loss)
    if "uncertainty" in entry.needs and sample_smoothing is None:
        raise OptionError(f"the loss {entry.name!r} needs the smoothing of each sample; see uncertainty_smoothing")
    settings = LossSettings(smoothing, sample_smoothing, sample_weights)
    made: Any = entry.functions["make"](settings) if "make" in entry.functions else entry.functions["loss"]
    if sample_weights is None:
        return made
    if isinstance(made, ScheduledLoss):
        return ScheduledLoss(lambda share: _weighted(made.at(share), sample_weights))
    return _weighted(made, sample_weights)


def _compared(loss: TokenLoss) -> TokenLoss:
    """A loss whose arguments have one shape, as jaxuq's own losses of the table want it."""

    @compared
    def of_tokens(
        logits: Float[Array, "batch time vocab"],
        tokens: Int[Array, "batch time"],
        examples: Int[Array, "batch time"],
    ) -> Float[Array, "batch time"]:
        return loss(logits, tokens, examples)

    return of_tokens


def _weighted(loss: TokenLoss, sample_weights: Float[Array | np.ndarray, " examples"]) -> TokenLoss:
    def weighted(logits: Array, tokens: Array, examples: Array) -> Array:
        losses = of_each_token(loss, logits, tokens, examples)
        return losses * _own(jnp.asarray(sample_weights), examples, losses)

    return _compared(weighted)


def _own(values: Array, examples: Int[Array, "batch time"], like: Array) -> Float[Array, "batch time"]:
    """The value of each token's example, in the type of `like`; NaN for an example that there is not.

    Padding belongs to none, is not counted, and takes the first.
    """
    return divided_like(entry, examples, as_float(values, like), jnp.maximum(examples, 0))


def _whoever(loss: Callable[[Array, Array], Array]) -> TokenLoss:
    """A loss that does not ask which example a token belongs to."""
    return _compared(lambda logits, tokens, examples: loss(logits, tokens))


def _sample_smoothed(settings: LossSettings) -> TokenLoss:
    each = jnp.asarray(settings.sample_smoothing)
    return _compared(
        lambda logits, tokens, examples: smoothed_cross_entropy(logits, tokens, _own(each, examples, as_float(logits)))
    )


def _falling(smoothing: float, share: Float[Array, ""] | float) -> TokenLoss:
    """Label smoothing when this share of the steps is done."""
    part = smoothing * (1 - jnp.asarray(share, jnp.result_type(float)))
    return _whoever(lambda logits, tokens: smoothed_cross_entropy(logits, tokens, jnp.broadcast_to(part, tokens.shape)))


_MAKERS: dict[str, tuple[str, Callable[[LossSettings], Any]]] = {
    "plain": ("Plain tuning", lambda settings: _whoever(cross_entropy)),
    "ual": ("UAL", _sample_smoothed),
    "label-smoothing": (
        "Label smoothing",
        lambda settings: _whoever(functools.partial(smoothed_cross_entropy, smoothing=settings.smoothing)),
    ),
    "scheduled-smoothing": (
        "Falling label smoothing",
        lambda settings: ScheduledLoss(functools.partial(_falling, settings.smoothing)),
    ),
    "focal": ("Focal loss", lambda settings: _whoever(categorical_focal_loss)),
    "entropy": (
        "Entropy regularisation",
        lambda settings: _whoever(functools.partial(entropy_regularised_cross_entropy, strength=settings.smoothing)),
    ),
    "uncertainty-aware": (
        "Uncertainty-aware loss",
        lambda settings: _whoever(jax.vmap(jax.vmap(uncertainty_aware_clm_loss))),  # of every token alone
    ),
}
LOSSES: Entries[Entry] = Entries(
    "loss",
    "jaxuq.token_losses",
    {
        name: Entry(name, title, {"make": make}, needs=("uncertainty",) if name == "ual" else ())
        for name, (title, make) in _MAKERS.items()
    },
    role="loss",
)
"""Losses by name. The functions of an entry hold `loss(logits, tokens, examples)`, or `make(LossSettings)`, which gives
one; it may need `uncertainty`, the smoothing of each sample. Put yours in, or declare an entry point of the group."""


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

    def loss(logits: Array, tokens: Array, examples: Array) -> Array:
        stated = divided_like(functools.partial(jnp.take, axis=-1), logits, logits, levels)
        return stated_confidence_loss(stated, _own(correct, examples, as_float(logits)))

    return _compared(loss)
