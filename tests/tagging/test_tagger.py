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
    EncoderTuning,
    TrainOptions,
    crf_loss,
    crf_tagger,
    embed_words,
    finetune_tagger,
    finetuning,
    hard_targets,
    load_weak_labels,
    neural_training,
)
from tests.tagging.small_data import PEOPLE, PLACES, WORDS, write_data, write_encoder

_LENGTHS = np.array([3, 2])
_FAST = EncoderTuning(learning_rate=1e-3, num_epochs=1, batch_size=8, warmup=0.0)


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
    pieces = finetuning._pieces(encoder, train, targets, 14, 0.2)
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
    tagger = finetune_tagger(
        encoder, 5, options=EncoderTuning(learning_rate=1e-3, num_epochs=1, batch_size=8, warmup=0.0)
    )
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


class _Stop(Exception):
    pass


def _same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)))


@pytest.mark.parametrize("stop", [2, 3, 7])
def test_an_interrupted_fine_tuning_ends_with_the_same_numbers(stop, texts, tmp_path, monkeypatch):
    """Stopped within the first epoch, at its end, and in the last one; every step is kept."""
    encoder, (train, valid, _) = texts
    options = _FAST._replace(num_epochs=3, warmup=0.3)
    targets, key = hard_targets(train.labels.labels, 5), jax.random.key(1)
    tagger = finetune_tagger(encoder, 5, options=options)
    params = tagger.init(jax.random.key(0), train)
    heard = []
    whole = tagger.fit(key, params, train, targets, valid, on_progress=lambda *said: heard.append(said))
    steps = len(heard) // 3
    assert [said[:2] for said in heard] == [(number + 1, 3 * steps) for number in range(3 * steps)] and steps >= 5

    def stopping(done, of, loss):
        if done == stop * steps // 3:
            raise _Stop

    monkeypatch.setattr(neural_training, "_KEEP_SECONDS", 0.0)
    with pytest.raises(_Stop):
        tagger.fit(key, params, train, targets, valid, checkpoint=tmp_path / "state", on_progress=stopping)
    again = []
    resumed = tagger.fit(
        *(key, params, train, targets, valid),
        checkpoint=tmp_path / "state",
        on_progress=lambda *said: again.append(said),
    )
    assert 0 < len(again) < 3 * steps and again == heard[-len(again) :]
    assert _same(whole._replace(seconds=0), resumed._replace(seconds=0))
    done = tagger.fit(key, params, train, targets, valid, checkpoint=tmp_path / "state", on_progress=stopping)
    assert _same(whole._replace(seconds=0), done._replace(seconds=0))  # and nothing is computed again


@pytest.mark.parametrize("what", ["options", "text", "key", "encoder", "valid"])
def test_checkpoints_of_another_fine_tuning_are_refused(what, texts, tmp_path):
    encoder, (train, valid, _) = texts
    targets = hard_targets(train.labels.labels, 5)
    record = [tmp_path, jax.random.key(0), encoder, train, targets, valid, _FAST, "expected"]
    finetuning._claim(*record)
    finetuning._claim(*record)
    other = {
        "options": (6, _FAST._replace(layer_decay=0.9)),
        "text": (4, targets * 0.5),
        "key": (1, jax.random.key(1)),
        "encoder": (2, encoder._replace(digest="0")),
        "valid": (5, None),
    }
    place, value = other[what]
    record[place] = value
    with pytest.raises(ValueError, match=f"holds the checkpoints of a training with another {what}; name another"):
        finetuning._claim(*record)


def test_rates_of_layers_decay_towards_the_embeddings(texts):
    encoder, (train, _, _) = texts
    params = finetune_tagger(encoder, 5).init(jax.random.key(0), train)
    trained = {name: getattr(params, name) for name in ("encoder", "weight", "transition")}
    scales = finetuning._scales(trained, EncoderTuning(layer_decay=0.5, head_rate=7.0))
    count = encoder.module.config.num_layers
    layers = [0.5 ** (count - 1 - layer) for layer in range(count)]
    np.testing.assert_allclose(scales["encoder"]["layers"]["query"]["kernel"].ravel(), layers)
    np.testing.assert_allclose(scales["encoder"]["layers"]["mlp_norm"]["bias"].ravel(), layers)
    assert scales["encoder"]["tokens"]["embedding"] == 0.5**count and scales["transition"] == 7.0
    still = EncoderTuning(learning_rate=1e-3, num_epochs=1, batch_size=8, warmup=0.0, head_rate=0.0)
    frozen = crf_tagger(5)
    tagger = finetune_tagger(encoder, 5, options=still)
    targets = hard_targets(train.labels.labels, 5)
    fitted = tagger.fit(jax.random.key(1), params, train, targets).params
    head = frozen.fit(jax.random.split(jax.random.key(1))[0], params.head(), train, targets).params
    assert _same(fitted.head(), head) and not _same(fitted.encoder, params.encoder)


