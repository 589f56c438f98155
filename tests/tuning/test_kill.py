"""`kill -9` in the middle of a tuning, and between two cells; the same command then ends with the same numbers."""

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from jaxuq.language import save_model
from tests.language.finetune_run import tiny_model
from tests.language.words import tokenizer

pytestmark = pytest.mark.long
ROOT = pathlib.Path(__file__).parents[2]


def _run(arguments, delay, until=None):
    """What the command said on standard output; killed at the line `until`."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"  # later processes compile nothing
    command = [sys.executable, "-m", "tests.tuning.tune_program", str(delay), *map(str, arguments)]
    said = []
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
    ) as process:
        for line in process.stdout:
            said.append(line.strip())
            if said[-1] == until:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == (0 if until is None else -signal.SIGKILL), said
    return said


def _numbers(folder):
    with (folder / "results.csv").open() as file:
        return [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in csv.DictReader(file)]


def test_killed_within_a_tuning_and_between_cells_the_run_ends_with_the_same_numbers(tmp_path):
    save_model(tmp_path / "model", tiny_model()._replace(tokenizer=tokenizer()))
    rows = [
        {"question": f"what is {a} {b}", "answer": colour, "category": "sum"}
        for a, colour in zip("abcdef", ("red", "green", "blue") * 2)
        for b in "abc"
    ]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "texts.txt").write_text("what is a red yes no\n")
    command = [
        "tune", "--model", tmp_path / "model", "--data", tmp_path / "sums.jsonl", "--texts", tmp_path / "texts.txt",
        "--loss", "plain", "--posterior", "none,ensemble", "--members", 2, "--epochs", 4,
        "--max-length", 16, "--rank", 2, "--options", 3, "--learning-rate", 0.03, "--output",
    ]  # fmt: skip
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    _run([*command, killed], 0.1, until="step plain, seed 0: 11 of 12")  # an epoch has three
    assert list(killed.glob("checkpoints/plain-0-0/*/latest")) and not (killed / "adapters").exists()
    between = _run([*command, killed], 0.1, until="scored plain, seed 0")
    steps = [line for line in between if line.startswith("step")]
    after = [f"step plain, seed 0: {at} of 12" for at in range(7, 13)]  # the last may have been half written
    assert steps in (after, after[3:]), "it goes on after a checkpoint"
    assert (killed / "predictions/plain-0.npz").exists() and not (killed / "summary.csv").exists()
    ended = _run([*command, killed, "then", *command, whole], 0)
    left = ended[1 : ended.index("next", 1)]
    assert {line.split(":")[0] for line in left if line.startswith("step")} == {"step plain, seed 0, member 2"}

    assert _numbers(killed) == _numbers(whole) and len(_numbers(whole)) == 3
    folders = sorted(path.name for path in (whole / "adapters").iterdir())
    assert folders == ["plain-0-0", "plain-0-1"]
    for name in folders:
        for file in ("adapter_model.safetensors", "loss.txt"):
            one, other = (run / "adapters" / name / file for run in (killed, whole))
            assert one.read_bytes() == other.read_bytes(), (name, file)
    for file in (whole / "predictions").glob("*.npz"):  # beside tables for people, which have the seconds
        with np.load(file) as one, np.load(killed / "predictions" / file.name) as other:
            for array in one:
                if not array.endswith(("seconds", "cell")):  # the seal counts the seconds too
                    np.testing.assert_array_equal(one[array], other[array])
