"""Files that appear whole or not at all."""

import io
import json
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np


def write_bytes(path: str | pathlib.Path, content: bytes) -> None:
    """Replace a file by `content`, atomically: written under another name, flushed to disk, then renamed.

    Args:
        path: the file; its folder is made if needed.
        content: all of it.

    Raises:
        OSError: the disk refuses (full, read-only); a previous file stays as it was.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_bytes(folder + "/deep/page.html", b"<p>")
        ...     [file.name for file in pathlib.Path(folder, "deep").iterdir()]
        ['page.html']
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: str | pathlib.Path, text: str) -> None:
    """Replace a file by `text` (UTF-8), atomically.

    Args:
        path: the file; its folder is made if needed.
        text: the whole content.

    Raises:
        OSError: the disk refuses (full, read-only); a previous file stays as it was.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_text(folder + "/a/note.txt", "whole")
        ...     pathlib.Path(folder, "a", "note.txt").read_text()
        'whole'
    """
    write_bytes(path, text.encode())


def write_json(path: str | pathlib.Path, value: Any) -> None:
    """Replace a file by `value` as indented JSON, atomically; see `write_text`.

    Args:
        path: the file.
        value: dictionaries, lists, strings, numbers, None.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_arrays(path: str | pathlib.Path, arrays: Mapping[str, Any]) -> None:
    """Replace a `.npz` file by named arrays, compressed, atomically; see `write_text`.

    Args:
        path: the file.
        arrays: names to arrays (JAX or NumPy) of numbers or booleans.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{name: np.asarray(array) for name, array in arrays.items()})
    write_bytes(path, buffer.getvalue())


def read_arrays(path: str | pathlib.Path) -> dict[str, np.ndarray] | None:
    """Read a `.npz` file of `write_arrays`, never unpickling.

    Args:
        path: the file.

    Returns:
        Its arrays by name, or None when the file is missing or damaged (such a cell is computed again).
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
            whole = all(isinstance(array, np.ndarray) for array in arrays.values())  # or bytes that begin otherwise
            return arrays if whole else None
    except Exception:  # zipfile, zlib, struct, numpy, tokenize: whatever other people's parsers say of a damaged file
        return None
