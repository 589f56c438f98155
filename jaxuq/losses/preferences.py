"""Learning from preferences: a policy directly (DPO), or a reward of which the policy is made (Bradley-Terry)."""

import jax
from jaxtyping import Array, Bool, Float

from jaxuq._arrays import masked, select, widened
from jaxuq._options import check_number
from jaxuq._shapes import checked


@checked
@widened
def direct_preference_loss(
    chosen: Float[Array, "*batch"],
    rejected: Float[Array, "*batch"],
    reference_chosen: Float[Array, "*batch"],
    reference_rejected: Float[Array, "*batch"],
    *,
    beta: float = 0.1,
    flipped: float = 0.0,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""Direct preference optimisation: $\ell = -\log \sigma(\beta (\ell_w - \ell_l))$.

    $\ell = \log \pi(y \mid x) - \log \pi_{\mathrm{ref}}(y \mid x)$, each summed over the response, its stop token
    included. The reference never changes: compute its log-probabilities once, before training, and keep them with the
    pairs; the reference model is then not needed. Take both responses of a pair in one pass, padded alike. The loss can
    fall while both likelihoods fall: print them.

    Args:
        chosen: $\log \pi$ of the response that was preferred.
        rejected: of the other.
        reference_chosen: $\log \pi_{\mathrm{ref}}$ of the response that was preferred.
        reference_rejected: of the other.
        beta: $\beta > 0$; small ones let the policy go further from the reference.
        flipped: the share of preferences that are thought to be the wrong way round, in [0, 1/2): conservative DPO.
        where: True for the pairs that count; None: all. The rest may hold NaN.

    Returns:
        The loss of each pair: $\log 2$ where policy and reference agree; 0, with gradient 0, where `where` is False.

    Raises:
        ValueError: `beta` is not positive, or `flipped` is outside [0, 1/2).

    Example:
        >>> import jax.numpy as jnp
        >>> pair = [jnp.array([value]) for value in (-12.0, -15.0, -13.0, -14.0)]
        >>> round(float(direct_preference_loss(*pair)[0]), 6)
        0.598139

    References:
        Rafailov, Sharma, Mitchell, Ermon, Manning and Finn. Direct Preference Optimization: Your Language Model is
        Secretly a Reward Model. NeurIPS 2023, Eq 7.
    """
    beta = check_number("beta", beta, 0.0, open_low=True)
    flipped = check_number("flipped", flipped, 0.0, 0.5, open_high=True)
    valid, won, lost, base_won, base_lost = masked(
        where, chosen=chosen, rejected=rejected, reference_chosen=reference_chosen,
        reference_rejected=reference_rejected,
    )  # fmt: skip
    margin = beta * ((won - base_won) - (lost - base_lost))
    losses = -(1.0 - flipped) * jax.nn.log_sigmoid(margin) - flipped * jax.nn.log_sigmoid(-margin)
    return select(losses, valid)


@checked
@widened
def bradley_terry_loss(
    chosen: Float[Array, "*batch"],
    rejected: Float[Array, "*batch"],
    *,
    centring: float = 0.01,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""Negative log-likelihood of a preference under rewards, $-\log \sigma(r_w - r_l) + c\, (r_w + r_l)^2$.

    Only differences of rewards are identified; the second term keeps their mean at 0 and changes no preference.

    Args:
        chosen: $r_w$, rewards of what was preferred.
        rejected: $r_l$.
        centring: $c \ge 0$.
        where: True for the pairs that count; None: all.

    Returns:
        The loss of each pair; 0, with gradient 0, where `where` is False.

    Raises:
        ValueError: `centring` is negative.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(bradley_terry_loss(jnp.array(1.2), jnp.array(0.2), centring=0.0)), 6)
        0.313262

    References:
        Bradley and Terry. Rank Analysis of Incomplete Block Designs. Biometrika 39, 1952.
    """
    centring = check_number("centring", centring, 0.0)
    valid, won, lost = masked(where, chosen=chosen, rejected=rejected)
    return select(centring * (won + lost) ** 2 - jax.nn.log_sigmoid(won - lost), valid)
