"""The tagger of the second stage with its encoder trained along."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from jaxuq.checkpoints import LoadedEncoder, load_subwords
from jaxuq.metrics import entity_scores
from jaxuq.parallel import plan_rows
from jaxuq.tagging.embedded import Bucketed
from jaxuq.tagging.embeddings import embed_words
from jaxuq.tagging.label_model import LabelForecast
from jaxuq.tagging.neural_model import EmbeddedText, NeuralFitted, TrainOptions
from jaxuq.tagging.neural_training import train as train_epochs
from jaxuq.tagging.tagger import Loss, Tagger, TaggerParams, crf_loss, crf_tagger, emission_scores, tagger_forecast

FINETUNE_OPTIONS = TrainOptions(learning_rate=5e-5, num_epochs=4, batch_size=16, patience=3, weight_decay=0.0)


class FinetunedParams(NamedTuple):
    """Parameters of `finetune_tagger`.

    Attributes:
        encoder: of the encoder.
        weight: as in `TaggerParams`, like all that follow.
        bias: see there.
        transition: see there.
        initial: see there.
        mean: see there.
        spread: see there.
    """

    encoder: PyTree
    weight: Float[Array, "width label"]
    bias: Float[Array, " label"]
    transition: Float[Array, "label label"]
    initial: Float[Array, " label"]
    mean: Float[Array, " width"]
    spread: Float[Array, " width"]

    def head(self) -> TaggerParams:
        """All but the encoder."""
        return TaggerParams(*self[1:])


class PieceBucket(NamedTuple):
    """Stretches of sentences of like length.

    Attributes:
        tokens: `[row, subword]` with the tokens that begin and end a text.
        where: `[row, subword]` False in padding.
        owner: `[row, subword]` the word, counted from the piece's first, that a sub-word belongs to; the number of
            words where it belongs to none.
        targets: `[row, word, label]`.
        lengths: `[row]` number of words.
    """

    tokens: Int[Array, "row subword"]
    where: Bool[Array, "row subword"]
    owner: Int[Array, "row subword"]
    targets: Float[Array, "row word label"]
    lengths: Int[Array, " row"]

    def take(self, rows: Int[Array, " batch"]) -> "PieceBucket":
        """Some of the pieces."""
        return jax.tree.map(lambda leaf: leaf[rows], self)


def finetune_tagger(
    encoder: LoadedEncoder,
    num_labels: int,
    *,
    loss: Loss = "expected",
    options: TrainOptions = FINETUNE_OPTIONS,
    limit: int = 128,
) -> Tagger:
    r"""As `crf_tagger`, with the encoder trained too.

    The linear layer and the transitions are first fitted to the frozen vectors; then everything is trained together at
    a small rate, which keeps the encoder from being pulled about by a random layer on top. Sentences with more than
    `limit` sub-words are trained in pieces that end between words; labelling sees them whole, through overlapping
    windows. Far dearer than `crf_tagger`: an epoch costs three times what embedding the text costs.

    Args:
        encoder: where training starts.
        num_labels: number of labels, in the order of `bio_label_names`.
        loss: see `crf_loss`.
        options: of the second part of training.
        limit: most sub-words of a piece.

    Returns:
        `Tagger` with `FinetunedParams`; `init` and `fit` read the vectors of the text, `predict` its words only.

    Raises:
        ValueError: if the number of labels is even or the loss unknown.

    Example:
        >>> from jaxuq.checkpoints import load_encoder
        >>> finetune_tagger(load_encoder("no such encoder"), 3)
        Traceback (most recent call last):
        jaxuq.checkpoints.errors.CheckpointError: no encoder is called 'no such encoder'...

    References:
        Devlin, Chang, Lee, Toutanova. BERT: pre-training of deep bidirectional transformers for language understanding.
        NAACL 2019.
        Kumar, Raghunathan, Jones, Ma, Liang. Fine-tuning can distort pretrained features and underperform
        out-of-distribution. ICLR 2022.
    """
    frozen = crf_tagger(num_labels, loss=loss)
    row_loss = partial(_row_loss, encoder.module, loss)

    def init(rng_key: Key[Array, ""], text: EmbeddedText) -> FinetunedParams:
        return FinetunedParams(encoder.params, *frozen.init(rng_key, text))

    def fit(
        rng_key: Key[Array, ""],
        params: FinetunedParams,
        text: EmbeddedText,
        targets: Float[np.ndarray, "batch time label"],
        valid: EmbeddedText | None = None,
    ) -> NeuralFitted:
        keys = jax.random.split(rng_key)
        head = frozen.fit(keys[0], params.head(), text, targets, valid).params
        pieces = _pieces(encoder, text, np.asarray(targets), min(limit, encoder.module.config.max_tokens - 2), options)
        return train_epochs(
            keys[1],
            row_loss,  # type: ignore[arg-type]
            ("encoder", "weight", "bias", "transition", "initial"),
            FinetunedParams(params.encoder, *head),
            pieces,  # type: ignore[arg-type]
            options,
            learning_rate=options.learning_rate,
            num_epochs=options.num_epochs,
            score=None if valid is None else lambda found: _f1(found, valid),
        )

    def predict(params: FinetunedParams, text: EmbeddedText) -> LabelForecast:
        vectors = embed_words(encoder._replace(params=params.encoder), text.labels.tokens, cache=False)
        return tagger_forecast(params.head(), vectors, text.labels.lengths, text.labels.observations.shape[1])

    def _f1(params: FinetunedParams, valid: EmbeddedText) -> float:
        data = valid.labels
        assert data.labels is not None
        return entity_scores(data.tags(np.asarray(predict(params, valid).labels)), data.tags(data.labels)).f1

    return Tagger(init, fit, predict)  # type: ignore[arg-type]


def _row_loss(
    module: Any, kind: Loss, params: FinetunedParams, old: Any, batch: PieceBucket, rng_key: Key[Array, ""]
) -> Float[Array, " row"]:
    hidden = module.apply({"params": params.encoder}, batch.tokens, batch.where, rngs={"dropout": rng_key}).hidden
    words = batch.targets.shape[1]

    def means(vectors: Array, owner: Array) -> Array:
        total = jax.ops.segment_sum(vectors, owner, words + 1)[:words]
        count = jax.ops.segment_sum(jnp.ones(owner.shape, vectors.dtype), owner, words + 1)[:words]
        return total / jnp.maximum(count, 1.0)[:, None]

    scores = emission_scores(params.head(), jax.vmap(means)(hidden, batch.owner))
    return crf_loss(scores, params.transition, params.initial, batch.targets, batch.lengths, kind=kind)


class _Piece(NamedTuple):
    tokens: list[int]
    owner: list[int]
    targets: np.ndarray


def _divide(parts: Sequence[Sequence[int]], limit: int) -> list[tuple[int, int]]:
    """Words from where to where make a piece of at most `limit` sub-words."""
    bounds, used = [0], 0
    for word, part in enumerate(parts):
        if used and used + len(part) > limit:
            bounds.append(word)
            used = 0
        used += len(part)
    return list(zip(bounds, [*bounds[1:], len(parts)]))


def _pieces(
    encoder: LoadedEncoder, text: EmbeddedText, targets: np.ndarray, limit: int, options: TrainOptions
) -> Bucketed:
    subwords = load_subwords(encoder.path)
    pieces: list[_Piece] = []
    for words, wanted in zip(text.labels.tokens, targets):
        parts = [part[:limit] for part in subwords.encode(words)]  # a single word beyond the limit loses its end
        for start, end in _divide(parts, limit):
            inner = [(token, word) for word, part in enumerate(parts[start:end]) for token in part]
            tokens = [subwords.first, *(token for token, _ in inner), subwords.last]
            nobody = end - start
            pieces.append(_Piece(tokens, [nobody, *(word for _, word in inner), nobody], wanted[start:end]))
    sizes = np.array([len(piece.tokens) for piece in pieces])
    batches = plan_rows(sizes, max_padding=options.max_padding, least=None)
    buckets = []
    for rows, _, time in batches:
        words = max(len(pieces[row].targets) for row in rows)
        tokens = np.full((len(rows), time), subwords.padding, np.int32)
        where = np.zeros((len(rows), time), bool)
        owner = np.full((len(rows), time), words, np.int32)
        wanted = np.zeros((len(rows), words, targets.shape[2]), np.float32)
        for place, row in enumerate(rows):
            piece, size = pieces[row], int(sizes[row])
            tokens[place, :size], where[place, :size] = piece.tokens, True
            owner[place, 1 : size - 1] = piece.owner[1:-1]
            wanted[place, : len(piece.targets)] = piece.targets
        lengths = np.array([len(pieces[row].targets) for row in rows], np.int32)
        buckets.append(PieceBucket(*map(jnp.asarray, (tokens, where, owner, wanted, lengths))))
    return Bucketed(tuple(buckets), tuple(batch.rows for batch in batches))  # type: ignore[arg-type]
