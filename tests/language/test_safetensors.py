"""Hugging Face folders: the numbers arrive, damage is named, and saving gives back the same bits."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxuq.checkpoints import CheckpointWarning
from jaxuq.checkpoints import safetensors as safetensors_module
from jaxuq.language import CheckpointError, config_json, decoder_config, inspect_model, load_model, save_model
from jaxuq.language.safetensors import write_weights
from jaxuq.networks import DecoderConfig, unstack_layers
from tests.language.golden_decoders import FAMILIES, load
from tests.language.tiny_checkpoints import golden_arrays, write_folder


def _assert_same(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_loads_and_saves_to_the_same_bits(family, tmp_path):
    golden = load(family)
    model = load_model(write_folder(tmp_path / "first", family, shards=3), scan=True)
    assert model.decoder.config == golden.config
    _assert_same(model.params, golden.params)
    save_model(tmp_path / "second", model)
    content, tensors = golden_arrays(family)
    written = load_file(tmp_path / "second" / "model.safetensors")
    if golden.config.tied:
        tensors = {name: array for name, array in tensors.items() if name != "lm_head.weight"}
    assert set(written) == set(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(written[name], array)
    assert json.loads((tmp_path / "second" / "config.json").read_text())["model_type"] == content["model_type"]
    again = load_model(tmp_path / "second", scan=False)
    _assert_same(again.params, unstack_layers(golden.params, golden.config.num_layers))
    assert again.tokenizer.get_vocab() == model.tokenizer.get_vocab()
    assert again.tokenizer.chat_template == model.tokenizer.chat_template


@pytest.mark.parametrize("scan", [True, False])
@pytest.mark.parametrize("stored", [np.float16, ml_dtypes.bfloat16, np.float32])
def test_numbers_are_cast_once_and_saved_as_they_are(stored, scan, tmp_path):
    tensors = {name: array.astype(stored) for name, array in golden_arrays("llama")[1].items()}
    model = load_model(write_folder(tmp_path / "in", tensors=tensors), dtype=jnp.bfloat16, scan=scan)
    save_model(tmp_path / "out", model)
    written = load_file(tmp_path / "out" / "model.safetensors")
    for name, array in tensors.items():
        assert written[name].dtype == ml_dtypes.bfloat16
        np.testing.assert_array_equal(written[name], array.astype(ml_dtypes.bfloat16))
    assert inspect_model(tmp_path / "out").stored == {"BF16": len(tensors)}


def test_loaded_models_compute_what_transformers_computes(tmp_path):
    golden = load("qwen3")
    model = load_model(write_folder(tmp_path / "model", "qwen3"))

    @jax.jit
    def logits(variables, tokens, positions):
        hidden = model.decoder.apply(variables, tokens, positions).hidden
        return model.decoder.apply(variables, hidden, method="logits")

    positions = jnp.asarray(np.where(golden.mask, np.cumsum(golden.mask, axis=1) - 1, -1), jnp.int32)
    actual = logits(model.variables, jnp.asarray(golden.tokens), positions)
    np.testing.assert_allclose(actual[golden.mask], golden.logits[golden.mask], atol=1e-4, rtol=1e-4)


def test_large_models_are_saved_in_shards_with_an_index(tmp_path):
    golden = load("llama")
    tmp_path.mkdir(exist_ok=True)
    write_weights(tmp_path, golden.config, golden.params, shard_bytes=4000)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert len(files) > 2
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    stored = {name: file.name for file in files for name in load_file(file)}
    assert index["weight_map"] == stored
    assert index["metadata"]["total_size"] == sum(leaf.nbytes for leaf in jax.tree.leaves(golden.params))
    largest = golden.params["embedding"].nbytes
    assert all(sum(array.nbytes for array in load_file(file).values()) <= max(4000, largest) for file in files)


def test_missing_and_unexpected_tensors_are_reported_together(tmp_path):
    tensors = dict(golden_arrays("llama")[1])
    del tensors["model.norm.weight"], tensors["model.layers.1.mlp.up_proj.weight"]
    tensors |= {"model.layers.0.extra.weight": np.ones(2, np.float32), "other": np.ones(2, np.float32)}
    with pytest.raises(CheckpointError) as error:
        load_model(write_folder(tmp_path / "model", tensors=tensors))
    message = str(error.value)
    for name in ("model.norm.weight", "model.layers.1.mlp.up_proj.weight", "model.layers.0.extra.weight", "other"):
        assert name in message
    assert "2 missing" in message and "2 unexpected" in message and str(tmp_path / "model") in message


def test_old_buffers_and_the_copy_of_a_tied_embedding_are_passed_over(tmp_path):
    tensors = dict(golden_arrays("llama")[1])
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(2, np.float32)
    model = load_model(write_folder(tmp_path / "model", tensors=tensors), scan=True)
    _assert_same(model.params, load("llama").params)


def _changed(name, change):
    tensors = dict(golden_arrays("llama")[1])
    tensors[name] = change(tensors[name].copy())
    return tensors


def _poisoned(value):
    def change(array):
        array.flat[3] = value
        return array

    return change


@pytest.mark.parametrize(
    ("change", "dtype", "message"),
    [
        (lambda array: array[:, :-1].copy(), "float32", r"model.layers.1.mlp.up_proj.weight .*is \[24, 15\], expected"),
        (_poisoned(np.nan), "float32", "model.layers.1.mlp.up_proj.weight .*NaN or infinite"),
        (_poisoned(-np.inf), "bfloat16", "model.layers.1.mlp.up_proj.weight .*NaN or infinite"),
        (_poisoned(1e5), "float16", "model.layers.1.mlp.up_proj.weight .*stored as F32, read as float16"),
        (lambda array: array.astype(np.int8), "float32", "model.layers.1.mlp.up_proj.weight .*stored as I8"),
    ],
)
def test_a_bad_tensor_is_named(change, dtype, message, tmp_path):
    tensors = _changed("model.layers.1.mlp.up_proj.weight", change)
    with pytest.raises(CheckpointError, match=message) as error:
        load_model(write_folder(tmp_path / "model", tensors=tensors), dtype=dtype)
    assert "model.safetensors" in str(error.value)


def test_a_file_cut_at_any_byte_is_named(tmp_path):
    folder = write_folder(tmp_path / "model", tensors={"x": np.arange(6, dtype=np.float32)})
    whole = (folder / "model.safetensors").read_bytes()
    for size in range(len(whole)):
        (folder / "model.safetensors").write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=r"model.safetensors is damaged or incomplete"):
            safetensors_module.stored_tensors(folder)


def test_a_header_that_lies_is_named(tmp_path):
    folder = write_folder(tmp_path / "model", tensors={"x": np.arange(6, dtype=np.float32)})
    whole = (folder / "model.safetensors").read_bytes()
    header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
    lies = [
        {"x": {"dtype": "F32", "shape": [600], "data_offsets": [0, 2400]}},
        {"x": {"dtype": "F32", "shape": [2**62, 16], "data_offsets": [0, 24]}},
        {"x": {"dtype": "F32", "shape": [6], "data_offsets": [24, 0]}},
        {"x": {"dtype": "F99", "shape": [6], "data_offsets": [0, 24]}},
        {"x": {"dtype": "F32", "shape": [-6], "data_offsets": [0, 24]}},
        {"x": header["x"], "y": header["x"]},
        [1],
    ]
    for lie in lies:
        text = json.dumps(lie).encode()
        (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + whole[-24:])
        with pytest.raises(CheckpointError, match=r"model.safetensors is damaged or incomplete"):
            safetensors_module.stored_tensors(folder)
    for length in (2**62, 2**64 - 1, len(whole)):
        (folder / "model.safetensors").write_bytes(length.to_bytes(8, "little") + whole[8:])
        with pytest.raises(CheckpointError, match=r"model.safetensors is damaged or incomplete"):
            safetensors_module.stored_tensors(folder)


def _folder_without(tmp_path, *names, **more):
    folder = write_folder(tmp_path / "model", **more)
    for name in names:
        (folder / name).unlink()
    return folder


def test_files_that_are_missing_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"config.json is missing"):
        load_model(_folder_without(tmp_path / "a", "config.json"))
    with pytest.raises(CheckpointError, match=r"holds no weights: expected model.safetensors"):
        load_model(_folder_without(tmp_path / "b", "model.safetensors"))
    with pytest.raises(CheckpointError, match=r"lacks 1 of the 3 files .*model-00002-of-00003.safetensors"):
        load_model(_folder_without(tmp_path / "c", "model-00002-of-00003.safetensors", shards=3))
    with pytest.raises(CheckpointError, match="holds no tokenizer"):
        load_model(write_folder(tmp_path / "d", tokenizer=False))
    folder = _folder_without(tmp_path / "e", "model.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(CheckpointError, match=r"pickled weights only \(pytorch_model.bin\).*save_pretrained"):
        load_model(folder)


def test_an_index_cannot_reach_outside_its_folder(tmp_path):
    folder = write_folder(tmp_path / "model", shards=2)
    save_file({"x": np.ones(2)}, tmp_path / "secret.safetensors")
    index = {"weight_map": {"x": "../secret.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"outside its folder: \.\./secret"):
        load_model(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "config.json is not a readable JSON file"),
        ("[1]", "config.json holds list, expected an object"),
        ("\udcff", "config.json is not a readable JSON file"),
        ('{"model_type": "mamba"}', "config.json: architecture 'mamba' is not supported; supported are gemma"),
        ('{"model_type": "llama", "hidden_size": "wide"}', "config.json: "),
        ('{"model_type": "llama", "num_hidden_layers": 9999999999}', "config.json: 9999999999 layers are announced"),
        ('{"model_type": "llama", "num_attention_heads": 0}', "config.json: "),
    ],
)
def test_a_bad_configuration_is_named(text, message, tmp_path):
    folder = write_folder(tmp_path / "model")
    (folder / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError, match=message):
        load_model(folder)


def test_a_tokenizer_that_does_not_fit_or_cannot_be_read(tmp_path):
    folder = write_folder(tmp_path / "model")
    (folder / "generation_config.json").write_text('{"eos_token_id": [2, 77]}')
    with pytest.raises(CheckpointError, match="tokens up to 77, but the model has 40"):
        load_model(folder)
    (folder / "generation_config.json").unlink()
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"the tokenizer in .*model cannot be read"):
        load_model(folder)


def test_saving_never_overwrites_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    model = load_model(write_folder(tmp_path / "model"))
    with pytest.raises(CheckpointError, match="exists already"):
        save_model(tmp_path / "model", model)

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jaxuq.language.model.write_weights", fail)
    with pytest.raises(OSError, match="No space"):
        save_model(tmp_path / "new", model)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_loading_holds_one_parameter_beside_the_model(tmp_path, monkeypatch):
    """Arrays that reading has given are gone before the next is read, but for the stack being filled."""
    import weakref

    alive, most = weakref.WeakSet(), 0
    original = safetensors_module._reader

    class _Counted(np.ndarray):
        pass

    def counting(*args):
        read = original(*args)

        def counted():
            nonlocal most
            array = read().view(_Counted)
            alive.add(array)
            most = max(most, len(alive))
            return array

        return counted

    _Counted.__hash__ = object.__hash__
    monkeypatch.setattr(safetensors_module, "_reader", counting)
    load_model(write_folder(tmp_path / "model"), scan=True)
    assert most == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"model_type": "llama", "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
        {"model_type": "gemma2", "attn_logit_softcapping": None, "final_logit_softcapping": None},
        {"model_type": "gemma3_text", "num_hidden_layers": 8, "final_logit_softcapping": 5.0},
        {"model_type": "qwen3", "attention_bias": True},
        {"model_type": "llama", "rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0,
         "original_max_position_embeddings": 512, "attention_factor": 1.5, "truncate": False}},
    ],
)  # fmt: skip
def test_configurations_round_trip(settings):
    config = decoder_config(settings)
    assert decoder_config(config_json(config)) == config


def test_a_decoder_of_no_family_is_not_saved():
    with pytest.raises(CheckpointError, match="features that llama lacks"):
        config_json(DecoderConfig(32, 16, 24, 2, 4, 2, 4, logit_softcap=5.0))


def _logits(model):
    tokens = jnp.asarray([[1, 5, 3, 2]])
    hidden = model.decoder.apply(model.variables, tokens).hidden
    return model.decoder.apply(model.variables, hidden, method="logits")


def test_a_tied_configuration_with_another_output_layer_is_not_tied(tmp_path, rng):
    """As transformers: `tie_weights` compares the two, and leaves apart what differs."""
    content, tensors = golden_arrays("llama")
    assert content["tie_word_embeddings"]
    head = rng.normal(size=tensors["model.embed_tokens.weight"].shape).astype(np.float32)
    tied = load_model(write_folder(tmp_path / "tied", tensors=tensors))
    copy = load_model(
        write_folder(
            tmp_path / "copy", tensors=tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].copy()}
        )
    )
    _assert_same(copy.params, tied.params)
    with pytest.warns(CheckpointWarning, match=r"holds a lm_head.weight of other numbers, which is used"):
        other = load_model(write_folder(tmp_path / "other", tensors=tensors | {"lm_head.weight": head}))
    untied = load_model(
        write_folder(
            tmp_path / "untied", config={"tie_word_embeddings": False}, tensors=tensors | {"lm_head.weight": head}
        )
    )
    assert not other.decoder.config.tied
    np.testing.assert_array_equal(_logits(other), _logits(untied))
    assert np.abs(_logits(other) - _logits(tied)).max() > 1
    save_model(tmp_path / "saved", other)
    np.testing.assert_array_equal(_logits(load_model(tmp_path / "saved")), _logits(other))


def test_a_tied_output_layer_alone_is_the_embedding(tmp_path):
    _, tensors = golden_arrays("llama")
    renamed = {name.replace("model.embed_tokens", "lm_head"): array for name, array in tensors.items()}
    _assert_same(
        load_model(write_folder(tmp_path / "head", tensors=renamed)).params,
        load_model(write_folder(tmp_path / "table", tensors=tensors)).params,
    )


@pytest.mark.parametrize("stops", ["two", [2, "two"], -1, [True], [2.5], {"a": 1}, [None]])
def test_ends_that_are_no_tokens_are_named(stops, tmp_path):
    folder = write_folder(tmp_path / "model")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": stops}))
    with pytest.raises(CheckpointError, match=r"generation_config.json: eos_token_id"):
        load_model(folder)


def test_without_generation_settings_the_models_own_end_counts(tmp_path):
    folder = write_folder(tmp_path / "model", config={"eos_token_id": [4, 7]})
    assert load_model(folder).stops == (4, 7)
    (folder / "generation_config.json").write_text('{"eos_token_id": 3}')
    assert load_model(folder).stops == (3,)


@pytest.mark.parametrize("family", ["gemma", "gemma2", "llama", "qwen3"])
@pytest.mark.parametrize("activation", ["silu", "gelu", "gelu_tanh"])
def test_activations_round_trip(family, activation):
    config = dataclasses.replace(decoder_config({"model_type": family}), activation=activation)
    assert decoder_config(config_json(config)) == config
