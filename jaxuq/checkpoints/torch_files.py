"""PyTorch checkpoints (`.pt`, `.pth`, `.ckpt`, `.bin`) as named tensors, without PyTorch and without unpickling."""

import hashlib
import io
import math
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from jaxuq._arguments import typed
from jaxuq.checkpoints.errors import CheckpointError
from jaxuq.checkpoints.safetensors import StoredTensor
from jaxuq.checkpoints.torch_pickle import Record, TensorRecord, parts_of, read_pickle

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_LARGEST_PICKLE = 2**26  # bytes of names and shapes
_SHARED = 8  # times the file that its tensors may be together; tied ones are there twice
_TYPES: dict[str, tuple[str, Any]] = {  # by the storage's class: safetensors' name of the type, NumPy's
    "FloatStorage": ("F32", np.float32),
    "DoubleStorage": ("F64", np.float64),
    "HalfStorage": ("F16", np.float16),
    "BFloat16Storage": ("BF16", ml_dtypes.bfloat16),
    "LongStorage": ("I64", np.int64),
    "IntStorage": ("I32", np.int32),
    "ShortStorage": ("I16", np.int16),
    "CharStorage": ("I8", np.int8),
    "ByteStorage": ("U8", np.uint8),
    "BoolStorage": ("BOOL", np.bool_),
}


_Numbers = Callable[[str, Any, int, int], np.ndarray]
"""`storage(key, dtype, first, count)`: some of its numbers."""


class TorchFile(NamedTuple):
    """What a PyTorch file holds.

    Attributes:
        path: of the file.
        sha256: of the file.
        content: what was saved, with `TensorRecord` for tensors and `Record` for objects of other classes.
        tensor: `tensor(name, record) -> StoredTensor`, not read yet.
    """

    path: Path
    sha256: str
    content: Any
    tensor: Callable[[str, TensorRecord], StoredTensor]

    def tensors(self, *keys: str) -> dict[str, StoredTensor]:
        """The named tensors in a dictionary of the content.

        Args:
            *keys: where it is, from the outside in.

        Returns:
            Tensors by name.

        Raises:
            CheckpointError: there is no such dictionary, or one without tensors.
        """
        found: Any = self.content
        for key in keys:
            if not isinstance(found, dict) or key not in found:
                held = ", ".join(map(str, found)) if isinstance(found, dict) else type(found).__name__
                raise CheckpointError(f"{self.path} has no entry {key!r}; it holds {held[:200]}")
            found = found[key]
        named = found.items() if isinstance(found, dict) else ()
        tensors = {name: self.tensor(name, value) for name, value in named if isinstance(value, TensorRecord)}
        if not tensors:
            raise CheckpointError(f"{self.path} holds no tensors under {'/'.join(keys) or 'its top level'}")
        numbers = sum(math.prod(tensor.shape) for tensor in tensors.values())
        if numbers > _SHARED * self.path.stat().st_size:
            raise CheckpointError(
                f"{self.path} has tensors of {numbers} numbers in {self.path.stat().st_size} bytes: they are the same "
                "numbers many times over"
            )
        return tensors

    def settings(self, key: str) -> dict[str, Any]:
        """A dictionary of settings, or the attributes of an object that holds them (an `argparse.Namespace`).

        Args:
            key: its name in the content.

        Returns:
            Values by name; empty if there is no such entry.
        """
        found = self.content.get(key, {}) if isinstance(self.content, dict) else {}
        found = found.state if isinstance(found, Record) else found
        return dict(found) if isinstance(found, dict) else {}


@typed()
def read_torch_file(path: str | Path) -> TorchFile:
    """Open a PyTorch file, of today's format (a zip archive) or that of before version 1.6.

    Nothing in the file is run, see `jaxuq.checkpoints.torch_pickle`. Reads the file once for its hash; tensors are read
    when asked for.

    Args:
        path: of the file.

    Returns:
        `TorchFile`.

    Raises:
        CheckpointError: no such file, not a PyTorch file, or cut short.

    Example:
        >>> read_torch_file("no such file.pt")
        Traceback (most recent call last):
        jaxuq.checkpoints.errors.CheckpointError: there is no file no such file.pt
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}")
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        start = file.read(4)
        file.seek(0)
        try:
            content, storage = _zipped(path) if start == b"PK\x03\x04" else _plain(file, path)
        except CheckpointError as error:
            raise CheckpointError(f"{path} cannot be read as a PyTorch file: {error}") from error
        except Exception as error:  # of many kinds, by which byte is wrong
            text = str(error)[:200]
            raise CheckpointError(f"{path} is no complete PyTorch file, it is damaged or cut short: {text}") from error

    def tensor(name: str, record: TensorRecord) -> StoredTensor:
        kind = _TYPES.get(record.storage.kind, (record.storage.kind, None))[0]
        return StoredTensor(path, name, record.shape, kind, lambda: _view(path, name, record, storage))

    return TorchFile(path, digest, content, tensor)


def _zipped(path: Path) -> tuple[Any, _Numbers]:
    """A zip archive with the pickle and one member a storage."""
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise CheckpointError("the archive has no single data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if order in archive.namelist() and _member(archive, order, path, 16) != b"little":
            raise CheckpointError("its numbers are big-endian")
        content = read_pickle(io.BytesIO(_member(archive, pickles[0], path, _LARGEST_PICKLE)))

    whole: set[str] = set()  # storages that were read to their end, where their checksum is compared

    def storage(key: str, dtype: Any, first: int, count: int) -> np.ndarray:
        name = f"{folder}data/{key}"
        with zipfile.ZipFile(path) as archive:
            if key not in whole:
                _member(archive, name, path, path.stat().st_size)
                whole.add(key)
            info = archive.getinfo(name)
        return _from_file(path, dtype, _data_begins(path, info), info.file_size, first, count)

    return content, storage


def _member(archive: zipfile.ZipFile, name: str, path: Path, largest: int) -> bytes:
    """The bytes of a member, which is stored as it is: a compressed one could be larger than any memory."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        raise CheckpointError(f"{name} is compressed, which PyTorch does not do")
    if info.file_size > min(largest, path.stat().st_size):
        raise CheckpointError(f"{name} is {info.file_size} bytes long, which it cannot be")
    return archive.read(info)


