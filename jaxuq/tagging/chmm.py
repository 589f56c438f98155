"""The conditional hidden Markov model: transitions and emissions that depend on the words."""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from jaxuq._arrays import undefined_unless, within_classes
from jaxuq._shapes import checked
from jaxuq.tagging._context_chain import ContextChain
from jaxuq.tagging.embedded import Bucket, Scaling, check_embeddings, scaling_of
from jaxuq.tagging.evidence import observation_log_evidence
from jaxuq.tagging.hmm import Scheme, hmm
from jaxuq.tagging.label_model import LabelForecast, emission_counts, inside, shares
from jaxuq.tagging.neural_chains import chain_loss, forecast_chains, make_score, prepare, statistics_distance
from jaxuq.tagging.neural_layers import Linear, make_linear, silence, transition_head, with_silence_column
from jaxuq.tagging.neural_model import (
    DEFAULT_OPTIONS,
    EmbeddedText,
    NeuralFitted,
    NeuralLabelModel,
    OutsideVotes,
    TrainOptions,
    check_options,
)
from jaxuq.tagging.neural_training import train
from jaxuq.tagging.statistics import initial_emission, initial_transition

StartFrom = Literal["votes", "published", "hmm"]


class CHMMParams(NamedTuple):
    """Parameters of `chmm` and `chmm_fixed_emissions`.

    Attributes:
        transition: from a word vector to `state x state` logits.
        emission: from a word vector to `function x state x label` logits; None with fixed emissions.
        statistics: `[state, state]` and `[function, state, label]`, what the heads are fitted to first; with fixed
            emissions the second are those.
        scaling: what vectors are shifted by and divided by first.
    """

    transition: Linear
    emission: Linear | None
    statistics: tuple[Float[Array, "state state"], Float[Array, "function state label"]]
    scaling: Scaling


def chmm(
    num_labels: int,
    *,
    options: TrainOptions = DEFAULT_OPTIONS,
    scheme: Scheme = "bio",
    statistics: StartFrom = "votes",
    outside_votes: OutsideVotes = "votes",
    weight_scale: float = 0.1,
) -> NeuralLabelModel:
    r"""A hidden Markov model whose matrices are predicted for each token from its contextual vector.

    $\Psi^{(t)} = \mathrm{softmax}(W_\Psi e^{(t)} + b_\Psi)$, $\Phi_k^{(t)} = \mathrm{softmax}(W_{\Phi_k} e^{(t)} +
    b_{\Phi_k})$, each over its last axis

    The biases start at the logarithms of the statistics of `initial_transition` and `initial_emission`, and some epochs
    of least squares take both heads there for all words; then the objective is climbed. It needs more text than `hmm`
    and gains where context decides. Its emissions have `width x functions x labels^2` weights: for many labels
    `sparse_chmm` is the better model. The chain begins at `O` one step before the first token.

    Holds `[batch, time, function, state, label]`.

    Args:
        num_labels: number of labels, in the order of `bio_label_names`.
        options: how it is trained.
        scheme: `"bio"` makes an `I-` that continues nothing impossible, `"any"` (as published) does not.
        statistics: which first estimate of the emissions, as in `initial_emission`; `"hmm"` takes both matrices of an
            `hmm` fitted to the text by EM, which is good where every function says much, and bad where EM is.
        outside_votes: what an `O` means at a token where another function marks an entity: `"votes"`, an observation
            like any other; `"abstain"`, nothing; `"published"`, the soft observation $[0.01, 0.99/L, \dots]$ which the
            published code calls observation normalisation.
        weight_scale: scale of the random weights at the start.

    Returns:
        `NeuralLabelModel` with `CHMMParams`. Labels are the most probable path, probabilities smoothed marginals.

    Raises:
        ValueError: if an option is out of range.

    Example:
        >>> import jax, numpy as np
        >>> from jaxuq.tagging import EmbeddedText, TrainOptions, make_weak_labels
        >>> names, rng = ("O", "B-x", "I-x"), np.random.default_rng(0)
        >>> votes = [np.array([[1, 1], [2, 0], [0, 0]])] * 8
        >>> text = EmbeddedText(
        ...     make_weak_labels([["a", "b", "c"]] * 8, votes, None, names, ["f", "g"]), rng.normal(size=(8, 3, 4))
        ... )
        >>> model = chmm(3, options=TrainOptions(num_epochs=2))
        >>> fitted = model.fit(jax.random.key(1), model.init(jax.random.key(0), text), text)
        >>> model.predict(fitted.params, text).labels[0]
        array([1, 2, 0], dtype=int32)

    References:
        Li, Shetty, Liu, Zhang, Song. BERTifying the hidden Markov model for multi-source weakly supervised named entity
        recognition. ACL 2021.
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, sections 4.3.1, 4.3.5 and 4.3.7.
    """
    _check(num_labels, options, scheme, outside_votes)

    def init(rng_key: Key[Array, ""], text: EmbeddedText) -> CHMMParams:
        observations, lengths = jnp.asarray(text.labels.observations), jnp.asarray(text.labels.lengths)
        targets = first_statistics(observations, observations, lengths, num_labels, statistics, scheme)
        return _init(rng_key, text, weight_scale, targets, fixed=False)

    return _model(num_labels, options, scheme, outside_votes, init)


