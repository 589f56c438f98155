"""The sparse conditional hidden Markov model: emissions of each sentence from a few reliabilities."""

from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jaxuq.tagging._context_chain import ContextChain
from jaxuq.tagging.chmm import StartFrom, first_statistics
from jaxuq.tagging.embedded import Bucket, Bucketed, check_embeddings, scaling_of
from jaxuq.tagging.evidence import observation_log_evidence
from jaxuq.tagging.hmm import Scheme
from jaxuq.tagging.label_model import LabelForecast, inside
from jaxuq.tagging.majority_vote import majority_vote
from jaxuq.tagging.neural_chains import chain_loss, forecast_chains, make_score, prepare, statistics_distance
from jaxuq.tagging.neural_layers import make_linear, silence, transition_head, with_silence_column
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
from jaxuq.tagging.sparse_emissions import second_target, sparse_log_emissions
from jaxuq.tagging.sparse_parameters import DEFAULT_SPARSE, Level, SparseCHMMParams, SparseOptions, Stages
from jaxuq.tagging.sparse_reliability import entity_logits, logit, reliability_head
from jaxuq.tagging.wxor import Convention, WXORCounts, wxor_counts, wxor_scores

_SUREST = (0.9999, 0.99)  # reliabilities at the start, of O and others: 0.99 of all O would be a stray mark everywhere
_ADDON_START = -4.0  # logit of C: a WXOR score of 1, as every score is with one entity type, must not swamp the base


