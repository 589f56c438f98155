"""RDKit work on many molecules: in this process for few of them, in several worker programs for many.

The workers are programs started from one file (see `_rdkit_worker.py`), not forks: forking a process in which JAX runs
its threads can deadlock, and `multiprocessing`'s spawn would import the caller's script again.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxuq.molecules.records import DataError, DataWarning

Progress = Callable[[int, int], None]
_CHUNK = 64
_FEW = 256


class _Crash(RuntimeError):
    """A worker ended in the middle of a chunk."""


class Outcome(NamedTuple):
    """Values of every molecule, and the rows that were unreadable, or readable only without the valence check."""

    values: Any
    unreadable: list[int]
    relaxed: list[int]


class _Worker:
    """One program and the two pipes to it."""

    def __init__(self, task: str, options: Mapping[str, Any]):
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        program = Path(__file__).with_name("_rdkit_worker.py")
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(program), json.dumps({"task": task, "options": options})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=environment,
        )
        assert self.process.stdin is not None and self.process.stdout is not None  # both are pipes
        self.requests, self.answers = self.process.stdin, self.process.stdout
        if self.answers.readline() != b"ready\n":
            self.process.wait()
            self.errors.seek(0)
            message = self.errors.read().decode(errors="replace")[-2000:]
            self.close()
            raise RuntimeError(f"a worker for {task!r} did not start: {message}")

    def __call__(self, smiles: list[str], time_limit: float | None = None) -> Outcome:
        """Solve one chunk; a worker that takes longer is killed, which counts as a crash."""
        timer = threading.Timer(time_limit, self.process.kill) if time_limit else None
        if timer is None:
            return self._solve(smiles)
        timer.daemon = True
        timer.start()
        try:
            return self._solve(smiles)
        finally:
            timer.cancel()

    def _solve(self, smiles: list[str]) -> Outcome:
        try:
            self.requests.write(json.dumps(smiles).encode() + b"\n")
            self.requests.flush()
            line = self.answers.readline()
        except BrokenPipeError:
            line = b""
        if not line.endswith(b"\n"):
            raise _Crash
        header = json.loads(line)
        if "texts" in header:
            return Outcome(header["texts"], header["unreadable"], header["relaxed"])
        dtype, shape = np.dtype(header["dtype"]), tuple(header["shape"])
        length = dtype.itemsize * int(np.prod(shape))
        payload = self.answers.read(length)
        if len(payload) != length:
            raise _Crash
        return Outcome(np.frombuffer(payload, dtype).reshape(shape), header["unreadable"], header["relaxed"])

    def close(self) -> None:
        self.process.kill()
        for pipe in (self.requests, self.answers, self.errors):
            with contextlib.suppress(OSError):
                pipe.close()
        self.process.wait()


def _join(parts: Sequence[Outcome], sizes: Sequence[int]) -> Outcome:
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(int).tolist()
    unreadable = [start + row for start, part in zip(starts, parts) for row in part.unreadable]
    relaxed = [start + row for start, part in zip(starts, parts) for row in part.relaxed]
    if isinstance(parts[0].values, np.ndarray):
        return Outcome(np.concatenate([part.values for part in parts]), unreadable, relaxed)
    return Outcome([value for part in parts for value in part.values], unreadable, relaxed)


def _blank(task: str, options: Mapping[str, Any]) -> Outcome:
    """What a molecule that brings the worker down gets: the values of an unreadable one."""
    from jaxuq.molecules import _rdkit_worker

    return Outcome(*_rdkit_worker.run_task(task, [""], options))._replace(unreadable=[0])


def run_rdkit(
    task: str,
    smiles: Sequence[str],
    options: Mapping[str, Any],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    time_limit: float | None = None,
) -> Outcome:
    """Run one task of `_rdkit_worker` over all molecules; the result does not depend on the number of workers.

    With a time limit, in seconds a molecule, molecules go to worker programs one by one, and one that takes longer
    counts as unreadable.
    """
    if isinstance(smiles, str):
        raise DataError(f"smiles must be a sequence of strings, not one string: write [{smiles[:40]!r}]")
    if workers is not None and workers < 1:
        raise DataError(f"workers must be at least 1 (in this process) or None (chosen by jaxuq), got {workers}")
    smiles = list(smiles)
    size = 1 if time_limit else _CHUNK
    chunks = [smiles[start : start + size] for start in range(0, len(smiles), size)] or [[]]
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    count = min(workers or available, len(chunks)) if workers or time_limit or len(smiles) >= _FEW else 1
    done = 0
    lock = threading.Lock()

    def report(size):
        nonlocal done
        with lock:
            done += size
            if progress is not None and size:
                progress(done, len(smiles))

    if count == 1 and not (time_limit and smiles):
        from jaxuq.molecules import _rdkit_worker

        parts = []
        for chunk in chunks:
            parts.append(Outcome(*_rdkit_worker.run_task(task, chunk, options)))
            report(len(chunk))
        return _join(parts, [len(chunk) for chunk in chunks])

    results: list[Outcome | None] = [None] * len(chunks)
    waiting = iter(range(len(chunks)))
    stop = threading.Event()
    running: set[_Worker] = set()

    def start():
        worker = _Worker(task, options)
        with lock:
            running.add(worker)
        return worker

    def solve(worker, chunk):
        """A chunk; when the worker dies the chunk is halved until the one molecule at fault is found."""
        try:
            return worker, worker(chunk, time_limit)
        except _Crash:
            worker.close()
            if stop.is_set():
                raise
            worker = start()
            if len(chunk) == 1:
                return worker, _blank(task, options)
            middle = len(chunk) // 2
            worker, left = solve(worker, chunk[:middle])
            worker, right = solve(worker, chunk[middle:])
            return worker, _join([left, right], [middle, len(chunk) - middle])

    def serve():
        worker = start()
        while not stop.is_set():
            with lock:
                number = next(waiting, None)
            if number is None:
                return
            worker, results[number] = solve(worker, chunks[number])
            report(len(chunks[number]))

    try:
        with ThreadPoolExecutor(count) as pool:
            try:
                finished, _ = wait([pool.submit(serve) for _ in range(count)], return_when=FIRST_EXCEPTION)
                for future in finished:
                    future.result()
            finally:
                stop.set()
                with lock:
                    for worker in running:
                        worker.process.kill()
    finally:
        for worker in running:
            worker.close()
    return _join([part for part in results if part is not None], [len(chunk) for chunk in chunks])


def warn_about(outcome: Outcome, smiles: Sequence[str], consequence: str) -> None:
    """Name the molecules that RDKit could not read, or only without its valence check."""

    def named(rows):
        shown = "; ".join(f"row {row}: {smiles[row]!r}" for row in rows[:5])
        return shown + (f"; and {len(rows) - 5} more" if len(rows) > 5 else "")

    if outcome.unreadable:
        message = f"RDKit cannot read {len(outcome.unreadable)} of {len(smiles)} SMILES: {consequence}"
        warnings.warn(f"{message} ({named(outcome.unreadable)})", DataWarning, stacklevel=4)
    if outcome.relaxed:
        message = f"RDKit reads {len(outcome.relaxed)} of {len(smiles)} SMILES only without its valence check"
        warnings.warn(f"{message} ({named(outcome.relaxed)})", DataWarning, stacklevel=4)
