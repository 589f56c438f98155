"""Label models that take each token by itself: Dawid and Skene's confusion matrices, Snorkel's accuracies."""

from collections.abc import Callable
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
    log_normalise,
    log_prior,
    vote_shares,
)


class TokenParams(NamedTuple):
    """Parameters of a label model of single tokens.

    Attributes:
        log_prior: `[state]` log-probability of each true label.
        log_emission: `[function, state, label]` log-probability that a function says a label of a token whose true
            label is `state`.
    """

    log_prior: Float[Array, " state"]
    log_emission: Float[Array, "function state label"]


def dawid_skene(num_labels: int, *, num_steps: int = 30, pseudo_count: float = 0.1) -> LabelModel:
    r"""A full confusion matrix for each labelling function, by expectation-maximisation.

    $p(x^{(t)}) = \sum_i \pi_i \prod_k \Phi_{k, i, x_k^{(t)}}$

    E-step: $\gamma_i \propto \pi_i \prod_k \Phi_{k,i,x_k}$. M-step: $\Phi_{k,i,j} \propto c + \sum_t \gamma_i^{(t)}
    \mathbb{I}(x_k^{(t)} = j)$, $\pi$ alike. Tokens are taken as independent of each other; `hmm` is the same model
    with a memory of the label before. Saying `O` is an observation like any other.

    Args:
        num_labels: number of labels.
        num_steps: EM steps.
        pseudo_count: $c$, added to every count (the mode under a Dirichlet($c + 1$) prior); at least 0.

    Returns:
        `LabelModel` with `TokenParams`; it starts from the shares of the votes.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> votes = jnp.array([[[1, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]]])  # the third function is noise
        >>> model, lengths = dawid_skene(2), jnp.array([4])
        >>> fitted = model.fit(model.init(jax.random.key(0), votes, lengths), votes, lengths)
        >>> model.predict(fitted.params, votes, lengths).labels
        Array([[1, 0, 1, 0]], dtype=int32)

    References:
        Dawid, Skene. Maximum likelihood estimation of observer error-rates using the EM algorithm. Journal of the Royal
        Statistical Society C, 1979, Eq. 2.3 to 2.5.
    """
    check_counts(num_labels, num_steps, pseudo_count)

    def emission(counts: Float[Array, "function state label"]) -> Float[Array, "function state label"]:
        return log_normalise(counts + pseudo_count)

    return _token_model(num_labels, num_steps, pseudo_count, emission, lambda log_emission: log_emission)


def snorkel(num_labels: int, *, num_steps: int = 30, pseudo_count: float = 0.1) -> LabelModel:
    r"""One accuracy for each labelling function, by expectation-maximisation.

    $\Phi_{k,i,j} = a_k$ for $i = j$ and $(1 - a_k) / (L - 1)$ otherwise; $p(x^{(t)})$ as in `dawid_skene`

    The generative model of data programming with every function voting on every token (`O` is a vote). Far fewer
    parameters than `dawid_skene`, so it needs less text, but it cannot say that a function misses much and errs little.
    The Snorkel package estimates the same accuracies from the overlaps of the functions instead of by EM.

    Args:
        num_labels: number of labels.
        num_steps: EM steps.
        pseudo_count: added to the expected numbers of agreements and of disagreements, and to those of the labels.

    Returns:
        `LabelModel` with `TokenParams`; `exp(log_emission)[:, 0, 0]` are the accuracies.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> votes = jnp.array([[[1, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]]])
        >>> model, lengths = snorkel(2), jnp.array([4])
        >>> fitted = model.fit(model.init(jax.random.key(0), votes, lengths), votes, lengths)
        >>> jnp.exp(fitted.params.log_emission[:, 0, 0]).round(1)
        Array([1. , 1. , 0.5], dtype=float32)

    References:
        Ratner, De Sa, Wu, Selsam, Ré. Data programming: creating large training sets, quickly. NeurIPS 2016, Eq. 1.
        Ratner, Bach, Ehrenberg, Fries, Wu, Ré. Snorkel: rapid training data creation with weak supervision. VLDB 2018.
    """
    check_counts(num_labels, num_steps, pseudo_count)

    def emission(counts: Float[Array, "function state label"]) -> Float[Array, "function state label"]:
        right = jnp.trace(counts, axis1=1, axis2=2) + pseudo_count
        total = jnp.sum(counts, axis=(1, 2)) + 2 * pseudo_count
        accuracy = (right / total)[:, None, None]
        wrong = (1 - accuracy) / max(num_labels - 1, 1)
        return jnp.log(jnp.where(jnp.eye(num_labels, dtype=bool)[None], accuracy, wrong))

    def answers(log_emission: Float[Array, "function state label"]) -> Float[Array, "function answer"]:
        return jnp.stack([log_emission[:, 0, 0], log_emission[:, 0, -1]], axis=1)  # a right one, a wrong one

    return _token_model(num_labels, num_steps, pseudo_count, emission, answers)


def _token_model(
    num_labels: int,
    num_steps: int,
    pseudo_count: float,
    emission: Callable[[Array], Array],
    answers: Callable[[Array], Array],
) -> LabelModel:
    """The EM that both share.

    Args:
        num_labels: number of labels.
        num_steps: EM steps.
        pseudo_count: what the M-step adds.
        emission: maps expected counts to log-emissions.
        answers: the log-probabilities, among the log-emissions, of what `emission` adds a pseudo-count to.
    """

    def maximise(counts) -> TokenParams:
        return TokenParams(log_normalise(counts[0] + pseudo_count), emission(counts[1]))

    def counts_of(marginals: Array, observations: Observations) -> tuple[Array, Array]:
        return jnp.sum(marginals, axis=(0, 1)), emission_counts(marginals, observations, num_labels)

    def joint(params: TokenParams, observations: Observations) -> Array:
        return params.log_prior[None, None] + observation_log_evidence(params.log_emission, observations)

    def init(rng_key: Key[Array, ""], observations: Observations, lengths: Lengths) -> TokenParams:
        shares = jnp.where(inside(observations, lengths)[..., None], vote_shares(observations, num_labels), 0.0)
        return maximise(counts_of(shares, observations))

    def fit(params: TokenParams, observations: Observations, lengths: Lengths) -> Fitted:
        valid = inside(observations, lengths)

        def e_step(params: TokenParams):
            log_joint = joint(params, observations)
            marginals = jnp.where(valid[..., None], jax.nn.softmax(log_joint), 0.0)
            evidence = jnp.sum(jax.nn.logsumexp(log_joint, axis=-1), where=valid)
            prior = log_prior(params.log_prior, pseudo_count) + log_prior(answers(params.log_emission), pseudo_count)
            return counts_of(marginals, observations), evidence + prior

        return expectation_maximisation(e_step, maximise, params, num_steps)

    def predict(params: TokenParams, observations: Observations, lengths: Lengths) -> LabelForecast:
        probabilities = jax.nn.softmax(joint(params, observations))
        return forecast(jnp.argmax(probabilities, axis=-1), probabilities, inside(observations, lengths))

    return LabelModel(checked(init), checked(fit), checked(predict))
