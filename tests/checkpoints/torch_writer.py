"""A PyTorch file of float32 tensors, written by hand: what `torch.save` makes, byte by byte where it matters."""

import struct
import zipfile

import numpy as np

_TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n((" + b"X\x07\0\0\0storagectorch\nFloatStorage\n"


def _text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _numbers(values) -> bytes:
    return b"(" + b"".join(map(_number, values)) + b"t"


def write_torch(path, content, *, lie: int = 0, extra: bytes = b"", cut: int | None = None):
    """Write nested dictionaries of arrays, texts, numbers and booleans.

    Args:
        path: of the file.
        content: what is saved.
        lie: by how many numbers the last tensor claims to be longer than it is.
        extra: pickle instructions that make one more value, named "extra".
        cut: length to which the file is cut.
    """
    storages = []

    def pickled(value) -> bytes:
        if isinstance(value, dict):
            return b"}(" + b"".join(_text(key) + pickled(item) for key, item in value.items()) + b"u"
        if isinstance(value, bool):
            return b"\x88" if value else b"\x89"
        if isinstance(value, int):
            return _number(value)
        if isinstance(value, float):
            return b"G" + struct.pack(">d", value)
        if isinstance(value, str):
            return _text(value)
        array = np.asarray(value, np.float32)
        storages.append(array)
        strides = np.cumprod([1, *array.shape[:0:-1]])[::-1] if array.ndim else []
        shape = list(array.shape)
        if lie and shape:
            shape[0] += lie
        identity = _text(str(len(storages) - 1)) + _text("cpu") + _number(array.size)
        view = _number(0) + _numbers(shape) + _numbers(strides) + b"\x89ccollections\nOrderedDict\n)R"
        return _TENSOR + identity + b"tQ" + view + b"tR"

    body = pickled(content)
    if extra:
        body = body[:-1] + _text("extra") + extra + b"u"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + body + b".")
        archive.writestr("archive/byteorder", "little")
        for key, array in enumerate(storages):
            archive.writestr(f"archive/data/{key}", array.tobytes())
    if cut is not None:
        path.write_bytes(path.read_bytes()[:cut])
    return path