@checked
def true_emissions(
    observations: Int[Array, "batch time function"],
    labels: Int[Array, "batch time"],
    lengths: Int[Array, " batch"],
    num_labels: int,
    *,
    pseudo_count: float = 0.01,
) -> Float[Array, "function state label"]:
    r"""Gold access: what each labelling function says of each true label.

    $\Phi^{true}_{kij} \propto c + \sum_t \mathbb{I}(x_k^{(t)} = j, y^{(t)} = i)$

    Args:
        observations: `[batch, time, function]` label indices.
        labels: `[batch, time]` gold label indices.
        lengths: `[batch]` number of tokens.
        num_labels: number of labels.
        pseudo_count: $c$, 0 in the dissertation, where a vote that never occurred with a label then forbids it; the row
            of a label that never occurs is then even.

    Returns:
        The matrices; rows sum to one. NaN if a label of a token is none.

    Example:
        >>> import jax.numpy as jnp
        >>> true_emissions(jnp.array([[[1], [0]]]), jnp.array([[1, 1]]), jnp.array([2]), 3)[0, 1].round(1)
        Array([0.5, 0.5, 0. ], dtype=float32)

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, the equation in section 4.3.8.
    """
    valid = inside(observations, lengths)
    states = jax.nn.one_hot(jnp.where(valid, labels, -1), num_labels)
    counts = emission_counts(states, observations, num_labels) + pseudo_count
    known = jnp.all(within_classes(labels, num_labels) | ~valid)
    return undefined_unless(known, shares(counts))


def chmm_fixed_emissions(
    num_labels: int,
    *,
    options: TrainOptions = DEFAULT_OPTIONS,
    scheme: Scheme = "bio",
    outside_votes: OutsideVotes = "votes",
    weight_scale: float = 0.1,
) -> NeuralLabelModel:
    r"""Gold-access reference: `chmm` whose emissions are fixed to the true ones, so that only transitions are learned.

    `init` reads the gold labels of its text (`true_emissions`), so this is no weakly supervised method; it shows what
    knowing the labelling functions would be worth.

    Args:
        num_labels: number of labels, in the order of `bio_label_names`.
        options: how it is trained.
        scheme: as in `chmm`.
        outside_votes: as in `chmm`.
        weight_scale: scale of the random weights at the start.

    Returns:
        `NeuralLabelModel` with `CHMMParams` whose `emission` is None.

    Raises:
        ValueError: if an option is out of range; from `init`, if the text has no gold labels.

    Example:
        >>> chmm_fixed_emissions(3)._fields
        ('init', 'fit', 'predict')

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, sections 4.3.8 and 4.5.1 (CHMM-FE).
    """
    _check(num_labels, options, scheme, outside_votes)

    def init(rng_key: Key[Array, ""], text: EmbeddedText) -> CHMMParams:
        data = text.labels
        if data.labels is None:
            raise ValueError("the text has no gold labels, which the true emissions are counted from; use chmm")
        observations, lengths = jnp.asarray(data.observations), jnp.asarray(data.lengths)
        emission = true_emissions(observations, jnp.asarray(data.labels), lengths, num_labels)
        transition = initial_transition(observations, lengths, num_labels)
        return _init(rng_key, text, weight_scale, (transition, emission), fixed=True)

    return _model(num_labels, options, scheme, outside_votes, init)


