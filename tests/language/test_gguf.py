"""GGUF files: the same numbers as the safetensors folder, and an error for a file cut at any byte."""

import struct
import warnings

import gguf
import jax
import numpy as np
import pytest

from jaxuq.language import CheckpointError, decoder_config, encode_prompt, inspect_model, load_model, save_model
from jaxuq.language.gguf import read_gguf, stored_gguf_tensor
from jaxuq.language.gguf_config import gguf_config
from jaxuq.networks import Rotary, rotary_frequencies
from tests.language.golden_decoders import load
from tests.language.tiny_checkpoints import golden_arrays, tiny_tokenizer, write_gguf


@pytest.mark.parametrize("family", ["gemma", "gemma2", "gemma3", "llama", "qwen2", "qwen3"])
def test_families_equal_their_safetensors(family, tmp_path):
    golden = load(family)
    model = load_model(write_gguf(tmp_path / "model.gguf", family, version=2 + len(family) % 2), scan=True)
    # what the format has no room for: llama.cpp knows Gemma's query scale by heart, and Qwen's windows not at all
    expected = golden.config
    found = model.decoder.config
    assert found.rotary == expected.rotary or family == "qwen2"
    for field in expected.__dataclass_fields__:
        if field in ("query_scale", "norm_eps") or (family == "qwen2" and field in ("layer_windows", "rotary")):
            continue
        assert getattr(found, field) == getattr(expected, field), field
    assert found.norm_eps == pytest.approx(expected.norm_eps)
    assert found.query_scale == (8**-0.5 if family in ("gemma2", "gemma3") else None)
    for (path, actual), wanted in zip(
        jax.tree_util.tree_leaves_with_path(model.params), jax.tree.leaves(golden.params), strict=True
    ):
        # adding one to a norm and taking it away again rounds to the spacing of numbers near two
        tolerance = 2.4e-7 if family.startswith("gemma") and "norm" in str(path) else 0
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=tolerance)


def test_the_large_gemmas_scale_queries_by_width_over_heads(tmp_path):
    file = read_gguf(write_gguf(tmp_path / "model.gguf", "gemma2"))
    assert gguf_config(file)["query_pre_attn_scalar"] == 8
    more = {f"blk.{layer}": file.tensors["token_embd.weight"] for layer in range(46)}
    large = file._replace(metadata=file.metadata | {"gemma2.block_count": 46}, tensors=file.tensors | more)
    assert gguf_config(large)["query_pre_attn_scalar"] == 16 // 4


def test_llama3_is_recognised_by_its_table_of_divisors(tmp_path):
    rotary = Rotary(theta=1e8, kind="llama3", factor=32.0, original_context=8192)
    plain, scaled = rotary_frequencies(Rotary(theta=1e8), 4)[0], rotary_frequencies(rotary, 4)[0]

    def read(divisors):
        file = read_gguf(write_gguf(tmp_path / "model.gguf", extra={"rope_freqs.weight": divisors}))
        return gguf_config(file._replace(metadata=file.metadata | {"llama.rope.freq_base": 1e8}))

    assert decoder_config(read(plain / scaled)).rotary == (rotary,)
    with pytest.raises(CheckpointError, match=r"model.gguf scales its rotary embedding by a table"):
        read(np.array([3.0, 7.0], np.float32))


