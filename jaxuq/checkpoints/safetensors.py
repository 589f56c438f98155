"""Weights in safetensors files: memory-mapped, tensor by tensor, in one file or in shards."""

import json
import os
import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxuq._arguments import typed
from jaxuq.checkpoints.errors import CheckpointError, CheckpointWarning

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_KINDS = ("BF16", "F16", "F32", "F64")
_CHUNK = 2**22


class StoredTensor(NamedTuple):
    """A tensor of a checkpoint that has not been read yet.

    Attributes:
        file: which holds it.
        name: in that file.
        shape: as Hugging Face has it.
        kind: how numbers are stored, such as `BF16` or `Q4_1`.
        read: gives the numbers; raises `CheckpointError` if the file is damaged.
        read_part: gives those of a part, a slice for each axis, and reads no others; None: there is no such way.
    """

    file: Path
    name: str
    shape: tuple[int, ...]
    kind: str
    read: Callable[[], np.ndarray]
    read_part: Callable[[tuple[slice, ...]], np.ndarray] | None = None


def read_text(path: Path) -> str:
    """A text file in UTF-8; a CheckpointError if it is missing or something else."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not a readable text file: {error}") from error


@typed()
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
        outside = [name for name in names if Path(name).name != name or len(os.fsencode(name)) > 255]
        if outside:
            raise CheckpointError(f"{index} names files outside its folder: {', '.join(outside)[:300]}")
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
            "run any code; if you trust them, convert them where PyTorch is installed: load the model with "
            "transformers and call its save_pretrained(new_folder)"
        )
    raise CheckpointError(f"{folder} holds no weights: expected {_SINGLE}, or shards and {_INDEX}")


@typed()
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
    index = folder / _INDEX
    files = _weight_files(folder)
    listed = read_json(index)["weight_map"] if index.is_file() else None
    extra: list[str] = []
    for file in files:
        from safetensors import SafetensorError, safe_open

        try:
            opened = safe_open(file, framework="numpy")
            for name in opened.keys():  # noqa: SIM118
                if listed is not None and listed.get(name) != file.name:
                    extra.append(f"{name} in {file.name}")
                    continue
                part = opened.get_slice(name)
                shape, kind = tuple(part.get_shape()), str(part.get_dtype())
                read = _reader(opened, file, name, kind)
                tensors[name] = StoredTensor(file, name, shape, kind, read, read)
        except (SafetensorError, OSError, OverflowError, MemoryError) as error:
            raise CheckpointError(f"{file} is damaged or incomplete: {error}") from error
    missing = sorted(set(listed or ()) - set(tensors))
    if missing:
        raise CheckpointError(f"{index} lists tensors that are not in their files: {', '.join(missing)}")
    if extra:
        warnings.warn(
            f"{folder} holds tensors that {_INDEX} does not list there: {', '.join(extra)[:400]}: left out",
            CheckpointWarning,
            stacklevel=2,
        )
    return tensors


def _reader(opened: Any, file: Path, name: str, kind: str) -> Callable[..., np.ndarray]:
    def read(part: tuple[slice, ...] | None = None) -> np.ndarray:
        from safetensors import SafetensorError

        if kind not in _KINDS:
            raise CheckpointError(
                f"tensor {name} in {file} is stored as {kind}; supported are {', '.join(_KINDS)}. "
                "Use the unquantised checkpoint"
            )
        try:
            return opened.get_tensor(name) if part is None else opened.get_slice(name)[part]
        except (SafetensorError, OSError, ValueError, TypeError) as error:
            raise CheckpointError(f"tensor {name} in {file} cannot be read: {error}") from error

    return read


@typed()
def compare_names(
    wanted: Mapping[str, tuple[int, ...]], stored: Mapping[str, StoredTensor], ignored: Collection[str], source: Path
) -> None:
    """Compare names and shapes of stored tensors with what a configuration asks for.

    Args:
        wanted: shape by name.
        stored: tensors by name.
        ignored: names that may be stored besides.
        source: named in the message.

    Raises:
        CheckpointError: lists all missing and unexpected tensors, or all wrong shapes.
    """
    missing = [name for name in wanted if name not in stored]
    unexpected = [name for name in stored if name not in wanted and name not in ignored]
    if missing or unexpected:
        parts = [
            f"{len(names)} {kind} ({', '.join(names)})"
            for kind, names in (("missing", missing), ("unexpected", unexpected))
            if names
        ]
        raise CheckpointError(f"{source} does not hold the tensors that its configuration asks for: {'; '.join(parts)}")
    wrong = [
        f"{stored[name].name} in {stored[name].file} is {list(stored[name].shape)}, expected {list(shape)}"
        for name, shape in wanted.items()
        if tuple(stored[name].shape) != shape
    ]
    if wrong:
        raise CheckpointError("wrong shape: " + "; ".join(wrong))


@typed()
def fill_array(
    target: np.ndarray, tensor: StoredTensor, *, transposed: bool = False, part: tuple[slice, ...] | None = None
) -> None:
    """Read a stored tensor into an array, which decides the type.

    Args:
        target: written.
        tensor: what is read.
        transposed: whether it is stored the other way round.
        part: of the stored tensor that is taken, a slice for each axis; None: all.

    Raises:
        CheckpointError: the file is damaged, or holds numbers that are not finite in the target's type.
    """
    if part is None or tensor.read_part is None:
        array = tensor.read() if part is None else tensor.read()[part]
    else:
        array = tensor.read_part(part)
    with np.errstate(over="ignore"):  # reported below, with the tensor's name
        target[...] = array.T if transposed else array
    flat = target.reshape(-1)
    if not all(np.isfinite(flat[start : start + _CHUNK]).all() for start in range(0, flat.size, _CHUNK)):
        raise CheckpointError(
            f"tensor {tensor.name} in {tensor.file} holds NaN or infinite numbers (stored as {tensor.kind}, "
            f"read as {target.dtype})"
        )
