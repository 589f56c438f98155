"""How far a tuned model has moved from its reference, token by token: the term that keeps behaviour as it was."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq.losses._masked import filled, masked_mean


def behaviour_divergence(
    logits: Float[Array, "*batch classes"],
    reference: Float[Array, "*batch classes"],
    *,
    kind: str = "jensen-shannon",
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, ""]:
    r"""Mean divergence between the predictions of a model and of a reference, for which no gradient is computed.

    $$\mathrm{JSD} = \tfrac12 \mathrm{KL}(p \,\|\, m) + \tfrac12 \mathrm{KL}(q \,\|\, m), \quad m = \tfrac12 (p + q)$$

    Add it to the loss of a confidence query, so that learning to judge answers does not change the answers. `"forward"`
    is $\mathrm{KL}(p \,\|\, q)$ of the model p from the reference q, `"reverse"` $\mathrm{KL}(q \,\|\, p)$.

    Args:
        logits: of the model.
        reference: of the model with its adapters off.
        kind: `"jensen-shannon"`, `"forward"` or `"reverse"`.
        where: tokens that count; None: all. The rest may hold NaN.

    Returns:
        Nats, >= 0; 0, with gradient 0, if there are no tokens.

    Raises:
        ValueError: an unknown `kind`.

    Example:
        >>> import jax.numpy as jnp
        >>> p, q = jnp.log(jnp.array([[0.7, 0.2, 0.1]])), jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
        >>> [round(float(behaviour_divergence(p, q, kind=k)), 5) for k in ("jensen-shannon", "forward", "reverse")]
        [0.0219, 0.08512, 0.09203]

    References:
        S. Kapoor et al., "Large Language Models Must Be Taught to Know What They Don't Know", NeurIPS 2024, section 4.
    """
    if kind not in ("jensen-shannon", "forward", "reverse"):
        raise ValueError(f"kind is {kind!r}; expected 'jensen-shannon', 'forward' or 'reverse'")
    log_p = jax.nn.log_softmax(filled(where, logits, 0.0))
    log_q = jax.lax.stop_gradient(jax.nn.log_softmax(filled(where, reference, 0.0)))

    def divergence(log_a: Array, log_b: Array) -> Array:
        return jnp.sum(jnp.exp(log_a) * (log_a - log_b), axis=-1)

    if kind == "jensen-shannon":
        log_m = jnp.logaddexp(log_p, log_q) - jnp.log(2.0).astype(log_p.dtype)
        each = (divergence(log_p, log_m) + divergence(log_q, log_m)) / 2
    else:
        each = divergence(log_p, log_q) if kind == "forward" else divergence(log_q, log_p)
    return masked_mean(each, where)