def test_metadata_and_tensors_equal_the_packages_reader(tmp_path):
    path = write_gguf(
        tmp_path / "model.gguf",
        metadata={"a.flag": True, "a.text": "né", "a.numbers": [1, -2, 3], "a.reals": [0.5, 2.0], "a.words": ["x", ""]},
    )
    file, reader = read_gguf(path), gguf.GGUFReader(path)
    theirs = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert file.metadata == theirs
    assert list(file.tensors) == [tensor.name for tensor in reader.tensors]
    for tensor in reader.tensors:
        np.testing.assert_array_equal(stored_gguf_tensor(file, file.tensors[tensor.name]).read(), tensor.data)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_quantised_tensors_equal_the_packages_numbers(kind, tmp_path, rng):
    kind = gguf.GGMLQuantizationType[kind]
    numbers = rng.normal(size=(5, 64)).astype(np.float32)
    raw = gguf.quants.quantize(numbers, kind)
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    writer.add_tensor("x", raw, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = read_gguf(tmp_path / "x.gguf")
    stored = stored_gguf_tensor(file, file.tensors["x"])
    assert (stored.shape, stored.kind) == ((5, 64), kind.name)
    np.testing.assert_array_equal(stored.read(), gguf.quants.dequantize(raw, kind))
    np.testing.assert_allclose(stored.read(), numbers, atol=0.35)


def test_a_large_tensor_is_dequantised_in_parts_alike(tmp_path, rng, monkeypatch):
    raw = gguf.quants.quantize(rng.normal(size=(7, 96)).astype(np.float32), gguf.GGMLQuantizationType.Q8_0)
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    writer.add_tensor("x", raw, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    monkeypatch.setattr("jaxuq.language.gguf._DEQUANTISED", 160)
    file = read_gguf(tmp_path / "x.gguf")
    expected = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType.Q8_0)
    np.testing.assert_array_equal(stored_gguf_tensor(file, file.tensors["x"]).read(), expected)


def test_conversion_to_safetensors_changes_no_bit(tmp_path):
    model = load_model(write_gguf(tmp_path / "model.gguf"))
    save_model(tmp_path / "folder", model)
    again = load_model(tmp_path / "folder")
    assert again.decoder == model.decoder
    for a, b in zip(jax.tree.leaves(again.params), jax.tree.leaves(model.params), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    for text in ("the theory of tea.", "ab|<", "is <|im_end|> so?\n\n"):
        tokens = encode_prompt(tiny_tokenizer(), text)
        assert encode_prompt(model.tokenizer, text) == tokens == encode_prompt(again.tokenizer, text)
    assert inspect_model(tmp_path / "model.gguf").parameters == inspect_model(tmp_path / "folder").parameters


def _refuses(path, whole, size):
    path.write_bytes(whole[:size])
    with pytest.raises(CheckpointError) as error:
        read_gguf(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("version", [2, 3])
def test_a_file_cut_at_any_byte_is_named(version, tmp_path, rng):
    writer = gguf.GGUFWriter(tmp_path / "small.gguf", "llama")
    writer.add_block_count(1)
    writer.add_token_list(["a", "bc"])
    writer.add_token_scores([0.5, 1.5])
    writer.add_tensor("x", np.ones((2, 3), np.float32))
    writer.add_tensor("y", np.ones(5, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    whole = bytearray((tmp_path / "small.gguf").read_bytes())
    whole[4] = version
    path = tmp_path / "cut.gguf"
    for size in range(len(whole)):
        _refuses(path, whole, size)
    path.write_bytes(whole)
    assert list(read_gguf(path).tensors) == ["x", "y"]

    whole = write_gguf(tmp_path / "whole.gguf", version=version).read_bytes()
    for size in [*rng.integers(0, len(whole), 60), *range(len(whole) - 40, len(whole))]:
        _refuses(path, whole, int(size))
    path.write_bytes(whole)
    assert load_model(path).decoder.config.num_layers == 2


def test_any_changed_byte_of_the_header_gives_a_model_or_a_checkpoint_error(tmp_path, rng):
    whole = write_gguf(tmp_path / "whole.gguf").read_bytes()
    start = read_gguf(tmp_path / "whole.gguf").tensors["token_embd.weight"].offset
    path, refused = tmp_path / "changed.gguf", 0
    for at in [*range(24), *rng.integers(24, start, 100)]:
        changed = bytearray(whole)
        changed[at] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        try:
            inspect_model(path)
        except CheckpointError as error:
            refused += str(path) in str(error)
    assert refused >= 24


def _header(counts=(0, 0), version=3, rest=b""):
    return b"GGUF" + struct.pack("<IQQ", version, *counts) + rest


def _entry(key, kind, value):
    return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a GGUF file"),
        (b"PK\x03\x04" + bytes(60), "is not a GGUF file"),
        (_header(version=1), "of version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "of big-endian"),
        (_header((2**63, 0)), "9223372036854775808 entries are announced"),
        (_header((0, 2**40)), "1099511627776 entries are announced"),
        (_header((0, 1), rest=struct.pack("<Q", 2**60)), "entries are announced"),
        (_header((0, 1), rest=_entry("a", 9, struct.pack("<IQ", 4, 2**62)) + bytes(20)), "entries are announced"),
        (_header((0, 1), rest=_entry("a", 9, struct.pack("<IQ", 8, 2**32)) + bytes(20)), "entries are announced"),
        (_header((0, 1), rest=_entry("a", 99, bytes(20))), "unknown type 99"),
        (_header((0, 1), rest=_entry("a", 8, struct.pack("<Q", 2) + b"\xff\xfe") + bytes(20)), "not UTF-8"),
        (_header((0, 2), rest=2 * _entry("a", 0, b"\0") + bytes(20)), "'a' is there twice"),
        (_header((0, 1), rest=_entry("general.alignment", 4, struct.pack("<I", 3))), "alignment is 3"),
        (_header((1, 0), rest=struct.pack("<Q", 1) + b"x" + struct.pack("<I", 9) + bytes(99)), "has 9 axes"),
        (_header((1, 0), rest=struct.pack("<Q1sIQIQ", 1, b"x", 1, 4, 4000, 0) + bytes(99)), "unknown type 4000"),
        (_header((1, 0), rest=struct.pack("<Q1sIQIQ", 1, b"x", 1, 2**60, 0, 0) + bytes(99)), "truncated or damaged"),
        (_header((1, 0), rest=struct.pack("<Q1sIQIQ", 1, b"x", 1, 4, 0, 2**60) + bytes(99)), "truncated or damaged"),
        (_header((1, 0), rest=struct.pack("<Q1sIQIQ", 1, b"x", 1, 33, 2, 0) + bytes(99)), "cannot be of type Q4_0"),
    ],
)
def test_lying_headers_are_named(content, message, tmp_path):
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as error:
        load_model(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"general.architecture": "mamba"}, "architecture 'mamba'; supported are gemma, gemma2, gemma3, llama"),
        ({"general.architecture": 3}, "has a int as 'general.architecture'"),
        ({"llama.expert_count": 8}, "expert_count is '8': mixtures of experts"),
        ({"split.count": 3}, "one of several parts"),
        ({"llama.rope.dimension_count": 2}, "rotates a part of each head"),
        ({"llama.rope.scaling.type": "su"}, "by 'su'"),
        ({"llama.block_count": None}, "lacks 'llama.block_count'"),
        ({"llama.block_count": 3}, "9 missing .*model.layers.2.self_attn.q_proj.weight"),
        ({"llama.attention.head_count_kv": [2, 4]}, "layers that differ in attention.head_count_kv"),
        ({"llama.embedding_length": 8}, "wrong shape: .*token_embd.weight"),
        ({"tokenizer.ggml.model": "t5"}, "tokenizer of kind 't5'; supported are gpt2 and llama"),
        ({"tokenizer.ggml.pre": "tekken"}, "manner of 'tekken'"),
        ({"tokenizer.ggml.eos_token_id": 99}, "special tokens beyond them"),
        ({"tokenizer.ggml.token_type": [1, 2]}, "40 tokens and 2 token types"),
        ({"tokenizer.ggml.merges": ["t h", "q"]}, "merges that are not of two tokens"),
        ({"tokenizer.ggml.merges": ["t h", "q zz"]}, "tokenizer that cannot be built"),
    ],
)
def test_contradicting_metadata_are_named(metadata, message, tmp_path, monkeypatch):
    path = write_gguf(tmp_path / "model.gguf")
    original = read_gguf

    def changed(path):
        file = original(path)
        entries = {key: value for key, value in (file.metadata | metadata).items() if value is not None}
        return file._replace(metadata=entries)

    monkeypatch.setattr("jaxuq.language.model.read_gguf", changed)
    with pytest.raises(CheckpointError, match=message) as error:
        load_model(path)
    assert "model.gguf" in str(error.value)


def test_not_a_number_and_unknown_files_are_named(tmp_path):
    tensors = dict(golden_arrays("llama")[1])
    tensors["model.norm.weight"] = np.full_like(tensors["model.norm.weight"], np.nan)
    with pytest.raises(CheckpointError, match=r"output_norm.weight in .*model.gguf holds NaN"):
        load_model(write_gguf(tmp_path / "model.gguf", tensors=tensors))
    (tmp_path / "model.bin").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"model.bin is neither a folder"):
        load_model(tmp_path / "model.bin")


