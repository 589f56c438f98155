"""What the members of an ensemble say about a token, together and apart."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxuq._arrays import take_class, widened
from jaxuq._shapes import checked


class Disagreement(NamedTuple):
    """About one token, in nats.

    Attributes:
        log_prob: of the token, by the ensemble.
        entropy: of the ensemble's distribution.
        member_log_probs: of the token, by each member.
        mutual_information: between the next token and the member: what the members do not agree about.
        variance: of the members' log-probabilities of the token.
    """

    log_prob: Float[Array, "*batch"]
    entropy: Float[Array, "*batch"]
    member_log_probs: Float[Array, "*batch members"]
    mutual_information: Float[Array, "*batch"]
    variance: Float[Array, "*batch"]


@checked
@widened
def combine_logits(
    logits: Float[Array, "*batch members vocab"], weights: Float[Array, "*batch members"]
) -> Float[Array, "*batch vocab"]:
    r"""$\sum_m w_m x_m$: the ensemble's logits. A member of weight zero has no part, whatever its logits hold.

    Args:
        logits: of every member.
        weights: of every member; they need not sum to one.

    Returns:
        Weighted sums, float32. Divide `weights` by their sum first where the softmax of the result is meant as a
        probability: the sum acts as an inverse temperature.

    Example:
        >>> import jax.numpy as jnp
        >>> combine_logits(jnp.array([[1.0, 0.0], [0.0, 4.0]]), jnp.array([1.0, 0.5])).tolist()
        [1.0, 2.0]

    References:
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025, Eq 5.10.
    """
    weight = jnp.broadcast_to(weights[..., None], logits.shape)
    return jnp.sum(jnp.where(weight != 0, weight * jnp.where(weight != 0, logits, 0.0), 0.0), axis=-2)


@checked
@widened
def disagreement(
    logits: Float[Array, "*batch members vocab"],
    weights: Float[Array, "*batch members"],
    tokens: Int[Array, "*batch"],
) -> Disagreement:
    r"""Log-probabilities of a token by ensemble and members, and how far the members disagree.

    With $\tilde w = w / \sum_m w_m$ and $p_m = \mathrm{softmax}(x_m)$: the ensemble's distribution is
    $\mathrm{softmax}(\sum_m \tilde w_m x_m)$, the mutual information is
    $H(\sum_m \tilde w_m p_m) - \sum_m \tilde w_m H(p_m) \ge 0$, and the variance is
    $\sum_m \tilde w_m (\log p_m(y) - \sum_n \tilde w_n \log p_n(y))^2$.

    The first averages logits, as the ensemble decodes; the second is about the mixture of probabilities, as mutual
    information is defined. It is large where members are sure of different tokens and zero where they agree, however
    unsure they are. A member of weight zero has no part.

    Args:
        logits: of every member, at temperature 1.
        weights: not negative, with a positive sum.
        tokens: the one that is judged.

    Returns:
        `Disagreement`, in at least single precision; NaN for weights that sum to zero, and where a token is read that
        is outside the vocabulary. Holds three times the logits.

    Example:
        >>> import jax.numpy as jnp
        >>> sure = jnp.log(jnp.array([[0.999, 0.001], [0.001, 0.999]]))
        >>> found = disagreement(sure, jnp.ones(2), jnp.array(0))
        >>> print(f"{found.mutual_information:.3f} {found.log_prob:.3f}")
        0.685 -0.693

    References:
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025, Eq 5.10.
        N. Houlsby et al. Bayesian active learning for classification and preference learning. 2011, Eq 2.
        A. Malinin, M. Gales. Uncertainty estimation in autoregressive structured prediction. ICLR 2021, section 3.
    """
    total = jnp.sum(weights, axis=-1, keepdims=True)
    share = weights / jnp.broadcast_to(total, weights.shape)
    has_part = jnp.broadcast_to((share != 0)[..., None], logits.shape)
    members = jax.nn.log_softmax(jnp.where(has_part, logits, 0.0), axis=-1)
    together = jax.nn.log_softmax(combine_logits(logits, share), axis=-1)
    wide = jnp.broadcast_to(share[..., None], members.shape)
    probabilities = jnp.exp(members)
    mixture = jnp.sum(wide * probabilities, axis=-2)
    mixed = _plogp(mixture).sum(-1)
    apart = jnp.sum(share * jnp.sum(probabilities * members, axis=-1), axis=-1)
    chosen = take_class(together, tokens)
    each = take_class(members, jnp.broadcast_to(tokens[..., None], members.shape[:-1]))
    mean = jnp.sum(share * each, axis=-1, keepdims=True)
    variance = jnp.sum(share * (each - jnp.broadcast_to(mean, each.shape)) ** 2, axis=-1)
    entropy = -jnp.sum(jnp.exp(together) * together, axis=-1)
    return Disagreement(chosen, entropy, each, jnp.maximum(apart - mixed, 0.0), variance)


def _plogp(p: Array) -> Array:
    some = p > 0
    return jnp.where(some, p * jnp.log(jnp.where(some, p, 1.0)), 0.0)
