"""The second stage: losses against brute force, what a tagger learns, and the encoder trained along."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.checkpoints import load_encoder
from jaxuq.metrics import entity_scores
from jaxuq.tagging import (
    EmbeddedText,
    TrainOptions,
    crf_loss,
    crf_tagger,
    embed_words,
    finetune_tagger,
    finetuning,
    hard_targets,
    load_weak_labels,
)
from tests.tagging.small_data import PEOPLE, PLACES, WORDS, write_data, write_encoder

_LENGTHS = np.array([3, 2])


@pytest.fixture(scope="module")
def field():
    rng = np.random.default_rng(3)
    emission, transition, initial = rng.normal(size=(2, 3, 3)), rng.normal(size=(3, 3)), rng.normal(size=3)
    targets = rng.dirichlet(np.ones(3), size=(2, 3))
    return emission, transition, initial, targets


def _paths(field, row):
    """Every label path of a sentence with its log-probability and its weight under the soft labels."""
    emission, transition, initial, targets = field
    length = _LENGTHS[row]
    paths = np.array(list(itertools.product(range(3), repeat=length)))
    scores = initial[paths[:, 0]] + emission[row, np.arange(length)][np.arange(length), paths].sum(1)
    scores = scores + transition[paths[:, :-1], paths[:, 1:]].sum(1)
    weights = targets[row, np.arange(length)][np.arange(length), paths].prod(1)
    return paths, scores - np.log(np.exp(scores).sum()), weights


def test_losses_are_sums_over_all_paths(field):
    arguments = [jnp.asarray(part, jnp.float32) for part in field]
    arguments[3] = arguments[3].at[1, 2].set(jnp.nan)  # padding may hold anything
    lengths = jnp.asarray(_LENGTHS, jnp.int32)
    expected = jax.jit(crf_loss)(*arguments, lengths)
    marginals = jax.jit(lambda *a: crf_loss(*a, kind="marginals"))(*arguments, lengths)
    for row in range(2):
        paths, log_probabilities, weights = _paths(field, row)
        np.testing.assert_allclose(expected[row], -(weights * log_probabilities).sum(), rtol=1e-5)
        divergence = 0.0
        for position in range(_LENGTHS[row]):
            p = np.array([np.exp(log_probabilities)[paths[:, position] == label].sum() for label in range(3)])
            q = field[3][row, position]
            divergence += (q * np.log(q / p)).sum()
        np.testing.assert_allclose(marginals[row], divergence, rtol=1e-4)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = write_data(tmp_path_factory.mktemp("data"), sentences=40)
    encoder = load_encoder(write_encoder(tmp_path_factory.mktemp("encoder")))
    parts = [load_weak_labels(folder, part) for part in ("train", "valid", "test")]
    return encoder, [EmbeddedText(part, embed_words(encoder, part.tokens, cache=False)) for part in parts]


def _f1(text, forecast):
    return entity_scores(text.labels.tags(np.asarray(forecast.labels)), text.labels.tags(text.labels.labels)).f1


def test_a_tagger_learns_what_words_tell(texts):
    table = np.random.default_rng(0).normal(size=(100, 16)).astype(np.float32)
    words = {word: table[number] for number, word in enumerate(WORDS + PEOPLE + PLACES)}
    train, valid, test = (
        text._replace(embeddings=[np.stack([words[w] for w in tokens]) for tokens in text.labels.tokens])
        for text in texts[1]
    )
    tagger = crf_tagger(5, options=TrainOptions(learning_rate=0.02, num_epochs=15, batch_size=8, patience=15))
    targets = hard_targets(train.labels.labels, 5)
    fitted = tagger.fit(jax.random.key(1), tagger.init(jax.random.key(0), train), train, targets, valid)
    forecast = tagger.predict(fitted.params, test)
    assert _f1(test, forecast) > 0.9  # the words alone tell, though no labelling function is read
    inside = np.arange(forecast.labels.shape[1])[None] < test.labels.lengths[:, None]
    np.testing.assert_allclose(np.asarray(forecast.probabilities).sum(-1), inside, atol=1e-5)
    alone = test._replace(labels=test.labels.take([5]), embeddings=[test.embeddings[5]])
    one = tagger.predict(fitted.params, alone)
    length = test.labels.lengths[5]
    np.testing.assert_allclose(one.probabilities[0], forecast.probabilities[5, :length], atol=1e-5)


def test_wrong_targets_and_vectors_are_refused(texts):
    _, (train, _, _) = texts
    tagger = crf_tagger(5)
    params = tagger.init(jax.random.key(0), train)
    with pytest.raises(ValueError, match=r"targets have shape \(40, 2, 5\); expected \(40, 7, 5\)"):
        tagger.fit(jax.random.key(0), params, train, np.zeros((40, 2, 5)))
    narrow = train._replace(embeddings=[vectors[:, :4] for vectors in train.embeddings])
    with pytest.raises(ValueError, match=r"sentence 0 has embeddings of shape \(\d, 4\); expected \(\d, 16\)"):
        tagger.predict(params, narrow)
    with pytest.raises(ValueError, match="num_labels is 4; expected an odd number"):
        crf_tagger(4)


@pytest.mark.long
def test_fine_tuning_sees_the_vectors_that_labelling_sees(texts):
    """A bucket's loss is that of the frozen tagger on the same vectors, sentence by sentence, pieces included."""
    encoder, (train, _, _) = texts
    tagger = finetune_tagger(encoder, 5)
    params = tagger.init(jax.random.key(0), train)
    targets = hard_targets(train.labels.labels, 5)
    options = finetuning.FINETUNE_OPTIONS
    pieces = finetuning._pieces(encoder, train, targets, 14, options)
    loss = jax.jit(lambda p, b: finetuning._row_loss(_without_dropout(encoder), "expected", p, p, b, jax.random.key(0)))
    head = params.head()
    for bucket, rows in zip(pieces.buckets, pieces.rows):
        for place, row in list(enumerate(rows))[:2]:
            length = int(train.labels.lengths[row])
            mean, spread, weight, bias = map(np.asarray, (head.mean, head.spread, head.weight, head.bias))
            scores = (train.embeddings[row] - mean) / spread @ weight + bias
            alone = crf_loss(
                jnp.asarray(scores)[None],
                head.transition,
                head.initial,
                jnp.asarray(targets[row, :length])[None],
                jnp.array([length], jnp.int32),
            )
            np.testing.assert_allclose(loss(params, bucket)[place], alone[0], rtol=1e-4)


