"""Other people's models: settings, tokenizers, weights, adapters, encoders, backbones; instructions to learn from."""

import json
import pathlib
from typing import Any

from readers.files import Reader, lines, once, texts


def _model_folder(folder: pathlib.Path) -> None:
    from tests.language.tiny_checkpoints import write_folder

    write_folder(folder, shards=2)
    (folder / "generation_config.json").write_text('{"eos_token_id": [2, 1], "temperature": 0.5}')


def _load_model(folder: pathlib.Path) -> Any:
    from jaxuq.language import encode_prompt, inspect_model, load_model

    inspect_model(folder)
    return encode_prompt(load_model(folder).tokenizer, [{"role": "user", "content": "the sea"}])


def _load_parts(folder: pathlib.Path) -> Any:
    from jaxuq.language import inspect_model
    from jaxuq.language.model import _open, _stops, _tokenizer

    inspect_model(folder)
    opened = _open(folder)
    return _stops(opened), _tokenizer(opened)


def _gguf(folder: pathlib.Path) -> None:
    from tests.language.tiny_checkpoints import write_gguf

    write_gguf(folder / "model.gguf")


def _load_gguf(folder: pathlib.Path) -> Any:
    from jaxuq.language import inspect_model
    from jaxuq.language.gguf import read_gguf
    from jaxuq.language.gguf_tokenizer import gguf_tokenizer

    inspect_model(folder / "model.gguf")
    return gguf_tokenizer(read_gguf(folder / "model.gguf"))


def _adapter(folder: pathlib.Path) -> None:
    import shutil

    from tests.language.golden_decoders import __file__ as place

    shutil.copytree(pathlib.Path(place).parent / "golden" / "peft-patterns", folder, dirs_exist_ok=True)


def _load_adapter(folder: pathlib.Path) -> Any:
    from jaxuq.language import load_peft
    from tests.language.golden_decoders import load

    return load_peft(folder, load("llama").config)


def _encoder(folder: pathlib.Path) -> None:
    from tests.tagging.small_data import write_encoder

    write_encoder(folder)


def _load_encoder(folder: pathlib.Path) -> Any:
    from jaxuq.checkpoints import encoder_digest, find_encoder, load_encoder, load_subwords

    found = load_encoder(find_encoder(folder))
    load_subwords(folder)
    return found, encoder_digest(folder)


def _smiles_vocabulary(folder: pathlib.Path) -> None:
    (folder / "vocab.json").write_text(json.dumps({"[CLS]": 0, "[SEP]": 1, "[UNK]": 2, "C": 3, "O": 4}))
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 512}')


def _load_smiles_vocabulary(folder: pathlib.Path) -> Any:
    from jaxuq.checkpoints import load_smiles_tokenizer

    return load_smiles_tokenizer(folder).encode(["CCO", "Cl"])


def _torch(folder: pathlib.Path) -> None:
    import numpy as np

    from tests.checkpoints.torch_writer import write_torch

    content = {"state_dict": {"a.weight": np.ones((3, 4)), "b": np.arange(5.0)}, "args": {"depth": 3, "name": "x"}}
    write_torch(folder / "x.pt", content)


def _load_torch(folder: pathlib.Path) -> Any:
    from jaxuq.checkpoints import read_torch_file

    file = read_torch_file(folder / "x.pt")
    for tensor in file.tensors("state_dict").values():
        tensor.read()
    return file.settings("args")


def _dmpnn(folder: pathlib.Path) -> None:
    import shutil

    from tests.checkpoints import __file__ as place

    shutil.copyfile(pathlib.Path(place).parent / "golden" / "dmpnn_classification.pt", folder / "x.pt")


def _convert(folder: pathlib.Path) -> Any:
    from jaxuq.checkpoints import convert_backbone, load_backbone

    convert_backbone("dmpnn", folder / "x.pt", folder / "converted")
    return load_backbone(folder / "converted")


def _converted(folder: pathlib.Path) -> None:
    _dmpnn(folder)
    _convert(folder)


def _load_converted(folder: pathlib.Path) -> Any:
    from jaxuq.checkpoints import load_backbone, read_json, stored_tensors

    read_json(folder / "converted" / "config.json")
    for tensor in stored_tensors(folder / "converted").values():
        tensor.read()
    return load_backbone(folder / "converted")


def _shape(folder: pathlib.Path) -> Any:
    from jaxuq.planning import model_shape

    return model_shape(str(folder))


_INSTRUCTIONS = lines(
    {"instruction": "what is a cat", "response": "one"},
    {"messages": [{"role": "user", "content": "what"}, {"role": "assistant", "content": "yes"}]},
)


def _instructions(folder: pathlib.Path) -> Any:
    from jaxuq import JaxuqError
    from jaxuq.language import InstructionFile
    from tests.language.words import tokenizer

    found = InstructionFile(folder / "mix.jsonl", once("tokenizer", tokenizer), max_length=16)
    for row in range(min(len(found), 20)):
        try:
            found[row]
        except JaxuqError:
            continue
    return found


READERS: dict[str, Reader] = {
    "models: whole folder": Reader(
        ("config.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors", "tokenizer.json"),
        _model_folder,
        _load_model,
        ("load_model",),
        share=0.05,
    ),
    "models: settings": Reader(
        ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"),
        _model_folder,
        _load_parts,
        ("inspect_model",),
        share=0.4,
    ),
    "models: GGUF": Reader(("model.gguf",), _gguf, _load_gguf, share=0.4),
    "models: adapters": Reader(
        ("adapter_config.json", "adapter_model.safetensors"),
        _adapter,
        _load_adapter,
        ("load_peft", "load_adapter_checkpoints"),
        share=0.3,
    ),
    "models: encoders": Reader(
        ("config.json", "vocab.txt", "tokenizer_config.json", "model.safetensors"),
        _encoder,
        _load_encoder,
        ("load_encoder", "find_encoder", "load_subwords", "find_packaged"),
        share=0.3,
    ),
    "models: vocabularies of SMILES": Reader(
        ("vocab.json", "tokenizer_config.json"), _smiles_vocabulary, _load_smiles_vocabulary, ("load_smiles_tokenizer",)
    ),
    "models: PyTorch": Reader(("x.pt",), _torch, _load_torch, ("read_torch_file",)),
    "models: D-MPNN, converted": Reader(("x.pt",), _dmpnn, _convert, ("convert_backbone",), share=0.05),
    "models: converted folder": Reader(
        ("converted/*.json", "converted/*.safetensors"),
        _converted,
        _load_converted,
        ("load_backbone", "read_json", "stored_tensors"),
        share=0.3,
    ),
    "models: shape": Reader(("config.json",), _model_folder, _shape, ("model_shape",)),
    "instructions": Reader(("mix.jsonl",), texts(mix__jsonl=_INSTRUCTIONS), _instructions, ("InstructionFile",)),
}
"""By name, as the page shows them."""