def _data_begins(path: Path, info: zipfile.ZipInfo) -> int:
    """Where a stored member's bytes are, behind a header whose length the member itself says."""
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        return info.header_offset + 30 + sum(struct.unpack("<HH", file.read(30)[26:]))


def _from_file(path: Path, dtype: Any, begins: int, size: int, first: int, count: int) -> np.ndarray:
    """So many numbers of a storage from the first on, and nothing else of it."""
    width = np.dtype(dtype).itemsize
    if (first + count) * width > size:
        raise CheckpointError(f"it needs {first + count} numbers, {size // width} are there: cut short")
    return np.fromfile(path, dtype, count, offset=begins + first * width)


def _plain(file: Any, path: Path) -> tuple[Any, _Numbers]:
    """The older format: five pickles, then every storage as its length and its numbers."""
    if read_pickle(file) != _MAGIC or read_pickle(file) != _PROTOCOL:
        raise CheckpointError("it does not begin as one")
    system = read_pickle(file)
    if not (isinstance(system, Mapping) and system.get("little_endian", True)):
        raise CheckpointError("its numbers are big-endian")
    content, keys = read_pickle(file), read_pickle(file)
    sizes = _storage_sizes(content)
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        if key not in sizes:
            raise CheckpointError(f"no tensor tells the type of storage {key}")
        (count,) = struct.unpack("<q", file.read(8))
        places[key] = (file.tell(), count)
        if not 0 <= count * sizes[key] <= path.stat().st_size - file.tell():
            raise CheckpointError("it is cut short")
        file.seek(count * sizes[key], 1)

    def storage(key: str, dtype: Any, first: int, count: int) -> np.ndarray:
        offset, held = places[key]
        return _from_file(path, dtype, offset, held * np.dtype(dtype).itemsize, first, count)

    return content, storage


def _storage_sizes(content: Any) -> dict[str, int]:
    """Bytes of a number in each storage that some tensor uses; what is shared is looked into once."""
    sizes: dict[str, int] = {}
    seen: set[int] = set()
    stack = [content]
    while stack:
        value = stack.pop()
        if isinstance(value, TensorRecord):
            dtype = _TYPES.get(value.storage.kind, (None, None))[1]
            if dtype is None:
                raise CheckpointError(f"it holds numbers of type {value.storage.kind[:100]}")
            sizes[value.storage.key] = np.dtype(dtype).itemsize
        elif id(value) not in seen:
            seen.add(id(value))
            stack += parts_of(value)
    return sizes


def _view(path: Path, name: str, record: TensorRecord, storage: _Numbers) -> np.ndarray:
    """The tensor's numbers, after making sure that they lie inside its storage."""
    dtype = _TYPES.get(record.storage.kind, (None, None))[1]
    if dtype is None:
        raise CheckpointError(f"tensor {name} in {path} is stored as {record.storage.kind}, which is not supported")
    try:
        return _strided(storage, record, dtype)
    except Exception as error:  # of many kinds, by which byte is wrong
        raise CheckpointError(f"tensor {name} in {path} cannot be read: {str(error)[:200]}") from error


def _strided(storage: _Numbers, record: TensorRecord, dtype: Any) -> np.ndarray:
    if 0 in record.shape:
        return np.zeros(record.shape, dtype)
    span = 1 + sum((size - 1) * stride for size, stride in zip(record.shape, record.strides))
    numbers = storage(record.storage.key, dtype, record.offset, max(span, math.prod(record.shape)))
    strides = [stride * numbers.itemsize for stride in record.strides]
    return np.lib.stride_tricks.as_strided(numbers, record.shape, strides, writeable=False).copy()
