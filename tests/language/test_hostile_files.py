"""Folders and GGUF files of language models with bytes changed: a model or a CheckpointError, in bounded work."""

import pathlib
import resource
import shutil
import time
import warnings

import pytest

from jaxuq.language import CheckpointError, inspect_model, load_peft
from jaxuq.language.gguf import read_gguf
from jaxuq.language.gguf_tokenizer import gguf_tokenizer
from jaxuq.language.model import _open, _stops, _tokenizer
from tests.checkpoints.test_hostile_files import mutated
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
@pytest.mark.parametrize("reader", READERS)
def test_mutations_give_a_model_or_a_checkpoint_error(reader, count, tmp_path, rng):
    name, write, read = READERS[reader]
    path = tmp_path / "model" / name
    path.parent.mkdir()
    write(path)
    whole = path.read_bytes()
    head = whole[:3000] if name.endswith((".gguf", ".safetensors")) else whole  # numbers may be any
    read(path)
    before, refused, longest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0, 0.0
    for _ in range(count):
        path.write_bytes(mutated(head, rng) + whole[len(head) :])
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read(path)
            except CheckpointError:
                refused += 1
        longest = max(longest, time.process_time() - start)
    assert refused > count // 20
    assert longest < 10  # a bound on the work, not a measurement: an unbounded one takes minutes
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700_000  # kilobytes


@pytest.mark.parametrize("value", ["many", True, -1, [5], float("nan")])
def test_a_tokenizers_longest_text_is_a_number(value, tmp_path):
    import json

    folder = write_folder(tmp_path / "model")
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_max_length": value}))
    with pytest.raises(CheckpointError, match=r"model_max_length|cannot be read"):
        _tokenizer(_open(folder))
