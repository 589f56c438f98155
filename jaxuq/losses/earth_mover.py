"""Language modelling by an upper bound of the earth mover's distance between tokens."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq.losses._masked import filled, masked_mean

_LEAST = 1e-10


def earth_mover_loss(
    logits: Float[Array, "*batch classes"],
    targets: Int[Array, "*batch"],
    embeddings: Float[Array, "classes features"],
    *,
    mixing: str = "none",
    cap: float | None = None,
    convention: str = "paper",
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, ""]:
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
        The mean; 0, with gradient 0, if there are no tokens. Holds one more copy of the embeddings, never
        `[classes, classes]`.

    Raises:
        ValueError: an unknown `mixing` or `convention`.

    Example:
        >>> import jax.numpy as jnp
        >>> embeddings = jnp.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
        >>> print(f"{earth_mover_loss(jnp.array([[1.0, 0.5, -0.5]]), jnp.array([0]), embeddings):.5f}")
        0.25455

    References:
        S. Ren, Z. Wu, K. Q. Zhu, "EMO: Earth Mover Distance Optimization for Auto-Regressive Language Modeling", ICLR
        2024, Eq. 8 to 10.
    """
    if mixing not in ("none", "first", "second") or convention not in ("paper", "published"):
        raise ValueError(
            f"mixing is {mixing!r} and convention {convention!r}; expected 'none', 'first' or 'second', and 'paper' or "
            "'published'"
        )
    embeddings = jax.lax.stop_gradient(embeddings)
    unit = embeddings / jnp.maximum(jnp.linalg.norm(embeddings, axis=-1, keepdims=True), _LEAST)
    y = filled(where, targets, 0)
    log_p = jax.nn.log_softmax(filled(where, logits, 0.0))
    log_own = jnp.take_along_axis(log_p, y[..., None], axis=-1)[..., 0]
    distance = 1 - jnp.sum((jnp.exp(log_p) @ unit) * unit[y], axis=-1)
    if convention == "published":
        distance = distance + jax.lax.stop_gradient(jnp.exp(log_own))
    if mixing == "first":
        ratio = jax.lax.stop_gradient(-log_own / (distance + _LEAST))
        ratio = ratio if cap is None else jnp.minimum(ratio, cap)
        distance = (ratio * distance - log_own) / 2
    elif mixing == "second":
        distance = distance - jax.lax.stop_gradient(distance / (_LEAST - log_own)) * log_own
    return masked_mean(distance, where)
