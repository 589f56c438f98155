"""Damaged files for every reader: a value, or the library's one clear error, in bounded time and memory.

Inputs are numbered: the reader, the seed and the number make the same input again. They are read in a process of their
own, so that one that hangs or dies costs itself; whatever else than a value or a `JaxuqError` comes out is kept with
its files in a folder, once or twice of a kind.
"""

import contextlib
import json
import os
import pathlib
import queue
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from mutations import change
from readers import READERS, Reader

from jaxuq import JaxuqError

SLOW = 20.0  # seconds of processor time that no input may take
STUCK = 120.0  # seconds without a sign of life
MEMORY = 3 * 2**30  # bytes beyond what the process holds when it starts
LONGEST = 2000  # letters of a message
_NOWHERE = open(os.devnull, "w")  # noqa: SIM115
KEPT = 2  # failures of one kind that are kept with their files


class Part(NamedTuple):
    """Inputs of a reader: from `first` on, so many."""

    reader: str
    first: int
    count: int


def draws(reader: str, seed: int, number: int) -> np.random.Generator:
    """Of one input, whatever came before it."""
    return np.random.default_rng([seed, zlib.crc32(reader.encode()), number])


def damage(one: Reader, valid: pathlib.Path, folder: pathlib.Path, rng: np.random.Generator) -> tuple[str, str]:
    """A fresh copy of the valid folder with one file damaged.

    Returns:
        The file, and what was done to it.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(valid, folder)
    files = [file for pattern in one.files for file in sorted(folder.glob(pattern))]
    if len(files) < len(one.files):
        raise FileNotFoundError(f"not all of {', '.join(one.files)} were written")
    file = files[int(rng.integers(len(files)))]
    content, kind = change(file.name, file.read_bytes(), rng)
    file.write_bytes(content)
    return file.relative_to(folder).as_posix(), kind


def read(one: Reader, folder: pathlib.Path) -> dict[str, Any]:
    """What comes of reading: `value`, `refused`, or a failure with its kind and traceback."""
    start = time.process_time()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(_NOWHERE), contextlib.redirect_stderr(_NOWHERE):
            warnings.simplefilter("ignore")
            one.read(folder)
        found: dict[str, Any] = {"state": "value"}
    except JaxuqError as error:
        said = str(error)
        found = {"state": "refused"}
        if not said.strip() or "\n" in said or "\r" in said or len(said) > LONGEST:
            found = _failure("a message of several lines, none or too long", error)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        found = _failure(type(error).__name__, error)
    took = time.process_time() - start
    if took > SLOW and found["state"] != "failed":
        found = {"state": "failed", "kind": f"{found['state']} after more than {SLOW:.0f} s", "text": f"{took:.0f} s"}
    return found


def _failure(kind: str, error: BaseException) -> dict[str, Any]:
    """With the last place of ours in its traceback."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if f"{os.sep}jaxuq{os.sep}" in one.filename]
    at = f"{frames[-1].filename.rsplit(f'{os.sep}jaxuq{os.sep}', 1)[1]}:{frames[-1].lineno}" if frames else "?"
    text = "".join(traceback.format_exception(error))
    return {
        "state": "failed",
        "kind": f"{kind} in {at}",
        "text": text[:3000] + text[-6000:] if len(text) > 9000 else text,
    }