def _check(num_labels: int, options: TrainOptions, scheme: str, outside_votes: str) -> None:
    check_options(options)
    if scheme not in get_args(Scheme) or outside_votes not in get_args(OutsideVotes):
        raise ValueError(
            f"scheme is {scheme!r} and outside_votes {outside_votes!r}; expected one of {', '.join(get_args(Scheme))} "
            f"and of {', '.join(get_args(OutsideVotes))}"
        )
    if num_labels < 3 or num_labels % 2 == 0:
        raise ValueError(f"num_labels is {num_labels}; expected an odd number, O and then B- and I- of each type")


def first_statistics(
    observations: Array, with_majority: Array, lengths: Array, num_labels: int, statistics: StartFrom, scheme: Scheme
) -> tuple[Array, Array]:
    """The matrices that the heads are fitted to first; the emissions of the functions of the second argument."""
    if statistics == "hmm":
        model = hmm(num_labels, scheme=scheme)
        start = model.init(jax.random.key(0), with_majority, lengths)
        fitted = jax.jit(model.fit)(start, with_majority, lengths).params
        return jnp.exp(fitted.log_transition), jnp.exp(fitted.log_emission)
    transition = initial_transition(observations, lengths, num_labels)
    return transition, initial_emission(with_majority, lengths, num_labels, statistics=statistics)


def _init(rng_key, text: EmbeddedText, weight_scale: float, targets, *, fixed: bool) -> CHMMParams:
    width = check_embeddings(*text)
    keys = jax.random.split(rng_key)
    logs = [jnp.log(jnp.maximum(matrix, 1e-6)) for matrix in targets]
    return CHMMParams(
        make_linear(keys[0], width, logs[0], weight_scale),
        None if fixed else make_linear(keys[1], width, logs[1], weight_scale),
        tuple(targets),
        scaling_of(text.embeddings, text.sentences),
    )


def _model(num_labels: int, options: TrainOptions, scheme, outside_votes: OutsideVotes, init) -> NeuralLabelModel:
    """`fit` and `predict` of both kinds."""

    def heads(params: CHMMParams, batch: Bucket) -> tuple[Array, Array]:
        """Log-transitions and log-emissions, `[row, time, function, state, label]` or without the first two axes."""
        vectors = batch.embeddings
        transition = transition_head(params.transition, vectors, scheme)
        if params.emission is None:
            return transition, jnp.log(params.statistics[1])
        logits = params.emission(vectors).reshape(*vectors.shape[:2], *params.statistics[1].shape)
        return transition, jax.nn.log_softmax(logits, axis=-1)

    def chain_of(params: CHMMParams, batch: Bucket, rng_key: Key[Array, ""] | None) -> ContextChain:
        log_transition, log_emission = heads(params, batch)
        valid = inside(batch.observations, batch.lengths)
        if outside_votes == "published":
            log_emission = with_silence_column(log_emission)
        return ContextChain(log_transition, observation_log_evidence(log_emission, batch.observations), valid)

    def distance(params: CHMMParams, old: CHMMParams, batch: Bucket, rng_key: Key[Array, ""]) -> Array:
        log_transition, log_emission = heads(params, batch)
        valid = inside(batch.observations, batch.lengths)
        emission = None if params.emission is None else log_emission
        return statistics_distance(log_transition, emission, params.statistics, valid)

    loss = chain_loss(chain_of, options.objective)

    def observed(text: EmbeddedText) -> np.ndarray:
        return silence(text.labels.observations, num_labels, outside_votes)

    def fit(
        rng_key: Key[Array, ""], params: CHMMParams, text: EmbeddedText, valid: EmbeddedText | None = None
    ) -> NeuralFitted:
        buckets = prepare(text, observed(text), params.scaling, options)
        score = None
        if valid is not None:
            validation = prepare(valid, observed(valid), params.scaling, options)
            score = make_score(chain_of, validation, valid.labels, options)
        trainable = ("transition",) if params.emission is None else ("transition", "emission")
        keys = jax.random.split(rng_key)
        rate, epochs = options.pretrain_learning_rate, options.pretrain_epochs
        started = train(
            keys[0], distance, trainable, params, buckets, options, learning_rate=rate, num_epochs=epochs
        ).params
        rate, epochs = options.learning_rate, options.num_epochs
        return train(
            keys[1], loss, trainable, started, buckets, options, learning_rate=rate, num_epochs=epochs, score=score
        )

    def predict(params: CHMMParams, text: EmbeddedText) -> LabelForecast:
        buckets = prepare(text, observed(text), params.scaling, options)
        return forecast_chains(chain_of, params, buckets, text.labels, options.batch_size, num_labels)

    return NeuralLabelModel(init, fit, predict)
