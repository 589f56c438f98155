"""Rows that come batch by batch: held in memory, or written to a `.npy` file that can be gone on with."""

import errno
import json
import os
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, PyTree

from jaxuq._damaged import DAMAGED
from jaxuq.language import CheckpointError
from jaxuq.parallel import on_host
from jaxuq.study import write_json


class FeatureFile:
    """A float32 matrix whose rows are written batch by batch, in an order of batches that is always the same."""

    def __init__(
        self,
        folder: Any,
        shape: tuple[int, int],
        batches: int,
        record: Mapping[str, Any],
    ):
        """Make the file, or go on with the one that is there.

        Args:
            folder: None: in memory.
            shape: of the matrix.
            batches: after how many it is complete.
            record: what the rows depend on, see `fingerprint`; of rows in memory nothing is asked.

        Raises:
            CheckpointError: the folder's rows depend on something else.
            OSError: there is no room for the whole file.
        """
        self._shape, self._batches, self.batches_done = shape, batches, 0
        self._folder = None if folder is None else pathlib.Path(folder).expanduser()
        if self._folder is None:
            self._rows = np.zeros(shape, np.float32)
            return
        self._path, self._state = self._folder / "features.npy", self._folder / "features.json"
        self._record = dict(record) | {"shape": list(shape), "batches": batches}
        earlier = _read(self._state)
        if earlier is not None:
            different = [name for name, value in self._record.items() if earlier.get(name) != value]
            if different:
                raise CheckpointError(
                    f"{self._folder} holds features with other {', '.join(different)}; name another folder or remove it"
                )
            if self._path.is_file():
                self.batches_done = int(earlier.get("done", 0))
        if not self.batches_done:
            with self._guarded():
                self._folder.mkdir(parents=True, exist_ok=True)
                self._make()
                self._note()
        self._offset = self._path.stat().st_size - 4 * shape[0] * shape[1]

    def _make(self) -> None:
        """An empty file of full size: a full disk shows now, not after hours."""
        with self._path.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": self._shape}
            np.lib.format.write_array_header_1_0(file, header)
            start = file.tell()
            size = 4 * self._shape[0] * self._shape[1]
            file.flush()
            if hasattr(os, "posix_fallocate") and size:
                os.posix_fallocate(file.fileno(), start, size)
            else:
                file.truncate(start + size)

    def write(self, rows: Int[np.ndarray, " batch"], values: Float[np.ndarray, "batch dimension"]) -> None:
        """Write the rows of the next batch.

        Args:
            rows: their numbers.
            values: their numbers' features.

        Raises:
            OSError: the disk refuses; the batches before are safe.
        """
        if self._folder is None:
            self._rows[rows] = values
        else:
            with self._guarded():
                with self._path.open("r+b", buffering=0) as file:
                    for row, value in zip(rows.tolist(), np.asarray(values, np.dtype("<f4"))):
                        file.seek(self._offset + 4 * self._shape[1] * row)
                        if file.write(value.tobytes()) != value.nbytes:
                            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    os.fsync(file.fileno())
                self.batches_done += 1
                self._note()
            return
        self.batches_done += 1

    def finished(self) -> Float[np.ndarray, "rows dimension"]:
        """The matrix, memory-mapped if it is a file."""
        if self._folder is None:
            return self._rows
        return np.load(self._path, mmap_mode="r", allow_pickle=False)

    def _note(self) -> None:
        write_json(self._state, self._record | {"done": self.batches_done})

    def _guarded(self) -> "_DiskErrors":
        return _DiskErrors(self._path, 4 * self._shape[0] * self._shape[1])


class _DiskErrors:
    """Says what a disk's refusal means here."""

    def __init__(self, path: pathlib.Path, size: int):
        self._path, self._size = path, size

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError):
            raise OSError(
                error.errno,
                f"the features need {self._size / 2**20:.1f} MiB in {self._path.parent}, and the disk refuses "
                f"({error.strerror}): make room, or name another folder; the same call then goes on",
            ) from error


def fingerprint(settings: Mapping[str, Any], rng_key: Any, arrays: PyTree) -> dict[str, Any]:
    """What rows depend on: options, the projection's key, and a checksum of the model."""
    total = 0
    for leaf in jax.tree.leaves(arrays):
        total = zlib.crc32(np.ascontiguousarray(on_host(leaf)).tobytes(), total)
    key = zlib.crc32(np.asarray(jax.random.key_data(rng_key)).tobytes())
    return dict(settings) | {"key": key, "arrays": total}


def batches_written(folder: pathlib.Path) -> int:
    """Of the matrix in a folder, without touching it."""
    return int((_read(folder / "features.json") or {}).get("done", 0))


def _read(path: pathlib.Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except DAMAGED:
        return {}
    return content if isinstance(content, dict) else {}