YARN = {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0}


@pytest.mark.parametrize(
    ("metadata", "rotary"),
    [
        ({"llama.rope.scale_linear": 4.0}, Rotary(kind="linear", factor=4.0)),
        ({"llama.rope.scaling.factor": 4.0}, Rotary(kind="linear", factor=4.0)),
        ({"llama.rope.scaling.factor": 4.0, "llama.rope.scale_linear": 2.0}, Rotary(kind="linear", factor=4.0)),
        ({"llama.rope.scaling.factor": 4.0, "llama.rope.scaling.type": "none"}, Rotary()),
        ({"llama.rope.scaling.factor": 0.0}, Rotary()),
        (YARN, Rotary(kind="yarn", factor=4.0, original_context=64)),
        (
            YARN | {"llama.rope.scaling.yarn_beta_fast": 8.0, "llama.rope.scaling.yarn_beta_slow": 2.0},
            Rotary(kind="yarn", factor=4.0, original_context=64, beta_fast=8.0, beta_slow=2.0),
        ),
        (
            YARN | {"llama.rope.scaling.attn_factor": 0.5, "llama.rope.scaling.original_context_length": 16},
            Rotary(kind="yarn", factor=4.0, original_context=16, attention_factor=0.5 * (1 + 0.1 * np.log(4.0))),
        ),
    ],
)
def test_rotary_metadata_are_read_as_llama_cpp_reads_them(metadata, rotary, tmp_path):
    file = read_gguf(write_gguf(tmp_path / "model.gguf"))
    assert decoder_config(gguf_config(file._replace(metadata=file.metadata | metadata))).rotary == (rotary,)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rope.scaling.attn_factor", 2.0),
        ("rope.scaling.yarn_ext_factor", 0.5),
        ("rope.scaling.yarn_ext_factor", 1.0),
        ("rope.scaling.alpha", 2.0),
        ("rope.scaling.yarn_log_multiplier", 0.1),
        ("rope.dimension_sections", [1, 1, 0, 0]),
        ("rope.dimension_count_swa", 2),
        ("rope.something_new", 1),
        ("attention.something_new", 1),
        ("attention.causal", False),
        ("attention.clamp_kqv", 8.0),
        ("attention.max_alibi_bias", 8.0),
        ("attention.value_length", 8),
        ("attention.scale", 0.1),
        ("attention.sliding_window", 8),
        ("attention.head_count", 0),
        ("attention.head_count_kv", 0),
        ("attention.head_count", [4, 0]),
        ("attention.layer_norm_rms_epsilon", float("nan")),
        ("rope.freq_base", float("inf")),
        ("rope.freq_base", -1.0),
        ("rope.scaling.factor", -2.0),
        ("block_count", 2.5),
        ("vocab_size", 999),
        ("logit_scale", 0.5),
        ("use_parallel_residual", True),
        ("expert_used_count", 2),
        ("nextn_predict_layers", 1),
    ],
)
def test_what_changes_the_computation_and_is_not_read_is_refused_by_name(key, value, tmp_path):
    file = read_gguf(write_gguf(tmp_path / "model.gguf"))
    with pytest.raises(CheckpointError, match=key.split(".")[-1]):
        gguf_config(file._replace(metadata=file.metadata | {f"llama.{key}": value}))


