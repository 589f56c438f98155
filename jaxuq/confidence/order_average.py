"""Answers in context, averaged over the orders of their examples: what depends on the order is not knowledge."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._arrays import counted, root, undefined_unless, widened
from jaxuq._options import check_count
from jaxuq._shapes import checked
from jaxuq.confidence._measure import measure


class OrderAverage(NamedTuple):
    """Predictions under several orders of the same examples, as one.

    Attributes:
        log_probs: of the mean prediction.
        gap: how much larger the mean of the negative log-likelihoods is than that of the mean, for each label; not
            negative.
        entropy: of the mean prediction.
        order_share: the part of that entropy that the order makes, $H(\\bar p) - \\overline{H(p_\\pi)}$; epistemic.
        standard_error: of the mean probability of each label; NaN for a single order that is not the only one.
    """

    log_probs: Float[Array, " labels"]
    gap: Float[Array, " labels"]
    entropy: Float[Array, ""]
    order_share: Float[Array, ""]
    standard_error: Float[Array, " labels"]


@checked
@widened
def order_average(
    log_probs: Float[Array, "orders labels"], *, total: int | None = None, where: Bool[Array, " orders"] | None = None
) -> OrderAverage:
    r"""Mean prediction over orders of the examples in a prompt, $\bar p = \frac1M \sum_\pi p_\pi$.

    $$-\log \bar p(y) \le \tfrac1M \sum_\pi -\log p_\pi(y)$$

    It needs the probabilities of whole answers over a fixed set of labels, and reads every prompt anew: cyclic shifts
    give every example every place with as many orders as there are examples. Average probabilities, not logits.

    Args:
        log_probs: of the labels under each order; normalised here.
        total: how many orders there are, if these were drawn from them without replacement; the error is 0 when all
            are here. None: infinitely many.
        where: True for the orders that count; None counts all.

    Returns:
        `OrderAverage`; NaN if no order counts.

    Raises:
        ValueError: `total` below 1.

    Example:
        >>> import jax.numpy as jnp
        >>> probabilities = jnp.array([0.9, 0.6, 0.3])
        >>> found = order_average(jnp.log(jnp.stack([probabilities, 1 - probabilities], axis=1)))
        >>> round(float(found.gap[0]), 4), round(float(found.order_share), 4)
        (0.0959, 0.1367)

    References:
        Chlon et al. LLMs are Bayesian, in Expectation, Not in Realization. arXiv 2507.11768, 2025.
    """
    size = log_probs.shape[0]
    valid = counted(where, (size,))
    here = jnp.broadcast_to(valid[:, None], log_probs.shape)
    normal = jax.nn.log_softmax(jnp.where(here, log_probs, 0.0), axis=1)
    finite = jnp.maximum(normal, -1e30)
    number = jnp.sum(valid).astype(normal.dtype)
    some = number > 0
    count = jnp.where(some, number, 1.0)
    mean = jax.nn.logsumexp(jnp.where(here, finite, -1e30), axis=0) - jnp.log(count)
    each = jnp.sum(jnp.where(here, finite, 0.0), axis=0) / count
    probabilities = jnp.exp(finite)
    entropies = jnp.sum(jax.scipy.special.entr(probabilities), axis=1)
    entropy = jnp.sum(jax.scipy.special.entr(jnp.exp(mean)))
    apart = jnp.where(here, probabilities - jnp.exp(mean)[None], 0.0)
    several = number > 1
    variance = jnp.sum(apart**2, axis=0) / jnp.where(several, number - 1.0, 1.0)
    left = jnp.ones((), normal.dtype)
    if total is not None:
        left = jnp.maximum(1.0 - number / check_count("total", total), 0.0)
    error = root(variance / count * left)
    error = jnp.where(several | (left == 0), error, jnp.nan)
    never = mean < -5e29  # no order gives the label
    gap = jnp.where(jnp.any(here & jnp.isneginf(normal), axis=0) & ~never, jnp.inf, jnp.maximum(mean - each, 0.0))
    results = (jnp.where(never, -jnp.inf, mean), gap, entropy,
               entropy - jnp.sum(jnp.where(valid, entropies, 0.0)) / count, error)  # fmt: skip
    return OrderAverage(*(undefined_unless(some, one) for one in results))


ENTRIES = (
    measure("order_average", "Order-averaged answer", needs=("prompts with their examples in several orders",),
            bounded=True, citation=("order-average",)),
)  # fmt: skip
"""Averages over orders as a measure of an answer, see `jaxuq.confidence.MEASURES`."""
