"""Rows in parts that any number of processes take, each a file of its own, and that one of them joins in the end.

A process holds the lock of the part that it computes. The operating system lets go of it when the process ends,
however that is, and another one goes on with the part from its last batch.
"""

import contextlib
import functools
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxuq.experts._feature_file import FeatureFile, batches_written
from jaxuq.study import RunFolderError, working_alone

_SECONDS = 0.2  # between two looks at parts that others hold


def compute_in_shards(
    folder: pathlib.Path,
    shards: int,
    shape: tuple[int, int],
    batches: Sequence[Int[np.ndarray, " _"]],
    record: Mapping[str, Any],
    compute: Callable[[int], Float[np.ndarray, "_ dimension"]],
    on_progress: Callable[[int], None],
) -> Float[np.ndarray, "rows dimension"]:
    """Compute the parts that no other process has, wait for the others, and have the whole matrix.

    Args:
        folder: that all processes see. For a moment it holds the matrix twice.
        shards: parts, of about as many batches each.
        shape: of the matrix.
        batches: rows of each.
        record: what the rows depend on.
        compute: the rows of a batch, by its number.
        on_progress: told how many rows there are of the parts that this process has computed or found.

    Returns:
        The matrix, memory-mapped.

    Raises:
        CheckpointError: the folder's rows depend on something else.
        OSError: there is no room.
    """
    with _held(folder):
        file = FeatureFile(folder, shape, len(batches), record)
    bounds = np.linspace(0, len(batches), shards + 1).astype(int)
    left, done = list(range(shards)) if file.batches_done < len(batches) else [], 0
    while left:
        for shard in tuple(left):
            own = range(bounds[shard], bounds[shard + 1])
            with contextlib.suppress(_Taken), _taken(_place(folder, shard, shards)) as place:
                if batches_written(folder) < len(batches):  # nobody has joined the parts and removed them
                    told = functools.partial(_add, on_progress, done)
                    done += _compute(place, own, batches, record, compute, told)
                left.remove(shard)
        if left:
            time.sleep(_SECONDS)
    with _held(folder):
        return _joined(folder, bounds, shape, batches, record)


def _add(on_progress: Callable[[int], None], before: int, rows: int) -> None:
    on_progress(before + rows)


def _compute(
    place: pathlib.Path,
    own: range,
    batches: Sequence[Int[np.ndarray, " _"]],
    record: Mapping[str, Any],
    compute: Callable[[int], Float[np.ndarray, "_ dimension"]],
    on_progress: Callable[[int], None],
) -> int:
    """A part, from its last batch on; its rows."""
    ends = np.cumsum([0, *(len(batches[number]) for number in own)])
    file = FeatureFile(place, (int(ends[-1]), record["dimension"]), len(own), record)
    for number in range(file.batches_done, len(own)):
        file.write(np.arange(ends[number], ends[number + 1]), compute(own[number]))
        on_progress(int(ends[number + 1]))
    return int(ends[-1])


def _joined(
    folder: pathlib.Path,
    bounds: Int[np.ndarray, " edges"],
    shape: tuple[int, int],
    batches: Sequence[Int[np.ndarray, " _"]],
    record: Mapping[str, Any],
) -> Float[np.ndarray, "rows dimension"]:
    whole, shards = FeatureFile(folder, shape, len(batches), record), len(bounds) - 1
    for shard in range(shards):
        first, last = int(bounds[shard]), int(bounds[shard + 1])
        if whole.batches_done >= last:
            continue
        ends = np.cumsum([0, *(len(batches[number]) for number in range(first, last))])
        part = FeatureFile(_place(folder, shard, shards), (int(ends[-1]), shape[1]), last - first, record).finished()
        for number in range(whole.batches_done, last):
            whole.write(batches[number], part[ends[number - first] : ends[number - first + 1]])
    for path in folder.glob("shard-*"):
        shutil.rmtree(path, ignore_errors=True)
    return whole.finished()


def _place(folder: pathlib.Path, shard: int, shards: int) -> pathlib.Path:
    return folder / f"shard-{shard:05d}-of-{shards:05d}"


class _Taken(Exception):
    """Another process has it."""


@contextlib.contextmanager
def _taken(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder, if no other process holds it; raises `_Taken` if one does."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(working_alone(path))
        except (RunFolderError, FileNotFoundError):  # the parts may be joined and removed at this moment
            raise _Taken from None
        yield path


@contextlib.contextmanager
def _held(path: pathlib.Path) -> Iterator[None]:
    """A folder, as soon as no other process holds it."""
    while True:
        with contextlib.suppress(_Taken):
            with _taken(path):
                yield
            return
        time.sleep(_SECONDS)