@pytest.mark.parametrize("name", ["phi3", "qwen2moe", "qwen3moe", "olmoe", "mamba"])
def test_other_architectures_are_refused_by_name(name, tmp_path):
    """Also families that are read from their folders; Mixtral's files are Llama's with experts, refused above."""
    file = read_gguf(write_gguf(tmp_path / "model.gguf"))
    with pytest.raises(CheckpointError, match=rf"the architecture '{name}'; supported are gemma"):
        gguf_config(file._replace(metadata=file.metadata | {"general.architecture": name}))


def test_every_key_of_the_format_is_read_or_refused_or_named(tmp_path):
    """All keys that the gguf package knows, with a value that would matter."""
    file = read_gguf(write_gguf(tmp_path / "model.gguf"))
    quiet = {"llama.tensor_data_layout", "llama.pooling_type", "llama.rope.scaling.finetuned"}
    quiet |= {"llama.attention.layer_norm_epsilon", "llama.vocab_size", "llama.rope.scaling.original_context_length"}
    quiet |= {f"llama.rope.scaling.yarn_{name}" for name in ("beta_fast", "beta_slow")}  # of YaRN alone
    plain = decoder_config(gguf_config(file))
    groups = [vars(getattr(gguf.Keys, group)) for group in ("LLM", "Attention", "Rope")]
    keys = [name for group in groups for name in group.values() if isinstance(name, str) and name.startswith("{arch}.")]
    assert len(keys) > 60
    for key in keys:
        key = key.replace("{arch}", "llama").replace("{dense}", "dense_2")
        before = file.metadata.get(key)
        value = "yarn" if key.endswith("scaling.type") else before * 2 if isinstance(before, int | float) else 7
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                changed = decoder_config(gguf_config(file._replace(metadata=file.metadata | {key: value}))) != plain
            except CheckpointError:
                changed = True
        assert changed or any(key in str(one.message) for one in said) or key in quiet, key


def test_the_end_of_a_turn_that_a_file_names_stops_an_answer(tmp_path):
    model = load_model(write_gguf(tmp_path / "model.gguf", metadata={"tokenizer.ggml.eot_token_id": 5}))
    assert model.stops == (5,)


def test_what_converters_write_for_the_other_kind_of_tokenizer_is_no_reason_to_refuse(tmp_path):
    written = {"tokenizer.ggml.add_space_prefix": False, "tokenizer.ggml.scores": [0.0, 1.0]}
    load_model(write_gguf(tmp_path / "model.gguf", metadata=written))
    asked = write_gguf(tmp_path / "asked.gguf", metadata={"tokenizer.ggml.add_space_prefix": True})
    with pytest.raises(
        CheckpointError, match="add_space_prefix is 'True': byte-level tokenizers that begin with a space"
    ):
        load_model(asked)


def test_an_unknown_key_of_the_tokenizer_is_refused(tmp_path):
    path = write_gguf(tmp_path / "model.gguf", metadata={"tokenizer.ggml.something_new": True})
    with pytest.raises(CheckpointError, match=r"tokenizer.ggml.something_new"):
        load_model(path)
