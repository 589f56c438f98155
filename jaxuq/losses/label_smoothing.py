"""Label smoothing, the same for all or, as in uncertainty-aware learning, set by the uncertainty of each sample."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from jaxuq._arrays import as_float, counted, entry, first_true, number_of, product, select, undefined_unless
from jaxuq._class_terms import class_terms
from jaxuq._errors import OptionError
from jaxuq._options import check_choice, check_number
from jaxuq._shapes import checked


@checked
def smoothed_cross_entropy(
    logits: Float[Array, "*batch classes"],
    targets: Integer[Array, "*batch"],
    smoothing: Float[Array, "*batch"] | float,
    *,
    spread: str = "all",
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""Cross entropy with targets of which a part is spread over the classes.

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
        The loss of each target in nats, in at least single precision; NaN for a target that is no class or a smoothing
        outside [0, 1]; 0, with gradient 0, where `where` is False.

    Raises:
        ArrayError: the shapes differ.
        OptionError: an unknown `spread`, or a smoothing given as a number outside [0, 1).

    Example:
        >>> import jax.numpy as jnp
        >>> logits, target = jnp.array([[2.0, 1.0, 0.5, -1.0]]), jnp.array([0])
        >>> [round(float(smoothed_cross_entropy(logits, target, 0.1, spread=s)[0]), 6) for s in ("all", "others")]
        [0.632682, 0.678515]

    References:
        C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna, "Rethinking the Inception Architecture for Computer
        Vision", CVPR 2016, section 7.
    """
    if isinstance(smoothing, int | float):
        check_number("smoothing", smoothing, 0.0, 1.0, open_high=True)
    smoothing = jnp.broadcast_to(as_float(jnp.asarray(smoothing), logits), targets.shape)
    return _smoothed(logits, targets, smoothing, spread, where)


def _smoothed(logits: Array, targets: Array, smoothing: Array, spread: str, where: Array | None) -> Array:
    """The loss of each target; 0 where `where` is False."""
    check_choice("spread", spread, ("all", "others"))
    own, others = class_terms(logits, targets, "others", where=where)
    part, classes = select(as_float(smoothing, own), where), logits.shape[-1]
    rest = (own + others) / classes if spread == "all" else others / max(classes - 1, 1)
    losses = 0.0 - product(1 - part, own) - product(part, rest)
    return select(undefined_unless((part >= 0) & (part <= 1), losses), where)


@checked
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
        Smoothing in [0, `largest`], for `ual_loss`, in at least single precision; NaN if an uncertainty that counts is
        negative or NaN (`"decreasing"`: outside [0, 1]), for the mean takes it in.

    Raises:
        OptionError: `mean` or `largest` out of range, an unknown direction.

    Example:
        >>> import jax.numpy as jnp
        >>> uncertainty_smoothing(jnp.array([10.0, 30.0, 50.0, 80.0]))
        Array([0.02352941, 0.07058824, 0.11764706, 0.1882353 ], dtype=float32)

    References:
        Y. Wang et al., "Uncertainty Aware Learning for Language Model Alignment", ACL 2024 (the map is described, not
        written out: scale, bounds and direction are open, see above).
    """
    check_choice("direction", direction, ("increasing", "decreasing"))
    check_number("mean", mean, 0.0, 1.0, open_high=True)
    if not mean <= check_number("largest", largest, 0.0, 1.0, open_high=True):
        raise OptionError(f"mean is {mean} and largest {largest}; expected 0 <= mean <= largest < 1")
    known = counted(where, uncertainty)
    u = as_float(uncertainty)
    u = select(u if direction == "increasing" else 1 - u, where)
    u = undefined_unless(u >= 0 if direction == "increasing" else (u >= 0) & (u <= 1), u)
    count = number_of(known, u)
    average = u.sum() / count
    raw = jnp.where(average != 0, mean * u / jnp.where(average != 0, average, 1.0), mean)
    values = jnp.clip(raw, 0.0, largest)
    if recentred:
        values = jnp.where(average > 0, _filled(u, mean * count, largest), values)
    return jnp.where(known, values, mean)


def _filled(u: Array, total: Array, largest: float) -> Array:
    """The multiples of `u`, cut at `largest`, that sum to `total` as far as the cut allows."""
    falling = -jnp.sort(-u)
    rest = jnp.flip(jnp.cumsum(jnp.flip(falling)))  # of each and all that are smaller
    room = total - largest * jnp.arange(u.shape[0], dtype=u.dtype)  # where all that are larger are cut
    most = float(jnp.finfo(u.dtype).max)
    scale = jnp.where(rest > 0, room / jnp.where(rest > 0, rest, 1), most)
    fits = scale * falling <= largest * (1 + 1e-6)
    return jnp.minimum(u * entry(scale, first_true(fits), most), largest)


@checked
def ual_loss(
    logits: Float[Array, "*samples time classes"],
    tokens: Integer[Array, "*samples time"],
    smoothing: Float[Array, "*samples"],
    *,
    spread: str = "all",
    where: Bool[Array, "*samples time"] | None = None,
) -> Float[Array, "*samples"]:
    r"""Uncertainty-aware learning: cross entropy of response tokens, smoothed by as much as each sample is uncertain.

    $$\ell_i = \frac{1}{T_i} \sum_t \Big[(1 - v_i)\,(-\log p_{it, y_{it}})
      + v_i \frac1K \sum_k (-\log p_{itk})\Big]$$

    A mean over the tokens of each sample, so that in a mean over samples a long response weighs no more than a short
    one. With equal $v_i$ and equal lengths that mean is the one of `smoothed_cross_entropy`.

    Args:
        logits: of the response tokens, the vocabulary on the last axis.
        tokens: the response.
        smoothing: $v$, one for each sample, from `uncertainty_smoothing`.
        spread: see `smoothed_cross_entropy`.
        where: True at response tokens; None: all. The rest may hold NaN.

    Returns:
        The loss of each sample in nats, in at least single precision; NaN where a token that counts is outside the
        vocabulary; 0, with gradient 0, for a sample without tokens, which
        `mean_loss(..., where=jnp.any(where, axis=-1))` leaves out.

    Raises:
        ArrayError: the shapes differ.
        OptionError: an unknown `spread`.

    Example:
        >>> import jax.numpy as jnp
        >>> logits = jnp.array([[[2.0, 1.0, 0.5, -1.0]]])
        >>> round(float(ual_loss(logits, jnp.array([[0]]), jnp.array([2 / 17]))[0]), 6)
        0.656947

    References:
        Y. Wang et al., "Uncertainty Aware Learning for Language Model Alignment", ACL 2024.
    """
    losses = _smoothed(logits, tokens, jnp.broadcast_to(smoothing[..., None], tokens.shape), spread, where)
    lengths = jnp.sum(counted(where, losses), axis=-1).astype(losses.dtype)
    return jnp.sum(losses, axis=-1) / jnp.maximum(lengths, 1)
