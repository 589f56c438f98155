"""Commands killed at a random moment and started again: they end with the numbers of a run that nobody disturbed.

Each command works on the smallest job that there is (those of `tests/study/studies.py`, and a few more). The moment is
drawn from the time that an undisturbed run takes after its imports; who had ended by then is tried again.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 600.0  # seconds of a run


class Command(NamedTuple):
    """What is killed.

    Attributes:
        write: makes its data in a folder.
        run: from data to an output folder.
        numbers: all that the output says, but times.
    """

    write: Callable[[pathlib.Path], Any]
    run: Callable[[pathlib.Path, pathlib.Path], Any]
    numbers: Callable[[pathlib.Path], Any]


def commands() -> dict[str, Command]:
    """By name."""
    from tests.study.studies import STUDIES, numbers

    def of(study: Any) -> Command:
        return Command(study.write, lambda data, output: study.run(data, output, 0.0), numbers)

    return {
        **{name: of(study) for name, study in STUDIES.items()},
        "molecules fit": Command(_write_table, _fit, _bytes),
        "molecules search": Command(_write_table, _search, _bytes),
        "serve, a batch": Command(_write_requests, _answer, _replies),
    }


def _write_table(folder: pathlib.Path) -> None:
    from jaxuq.molecules import load_molecules

    data = load_molecules("freesolv")
    rows = [f"{data.smiles[row]},{data.labels[row, 0]}" for row in range(60)]
    folder.mkdir(parents=True)
    (folder / "mine.csv").write_text("\n".join(["smiles,energy", *rows]) + "\n")


def _options(output: pathlib.Path) -> list[str]:
    return ["--output", str(output), "--width", "8", "--depth", "1", "--split", "random"]


def _fit(data: pathlib.Path, output: pathlib.Path) -> None:
    from jaxuq.cli import main

    main(["molecules", "fit", str(data / "mine.csv"), "--members", "2", *_options(output)])


def _search(data: pathlib.Path, output: pathlib.Path) -> None:
    from jaxuq.cli import main

    main(["molecules", "search", str(data / "mine.csv"), "--trials", "3", *_options(output)])


def _bytes(output: pathlib.Path) -> dict[str, str]:
    """Checksums of all files."""
    files = sorted(file for file in output.rglob("*") if file.is_file())
    return {file.relative_to(output).as_posix(): f"{zlib.crc32(file.read_bytes()):08x}" for file in files}


def _write_requests(folder: pathlib.Path) -> None:
    folder.mkdir(parents=True)
    bodies = [{"model": "ada", "messages": [{"role": "user", "content": f"Hi {n}"}]} for n in range(40)]
    line = {"method": "POST", "url": "/v1/chat/completions"}
    lines = [json.dumps({"custom_id": f"q{n}", **line, "body": body}) for n, body in enumerate(bodies)]
    (folder / "requests.jsonl").write_text("\n".join(lines) + "\n")


def _answer(data: pathlib.Path, output: pathlib.Path) -> None:
    from jaxuq.serving import answer_batch, make_app
    from tests.serving.scripted import Scripted

    output.mkdir(parents=True, exist_ok=True)
    answer_batch(make_app(Scripted(seconds=0.01)), data / "requests.jsonl", output / "replies.jsonl")


def _replies(output: pathlib.Path) -> list[Any]:
    lines = [json.loads(line) for line in (output / "replies.jsonl").read_text().splitlines()]
    said = [(one["custom_id"], one["response"]["body"]["choices"][0]["message"]["content"]) for one in lines]
    return sorted(said)


# ------------------------------------------------------------------------------ the process that is killed
def work(name: str, data: pathlib.Path, output: pathlib.Path) -> None:
    """Run a command once; tells when it begins."""
    import pytest

    from tests.study.studies import small_networks

    small_networks(pytest.MonkeyPatch())
    command = commands()[name]
    print("ready", flush=True)
    command.run(data, output)
    print("done", flush=True)


def _start(name: str, data: pathlib.Path, output: pathlib.Path, log: pathlib.Path) -> subprocess.Popen:
    script = str(pathlib.Path(__file__).with_name("soak.py"))
    environment = os.environ | {
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAXUQ_CACHE": str(log.parent / "cache"),
    }
    environment.setdefault("JAX_COMPILATION_CACHE_DIR", str(log.parent / "compiled"))
    return subprocess.Popen(
        [sys.executable, script, "--run", json.dumps([name, str(data), str(output)])],
        stdout=subprocess.PIPE, stderr=log.open("a"), text=True, env=environment, cwd=ROOT, start_new_session=True,
    )  # fmt: skip


def _ended(process: subprocess.Popen, after: float | None = None) -> tuple[bool, float]:
    """Whether a run said that it was done, and the seconds from its start of work; killed `after` so many."""
    assert process.stdout is not None
    began, done, timer = time.monotonic(), False, None
    last = threading.Timer(PATIENCE, lambda: os.killpg(process.pid, signal.SIGKILL))
    last.start()
    for line in process.stdout:
        if line.strip() == "ready":
            began = time.monotonic()
            if after is not None:
                timer = threading.Timer(after, lambda: os.killpg(process.pid, signal.SIGKILL))
                timer.start()
        done |= line.strip() == "done"
    seconds = time.monotonic() - began
    for one in (last, timer):
        if one is not None:
            one.cancel()
    process.wait()
    return done, seconds


def kill(name: str, count: int, seed: int, until: float, failures: pathlib.Path) -> dict[str, int]:
    """Kill a command so many times, each in a folder of its own.

    Args:
        name: of `commands()`.
        count: of the kills.
        seed: of the moments; the number of a kill and the seed give the same moment of the run again.
        until: by `time.monotonic`; no kill begins later.
        failures: where the folder of one that ended otherwise is kept.

    Returns:
        `kills`: how many there were, `equal`: how many ended as the undisturbed run, `failed`: the others.
    """
    command = commands()[name]
    found = {"kills": 0, "equal": 0, "failed": 0}
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        log = root / "log.txt"
        command.write(root / "data")
        for attempt in ("warm", "whole"):  # the second one compiles nothing, as those that are killed
            done, seconds = _ended(_start(name, root / "data", root / attempt, log))
        if not done:
            print(f"  {name}: it does not end by itself: {log.read_text()[-2000:]}", flush=True)
            return found | {"failed": 1}
        whole = command.numbers(root / "whole")
        if command.numbers(root / "warm") != whole:
            print(f"  {name}: two undisturbed runs differ", flush=True)
            return found | {"failed": 1}
        for number in range(count * 3):  # some end before they are killed
            if found["kills"] >= count or time.monotonic() > until:
                break
            share = float(np.random.default_rng([seed, zlib.crc32(name.encode()), number]).random())
            output = root / "killed"
            done, _ = _ended(_start(name, root / "data", output, log), share * seconds)
            if done:
                shutil.rmtree(output)
                continue
            found["kills"] += 1
            kept = shutil.copytree(output, root / "before") if output.exists() else None
            done, _ = _ended(_start(name, root / "data", output, log))
            same = done and command.numbers(output) == whole
            found["equal" if same else "failed"] += 1
            if not same:
                place = failures / f"{name.replace(' ', '-')}-{seed}-{number}"
                shutil.rmtree(place, ignore_errors=True)
                for part in (kept, output, root / "whole", root / "data"):
                    if part is not None and part.exists():
                        shutil.copytree(part, place / part.name)
                (place / "log.txt").write_text(f"killed at {share:.3f} of {seconds:.1f} s\n{log.read_text()[-5000:]}")
                print(f"  FAILED {name}, killed at {share:.3f} of {seconds:.1f} s: {place}", flush=True)
            for part in (root / "before", output):
                shutil.rmtree(part, ignore_errors=True)
            shutil.rmtree(root / "killed-trained", ignore_errors=True)  # the experts' first half
    return found
