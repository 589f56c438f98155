"""Weights in safetensors files: memory-mapped, tensor by tensor, in one file or in shards."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import PyTree

from jaxuq.language.errors import CheckpointError
from jaxuq.language.weights import StoredTensor, named_weights, weight_sizes
from jaxuq.networks import DecoderConfig

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_KINDS = ("BF16", "F16", "F32", "F64")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Args:
        path: of the file.

    Returns:
        The object.

    Raises:
        CheckpointError: the file is missing, damaged, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not a readable JSON file: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds {type(content).__name__}, expected an object")
    return content


def _weight_files(folder: Path) -> list[Path]:
    """The files with weights, of which all must be there."""
    index = folder / _INDEX
    if (folder / _SINGLE).is_file() and not index.is_file():
        return [folder / _SINGLE]
    if index.is_file():
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
            raise CheckpointError(f"{index} has no weight_map from tensors to files")
        names = sorted(set(weight_map.values()))
        outside = [name for name in names if Path(name).name != name]
        if outside:
            raise CheckpointError(f"{index} names files outside its folder: {', '.join(outside)}")
        missing = [name for name in names if not (folder / name).is_file()]
        if missing or not names:
            raise CheckpointError(f"{folder} lacks {len(missing)} of the {len(names)} files of {_INDEX}: {missing}")
        return [folder / name for name in names]
    others = sorted(folder.glob("*.safetensors"))
    if len(others) == 1:
        return others
    if others:
        raise CheckpointError(f"{folder} holds several safetensors files but no {_INDEX} that says which to read")
    pickled = sorted(path.name for end in ("bin", "pt", "pth") for path in folder.glob(f"*.{end}"))
    if pickled:
        raise CheckpointError(
            f"{folder} holds pickled weights only ({', '.join(pickled)}), which are not read because unpickling can "
            "run any code; if you trust them, convert them where PyTorch is installed: "
            "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)"
        )
    raise CheckpointError(f"{folder} holds no weights: expected {_SINGLE}, or shards and {_INDEX}")


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """The tensors of a checkpoint folder; only headers are read.

    Args:
        folder: with `model.safetensors`, or shards and `model.safetensors.index.json`.

    Returns:
        Tensors by name, not read yet.

    Raises:
        CheckpointError: no weights, a missing shard, a damaged header, a header that claims more than the file holds.
    """
    tensors: dict[str, StoredTensor] = {}
    for file in _weight_files(folder):
        try:
            from safetensors import SafetensorError, safe_open
        except ImportError as error:
            raise CheckpointError(
                f"reading {file} needs the package safetensors: pip install jaxuq[language]"
            ) from error
        try:
            opened = safe_open(file, framework="numpy")
            for name in opened.keys():  # noqa: SIM118
                part = opened.get_slice(name)
                shape, kind = tuple(part.get_shape()), str(part.get_dtype())
                if name in tensors:
                    raise CheckpointError(f"tensor {name} is in {tensors[name].file} and again in {file}")
                tensors[name] = StoredTensor(file, name, shape, kind, _reader(opened, file, name, kind))
        except (SafetensorError, OSError, OverflowError, MemoryError) as error:
            raise CheckpointError(f"{file} is damaged or incomplete: {error}") from error
    return tensors


def _reader(opened: Any, file: Path, name: str, kind: str) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        from safetensors import SafetensorError

        if kind not in _KINDS:
            raise CheckpointError(
                f"tensor {name} in {file} is stored as {kind}; supported are {', '.join(_KINDS)}. "
                "Use the unquantised checkpoint"
            )
        try:
            return opened.get_tensor(name)
        except (SafetensorError, OSError, ValueError, TypeError) as error:
            raise CheckpointError(f"tensor {name} in {file} cannot be read: {error}") from error

    return read


def write_weights(folder: Path, config: DecoderConfig, params: PyTree, *, shard_bytes: int = 2**31) -> None:
    """Write parameters as Hugging Face lays them out, bit by bit as they are.

    Holds the tensors of one shard.

    Args:
        folder: exists.
        config: the decoder's shape.
        params: stacked or not.
        shard_bytes: a file holds at most so much, or one tensor.
    """
    from safetensors.numpy import save_file

    shards: list[list[str]] = [[]]
    sizes, used = weight_sizes(config, params), 0
    for name, size in sizes.items():
        if shards[-1] and used + size > shard_bytes:
            shards.append([])
            used = 0
        shards[-1].append(name)
        used += size
    tensors = named_weights(config, params)
    weight_map = {}
    for number, names in enumerate(shards, start=1):
        file = _SINGLE if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        save_file(dict(next(tensors) for _ in names), folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(names, file)
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
        (folder / _INDEX).write_text(json.dumps(index, indent=2))
