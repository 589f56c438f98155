r"""The second stage: a tagger that sees words only, taught by a label model's soft labels or by right ones.

$\log p(z \mid w) = \pi_{z_1} + \sum_t (W h_t + b)_{z_t} + \sum_{t \ge 2} A_{z_{t-1} z_t} - \log Z$
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from jaxuq._arrays import widened
from jaxuq._shapes import checked
from jaxuq.metrics import entity_scores
from jaxuq.parallel import plan_rows
from jaxuq.tagging.decoding import viterbi
from jaxuq.tagging.embedded import Bucketed, check_embeddings, scaling_of
from jaxuq.tagging.inference import log_likelihood, smoothed_marginals
from jaxuq.tagging.label_model import LabelForecast
from jaxuq.tagging.neural_layers import allowed_transitions
from jaxuq.tagging.neural_model import EmbeddedText, NeuralFitted, TrainOptions
from jaxuq.tagging.neural_training import train as train_epochs

Loss = Literal["expected", "marginals"]
Targets = Float[np.ndarray, "batch time label"]


class TaggerParams(NamedTuple):
    """Parameters of `crf_tagger`.

    Attributes:
        weight: `[width, label]`.
        bias: `[label]`.
        transition: `[label, label]` scores, from and to.
        initial: `[label]` scores of the first label.
        mean: `[width]` of the vectors that the tagger was made for; they are standardised.
        spread: `[width]` their standard deviation.
    """

    weight: Float[Array, "width label"]
    bias: Float[Array, " label"]
    transition: Float[Array, "label label"]
    initial: Float[Array, " label"]
    mean: Float[Array, " width"]
    spread: Float[Array, " width"]


class Tagger(NamedTuple):
    """The functions of a tagger, on `EmbeddedText`, of which it reads words and vectors only.

    `init(rng_key, text)` gives parameters, `fit(rng_key, params, text, targets, valid=None)` a `NeuralFitted`, and
    `predict(params, text)` a `LabelForecast`. Targets are probabilities `[batch, time, label]`, such as a label model
    forecasts. `valid` has gold labels, by which the best epoch is chosen; without it the last one is kept.
    """

    init: Callable[[Key[Array, ""], EmbeddedText], TaggerParams]
    fit: Callable[..., NeuralFitted]
    predict: Callable[[TaggerParams, EmbeddedText], LabelForecast]


class TargetBucket(NamedTuple):
    """Sentences of like length with what they shall be labelled.

    Attributes:
        embeddings: `[row, time, width]`.
        targets: `[row, time, label]`.
        lengths: `[row]`.
    """

    embeddings: Float[Array, "row time width"]
    targets: Float[Array, "row time label"]
    lengths: Int[Array, " row"]

    def take(self, rows: Int[Array, " batch"]) -> "TargetBucket":
        """Some of the sentences."""
        return jax.tree.map(lambda leaf: leaf[rows], self)


TAGGER_OPTIONS = TrainOptions(learning_rate=5e-3, num_epochs=30, batch_size=32, patience=5)


def hard_targets(labels: Int[np.ndarray, "batch time"], num_labels: int) -> Targets:
    """Labels as probabilities of one.

    Args:
        labels: label indices; -1 in padding.
        num_labels: number of labels.

    Returns:
        `[batch, time, label]`, zero in padding.

    Example:
        >>> hard_targets(np.array([[1, 0, -1]]), 3)[0].tolist()
        [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return (np.asarray(labels)[..., None] == np.arange(num_labels)).astype(np.float32)


@checked
@widened
def crf_loss(
    emission: Float[Array, "batch time label"],
    transition: Float[Array, "label label"],
    initial: Float[Array, " label"],
    targets: Float[Array, "batch time label"],
    lengths: Int[Array, " batch"],
    *,
    kind: Loss = "expected",
) -> Float[Array, " batch"]:
    r"""How far a linear-chain conditional random field is from soft labels.

    `"expected"`: $-\mathbb{E}_{z \sim \prod_t q_t} \log p(z \mid w)$, the cross-entropy under labels drawn
    independently; with hard labels the usual negative log-likelihood.
    `"marginals"`: $\sum_t KL(q_t \,\|\, p(z_t \mid w))$, which leaves the transitions to the emissions' needs.

    Args:
        emission: scores of the labels at each token.
        transition: scores, from and to.
        initial: scores of the first label.
        targets: $q$; anything in padding.
        lengths: number of tokens.
        kind: which loss.

    Returns:
        One number for each sentence.

    Raises:
        ValueError: if the kind is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> flat, sure = jnp.zeros((1, 2, 3)), jnp.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
        >>> crf_loss(flat, jnp.zeros((3, 3)), jnp.zeros(3), sure, jnp.array([2])).round(3)  # log 9
        Array([2.197], dtype=float32)

    References:
        Lafferty, McCallum, Pereira. Conditional random fields. ICML 2001.
        Li, Shetty, Liu, Zhang, Song. BERTifying the hidden Markov model for multi-source weakly supervised named
        entity recognition. ACL 2021, section 4.4 (soft labels).
    """
    if kind not in get_args(Loss):
        raise ValueError(f"kind is {kind!r}; expected one of {', '.join(get_args(Loss))}")
    valid = jnp.arange(emission.shape[1], dtype=lengths.dtype)[None] < lengths[:, None]
    targets = jnp.where(valid[..., None], targets, 0.0)
    emission = jnp.where(valid[..., None], emission, 0.0)
    if kind == "marginals":
        marginals = jnp.maximum(smoothed_marginals(initial, transition, emission, lengths), 1e-12)
        entropy = jnp.where(targets > 0, targets * jnp.log(jnp.where(targets > 0, targets, 1.0)), 0.0)
        return jnp.sum(entropy - targets * jnp.log(marginals), axis=(1, 2))
    score = jnp.sum(targets * emission, axis=(1, 2)) + targets[:, 0] @ initial
    score = score + jnp.einsum("bti,ij,btj->b", targets[:, :-1], transition, targets[:, 1:])
    return log_likelihood(initial, transition, emission, lengths) - score


def crf_tagger(num_labels: int, *, loss: Loss = "expected", options: TrainOptions = TAGGER_OPTIONS) -> Tagger:
    r"""A linear layer on frozen word vectors and a conditional random field on top.

    The usual second stage of weak supervision: a label model needs the labelling functions wherever it labels, the
    tagger needs words only, and generalises to those that no function knows. Trained on gold labels it is the
    supervised reference. `finetune_tagger` trains the encoder too.

    Args:
        num_labels: number of labels, in the order of `bio_label_names`.
        loss: see `crf_loss`.
        options: how it is trained; of its fields, `objective`, `selection` and those of pretraining mean nothing here.

    Returns:
        `Tagger`. Its labels are the best path on which every `I-` continues an entity.

    Raises:
        ValueError: if the number of labels is even or the loss unknown; from its functions if vectors do not fit.

    Example:
        >>> import jax, numpy as np
        >>> from jaxuq.tagging import EmbeddedText, bio_label_names, make_weak_labels
        >>> vectors = [np.eye(3, dtype=np.float32)[[1, 2, 0]]] * 8
        >>> nobody = [np.zeros((3, 1), int)] * 8
        >>> text = EmbeddedText(
        ...     make_weak_labels([["a", "b", "c"]] * 8, nobody, None, bio_label_names(["X"]), ["f"]), vectors
        ... )
        >>> tagger = crf_tagger(3)
        >>> targets = hard_targets(np.array([[1, 2, 0]] * 8), 3)
        >>> fitted = tagger.fit(jax.random.key(1), tagger.init(jax.random.key(0), text), text, targets)
        >>> np.asarray(tagger.predict(fitted.params, text).labels)[0].tolist()
        [1, 2, 0]

    References:
        Lample, Ballesteros, Subramanian, Kawakami, Dyer. Neural architectures for named entity recognition. NAACL 2016.
        Li, Shetty, Liu, Zhang, Song. BERTifying the hidden Markov model for multi-source weakly supervised named
        entity recognition. ACL 2021.
    """
    if num_labels % 2 == 0:
        raise ValueError(f"num_labels is {num_labels}; expected an odd number, O and then B- and I- of each type")
    if loss not in get_args(Loss):
        raise ValueError(f"loss is {loss!r}; expected one of {', '.join(get_args(Loss))}")
    row_loss = partial(_row_loss, loss)

    def init(rng_key: Key[Array, ""], text: EmbeddedText) -> TaggerParams:
        width = check_embeddings(text.labels, text.embeddings)
        scaling = scaling_of(text.embeddings)
        weight = jax.random.normal(rng_key, (width, num_labels)) * 0.1 / width**0.5
        zero = jnp.zeros(num_labels)
        return TaggerParams(weight, zero, jnp.zeros((num_labels, num_labels)), zero, scaling.shift, scaling.words)

    def fit(
        rng_key: Key[Array, ""],
        params: TaggerParams,
        text: EmbeddedText,
        targets: Targets,
        valid: EmbeddedText | None = None,
    ) -> NeuralFitted:
        check_embeddings(text.labels, text.embeddings, width=params.weight.shape[0])
        targets = np.asarray(targets)
        expected = (*text.labels.observations.shape[:2], num_labels)
        if targets.shape != expected:
            raise ValueError(f"targets have shape {targets.shape}; expected {expected}: sentences, tokens, labels")
        return train_epochs(
            rng_key,
            row_loss,  # type: ignore[arg-type]
            ("weight", "bias", "transition", "initial"),
            params,
            _bucketed(text, targets, options.max_padding),  # type: ignore[arg-type]
            options,
            learning_rate=options.learning_rate,
            num_epochs=options.num_epochs,
            score=None if valid is None else _f1_score(predict, valid),
        )

    def predict(params: TaggerParams, text: EmbeddedText) -> LabelForecast:
        check_embeddings(text.labels, text.embeddings, width=params.weight.shape[0])
        return tagger_forecast(params, text.embeddings, text.labels.lengths, text.labels.observations.shape[1])

    return Tagger(init, fit, predict)


def tagger_forecast(
    params: TaggerParams, embeddings: Sequence[np.ndarray], lengths: Int[np.ndarray, " batch"], time: int
) -> LabelForecast:
    """Best paths and marginals of all sentences, a bucket at a time, on the host."""
    num_labels = params.bias.shape[0]
    labels = np.full((len(lengths), time), -1, np.int32)
    probabilities = np.zeros((len(lengths), time, num_labels), np.float32)
    for batch in plan_rows(lengths, max_rows=128, full=True):
        vectors = np.zeros((batch.size, batch.length, params.weight.shape[0]), np.float32)
        sizes = np.ones(batch.size, np.int32)
        for place, row in enumerate(batch.rows):
            vectors[place, : lengths[row]], sizes[place] = embeddings[row], lengths[row]
        paths, marginals = _decode(params, jnp.asarray(vectors), jnp.asarray(sizes))
        for place, row in enumerate(batch.rows):
            labels[row, : lengths[row]] = paths[place, : lengths[row]]
            probabilities[row, : lengths[row]] = marginals[place, : lengths[row]]
    return LabelForecast(labels, probabilities)  # type: ignore[arg-type]


def emission_scores(
    params: TaggerParams, vectors: Float[Array, "batch time width"]
) -> Float[Array, "batch time label"]:
    """Scores of the labels at each token."""
    centred = (vectors - params.mean[None, None]) / params.spread[None, None]
    return centred @ params.weight + params.bias[None, None]


@jax.jit
def _decode(params: TaggerParams, vectors: Array, lengths: Array) -> tuple[Array, Array]:
    states = params.bias.shape[0]
    allowed = jnp.asarray(allowed_transitions(states))
    transition = jnp.where(allowed, params.transition, -jnp.inf)
    initial = jnp.where(allowed[0], params.initial, -jnp.inf)
    chain = (initial, transition, emission_scores(params, vectors), lengths)
    return viterbi(*chain).paths[:, 0], smoothed_marginals(*chain)


def _row_loss(kind: Loss, params: TaggerParams, old: Any, batch: TargetBucket, rng_key: Any) -> Array:
    scores = emission_scores(params, batch.embeddings)
    return crf_loss(scores, params.transition, params.initial, batch.targets, batch.lengths, kind=kind)


def _bucketed(text: EmbeddedText, targets: Targets, max_padding: float) -> Bucketed:
    lengths, buckets = text.labels.lengths, []
    batches = plan_rows(lengths, max_padding=max_padding, least=None)
    for rows, _, time in batches:
        vectors = np.zeros((len(rows), time, text.embeddings[0].shape[1]), np.float32)
        for place, row in enumerate(rows):
            vectors[place, : lengths[row]] = text.embeddings[row]
        wanted = targets[rows, :time].astype(np.float32)
        buckets.append(TargetBucket(jnp.asarray(vectors), jnp.asarray(wanted), jnp.asarray(lengths[rows], jnp.int32)))
    return Bucketed(tuple(buckets), tuple(batch.rows for batch in batches))  # type: ignore[arg-type]


def _f1_score(predict: Callable[[Any, EmbeddedText], LabelForecast], valid: EmbeddedText) -> Callable[[Any], float]:
    if valid.labels.labels is None:
        raise ValueError("the validation text has no gold labels; leave valid out to keep the last epoch")
    gold = valid.labels.tags(valid.labels.labels)
    return lambda params: entity_scores(valid.labels.tags(np.asarray(predict(params, valid).labels)), gold).f1
