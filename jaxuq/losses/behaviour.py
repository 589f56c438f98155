"""How far a tuned model has moved from its reference, token by token: the term that keeps behaviour as it was."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._arrays import as_float, select
from jaxuq._entropies import divergence, log_softmax
from jaxuq._options import check_choice
from jaxuq._shapes import checked


@checked
def behaviour_divergence(
    logits: Float[Array, "*batch classes"],
    reference: Float[Array, "*batch classes"],
    *,
    kind: str = "jensen-shannon",
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""Divergence between the predictions of a model and of a reference, for which no gradient is computed.

    $$\mathrm{JSD} = \tfrac12 \mathrm{KL}(p \,\|\, m) + \tfrac12 \mathrm{KL}(q \,\|\, m), \quad m = \tfrac12 (p + q)$$

    Add it to the loss of a confidence query, so that learning to judge answers does not change the answers. `"forward"`
    is $\mathrm{KL}(p \,\|\, q)$ of the model p from the reference q, `"reverse"` $\mathrm{KL}(q \,\|\, p)$.

    Args:
        logits: of the model.
        reference: of the model with its adapters off.
        kind: `"jensen-shannon"`, `"forward"` or `"reverse"`.
        where: tokens that count; None: all. The rest may hold NaN.

    Returns:
        Nats for each token, >= 0, in at least single precision; infinity where one model rules out what the other
        allows (never for Jensen-Shannon, which is at most log 2); 0, with gradient 0, where `where` is False.

    Raises:
        ArrayError: the shapes differ.
        OptionError: an unknown `kind`.

    Example:
        >>> import jax.numpy as jnp
        >>> p, q = jnp.log(jnp.array([[0.7, 0.2, 0.1]])), jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
        >>> [round(float(behaviour_divergence(p, q, kind=k)[0]), 5) for k in ("jensen-shannon", "forward", "reverse")]
        [0.0219, 0.08512, 0.09203]

    References:
        S. Kapoor et al., "Large Language Models Must Be Taught to Know What They Don't Know", NeurIPS 2024, section 4.
    """
    check_choice("kind", kind, ("jensen-shannon", "forward", "reverse"))
    log_p = log_softmax(select(as_float(logits, logits, reference), where))
    log_q = jax.lax.stop_gradient(log_softmax(select(as_float(reference, logits, reference), where)))
    if kind == "jensen-shannon":
        neither = (log_p == -jnp.inf) & (log_q == -jnp.inf)
        safe_p, safe_q = (jnp.where(neither, jnp.zeros_like(a), a) for a in (log_p, log_q))
        log_m = jnp.logaddexp(safe_p, safe_q) - jnp.log(2.0).astype(log_p.dtype)
        each = (divergence(log_p, log_m) + divergence(log_q, log_m)) / 2
    else:
        each = divergence(log_p, log_q) if kind == "forward" else divergence(log_q, log_p)
    return select(each, where)