# ------------------------------------------------------------------------------ the process that reads
def work(plan: list[Part], seed: int, folder: pathlib.Path) -> None:
    """Read all inputs of a plan; a line of JSON to the standard output for each."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)  # libraries in C speak, too
    os.dup2(silent, 2)
    limited, without = False, set()
    for part in plan:
        if part.reader in without:
            continue
        one = READERS[part.reader]
        valid, tried = folder / f"valid-{zlib.crc32(part.reader.encode())}", folder / "tried"
        try:
            if not valid.exists():  # or an earlier part has written it
                valid.mkdir(parents=True)
                one.write(valid)
            shutil.rmtree(tried, ignore_errors=True)
            shutil.copytree(valid, tried)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                one.read(tried)  # what is valid is read
        except ImportError as error:
            without.add(part.reader)
            out.write(json.dumps({"reader": part.reader, "number": -1, "state": "missing", "text": str(error)}) + "\n")
            continue
        except Exception as error:
            without.add(part.reader)
            told = {"reader": part.reader, "number": -1, **_failure(f"the valid file: {type(error).__name__}", error)}
            out.write(json.dumps(told) + "\n")
            continue
        if not limited:
            limited = True
            held = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, resource.RLIM_INFINITY))
        for number in range(part.first, part.first + part.count):
            out.write(json.dumps({"reader": part.reader, "number": number, "state": "begun"}) + "\n")
            file, kind = damage(one, valid, tried, draws(part.reader, seed, number))
            found = read(one, tried)
            out.write(
                json.dumps({"reader": part.reader, "number": number, "file": file, "change": kind} | found) + "\n"
            )


# ------------------------------------------------------------------------------ the process that watches
class Fuzz:
    """Counts of what came out, and failures by kind."""

    def __init__(self, seed: int, failures: pathlib.Path):
        self.seed, self.failures = seed, failures
        self.counts: dict[str, dict[str, int]] = {}
        self.kinds: dict[tuple[str, str], int] = {}

    def add(self, told: dict[str, Any]) -> None:
        """Count one input; keep it if it failed."""
        reader, state = told["reader"], told["state"]
        own = self.counts.setdefault(reader, {"inputs": 0, "refused": 0, "failed": 0})
        if state == "missing":
            print(f"  {reader}: left out, {told['text']}", flush=True)
            return
        own["inputs"] += told["number"] >= 0
        if state != "value":
            own[state] += 1
        if state == "failed":
            key = reader, told["kind"]
            self.kinds[key] = self.kinds.get(key, 0) + 1
            if self.kinds[key] <= KEPT:
                place = self.keep(told)
                print(
                    f"  FAILED {reader}: {told['kind']} ({told.get('file')}, {told.get('change')}): {place}", flush=True
                )

    def keep(self, told: dict[str, Any]) -> pathlib.Path:
        """The files of an input and what came of it, in a folder."""
        name = "".join(letter if letter.isalnum() else "-" for letter in told["reader"])
        place = self.failures / f"{name}-{self.seed}-{told['number']}"
        place.mkdir(parents=True, exist_ok=True)
        if told["number"] >= 0:
            one = READERS[told["reader"]]
            with tempfile.TemporaryDirectory() as temporary:
                one.write(pathlib.Path(temporary))
                damage(one, pathlib.Path(temporary), place / "files", draws(told["reader"], self.seed, told["number"]))
        again = f'python experiments/soak/soak.py --again "{told["reader"]}" {self.seed} {told["number"]}'
        said = [told["kind"], f"{told.get('file')}: {told.get('change')}", again, "", told.get("text", "")]
        (place / "said.txt").write_text("\n".join(said), encoding="utf-8", errors="backslashreplace")
        return place


def watch(plan: list[Part], seed: int, until: float, failures: pathlib.Path) -> Fuzz:
    """Read a plan in a process of its own, another one where that one hangs or dies.

    Args:
        plan: what is read.
        seed: of the draws.
        until: by `time.monotonic`; no input begins later.
        failures: folder of what failed.

    Returns:
        What came of it.
    """
    found, left = Fuzz(seed, failures), [part for part in plan if part.count > 0]
    with tempfile.TemporaryDirectory() as temporary:
        while left and time.monotonic() < until:
            begun: dict[str, Any] | None = None
            for told in _lines(left, seed, pathlib.Path(temporary) / "soak", until):
                if told["state"] == "begun":
                    begun = told
                    continue
                begun = None if told["state"] != "stuck" else begun
                if told["state"] == "stuck":
                    break
                found.add(told)
                left = _after(left, told)
            else:
                if begun is None:
                    break  # all was read, or the time is over
            if begun is not None and time.monotonic() < until:  # the process hung, or died
                found.add(begun | {"state": "failed", "kind": "it hung, or the process died"})
                left = _after(left, begun)
    return found


def _after(plan: list[Part], told: dict[str, Any]) -> list[Part]:
    """What is left of a plan after an input."""
    if told["number"] < 0:  # no use in going on with it
        return [part for part in plan if part.reader != told["reader"]]
    at = next(place for place, part in enumerate(plan) if part.reader == told["reader"])
    part = plan[at]
    count = part.first + part.count - told["number"] - 1
    return [*([Part(part.reader, told["number"] + 1, count)] if count else []), *plan[at + 1 :]]


def _lines(plan: list[Part], seed: int, folder: pathlib.Path, until: float) -> Iterator[dict[str, Any]]:
    """What the reading process tells, until it ends, hangs or the time is over."""
    command = [
        sys.executable,
        str(pathlib.Path(__file__).with_name("soak.py")),
        "--work",
        json.dumps([seed, plan, str(folder)]),
    ]
    lines: queue.Queue[str | None] = queue.Queue()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:

        def listen() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=listen, daemon=True).start()
        try:
            while time.monotonic() < until:
                try:
                    line = lines.get(timeout=min(STUCK, max(until - time.monotonic(), 0.01)))
                except queue.Empty:
                    if time.monotonic() < until:
                        yield {"state": "stuck"}
                    return
                if line is None:
                    return
                yield json.loads(line)
        finally:
            process.kill()


def plan_of(inputs: int, only: tuple[str, ...] = (), rounds: int = 8) -> list[Part]:
    """So many inputs over all readers, by their shares; in rounds, so that what the time cuts off is cut off of all."""
    wanted = {name: one.share for name, one in READERS.items() if not only or any(part in name for part in only)}
    whole = sum(wanted.values())
    counts = {name: max(1, round(inputs * share / whole / rounds)) for name, share in wanted.items()}
    return [Part(name, turn * count, count) for turn in range(rounds) for name, count in counts.items()]
