"""What content is, as one short text: equal content has equal digests, wherever it lies and however it is called."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def digest(*content: Any) -> str:
    """SHA-256 of content: of data, weights, options, prompts, labelling functions.

    What is digested is what was *read*, not the file: a path says where content is, not what it is, and is refused.
    Types count (`1`, `1.0`, `"1"` and `True` differ), the order of rows counts, the order of a mapping's keys does not;
    tuples, lists and named tuples of the same items are the same content. Not for secrets, and not a fast hash table's.

    Args:
        content: None, booleans, numbers, text, bytes, arrays of numbers (NumPy or JAX), dataclasses, and mappings and
            sequences of these.

    Returns:
        64 hexadecimal digits.

    Raises:
        TypeError: something else is in it, such as a path or a function.

    Example:
        >>> digest({"rows": ["CCO", "C"], "labels": np.array([0.5, 1.0])})[:12]
        '...'
        >>> digest(["CCO", "C"]) == digest(("CCO", "C")), digest(["CCO", "C"]) == digest(["C", "CCO"])
        (True, False)
    """
    found = hashlib.sha256()
    for one in content:
        _feed(found, one)
    return found.hexdigest()


def _feed(found: Any, value: Any) -> None:
    """Each item begins with its kind and its size, so that no two contents run into the same bytes."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | complex):
        _put(found, type(value).__name__, repr(value).encode())
    elif isinstance(value, str):
        _put(found, "str", value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, bytes | bytearray | memoryview):
        _put(found, "bytes", bytes(value))
    elif isinstance(value, Mapping):
        _put(found, "mapping", str(len(value)).encode())
        for name in sorted(value, key=lambda name: (type(name).__name__, str(name))):
            _feed(found, name)
            _feed(found, value[name])
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        _feed(found, {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init})
    elif isinstance(value, Sequence):
        _put(found, "sequence", str(len(value)).encode())
        for item in value:
            _feed(found, item)
    elif hasattr(value, "__array__") and hasattr(value, "dtype"):
        _feed_array(found, np.asarray(value))
    else:
        raise TypeError(f"{type(value).__name__} is no content that can be digested: {value!r:.80}")


def _feed_array(found: Any, array: np.ndarray) -> None:
    if array.dtype.kind in "US":
        _feed(found, array.tolist())
    elif array.dtype.hasobject:
        raise TypeError("an array of objects is no content that can be digested; make it a list")
    else:
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        _put(found, f"array {array.dtype.name} {array.shape}", content)


def _put(found: Any, kind: str, content: Any) -> None:
    found.update(f"{kind} {len(content)}\n".encode())
    found.update(content)
