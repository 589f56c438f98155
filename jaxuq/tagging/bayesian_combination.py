r"""Bayesian combination of classifiers by variational Bayes: IBCC, and EBCC, whose true labels have subtypes.

$q(z, g)\, q(\tau)\, q(\pi)\, q(\Phi) \approx p(z, g, \tau, \pi, \Phi \mid x)$
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxuq._shapes import checked
from jaxuq.tagging.evidence import observation_log_evidence
from jaxuq.tagging.label_model import (
    Fitted,
    LabelForecast,
    LabelModel,
    Lengths,
    Observations,
    check_counts,
    emission_counts,
    expectation_maximisation,
    forecast,
    inside,
    vote_shares,
)


class CombinationParams(NamedTuple):
    r"""Concentrations of the Dirichlet posteriors.

    Attributes:
        labels: `[label]` of $\tau$, how often each true label is.
        subtypes: `[label, subtype]` of $\pi_i$, how often its subtypes are.
        emission: `[function, label x subtype, said]` of $\Phi_k$, what a function says of each.
    """

    labels: Float[Array, " label"]
    subtypes: Float[Array, "label subtype"]
    emission: Float[Array, "function state said"]


def ibcc(num_labels: int, *, num_steps: int = 30, diagonal: float = 4.0, off_diagonal: float = 1.0) -> LabelModel:
    r"""Independent Bayesian classifier combination: `dawid_skene` with a posterior over everything.

    $\tau \sim \mathrm{Dir}(1)$, $\Phi_{k,i} \sim \mathrm{Dir}(b + (d - b)\, e_i)$, $z^{(t)} \sim \tau$, $x_k^{(t)} \sim
    \Phi_{k, z^{(t)}}$

    Mean-field variational Bayes: $\log q(z^{(t)} = i) = \mathbb{E} \log \tau_i + \sum_k \mathbb{E} \log
    \Phi_{k,i,x_k^{(t)}}$ up to a constant, and counts of these added to the prior's. A function that says little is
    trusted little, where EM would take its few words for its nature. `bayesian_dawid_skene` samples the same posterior.

    Args:
        num_labels: number of labels.
        num_steps: of updates of everything.
        diagonal: $d$, what a function is taken to have said rightly of each label before any text is seen; above 0.
        off_diagonal: $b$, the same of each wrong answer; above 0.

    Returns:
        `LabelModel` with `CombinationParams` of one subtype. The objective is the evidence lower bound, which never
        goes down. It starts from the shares of the votes.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> votes = jnp.array([[[1, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]]])  # the third function is noise
        >>> model, lengths = ibcc(2), jnp.array([4])
        >>> fitted = model.fit(model.init(jax.random.key(0), votes, lengths), votes, lengths)
        >>> model.predict(fitted.params, votes, lengths).labels
        Array([[1, 0, 1, 0]], dtype=int32)

    References:
        Kim, Ghahramani. Bayesian classifier combination. AISTATS 2012.
        Simpson, Roberts, Psorakis, Smith. Dynamic Bayesian combination of multiple imperfect classifiers. 2013.
    """
    return _combination(num_labels, 1, num_steps, diagonal, off_diagonal, 1.0)


def ebcc(
    num_labels: int, *, num_subtypes: int = 10, num_steps: int = 30, diagonal: float = 4.0, off_diagonal: float = 1.0,
    sparsity: float = 0.1,
) -> LabelModel:  # fmt: skip
    r"""Enhanced Bayesian classifier combination: functions that err together are told apart from many that agree.

    $g^{(t)} \sim \pi_{z^{(t)}}$, $\pi_i \sim \mathrm{Dir}(a)$, $x_k^{(t)} \sim \Phi_{k, z^{(t)}, g^{(t)}}$

    As `ibcc`, but each true label has subtypes, hard and easy tokens say, given which functions are independent; given
    the label alone they need not be.

    Args:
        num_labels: number of labels.
        num_subtypes: of each label.
        num_steps: of updates of everything.
        diagonal: as of `ibcc`, for each subtype.
        off_diagonal: as of `ibcc`.
        sparsity: $a$; below 1 few subtypes are used.

    Returns:
        `LabelModel` with `CombinationParams`. Subtypes start at random; of several seeds the highest objective
        (evidence lower bound) is the best.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> votes = jnp.array([[[1, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]]])
        >>> model, lengths = ebcc(2, num_subtypes=2), jnp.array([4])
        >>> fitted = model.fit(model.init(jax.random.key(0), votes, lengths), votes, lengths)
        >>> model.predict(fitted.params, votes, lengths).labels
        Array([[1, 0, 1, 0]], dtype=int32)

    References:
        Li, Rubinstein, Cohn. Exploiting worker correlation for label aggregation in crowdsourcing. ICML 2019.
    """
    return _combination(num_labels, num_subtypes, num_steps, diagonal, off_diagonal, sparsity)


def _combination(
    num_labels: int, num_subtypes: int, num_steps: int, diagonal: float, off_diagonal: float, sparsity: float
) -> LabelModel:
    check_counts(num_labels, num_steps, 0.0)
    if num_subtypes < 1 or min(diagonal, off_diagonal, sparsity) <= 0:
        raise ValueError(
            f"num_subtypes is {num_subtypes}, diagonal {diagonal}, off_diagonal {off_diagonal}, sparsity {sparsity}; "
            "expected at least one subtype and positive numbers"
        )
    states = num_labels * num_subtypes
    right = jnp.repeat(jnp.eye(num_labels, dtype=bool), num_subtypes, axis=0)  # [state, said]

    def prior_of(functions: int) -> CombinationParams:
        emission = jnp.where(right, diagonal, off_diagonal)
        return CombinationParams(
            jnp.ones(num_labels), jnp.full((num_labels, num_subtypes), sparsity),
            jnp.broadcast_to(emission[None], (functions, states, num_labels)),
        )  # fmt: skip

    def updated(marginals: Array, observations: Observations) -> CombinationParams:
        """The posterior of the parameters, given that of the states, `[batch, time, state]`."""
        counts = jnp.sum(marginals, axis=(0, 1)).reshape(num_labels, num_subtypes)
        spoken = emission_counts(marginals, observations, num_labels)
        added = CombinationParams(jnp.sum(counts, axis=1), counts, spoken)
        return jax.tree.map(jnp.add, prior_of(observations.shape[2]), added)

    def joint(params: CombinationParams, observations: Observations) -> Float[Array, "batch time state"]:
        start = (_expected_log(params.labels)[:, None] + _expected_log(params.subtypes)).reshape(states)
        return start[None, None] + observation_log_evidence(_expected_log(params.emission), observations)

    def init(rng_key: Key[Array, ""], observations: Observations, lengths: Lengths) -> CombinationParams:
        shares = jnp.where(inside(observations, lengths)[..., None], vote_shares(observations, num_labels), 0.0)
        parts = jax.random.dirichlet(rng_key, jnp.ones(num_subtypes), shares.shape)  # subtypes of each label
        return updated((shares[..., None] * parts).reshape(*shares.shape[:2], states), observations)

    def fit(params: CombinationParams, observations: Observations, lengths: Lengths) -> Fitted:
        valid, prior = inside(observations, lengths), prior_of(observations.shape[2])

        def e_step(params: CombinationParams) -> tuple[Array, Array]:
            log_joint = joint(params, observations)
            marginals = jnp.where(valid[..., None], jax.nn.softmax(log_joint), 0.0)
            evidence = jnp.sum(jax.nn.logsumexp(log_joint, axis=-1), where=valid)
            apart = sum(jnp.sum(_divergence(own, before)) for own, before in zip(params, prior))
            return marginals, evidence - apart

        return expectation_maximisation(e_step, lambda marginals: updated(marginals, observations), params, num_steps)

    def predict(params: CombinationParams, observations: Observations, lengths: Lengths) -> LabelForecast:
        of_states = jax.nn.softmax(joint(params, observations))
        probabilities = jnp.sum(of_states.reshape(*of_states.shape[:2], num_labels, num_subtypes), axis=-1)
        return forecast(jnp.argmax(probabilities, axis=-1), probabilities, inside(observations, lengths))

    return LabelModel(checked(init), checked(fit), checked(predict))


def _expected_log(concentration: Float[Array, "... label"]) -> Float[Array, "... label"]:
    """Of probabilities under a Dirichlet distribution."""
    total = jnp.sum(concentration, axis=-1, keepdims=True)
    return jax.scipy.special.digamma(concentration) - jax.scipy.special.digamma(total)


def _divergence(own: Float[Array, "... label"], other: Float[Array, "... label"]) -> Float[Array, "..."]:
    """The Kullback-Leibler divergence of Dirichlet distributions."""
    gammaln = jax.scipy.special.gammaln
    norm = gammaln(own.sum(-1)) - gammaln(own).sum(-1) - gammaln(other.sum(-1)) + gammaln(other).sum(-1)
    return norm + jnp.sum((own - other) * _expected_log(own), axis=-1)
