"""Folders and GGUF files of language models with bytes changed: a model or a CheckpointError, in bounded work."""

import json
import pathlib
import resource
import shutil

import pytest

from jaxuq.language import CheckpointError, inspect_model, load_peft
from jaxuq.language.gguf import read_gguf
from jaxuq.language.gguf_tokenizer import gguf_tokenizer
from jaxuq.language.model import _open, _stops, _tokenizer
from tests.checkpoints.mutations import MUTATIONS, check_reader
from tests.language.golden_decoders import load
from tests.language.tiny_checkpoints import write_folder, write_gguf

GOLDEN = pathlib.Path(__file__).parent / "golden"


def _config(path):
    inspect_model(path.parent)
    _stops(_open(path.parent))


def _gguf(path):
    inspect_model(path)
    gguf_tokenizer(read_gguf(path))


def _folder(path):
    write_folder(path.parent)
    (path.parent / "generation_config.json").write_text('{"eos_token_id": [2, 1], "temperature": 0.5}')


def _adapter(path):
    shutil.copytree(GOLDEN / "peft-patterns", path.parent, dirs_exist_ok=True)


def _load_adapter(path):
    load_peft(path.parent, load("llama").config)


READERS = {
    "configuration": ("config.json", _folder, _config),
    "generation": ("generation_config.json", _folder, _config),
    "tokenizer": ("tokenizer.json", _folder, lambda path: _tokenizer(_open(path.parent))),
    "tokenizer settings": ("tokenizer_config.json", _folder, lambda path: _tokenizer(_open(path.parent))),
    "gguf": ("model.gguf", write_gguf, _gguf),
    "adapter": ("adapter_config.json", _adapter, _load_adapter),
    "adapter weights": (
        "adapter_model.safetensors",
        _adapter,
        _load_adapter,
    ),
}


@pytest.mark.parametrize("count", [60, pytest.param(5000, marks=pytest.mark.long)])
@pytest.mark.parametrize("mutate", MUTATIONS)
@pytest.mark.parametrize("reader", READERS)
def test_mutations_give_a_model_or_a_checkpoint_error(reader, mutate, count, tmp_path):
    name, write, read = READERS[reader]
    path = tmp_path / "model" / name
    path.parent.mkdir()
    write(path)
    read(path)
    head = 3000 if name.endswith((".gguf", ".safetensors")) else None  # numbers may be any
    check_reader(path, read, MUTATIONS[mutate], count=count, seconds=10, megabytes=700, head=head)


def test_a_rank_that_no_tensor_has_is_refused_before_adapters_of_it_are_made(tmp_path):
    """One module's rank of five million must not make the others as large."""
    path = tmp_path / "adapter_config.json"
    _adapter(path)
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {"rank_pattern": settings["rank_pattern"] | {"v_proj": 5_000_000}}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=r"v_proj \(a\) has shape .* needs \(5000000, "):
        _load_adapter(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_a_tokenizer_that_makes_its_library_panic_is_refused(tmp_path):
    """A panic in Rust is no `Exception` in Python."""
    file = write_folder(tmp_path / "model") / "tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["continuing_subword_prefix"] = "longer than any pair of tokens"
    file.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="cannot be read"):
        _tokenizer(_open(file.parent))


@pytest.mark.parametrize("value", ["many", True, -1, [5], float("nan")])
def test_a_tokenizers_longest_text_is_a_number(value, tmp_path):
    folder = write_folder(tmp_path / "model")
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_max_length": value}))
    with pytest.raises(CheckpointError, match=r"model_max_length|cannot be read"):
        _tokenizer(_open(folder))
