"""Several models on the same tokens: how much of the uncertainty is their disagreement?"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._arguments import typed
from jaxuq._arrays import check_shares, counted, product, select, widened
from jaxuq._errors import ArrayError
from jaxuq._options import check_number
from jaxuq._shapes import checked
from jaxuq.confidence._measure import measure


class EnsembleUncertainty(NamedTuple):
    """Parts of the uncertainty of an ensemble, nats; higher is more uncertain.

    Attributes:
        total: entropy of the mean distribution.
        data: mean entropy of the members.
        mutual_information: `total - data`.
        pairwise_divergence: EPKL, mean Kullback-Leibler divergence over ordered pairs of members.
        reverse_mutual_information: EPKL minus mutual information, mean divergence of the mean from the members.
    """

    total: Float[Array, "*batch"]
    data: Float[Array, "*batch"]
    mutual_information: Float[Array, "*batch"]
    pairwise_divergence: Float[Array, "*batch"]
    reverse_mutual_information: Float[Array, "*batch"]


@checked
@widened
def ensemble_uncertainty(
    logits: Float[Array, "members *batch vocab"], weights: Float[Array, "members *batch"] | None = None
) -> EnsembleUncertainty:
    r"""Uncertainties of an ensemble of language models at each token.

    $$\mathrm{TU} = H(\bar p), \quad \mathrm{DU} = \textstyle\sum_m w_m H(p^m), \quad
      \mathrm{EPKL} = -\sum_v \bar p \sum_m w_m \log p^m - \mathrm{DU}$$

    Average over the answer's tokens for a score. Equal weights are the "product of expectations"; weights proportional
    to each member's likelihood of the tokens so far give the "expectation of products".

    Args:
        logits: of the next token, from each member.
        weights: of the members, summing to one; None: equal.

    Returns:
        `EnsembleUncertainty`.

    Raises:
        ArrayError: weights that are negative or do not sum to one, where they are not traced.

    Example:
        >>> import jax.numpy as jnp
        >>> members = jnp.log(jnp.array([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1]]))
        >>> round(float(ensemble_uncertainty(members).mutual_information), 4)
        0.0539

    References:
        Malinin and Gales. Uncertainty Estimation in Autoregressive Structured Prediction. ICLR 2021, section 3.
    """
    members = logits.shape[0]
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    check_shares("weights", weights, 0)
    if weights is None:
        weights = jnp.full(logits.shape[:-1], 1.0 / members, logits.dtype)
    weights = weights[..., None]
    probabilities = jnp.exp(log_probs)
    mean = jnp.sum(weights * probabilities, axis=0)
    total = jnp.sum(jax.scipy.special.entr(mean), axis=-1)
    data = jnp.sum(jnp.sum(weights * jax.scipy.special.entr(probabilities), axis=0), axis=-1)
    # Tokens that all suppress: 0 log 0 = 0. One that only some suppress is infinitely far from those.
    logs = jnp.sum(product(jnp.broadcast_to(weights, log_probs.shape), log_probs), axis=0)
    cross = 0.0 - jnp.sum(product(mean, logs), axis=-1)
    return EnsembleUncertainty(total, data, total - data, cross - data, cross - total)


@checked
@widened
def ensemble_sequence_uncertainty(
    log_probs: Float[Array, "members hypotheses"], *, where: Bool[Array, " hypotheses"] | None = None
) -> EnsembleUncertainty:
    r"""Total uncertainty and reverse mutual information of an ensemble over whole answers.

    $$e_b = \log \tfrac1M \sum_m P_m(y_b), \quad w \propto \exp e, \quad \mathrm{TU} = -\sum_b w_b e_b, \quad
      \mathrm{RMI} = \sum_b w_b \tfrac1M \sum_m (e_b - \log P_m(y_b))$$

    Args:
        log_probs: of whole answers (hypotheses of a beam or samples) under each member.
        where: True for the hypotheses that count; None counts all.

    Returns:
        `EnsembleUncertainty` with `total` and `reverse_mutual_information`; the others have no such estimate and are
        NaN. All NaN if no hypothesis counts.

    Example:
        >>> import jax.numpy as jnp
        >>> members = jnp.log(jnp.array([[0.3, 0.1], [0.2, 0.2]]))
        >>> round(float(ensemble_sequence_uncertainty(members).total), 4)
        1.5779

    References:
        Malinin and Gales. Uncertainty Estimation in Autoregressive Structured Prediction. ICLR 2021, section 4.
    """
    valid = counted(where, log_probs.shape[1:])
    log_probs = jnp.where(jnp.broadcast_to(valid[None], log_probs.shape), log_probs, 0.0)
    mixture = jax.nn.logsumexp(log_probs, axis=0) - jnp.log(float(log_probs.shape[0]))
    weights = jax.nn.softmax(jnp.where(valid, mixture, -1e30))
    weights = select(weights, valid)
    undefined = jnp.where(jnp.any(valid), 0.0, jnp.nan)
    possible = weights > 0  # an answer that no member gives has no part in either
    apart = jnp.where(possible, mixture, 0.0) - jnp.mean(jnp.where(possible[None], log_probs, 0.0), axis=0)
    total = 0.0 - jnp.sum(product(weights, mixture)) + undefined
    reverse = jnp.sum(product(weights, apart)) + undefined
    nothing = jnp.full((), jnp.nan)
    return EnsembleUncertainty(total, nothing, nothing, nothing, reverse)


class MahalanobisState(NamedTuple):
    """Mean and scatter of hidden states.

    Attributes:
        mean: of the states.
        cholesky: lower factor of their covariance.
    """

    mean: Float[Array, " dim"]
    cholesky: Float[Array, "dim dim"]


@checked
@widened
def fit_mahalanobis(
    states: Float[Array, "n dim"], *, shrinkage: float = 0.0, where: Bool[Array, " n"] | None = None
) -> MahalanobisState:
    r"""Mean and covariance of the hidden states of known prompts, for `mahalanobis_distance`.

    $$\Sigma' = (1 - \rho) \Sigma + \rho\, \tfrac{\mathrm{tr}\,\Sigma}{d} I, \qquad
      \Sigma = \tfrac{1}{n-1} \sum_i (h_i - \mu)(h_i - \mu)^\top$$

    With fewer states than dimensions $\Sigma$ is singular: shrink.

    Args:
        states: one pooled state a prompt (mean over real tokens), or the last one.
        shrinkage: $\rho$ in [0, 1].
        where: True for the states that count; None counts all.

    Returns:
        `MahalanobisState`; NaN if the covariance is singular.

    Raises:
        ValueError: if `shrinkage` is not in [0, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> fit_mahalanobis(jnp.array([[0.0, 0], [2, 0], [0, 1], [2, 1]])).mean.tolist()
        [1.0, 0.5]

    References:
        Lee et al. A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks. NeurIPS
        2018.
    """
    check_number("shrinkage", shrinkage, 0.0, 1.0)
    valid = counted(where, states.shape[:1])
    kept = jnp.broadcast_to(valid[:, None], states.shape)
    count = jnp.sum(valid).astype(states.dtype)
    mean = jnp.sum(jnp.where(kept, states, 0.0), axis=0) / count
    centred = jnp.where(kept, jnp.where(kept, states, 0.0) - mean[None], 0.0)
    covariance = centred.T @ centred / (count - 1.0)
    target = jnp.trace(covariance) / states.shape[1] * jnp.eye(states.shape[1], dtype=covariance.dtype)
    return MahalanobisState(mean, jnp.linalg.cholesky((1 - shrinkage) * covariance + shrinkage * target))


@typed()
@checked
@widened
def mahalanobis_distance(state: MahalanobisState, hidden: Float[Array, "n dim"]) -> Float[Array, " n"]:
    r"""Squared Mahalanobis distance of hidden states from known ones. Higher is more uncertain.

    $$(h - \mu)^\top \Sigma^{-1} (h - \mu)$$

    The relative distance subtracts that from background text; Ren et al. take squares, LM-Polygraph roots.

    Args:
        state: from `fit_mahalanobis`.
        hidden: one state an example.

    Returns:
        Numbers >= 0.

    Raises:
        ArrayError: states of another size than those that the state was fitted to.

    Example:
        >>> import jax.numpy as jnp
        >>> state = fit_mahalanobis(jnp.array([[0.0, 0], [2, 0], [0, 1], [2, 1]]))
        >>> round(float(mahalanobis_distance(state, jnp.array([[3.0, 2.0]]))[0]), 3)
        9.75

    References:
        Ren et al. Out-of-Distribution Detection and Selective Generation for Conditional Language Models. ICLR 2023.
    """
    if hidden.shape[1:] != state.mean.shape:
        raise ArrayError(f"hidden has shape {hidden.shape}; `state` is of {state.mean.shape[0]} numbers")
    centred = hidden - state.mean[None]
    solved = jax.scipy.linalg.solve_triangular(state.cholesky, centred.T, lower=True)
    return jnp.sum(solved**2, axis=0)


ENTRIES = (
    measure("ensemble_uncertainty", "Token uncertainty of an ensemble",
            needs=("several models with the same vocabulary",), higher="uncertain", citation=("sequence-entropy",)),
    measure("ensemble_sequence_uncertainty", "Sequence uncertainty of an ensemble",
            needs=("several models with the same vocabulary",), higher="uncertain", citation=("sequence-entropy",)),
    measure("mahalanobis_distance", "Mahalanobis distance", needs=("prompts known to be of the model's domain",),
            higher="uncertain", citation=("mahalanobis",)),
)  # fmt: skip
"""Ensembles and distances as measures of an answer, see `jaxuq.confidence.MEASURES`."""
