"""Label smoothing, the same for all or, as in uncertainty-aware learning, set by the uncertainty of each sample."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq.losses._masked import filled, masked_mean


def smoothed_cross_entropy(
    logits: Float[Array, "*batch classes"],
    targets: Int[Array, "*batch"],
    smoothing: Float[Array, "*batch"] | float,
    *,
    spread: str = "all",
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, ""]:
    r"""Mean cross entropy with targets of which a part is spread over the classes.

    $$\ell_n = (1 - v_n)\,(-\log p_{n y_n}) + v_n \frac1K \sum_k (-\log p_{nk})$$

    With `spread="others"` the part $v_n$ goes to the $K - 1$ other classes alone. The two differ by a factor:
    $v$ over all classes is $v (K - 1) / K$ over the others. The first is the form of Szegedy et al. and of
    `optax.smooth_labels`. For smoothing that changes during training pass the value of an optax schedule; for
    smoothing by uncertainty, `uncertainty_smoothing`.

    Args:
        logits: unnormalised log probabilities, classes (or the vocabulary) on the last axis.
        targets: class numbers in [0, classes).
        smoothing: $v$, in [0, 1): a number for all, or one for each target.
        spread: `"all"` or `"others"`.
        where: True where the target counts; None keeps all. The rest may hold NaN.

    Returns:
        The mean over the targets that count, in nats; 0, with gradient 0, if there are none.

    Raises:
        ValueError: an unknown `spread`, or a smoothing given as a number outside [0, 1).

    Example:
        >>> import jax.numpy as jnp
        >>> logits, target = jnp.array([[2.0, 1.0, 0.5, -1.0]]), jnp.array([0])
        >>> [round(float(smoothed_cross_entropy(logits, target, 0.1, spread=s)), 6) for s in ("all", "others")]
        [0.632682, 0.678515]

    References:
        C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna, "Rethinking the Inception Architecture for Computer
        Vision", CVPR 2016, section 7.
    """
    if isinstance(smoothing, int | float) and not 0 <= smoothing < 1:
        raise ValueError(f"smoothing is {smoothing}; expected a part in [0, 1)")
    part = jnp.broadcast_to(jnp.asarray(smoothing, logits.dtype), targets.shape)
    return masked_mean(_smoothed(logits, targets, part, spread, where), where)


def _smoothed(logits: Array, targets: Array, smoothing: Array, spread: str, where: Array | None) -> Array:
    """The loss of each target; finite numbers where `where` is False."""
    if spread not in ("all", "others"):
        raise ValueError(f"spread is {spread!r}; expected 'all' or 'others'")
    log_probs = jax.nn.log_softmax(filled(where, logits, 0.0))
    own = jnp.take_along_axis(log_probs, filled(where, targets, 0)[..., None], axis=-1)[..., 0]
    part, total, classes = filled(where, smoothing, 0.0), log_probs.sum(-1), logits.shape[-1]
    rest = total / classes if spread == "all" else (total - own) / max(classes - 1, 1)
    return -(1 - part) * own - part * rest


def uncertainty_smoothing(
    uncertainty: Float[Array, " samples"],
    *,
    mean: float = 0.1,
    largest: float = 0.5,
    direction: str = "increasing",
    recentred: bool = False,
    where: Bool[Array, " samples"] | None = None,
) -> Float[Array, " samples"]:
    r"""The smoothing of each sample from its uncertainty, by a truncated linear map.

    $$v_i = \min\Big(\alpha \frac{u_i}{\bar u},\; v_\text{max}\Big)$$

    so that before truncation the mean smoothing is $\alpha$. Uncertain samples are smoothed more (their constraint is
    looser), certain ones less; this is how two accounts of the paper read. One passage of a third says the reverse:
    `direction="decreasing"` uses $1 - u_i$. If all uncertainties are equal, this is plain label smoothing by $\alpha$;
    also if all are zero. With `recentred`, values below the bound are scaled until the mean is $\alpha$ again, as far
    as the bound allows.

    Args:
        uncertainty: one number >= 0 for each sample, on any scale (`"decreasing"`: in [0, 1]), from a judge, the
            entropy of samples, or perplexity.
        mean: $\alpha$, in [0, 1).
        largest: $v_\text{max}$, in [`mean`, 1).
        direction: `"increasing"` or `"decreasing"`.
        recentred: restore the mean after truncation.
        where: samples that have an uncertainty. The others get $\alpha$, and may hold NaN.

    Returns:
        Smoothing in [0, `largest`], for `ual_loss`.

    Raises:
        ValueError: `mean` or `largest` out of range, an unknown direction.

    Example:
        >>> import jax.numpy as jnp
        >>> uncertainty_smoothing(jnp.array([10.0, 30.0, 50.0, 80.0]))
        Array([0.02352941, 0.07058824, 0.11764706, 0.1882353 ], dtype=float32)

    References:
        Y. Wang et al., "Uncertainty Aware Learning for Language Model Alignment", ACL 2024 (the map is described, not
        written out: scale, bounds and direction are open, see above).
    """
    if direction not in ("increasing", "decreasing"):
        raise ValueError(f"direction is {direction!r}; expected 'increasing' or 'decreasing'")
    if not 0 <= mean < 1 or not mean <= largest < 1:
        raise ValueError(f"mean is {mean} and largest {largest}; expected 0 <= mean <= largest < 1")
    known = jnp.ones(uncertainty.shape, bool) if where is None else where
    u = filled(where, uncertainty if direction == "increasing" else 1 - uncertainty, 0.0)
    count = jnp.maximum(known.sum(dtype=u.dtype), 1)
    average = u.sum() / count
    raw = jnp.where(average > 0, mean * u / jnp.where(average > 0, average, 1.0), mean)
    values = jnp.clip(raw, 0.0, largest)
    for _ in range(8 if recentred else 0):  # each round fills what the last truncation took away
        free = known & (values < largest)
        missing = mean * count - jnp.where(known, values, 0.0).sum()
        held = jnp.where(free, values, 0.0).sum()
        values = jnp.where(
            free, jnp.clip(values * (1 + missing / jnp.where(held > 0, held, 1.0)), 0.0, largest), values
        )
    return jnp.where(known, values, mean)


def ual_loss(
    logits: Float[Array, "*samples time classes"],
    tokens: Int[Array, "*samples time"],
    smoothing: Float[Array, "*samples"],
    *,
    spread: str = "all",
    where: Bool[Array, "*samples time"] | None = None,
) -> Float[Array, ""]:
    r"""Uncertainty-aware learning: cross entropy of response tokens, smoothed by as much as each sample is uncertain.

    $$\ell = \frac1N \sum_i \frac{1}{T_i} \sum_t \Big[(1 - v_i)\,(-\log p_{it, y_{it}})
      + v_i \frac1K \sum_k (-\log p_{itk})\Big]$$

    A mean of means: a long response weighs no more than a short one. With equal $v_i$ and equal lengths it is
    `smoothed_cross_entropy`.

    Args:
        logits: of the response tokens, the vocabulary on the last axis.
        tokens: the response.
        smoothing: $v$, one for each sample, from `uncertainty_smoothing`.
        spread: see `smoothed_cross_entropy`.
        where: True at response tokens; None: all. The rest may hold NaN.

    Returns:
        The mean over samples with at least one token, in nats; 0, with gradient 0, if there are none.

    Raises:
        ValueError: an unknown `spread`.

    Example:
        >>> import jax.numpy as jnp
        >>> logits = jnp.array([[[2.0, 1.0, 0.5, -1.0]]])
        >>> round(float(ual_loss(logits, jnp.array([[0]]), jnp.array([2 / 17]))), 6)
        0.656947

    References:
        Y. Wang et al., "Uncertainty Aware Learning for Language Model Alignment", ACL 2024.
    """
    losses = _smoothed(logits, tokens, jnp.broadcast_to(smoothing[..., None], tokens.shape), spread, where)
    counted = jnp.ones(tokens.shape, bool) if where is None else where
    lengths = counted.sum(-1, dtype=losses.dtype)
    means = jnp.where(counted, losses, 0.0).sum(-1) / jnp.maximum(lengths, 1)
    return masked_mean(means, lengths > 0)
