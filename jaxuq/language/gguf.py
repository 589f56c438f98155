"""GGUF files: a strict reader of the container, and its tensors under Hugging Face's names.

Layout: `GGUF`, version, number of tensors and of metadata entries, the metadata, one record for each tensor (name,
dimensions with the fastest first, type, offset), padding, and the tensors. Every count, length and offset is compared
with what the file holds before it is used, so that a truncated or lying file is named and never half read.

References:
    ggml. GGUF specification, version 3. 2023.
"""

import mmap
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxuq.checkpoints import StoredTensor
from jaxuq.language.errors import CheckpointError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_DEQUANTISED = 2**18  # numbers dequantised at a time: they fit a processor's cache


class GGUFTensor(NamedTuple):
    """Where a tensor lies in its file.

    Attributes:
        name: in the file.
        shape: slowest axis first.
        kind: number of the storage type.
        offset: of the first byte, from the start of the file.
        size: bytes.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int
    size: int


class GGUFFile(NamedTuple):
    """The contents of a GGUF file but for the numbers.

    Attributes:
        path: of the file.
        metadata: keys and values; arrays are lists.
        tensors: by name.
    """

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, GGUFTensor]


class _Cursor:
    """Reads forward through bytes and refuses to leave them."""

    def __init__(self, data: Any, path: Path):
        self.data, self.path, self.at = data, path, 0

    def fail(self, reason: str) -> CheckpointError:
        return CheckpointError(f"{self.path} is not a complete GGUF file: {reason} (at byte {self.at})")

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise self.fail(f"{size} bytes are announced and {len(self.data) - self.at} are left")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, code: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def count(self, each: int) -> int:
        """A number of things that take at least `each` bytes."""
        number = self.number("Q")
        if number * each > len(self.data) - self.at:
            raise self.fail(
                f"{number} entries are announced, more than fit in the {len(self.data) - self.at} bytes left"
            )
        return number

    def text(self) -> str:
        raw = self.take(self.count(1))
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.fail(f"text is not UTF-8: {error}") from error

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY or depth > 3:
            raise self.fail(f"metadata of the unknown type {kind}")
        inner = self.number("I")
        if inner in _SCALARS:
            code = _SCALARS[inner]
            number = self.count(struct.calcsize("<" + code))
            return list(struct.unpack(f"<{number}{code}", self.take(number * struct.calcsize("<" + code))))
        return [self.value(inner, depth + 1) for _ in range(self.count(8))]


def read_gguf(path: Path) -> GGUFFile:
    """Read metadata and places of the tensors, and check that the file holds all it announces.

    Args:
        path: of the file.

    Returns:
        The contents; no weight is read.

    Raises:
        CheckpointError: no GGUF file of version 2 or 3, or truncated, or contradicting itself.
    """
    try:
        with open(path, "rb") as file:
            if file.read(4) != b"GGUF":
                raise CheckpointError(f"{path} is not a GGUF file: it does not begin with GGUF")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    with data:
        return _parse(_Cursor(data, path))


def _parse(cursor: _Cursor) -> GGUFFile:
    cursor.at = 4
    version = cursor.number("I")
    if version not in (2, 3):
        kind = "big-endian" if version in (2 << 24, 3 << 24) else f"version {version}"
        raise CheckpointError(f"{cursor.path} is a GGUF file of {kind}; versions 2 and 3, little-endian, are supported")
    num_tensors, num_entries = cursor.count(24), cursor.count(13)
    metadata: dict[str, Any] = {}
    for _ in range(num_entries):
        key = cursor.text()
        if key in metadata:
            raise cursor.fail(f"metadata {key!r} is there twice")
        metadata[key] = cursor.value(cursor.number("I"))
    records = [_record(cursor) for _ in range(num_tensors)]
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise cursor.fail(f"the alignment is {alignment!r}, expected a power of two")
    start = -(-cursor.at // alignment) * alignment
    tensors: dict[str, GGUFTensor] = {}
    for name, shape, kind, offset in records:
        tensor = GGUFTensor(name, shape, kind, start + offset, _size(cursor, name, shape, kind))
        if name in tensors:
            raise cursor.fail(f"tensor {name} is there twice")
        end = -(-(tensor.offset + tensor.size) // alignment) * alignment  # writers pad the last tensor too
        if end > len(cursor.data) or offset % alignment:
            raise CheckpointError(
                f"{cursor.path} is truncated or damaged: tensor {name} should end at byte {end} and the file has "
                f"{len(cursor.data)}"
            )
        tensors[name] = tensor
    if start > len(cursor.data):
        raise cursor.fail("it ends before the tensors")
    return GGUFFile(cursor.path, metadata, tensors)


def _record(cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
    name, axes = cursor.text(), cursor.number("I")
    if axes > 4:
        raise cursor.fail(f"tensor {name} has {axes} axes, at most 4 are possible")
    shape = tuple(cursor.number("Q") for _ in range(axes))[::-1]
    return name, shape, cursor.number("I"), cursor.number("Q")


def _size(cursor: _Cursor, name: str, shape: tuple[int, ...], kind: int) -> int:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        block, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
    except (ValueError, KeyError):
        raise CheckpointError(f"tensor {name} in {cursor.path} has the unknown type {kind}") from None
    numbers = 1
    for length in shape:
        numbers *= length
    if not shape or not numbers or shape[-1] % block:
        raise cursor.fail(f"tensor {name} of shape {list(shape)} cannot be of type {GGMLQuantizationType(kind).name}")
    return numbers // block * size


_OUTER = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_norm": "post_attention_layernorm",
}
_WITH_POST_NORMS = _BLOCK | {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_CONSUMED = ("rope_freqs.weight",)


def gguf_tensors(file: GGUFFile, *, architecture: str, heads: int, kv_heads: int) -> dict[str, StoredTensor]:
    """The tensors of a file as Hugging Face has them: dequantised, queries and keys in order, norms without the one.

    Llama's queries and keys are stored with the two halves of each head interleaved, and Gemma's norms with one added;
    both are undone as a tensor is read.

    Args:
        file: from `read_gguf`.
        architecture: the file's name of it.
        heads: of queries.
        kv_heads: of keys.

    Returns:
        Tensors by Hugging Face's names; names that are not known stay as they are.
    """
    block = _WITH_POST_NORMS if architecture in ("gemma2", "gemma3") else _BLOCK
    tensors = {}
    for name, tensor in file.tensors.items():
        if name in _CONSUMED:
            continue
        matched = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name)
        theirs = _OUTER.get(name, name)
        if matched and matched[2] in block:
            theirs = f"model.layers.{int(matched[1])}.{block[matched[2]]}.{matched[3]}"
        change: Callable[[np.ndarray], np.ndarray] | None = None
        if architecture == "llama" and matched and matched[2] in ("attn_q", "attn_k"):
            change = _halves(heads if matched[2] == "attn_q" else kv_heads)
        elif architecture.startswith("gemma") and name.endswith("norm.weight"):
            change = _minus_one
        tensors[theirs] = stored_gguf_tensor(file, tensor, change)
    return tensors


def _minus_one(norm: np.ndarray) -> np.ndarray:
    return norm - np.float32(1)


def _halves(heads: int) -> Callable[[np.ndarray], np.ndarray]:
    """From pairs of neighbours to pairs half a head apart."""

    def change(array: np.ndarray) -> np.ndarray:
        pairs = array.reshape(heads, array.shape[0] // heads // 2, 2, *array.shape[1:])
        return pairs.swapaxes(1, 2).reshape(array.shape)

    return change


def stored_gguf_tensor(
    file: GGUFFile, tensor: GGUFTensor, change: Callable[[np.ndarray], np.ndarray] | None = None
) -> StoredTensor:
    """One tensor of a file, to be read and dequantised when asked for.

    Args:
        file: from `read_gguf`.
        tensor: one of its tensors.
        change: applied to the float32 numbers.

    Returns:
        The tensor; reading holds the float32 numbers and a part of the stored ones.
    """
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import dequantize

    kind = GGMLQuantizationType(tensor.kind)
    block, block_size = GGML_QUANT_SIZES[kind]
    step = _DEQUANTISED // block

    def read() -> np.ndarray:
        try:
            raw = np.asarray(np.memmap(file.path, np.uint8, "r", tensor.offset, (tensor.size,))).reshape(1, -1)
            numbers = np.empty(tensor.size // block_size * block, np.float32)
            for start in range(0, numbers.size // block, step):
                stored = raw[:, start * block_size : (start + step) * block_size]
                numbers[start * block : (start + step) * block] = dequantize(stored, kind)[0]
        except (NotImplementedError, OSError, ValueError) as error:
            raise CheckpointError(
                f"tensor {tensor.name} ({kind.name}) in {file.path} cannot be read: {error}"
            ) from error
        numbers = numbers.reshape(tensor.shape)
        return numbers if change is None else change(numbers)

    return StoredTensor(file.path, tensor.name, tensor.shape, kind.name, read)
