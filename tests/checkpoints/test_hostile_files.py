"""Files of other people, damaged or made to harm: a model or a CheckpointError, in bounded time and memory."""

import io
import json
import pathlib
import pickle
import resource
import shutil
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxuq.checkpoints import (
    CheckpointError,
    CheckpointWarning,
    encoder_config,
    load_smiles_tokenizer,
    read_torch_file,
    stored_tensors,
    torch_pickle,
)
from jaxuq.checkpoints.dmpnn import read_dmpnn
from jaxuq.checkpoints.torch_pickle import read_pickle
from tests.checkpoints.mutations import MUTATIONS, check_reader
from tests.checkpoints.torch_writer import write_torch

GOLDEN = pathlib.Path(__file__).parent / "golden"
CONTENT = {"state_dict": {"a.weight": np.ones((3, 4)), "b": np.arange(5.0)}, "args": {"depth": 3, "name": "x"}}


def _zip(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _shared(levels, kind):
    """A list (or tuple) that holds the same one twice, and so on: tiny in the file, 2**levels when it is unfolded."""
    body = b"\x80\x02" + (b"]" if kind == b"l" else b")") + b"q\x00"
    for level in range(levels):
        body += b"0(" + 2 * (b"h" + bytes([level])) + kind + b"q" + bytes([level + 1])
    return body + b"."


@pytest.mark.parametrize("levels", [22, 60, 200])
@pytest.mark.parametrize("kind", [b"l", b"t"])
def test_shared_things_are_looked_into_once(levels, kind):
    data = _shared(levels, kind)
    assert len(data) < 2000
    with pytest.raises(CheckpointError, match="nests things"):
        read_pickle(io.BytesIO(data))


@pytest.mark.parametrize(
    "data",
    [
        b"(" * 100 + b"t" * 100 + b".",
        b"\x80\x02" + b")" + b"\x85" * 5000 + b".",
        b"\x80\x02]q\x00h\x00a.",  # a list in itself
        b"\x80\x02}(" + b")" + b"\x85" * 40 + b"K\x01u.",  # a tuple as a key
    ],
)
def test_deep_and_circular_things_are_refused(data):
    with pytest.raises(CheckpointError):
        read_pickle(io.BytesIO(data))


def test_a_plain_pickle_of_shared_things_is_read():
    one = [1, 2]
    assert read_pickle(io.BytesIO(pickle.dumps({"a": one, "b": [one, one]}, protocol=2))) == {"a": one, "b": [one, one]}


def test_marks_do_not_copy_the_stack():
    """50,000 groups on a deep stack: quadratic would be 1e9 steps."""
    data = b"\x80\x02" + b"N" * 50_000 + b"(t0" * 50_000 + b"."
    assert read_pickle(io.BytesIO(data)) is None


def test_members_that_grow_are_refused_before_they_are_read(tmp_path):
    bomb = _zip(tmp_path / "x.pt", {"a/data.pkl": b"\x80\x02}.", "a/byteorder": b"\0" * 2**24}, zipfile.ZIP_DEFLATED)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match="byteorder is compressed"):
        read_torch_file(bomb)
    stored = _zip(tmp_path / "y.pt", {"a/data.pkl": b"\x80\x02}.", "a/byteorder": b"\0" * 2**20})
    with pytest.raises(CheckpointError, match="byteorder is 1048576 bytes long"):
        read_torch_file(stored)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_tensor_larger_than_its_storage_is_refused_before_it_is_made(tmp_path):
    from jaxuq.checkpoints.torch_pickle import Storage, TensorRecord

    file = read_torch_file(write_torch_at(tmp_path / "x.pt"))
    record = TensorRecord(Storage("FloatStorage", "0"), 0, (2**40,), (0,))
    with pytest.raises(CheckpointError, match=f"needs {2**40} numbers"):
        file.tensor("x", record).read()


def _of_records(path, *records):
    """A file whose tensors are these records of one storage of 1,000 numbers."""
    body = b"\x80\x02}("
    for number, (offset, shape, strides) in enumerate(records):
        body += pickle.dumps(f"t{number}", 2)[2:-1] + b"ctorch._utils\n_rebuild_tensor_v2\n("
        body += b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuM\xe8\x03tQ"
        body += b"".join(pickle.dumps(part, 2)[2:-1] for part in (offset, shape, strides)) + b"\x89}tR"
    return _zip(path, {"a/data.pkl": body + b"u.", "a/data/0": np.arange(1000, dtype=np.float32).tobytes()})


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ((0, (2**63,), (0,)), "no count"),
        ((0, (-1,), (1,)), "no count"),
        ((0, (2**400,) * 30, (0,) * 30), "bits|no count"),
        ((0, (1,) * 100, (1,) * 100), "at most 32 sizes"),
        ((0, (2, 2), (1,)), "2 sizes and 1 strides"),
        ((0, "23", (1, 1)), "no list"),
        ((0, ("2",), (1,)), "no count"),
        ((0, (2.5,), (1,)), "no count"),
        (("0", (2,), (1,)), "no count"),
    ],
)
def test_sizes_are_counts(record, said, tmp_path):
    with pytest.raises(CheckpointError, match=said):
        read_torch_file(_of_records(tmp_path / "x.pt", record))