def _without_dropout(encoder):
    config = dataclasses.replace(encoder.module.config, dropout=0.0, attention_dropout=0.0)
    return encoder.module.clone(config=config)


def test_pieces_end_between_words():
    parts = [[1] * 3, [1] * 4, [1] * 2, [1] * 8, [1]]
    assert finetuning._divide(parts, 8) == [(0, 2), (2, 3), (3, 4), (4, 5)]


@pytest.mark.long
def test_fine_tuning_trains_the_encoder_and_keeps_the_best_parameters(texts):
    encoder, (train, valid, _) = texts
    few = train._replace(labels=train.labels.take(range(8)), embeddings=list(train.embeddings[:8]))
    tagger = finetune_tagger(encoder, 5, options=TrainOptions(learning_rate=1e-3, num_epochs=1, batch_size=8))
    targets = hard_targets(few.labels.labels, 5)
    params = tagger.init(jax.random.key(0), few)

    def f1_and_change(fitted):
        moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), fitted.params.encoder, params.encoder)
        return _f1(valid, tagger.predict(fitted.params, valid)), max(jax.tree.leaves(moved))

    last = tagger.fit(jax.random.key(1), params, few, targets)
    assert last.scores.shape == (0,) and f1_and_change(last)[1] > 1e-4
    best = tagger.fit(jax.random.key(1), params, few, targets, valid)
    f1, change = f1_and_change(best)  # the encoder as it came is a candidate too
    (epoch,) = best.scores
    assert f1 == pytest.approx(epoch) if change > 0 else f1 > epoch
