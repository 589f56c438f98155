"""The classical hidden Markov model with several labelling functions."""

from typing import Literal, NamedTuple, get_args

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from jaxuq._shapes import checked
from jaxuq.tagging.decoding import viterbi
from jaxuq.tagging.evidence import observation_log_evidence
from jaxuq.tagging.inference import expected_counts, smoothed_marginals
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
    log_normalise,
    log_prior,
    vote_shares,
)

Scheme = Literal["bio", "any"]


class HMMParams(NamedTuple):
    """Parameters of `hmm`.

    Attributes:
        log_initial: `[state]` log-probabilities of the first label.
        log_transition: `[state, state]`, from and to.
        log_emission: `[function, state, label]` what each function says in each state.
    """

    log_initial: Float[Array, " state"]
    log_transition: Float[Array, "state state"]
    log_emission: Float[Array, "function state label"]


def hmm(num_labels: int, *, num_steps: int = 30, pseudo_count: float = 0.1, scheme: Scheme = "bio") -> LabelModel:
    r"""Labels follow a Markov chain; each function has its own emission matrix; expectation-maximisation.

    $Q = \sum_i \gamma_i^{(1)} \log \pi_i + \sum_t \sum_{ij} \xi_{ij}^{(t)} \log \Psi_{ij}
    + \sum_t \sum_i \gamma_i^{(t)} \sum_k \log \Phi_{k, i, x_k^{(t)}}$

    The M-step has a closed form: expected counts plus $c$, normalised. One transition and one set of emissions for all
    text; CHMM lets them depend on the words. Labels are the most probable path, probabilities the smoothed marginals.

    Args:
        num_labels: number of labels.
        num_steps: EM steps.
        pseudo_count: $c$, added to every count (the mode under a Dirichlet($c + 1$) prior); at least 0.
        scheme: `"bio"` makes an `I-` that continues nothing impossible (labels in the order of `bio_label_names`);
            `"any"` lets every label follow every other.

    Returns:
        `LabelModel` with `HMMParams`; it starts from the shares of the votes.

    Raises:
        ValueError: if a number is out of range, the scheme unknown, or `"bio"` gets an even number of labels.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> votes = jnp.array([[[1, 1], [2, 0], [0, 0], [0, 0]]] * 9)
        >>> model, lengths = hmm(3, num_steps=5), jnp.full(9, 4)
        >>> fitted = model.fit(model.init(jax.random.key(0), votes, lengths), votes, lengths)
        >>> model.predict(fitted.params, votes, lengths).labels[0]
        Array([1, 2, 0, 0], dtype=int32)

    References:
        Nguyen, Wallace, Li, Nenkova, Lease. Aggregating and predicting sequence labels from crowd annotations. ACL
        2017. Lison, Barnes, Hubin, Touileb. Named entity recognition without labelled data: a weak supervision
        approach. ACL 2020.
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, Eq. 4.14.
    """
    check_counts(num_labels, num_steps, pseudo_count)
    if scheme not in get_args(Scheme):
        raise ValueError(f"scheme is {scheme!r}; expected one of {', '.join(get_args(Scheme))}")
    if scheme == "bio" and num_labels % 2 == 0:
        raise ValueError(f"num_labels is {num_labels}; expected an odd number, O and then B- and I- of each type")

    def maximise(counts: tuple[Array, Array, Array]) -> HMMParams:
        initial, transitions, emissions = counts
        first, allowed = _allowed(num_labels, scheme)
        return HMMParams(
            log_normalise(jnp.where(first, initial + pseudo_count, 0.0)),
            log_normalise(jnp.where(allowed, transitions + pseudo_count, 0.0)),
            log_normalise(emissions + pseudo_count),
        )

    def init(rng_key: Key[Array, ""], observations: Observations, lengths: Lengths) -> HMMParams:
        shares = jnp.where(inside(observations, lengths)[..., None], vote_shares(observations, num_labels), 0.0)
        transitions = jnp.einsum("bti,btj->ij", shares[:, :-1], shares[:, 1:])
        return maximise((jnp.sum(shares[:, 0], axis=0), transitions, emission_counts(shares, observations, num_labels)))

    def fit(params: HMMParams, observations: Observations, lengths: Lengths) -> Fitted:
        def e_step(params: HMMParams):
            evidence = observation_log_evidence(params.log_emission, observations)
            counts = expected_counts(params.log_initial, params.log_transition, evidence, lengths)
            emissions = emission_counts(counts.marginals, observations, num_labels)
            prior = sum(log_prior(leaf, pseudo_count) for leaf in params)
            return (counts.initial, counts.transitions, emissions), jnp.sum(counts.log_likelihood) + prior

        return expectation_maximisation(e_step, maximise, params, num_steps)

    def predict(params: HMMParams, observations: Observations, lengths: Lengths) -> LabelForecast:
        evidence = observation_log_evidence(params.log_emission, observations)
        chain = (params.log_initial, params.log_transition, evidence, lengths)
        return forecast(viterbi(*chain).paths[:, 0], smoothed_marginals(*chain), inside(observations, lengths))

    return LabelModel(checked(init), checked(fit), checked(predict))


def _allowed(num_labels: int, scheme: Scheme) -> tuple[Bool[Array, " state"], Bool[Array, "state state"]]:
    """Which labels may come first, and which after which."""
    label = jnp.arange(num_labels)
    continues = (label % 2 == 0) & (label > 0) & (scheme == "bio")
    same_type = (label[:, None] + 1) // 2 == (label[None, :] + 1) // 2
    return ~continues, ~continues[None, :] | same_type