def test_views_of_one_storage_are_read_by_themselves(tmp_path):
    """Each costs what it holds, and together they are not many times the file."""
    file = read_torch_file(_of_records(tmp_path / "x.pt", (10, (2, 3), (3, 1)), (0, (3, 2), (1, 3)), (999, (1,), (1,))))
    found = [tensor.read().tolist() for tensor in file.tensors().values()]
    assert found == [[[10, 11, 12], [13, 14, 15]], [[0, 3], [1, 4], [2, 5]], [999]]
    with pytest.raises(CheckpointError, match="needs 1001 numbers, 1000 are there"):
        read_torch_file(_of_records(tmp_path / "y.pt", (999, (2,), (1,)))).tensors()["t0"].read()
    many = read_torch_file(_of_records(tmp_path / "z.pt", *[(0, (1000,), (1,))] * 2000))
    with pytest.raises(CheckpointError, match=r"tensors of 2000000 numbers in \d+ bytes: they are the same"):
        many.tensors()


def test_a_pickle_of_nothing_but_instructions_is_refused(monkeypatch):
    assert torch_pickle._INSTRUCTIONS <= 2**20
    monkeypatch.setattr(torch_pickle, "_INSTRUCTIONS", 1000)
    assert read_pickle(io.BytesIO(b"\x80\x02" + b"N0" * 400 + b"N.")) is None
    data = b"\x80\x02" + b"N0" * 600 + b"N."
    with pytest.raises(CheckpointError, match="instructions, which no weights need"):
        read_pickle(io.BytesIO(data))


def write_torch_at(path):
    write_torch(path, CONTENT)
    return path


def _read_torch(path):
    file = read_torch_file(path)
    for tensor in file.tensors("state_dict").values():
        tensor.read()
    file.settings("args")


def _read_dmpnn(path):
    read_dmpnn(read_torch_file(path))


def _read_safetensors(path):
    for tensor in stored_tensors(path.parent).values():
        tensor.read()


ENCODER = {
    "model_type": "bert", "vocab_size": 9, "hidden_size": 4, "intermediate_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 2, "layer_norm_eps": 1e-12, "hidden_act": "gelu", "max_position_embeddings": 12,
}  # fmt: skip


def _read_encoder(path):
    from jaxuq.checkpoints.safetensors import read_json

    encoder_config(read_json(path))


def _read_vocabulary(path):
    load_smiles_tokenizer(path.parent).encode(["CCO"])


def _compressed(path):
    write_torch(path, CONTENT)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return _zip(path, members, zipfile.ZIP_DEFLATED)


READERS = {
    "torch": ("x.pt", write_torch_at, _read_torch),
    "torch compressed": ("x.pt", _compressed, _read_torch),
    "dmpnn": ("x.pt", lambda path: shutil.copyfile(GOLDEN / "dmpnn_classification.pt", path), _read_dmpnn),
    "safetensors": (
        "model.safetensors",
        lambda path: save_file({"a": np.ones((3, 4), np.float32), "b": np.ones(2, np.float16)}, path),
        _read_safetensors,
    ),
    "encoder": ("config.json", lambda path: path.write_text(json.dumps(ENCODER)), _read_encoder),
    "vocabulary": (
        "vocab.json",
        lambda path: path.write_text(json.dumps({"[CLS]": 0, "[SEP]": 1, "[UNK]": 2, "C": 3, "O": 4})),
        _read_vocabulary,
    ),
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layer_norm_eps", "1e-12"), ("layer_norm_eps", float("inf")), ("vocab_size", 9.5), ("hidden_size", 0),
        ("num_attention_heads", 0), ("hidden_act", "tanh"), ("hidden_act", 3),
        ("position_embedding_type", "relative_key"), ("is_decoder", True), ("pruned_heads", {"0": [1]}),
        ("quantization_config", {"bits": 4}), ("embedding_size", 2), ("hidden_dropout_prob", 2.0),
        ("type_vocab_size", -1), ("max_position_embeddings", True),
    ],
)  # fmt: skip
def test_an_encoders_settings_are_used_or_refused_by_name(key, value):
    with pytest.raises(CheckpointError, match=key):
        encoder_config(ENCODER | {key: value})


def test_an_encoders_unknown_setting_is_named():
    with pytest.warns(CheckpointWarning, match="a_new_setting"):
        encoder_config(ENCODER | {"a_new_setting": 1, "use_cache": True})


@pytest.mark.parametrize("number", ["x", 1.5, -1, True, None, [1], 1e400])
def test_a_vocabularys_numbers_are_token_numbers(number, tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps({"[CLS]": 0, "[SEP]": 1, "[UNK]": 2, "C": number}))
    with pytest.raises(CheckpointError, match=r"vocab\.json"):
        load_smiles_tokenizer(tmp_path)


def test_a_vocabulary_that_is_no_text_is_named(tmp_path):
    (tmp_path / "vocab.txt").write_bytes(b"[CLS]\n\xff\xfe")
    with pytest.raises(CheckpointError, match=r"vocab\.txt is not"):
        load_smiles_tokenizer(tmp_path)


@pytest.mark.parametrize("count", [200, pytest.param(5000, marks=pytest.mark.long)])
@pytest.mark.parametrize("mutate", MUTATIONS)
@pytest.mark.parametrize("reader", READERS)
def test_mutations_give_a_model_or_a_checkpoint_error(reader, mutate, count, tmp_path):
    name, write, read = READERS[reader]
    write(tmp_path / name)
    check_reader(tmp_path / name, read, MUTATIONS[mutate], count=count, seconds=5, megabytes=500)