@pytest.mark.parametrize("changes", [{"remat": True}, {"dtype": "bfloat16"}])
def test_less_memory_changes_the_gradient_by_rounding_only(changes, texts):
    encoder, (train, _, _) = texts
    targets = hard_targets(train.labels.labels, 5)
    pieces = finetuning._pieces(encoder, train, targets, 14, 0.2)
    params = finetune_tagger(encoder, 5).init(jax.random.key(0), train)
    plain, module = _without_dropout(encoder), _without_dropout(encoder)
    other = module.clone(remat="remat" in changes, dtype=jnp.dtype(changes.get("dtype", "float32")))

    def gradient(module):
        def loss(params):
            return finetuning._row_loss(module, "expected", params, params, pieces.buckets[0], jax.random.key(0)).sum()

        return jax.jit(jax.grad(loss))(params)

    first, second = (jnp.concatenate([g.ravel() for g in jax.tree.leaves(gradient(one))]) for one in (plain, other))
    cosine = jnp.vdot(first, second) / jnp.linalg.norm(first) / jnp.linalg.norm(second)
    assert first.dtype == second.dtype and cosine > (0.999999 if "remat" in changes else 0.99)


def test_adapters_of_the_encoder_are_trained_and_merged(texts):
    """The merged encoder is what was trained, and the rest of the encoder is as it came."""
    encoder, (train, _, _) = texts
    options = _FAST._replace(lora_rank=2, num_epochs=2)
    tagger = finetune_tagger(encoder, 5, options=options)
    params = tagger.init(jax.random.key(0), train)
    found = tagger.fit(jax.random.key(1), params, train, hard_targets(train.labels.labels, 5)).params
    assert jax.tree.structure(found) == jax.tree.structure(params)
    for name in ("query", "key", "value", "output", "up", "down"):
        change = np.asarray(found.encoder["layers"][name]["kernel"] - params.encoder["layers"][name]["kernel"])
        values = np.linalg.svd(change, compute_uv=False)
        assert (values[:, 1] > 1e-5).all() and (values[:, 2:] < 1e-3 * values[:, :1]).all()
        assert _same(found.encoder["layers"][name]["bias"], params.encoder["layers"][name]["bias"])
    assert _same(found.encoder["tokens"], params.encoder["tokens"])
    adapters = finetuning._adapters(jax.random.key(3), params.encoder, options.lora)
    moved = jax.tree.map(lambda leaf: leaf + 0.1, adapters)
    trained = params._replace(adapters=moved)
    pieces = finetuning._pieces(encoder, train, hard_targets(train.labels.labels, 5), 14, 0.2)
    plain = _without_dropout(encoder)
    losses = [
        jax.jit(lambda p, m=module: finetuning._row_loss(m, "expected", p, p, pieces.buckets[0], jax.random.key(0)))(p)
        for module, p in (
            (plain.clone(lora=options.lora), trained),
            (plain, trained.merged(options.lora)),
            (plain, params),
        )
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    assert not np.allclose(losses[0], losses[2], rtol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lora_rank": -1}, "lora_rank is -1; expected at least 0"),
        ({"dtype": "float16"}, "dtype is 'float16'; expected float32 or bfloat16"),
        ({"num_epochs": 0}, "num_epochs is 0, batch_size 16 and limit 128; expected at least 1 each"),
        ({"layer_decay": 0.0}, r"warmup is 0.1 and layer_decay 0.0; expected \[0, 1\) and \(0, 1\]"),
        ({"warmup": 1.0}, "warmup is 1.0 and"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(changes, message, texts):
    with pytest.raises(ValueError, match=message):
        finetune_tagger(texts[0], 5, options=EncoderTuning(**changes))