def sparse_chmm(
    num_labels: int,
    *,
    options: TrainOptions = DEFAULT_OPTIONS,
    sparse: SparseOptions = DEFAULT_SPARSE,
    scheme: Scheme = "bio",
    statistics: StartFrom = "votes",
    outside_votes: OutsideVotes = "votes",
    weight_scale: float = 0.1,
) -> NeuralLabelModel:
    r"""CHMM whose emissions are built for each sentence from reliabilities of the labelling functions.

    $A = \mathrm{FC}(e^{(0)})$; $\hat A_{:,l} = \mathrm{softmax}_k(A_{:,l})$, $\hat A_{:,1} = \sigma(A_{:,1})$;
    $\tilde A = h(\hat A)$; $\Lambda = f(\tilde A)$; $\Delta_{k,:,l}$ from WXOR; $\Phi_{k,l} \sim
    \mathrm{Dir}(\nu^{expan}(\Lambda + \Delta)_{k,l} + \nu^{base})$

    Stage 1 trains transitions and base prior, stage 2 the scale of the add-on prior with the rest frozen, stage 3 the
    transitions with all emissions frozen. Draws are taken where the emissions are trained; the mean stands for them
    elsewhere. `sparse_reliabilities` gives $\tilde A$, an estimate of how good each function is. The emissions take
    $2 K L$ outputs instead of $K L^2$ for each token in `chmm`. Of `[batch, function, state, label]` and `[batch, time,
    function, label]` it holds some, and never `[batch, time, function, state, label]`. The sentence vector $e^{(0)}$ is
    that of `EmbeddedText.sentences`, or the mean of the word vectors.

    Args:
        num_labels: number of labels, in the order of `bio_label_names`.
        options: how each stage is trained.
        sparse: how the emissions are built, and the stages.
        scheme: `"bio"` makes an `I-` that continues nothing impossible, `"any"` (as published) does not.
        statistics: as in `chmm`.
        outside_votes: as in `chmm`.
        weight_scale: scale of the random weights at the start.

    Returns:
        `NeuralLabelModel` with `SparseCHMMParams`.

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
        >>> model = sparse_chmm(3, options=TrainOptions(num_epochs=2))
        >>> fitted = model.fit(jax.random.key(1), model.init(jax.random.key(0), text), text)
        >>> model.predict(fitted.params, text).labels[0]
        array([1, 2, 0], dtype=int32)

    References:
        Li, Song, Zhang. Sparse conditional hidden Markov model for weakly supervised named entity recognition. KDD
        2022.
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, sections 4.3.2 to 4.3.8.
    """
    _check(num_labels, options, sparse, scheme, outside_votes)

    def init(rng_key: Key[Array, ""], text: EmbeddedText) -> SparseCHMMParams:
        data = text.labels
        width = check_embeddings(*text)
        observations, lengths = jnp.asarray(_with_majority(data.observations, data.lengths)), jnp.asarray(data.lengths)
        plain = jnp.asarray(data.observations)
        transition, emission = first_statistics(plain, observations, lengths, num_labels, statistics, scheme)
        functions = observations.shape[2]
        surest = jnp.where(jnp.arange(num_labels) == 0, *_SUREST)[None]
        right = jnp.clip(jnp.diagonal(emission, axis1=1, axis2=2), 0.01, surest)
        keys = jax.random.split(rng_key, 4)
        return SparseCHMMParams(
            make_linear(keys[0], width, jnp.log(jnp.maximum(transition, 1e-6)), weight_scale),
            make_linear(keys[1], width, logit(right[:, 0]), weight_scale),
            make_linear(keys[2], width, entity_logits(right[:, 1:], sparse), weight_scale),
            make_linear(keys[3], width, jnp.full(functions * (num_labels - 1), _ADDON_START), weight_scale),
            jnp.zeros((functions, num_labels, num_labels)),
            jnp.float32(sparse.split / num_labels),
            (transition, emission),
            scaling_of(text.embeddings, text.sentences),
        )

    def _with_majority(observations: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """The majority vote as one more function; ties by a fixed key, since the data must not change."""
        if not sparse.extra_majority:
            return observations
        model = majority_vote(num_labels)
        arrays = jnp.asarray(observations), jnp.asarray(lengths)
        labels = model.predict(model.init(jax.random.key(0), *arrays), *arrays).labels
        return np.concatenate([observations, np.asarray(labels)[..., None]], axis=-1)

    def observed(text: EmbeddedText, *, voting: bool) -> np.ndarray:
        """Observations with the extra function, which counts only while the emissions are trained."""
        values = _with_majority(text.labels.observations, text.labels.lengths)
        values = silence(values, num_labels, outside_votes)
        if sparse.extra_majority and not voting:
            values = values.copy()
            values[..., -1] = -1
        return values

    def chain_of(params: SparseCHMMParams, batch: Bucket, rng_key: Key[Array, ""] | None) -> ContextChain:
        log_transition = transition_head(params.transition, batch.embeddings, scheme)
        emission = sparse_log_emissions(params, batch.sentence, sparse, rng_key)
        if outside_votes == "published":
            emission = with_silence_column(emission)
        evidence = observation_log_evidence(emission, batch.observations)
        return ContextChain(log_transition, evidence, inside(batch.observations, batch.lengths))

    def mean_chain(params: SparseCHMMParams, batch: Bucket, rng_key: Key[Array, ""] | None) -> ContextChain:
        """Frozen emissions are means in training too."""
        return chain_of(params, batch, None)

    def distance(
        params: SparseCHMMParams, old: SparseCHMMParams, batch: Bucket, rng_key: Key[Array, ""], *, stage: int
    ) -> Array:
        """Stage 1 fits both heads to the statistics, stage 2 only the add-on prior."""
        transition = transition_head(params.transition, batch.embeddings, scheme) if stage == 1 else None
        emission = sparse_log_emissions(params, batch.sentence, sparse, rng_key)
        return statistics_distance(transition, emission, params.statistics, inside(batch.observations, batch.lengths))

    base_distance, addon_distance = partial(distance, stage=1), partial(distance, stage=2)
    loss, frozen_loss = chain_loss(chain_of, options.objective), chain_loss(mean_chain, options.objective)

    @jax.jit
    def mean_emission(params: SparseCHMMParams, bucket: Bucket) -> Array:
        return jnp.sum(jnp.exp(sparse_log_emissions(params, bucket.sentence, sparse, None)), axis=0)

    @jax.jit
    def doubts(params: SparseCHMMParams, bucket: Bucket) -> WXORCounts:
        reliability = reliability_head(params, bucket.sentence, sparse)
        return wxor_counts(bucket.observations, reliability, bucket.lengths, convention=sparse.wxor)

    def prepare_second(params: SparseCHMMParams, texts: list[Bucketed]) -> SparseCHMMParams:
        """WXOR scores from all text, and what stage 2 is first fitted to."""
        buckets = [bucket for text in texts for bucket in text.buckets]
        counts = [doubts(params, bucket) for bucket in buckets]
        scores = wxor_scores(jax.tree.map(lambda *leaves: sum(leaves), *counts), convention=sparse.wxor)
        rows = sum(bucket.lengths.shape[0] for bucket in texts[0].buckets)
        total = sum((mean_emission(params, bucket) for bucket in texts[0].buckets), jnp.float32(0))
        transition, observed_emission = params.statistics
        target = second_target(observed_emission, jnp.asarray(total) / rows, sparse.old_weight)
        split = params.split * sparse.split_decay
        return params._replace(wxor=scores, split=split, statistics=(transition, target))

    def fit(
        rng_key: Key[Array, ""], params: SparseCHMMParams, text: EmbeddedText, valid: EmbeddedText | None = None
    ) -> NeuralFitted:
        voting = prepare(text, observed(text, voting=True), params.scaling, options)
        silent = (
            prepare(text, observed(text, voting=False), params.scaling, options) if sparse.extra_majority else voting
        )
        texts, score = [voting], None
        if valid is not None:
            validation = prepare(valid, observed(valid, voting=False), params.scaling, options)
            score = make_score(chain_of, validation, valid.labels, options)
            texts.append(prepare(valid, observed(valid, voting=True), params.scaling, options))
        history: list[NeuralFitted] = []
        keys = iter(jax.random.split(rng_key, 8))

        def run(loss, trainable, params, source=voting, rate=1.0, patience=None):
            learning_rate = rate * options.learning_rate
            history.append(
                train(
                    next(keys), loss, trainable, params, source, options, learning_rate=learning_rate,
                    num_epochs=options.num_epochs, patience=patience, score=score,
                )
            )  # fmt: skip
            return history[-1].params

        def pretrain(loss, trainable, params):
            rate, epochs = options.pretrain_learning_rate, options.pretrain_epochs
            return train(
                next(keys), loss, trainable, params, voting, options, learning_rate=rate, num_epochs=epochs
            ).params

        first = ("transition", "outside", "entity")
        params = run(loss, first, pretrain(base_distance, first, params))
        if "2" in sparse.stages:
            params = pretrain(addon_distance, ("addon",), prepare_second(params, texts))
            merged = sparse.stages == "1-23"
            trainable = ("addon", "transition") if merged else ("addon",)
            params = run(loss, trainable, params, rate=sparse.second_rate, patience=sparse.second_patience)
        if sparse.stages in ("1-2-3", "1-3"):
            params = run(frozen_loss, ("transition",), params, source=silent, rate=sparse.third_rate)
        return NeuralFitted(params, *(np.concatenate(parts) for parts in list(zip(*history))[1:]))

    def predict(params: SparseCHMMParams, text: EmbeddedText) -> LabelForecast:
        buckets = prepare(text, observed(text, voting=False), params.scaling, options)
        return forecast_chains(chain_of, params, buckets, text.labels, options.batch_size, num_labels)

    return NeuralLabelModel(init, fit, predict)


def _check(num_labels: int, options: TrainOptions, sparse: SparseOptions, scheme: str, outside_votes: str) -> None:
    check_options(options)
    for name, value, kind in (
        ("scheme", scheme, Scheme),
        ("outside_votes", outside_votes, OutsideVotes),
        ("level", sparse.level, Level),
        ("stages", sparse.stages, Stages),
        ("wxor", sparse.wxor, Convention),
    ):
        if value not in get_args(kind):
            raise ValueError(f"{name} is {value!r}; expected one of {', '.join(get_args(kind))}")
    if num_labels < 3 or num_labels % 2 == 0:
        raise ValueError(f"num_labels is {num_labels}; expected an odd number, O and then B- and I- of each type")
