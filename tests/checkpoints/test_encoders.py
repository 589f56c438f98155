"""Encoders compute what transformers computes, and say what is wrong with a checkpoint."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxuq.checkpoints import CheckpointError, load_encoder, load_subwords, save_encoder
from tests.tagging.small_data import write_encoder

GOLDEN = pathlib.Path(__file__).parent / "golden"


def _read(family):
    with np.load(GOLDEN / f"{family}.npz") as stored:
        arrays = dict(stored)
    tensors = {key.removeprefix("tensor:"): arrays.pop(key) for key in list(arrays) if key.startswith("tensor:")}
    return json.loads(str(arrays.pop("config"))), tensors, arrays


def _write(folder, config, tensors):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


def _as_in_a_language_model(name):
    """Names of an old checkpoint with a head: prefix, gamma and beta."""
    return "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def _encode(loaded, arrays):
    apply = jax.jit(lambda params, *inputs: loaded.module.apply({"params": params}, *inputs))
    return apply(loaded.params, arrays["tokens"], arrays["mask"], arrays["types"])


@pytest.mark.parametrize("family", ["bert", "roberta", "mpnet"])
def test_outputs_are_those_of_transformers(family, tmp_path):
    config, tensors, arrays = _read(family)
    output = _encode(load_encoder(_write(tmp_path / "model", config, tensors)), arrays)
    mask = arrays["mask"]
    np.testing.assert_allclose(np.asarray(output.hidden)[mask], arrays["hidden"][mask], atol=1e-4)
    np.testing.assert_allclose(output.pooled, arrays["pooled"], atol=1e-4)


def test_prefixes_old_names_heads_and_a_missing_pooler(tmp_path):
    config, tensors, arrays = _read("bert")
    renamed = {_as_in_a_language_model(name): value for name, value in tensors.items() if "pooler" not in name}
    renamed |= {"cls.predictions.bias": np.zeros(30, np.float32), "bert.embeddings.position_ids": np.arange(16)}
    loaded = load_encoder(_write(tmp_path / "model", config, renamed))
    output = _encode(loaded, arrays)
    np.testing.assert_allclose(np.asarray(output.hidden)[arrays["mask"]], arrays["hidden"][arrays["mask"]], atol=1e-4)
    assert output.pooled is None
    assert loaded.digest != load_encoder(_write(tmp_path / "other", config, tensors)).digest


def test_all_names_that_do_not_fit_are_reported_together(tmp_path):
    config, tensors, _ = _read("bert")
    tensors["encoder.layer.0.rotary"] = tensors["encoder.layer.2.odd"] = np.zeros(2, np.float16)
    del tensors["encoder.layer.1.output.dense.bias"], tensors["embeddings.word_embeddings.weight"]
    with pytest.raises(CheckpointError) as error:
        load_encoder(_write(tmp_path / "model", config, tensors))
    assert "2 missing (embeddings.word_embeddings.weight, encoder.layer.1.output.dense.bias)" in str(error.value)
    assert "2 unexpected (encoder.layer.0.rotary, encoder.layer.2.odd)" in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "model_type is 'gpt2'; supported encoders are bert"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ({"hidden_act": "mish"}, "hidden_act is 'mish'"),
        ({"is_decoder": True}, "is a decoder"),
        ({"num_attention_heads": 3}, "hidden_size is 16; it must be a multiple of num_heads, 3"),
        ({"max_position_embeddings": 17}, r"wrong shape: embeddings.position_embeddings.weight in .* is \[16, 16\]"),
    ],
)
def test_what_is_not_supported_is_refused(change, message, tmp_path):
    config, tensors, _ = _read("bert")
    with pytest.raises(CheckpointError, match=message):
        load_encoder(_write(tmp_path / "model", config | change, tensors))


def test_too_long_a_row_is_refused_by_the_module(tmp_path):
    config, tensors, _ = _read("roberta")
    loaded = load_encoder(_write(tmp_path / "model", config, tensors))
    assert loaded.module.config.max_tokens == 14  # two rows of the table of 16 are for padding
    with pytest.raises(ValueError, match="15 tokens a row; the encoder has positions for 14"):
        loaded.module.apply({"params": loaded.params}, jnp.zeros((1, 15), jnp.int32))


def test_words_without_printable_letters_are_unknown(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "ab", "##c", "d"]))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    subwords = load_subwords(tmp_path)
    assert (subwords.first, subwords.last, subwords.padding) == (2, 3, 0)
    assert subwords.encode(["abc", "d", "\x07", "zz", "abcc" * 2]) == [[4, 5], [6], [1], [1], [1]]


def test_padding_to_the_left_keeps_distances(tmp_path):
    config, tensors, arrays = _read("mpnet")
    loaded = load_encoder(_write(tmp_path / "model", config, tensors))
    apply = jax.jit(lambda tokens, where: loaded.module.apply({"params": loaded.params}, tokens, where).hidden)
    tokens, where = arrays["tokens"][:1, :60], np.ones((1, 60), bool)
    padded, seen = np.pad(tokens, ((0, 0), (20, 0))), np.pad(where, ((0, 0), (20, 0)))
    np.testing.assert_allclose(apply(padded, seen)[:, 20:], apply(tokens, where), atol=1e-5)


def test_mpnet_with_another_padding_token_is_refused(tmp_path):
    config, tensors, _ = _read("mpnet")
    with pytest.raises(CheckpointError, match="pad_token_id is 0; the positions of MPNet begin"):
        load_encoder(_write(tmp_path / "model", config | {"pad_token_id": 0}, tensors))


def test_mpnet_with_odd_kinds_of_distances_is_refused(tmp_path):
    config, tensors, _ = _read("mpnet")
    with pytest.raises(CheckpointError, match="distance_buckets is 30; expected 0 or a multiple of 4"):
        load_encoder(_write(tmp_path / "model", config | {"relative_attention_num_buckets": 30}, tensors))


@pytest.mark.parametrize(
    "name", ["minilm", pytest.param("mpnet", marks=pytest.mark.long)]
)  # the second downloads 0.4 GB unless it is there
@pytest.mark.weights
def test_a_sentence_encoder_finds_the_synonym(name):
    loaded = load_encoder(name)
    subwords = load_subwords(loaded.path)
    texts = ["a doctor treats a patient", "a physician cures the sick", "stock prices fell"]
    words = [[token for word in subwords.encode(text.split()) for token in word] for text in texts]
    rows = [[subwords.first, *tokens, subwords.last] for tokens in words]
    time = max(map(len, rows))
    tokens = np.array([row + [subwords.padding] * (time - len(row)) for row in rows], np.int32)
    where = np.array([[i < len(row) for i in range(time)] for row in rows])
    hidden = np.asarray(jax.jit(loaded.module.apply)({"params": loaded.params}, tokens, where).hidden)
    vectors = (hidden * where[..., None]).sum(1) / where.sum(1)[:, None]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > 0.5 > 0.25 > max(similarity[0, 2], similarity[1, 2])


@pytest.mark.parametrize("layers", [200, 2_000_000])
def test_more_layers_than_tensors_are_refused_before_they_are_listed(layers, tmp_path):
    folder = write_encoder(tmp_path / "encoder")
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | {"num_hidden_layers": layers}))
    with pytest.raises(CheckpointError, match=rf"config\.json says num_hidden_layers {layers}, but"):
        load_encoder(folder)


@pytest.mark.parametrize("family", ["bert", "roberta", "mpnet"])
def test_a_written_encoder_has_the_tensors_that_it_was_read_from(family, tmp_path):
    """Names, shapes and values, so that whatever reads the one reads the other."""
    config, tensors, arrays = _read(family)
    first = load_encoder(_write(tmp_path / "first", config, tensors))
    save_encoder(tmp_path / "second", first._replace(params=jax.tree.map(lambda leaf: 2 * leaf, first.params)))
    written = load_file(tmp_path / "second" / "model.safetensors")
    assert set(written) <= set(tensors)
    assert {name.split(".")[0] for name in set(tensors) - set(written)} <= {"cls", "lm_head"}
    for name, value in written.items():
        np.testing.assert_array_equal(value, 2 * tensors[name].astype(np.float32))
    again = load_encoder(tmp_path / "second")
    assert again.digest != first.digest and again.module == first.module
    assert np.isfinite(np.asarray(_encode(again, arrays).hidden)[arrays["mask"]]).all()


def test_a_written_encoder_has_its_tokenizer_and_its_family(tmp_path):
    folder = write_encoder(tmp_path / "first")
    config = json.loads((folder / "config.json").read_text())
    del config["model_type"]  # as in old files, where the names of tensors say it
    (folder / "config.json").write_text(json.dumps(config))
    save_file(
        {f"bert.{name}": value for name, value in load_file(folder / "model.safetensors").items()},
        folder / "model.safetensors",
    )
    save_encoder(tmp_path / "second", load_encoder(folder))
    assert load_subwords(tmp_path / "second").encode(["unseen", "ada"]) == load_subwords(folder).encode(
        ["unseen", "ada"]
    )
    assert json.loads((tmp_path / "second" / "config.json").read_text())["model_type"] == "bert"
    few = load_encoder(folder)
    few = few._replace(params=few.params | {"pooler": {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}})
    with pytest.raises(CheckpointError, match=r"pooler.kernel has shape \(2, 2\); expected"):
        save_encoder(tmp_path / "third", few)
    assert not (tmp_path / "third" / "model.safetensors").exists()
