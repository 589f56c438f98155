"""Language modelling by an upper bound of the earth mover's distance between tokens."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from jaxuq._arrays import as_float, class_numbers, select, take_class, within_classes
from jaxuq._entropies import log_softmax
from jaxuq._meshes import rows_at
from jaxuq._options import check_choice, check_number
from jaxuq._shapes import checked

_LEAST = 1e-10


@checked
def earth_mover_loss(
    logits: Float[Array, "*batch classes"],
    targets: Integer[Array, "*batch"],
    embeddings: Float[Array, "classes features"],
    *,
    mixing: str = "none",
    cap: float | None = None,
    convention: str = "paper",
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""$D = \sum_v p_v\, (1 - \cos(e_v, e_y))$: probability at tokens unlike the target costs more than at like ones.

    With cross entropy mixed in: `"first"` $\tfrac12 (\overline{C / D}\, D + C)$, `"second"` $D + \overline{D / C}\, C$,
    where the ratios carry no gradient. Their values say little (`"first"` has always that of cross entropy unless
    capped), their gradients are what counts.

    Args:
        logits: unnormalised log probabilities, the vocabulary on the last axis.
        targets: tokens.
        embeddings: of the vocabulary, frozen, such as the rows of the output layer.
        mixing: `"none"`, `"first"` or `"second"`.
        cap: of the ratio C / D of `"first"`; None: none.
        convention: `"published"` has $D + p_y$ as the value of D, with the gradient of D, as the released code does:
            the ratios then differ.
        where: True at tokens that count; None: all. The rest may hold NaN.

    Returns:
        The loss of each token, in at least single precision; NaN for a target outside the vocabulary; 0, with gradient
        0, where `where` is False. Holds one more copy of the embeddings, in that precision, never `[classes, classes]`.

    Raises:
        ArrayError: the shapes differ.
        OptionError: an unknown `mixing` or `convention`, a `cap` that is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> embeddings = jnp.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
        >>> print(f"{earth_mover_loss(jnp.array([[1.0, 0.5, -0.5]]), jnp.array([0]), embeddings)[0]:.5f}")
        0.25455

    References:
        S. Ren, Z. Wu, K. Q. Zhu, "EMO: Earth Mover Distance Optimization for Auto-Regressive Language Modeling", ICLR
        2024, Eq. 8 to 10.
    """
    check_choice("mixing", mixing, ("none", "first", "second"))
    check_choice("convention", convention, ("paper", "published"))
    if cap is not None:
        check_number("cap", cap, 0.0, open_low=True)
    embeddings = jax.lax.stop_gradient(as_float(embeddings, logits, embeddings))
    unit = embeddings / jnp.maximum(jnp.linalg.norm(embeddings, axis=-1, keepdims=True), _LEAST)
    y = select(targets, where)
    log_p = log_softmax(select(as_float(logits, logits, embeddings), where))
    log_own = take_class(log_p, y)
    inside = within_classes(y, logits.shape[-1])
    own = rows_at(unit, class_numbers(y, logits.shape[-1]))
    distance = 1 - jnp.sum((jnp.exp(log_p) @ unit) * own, axis=-1)
    if convention == "published":
        distance = distance + jax.lax.stop_gradient(jnp.exp(log_own))
    if mixing == "first":
        ratio = jax.lax.stop_gradient(-log_own / (distance + _LEAST))
        ratio = ratio if cap is None else jnp.minimum(ratio, cap)
        distance = (ratio * distance - log_own) / 2
    elif mixing == "second":
        possible = log_own > -jnp.inf  # as the likelihood vanishes, its part tends to the distance
        likelihood = jnp.where(possible, log_own, jnp.zeros_like(log_own))
        share = jax.lax.stop_gradient(distance / (_LEAST - likelihood))
        distance = distance + jnp.where(possible, -share * likelihood, jax.lax.stop_gradient(distance))
    return select(jnp.where(inside, distance, log_own), where)
