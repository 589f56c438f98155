"""`jaxuq launch --processes 2 COMMAND` gives what the command alone does on the same mesh, written once."""

import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from jaxuq.cli import main
from tests.language.tiny_checkpoints import write_folder

pytestmark = pytest.mark.long
ROOT = pathlib.Path(__file__).parents[2]
MESH = "data=2,tensor=2"
COLOURS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A tiny model, questions, instructions and texts."""
    folder = tmp_path_factory.mktemp("given")
    write_folder(folder / "model", "llama", config={"max_position_embeddings": 4096})
    rows = [
        {"id": f"{a}{b}", "question": f"what is {a} {b}", "answer": COLOURS[at % 3], "kind": "text", "category": "sum"}
        for at, a in enumerate("abcdef")
        for b in "ab"
    ]
    (folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = [
        {"instruction": f"what is {c} {'abcdefg'[n % 7]} {c}", "response": ("one yes", "two no")[n % 2], "source": c}
        for n in range(12)
        for c in [COLOURS[n % 2]]
    ]
    (folder / "mix.jsonl").write_text("".join(json.dumps(row) + "\n" for row in told))
    (folder / "texts.txt").write_text("what is a red yes no\n")
    (folder / "news.txt").write_text("Ada met Bo.\nRome burned.\n")
    (folder / "types.json").write_text('["person"]')
    return folder


def launched(*command):
    """What it prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    call = [sys.executable, "-m", "jaxuq", "launch", "--processes", "2", *map(str, command), "--mesh", MESH]
    ran = subprocess.run(call, env=environment, capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout


def alone(*command):
    main([*map(str, command), "--mesh", MESH])


def close(one, other):
    """Texts are equal, and numbers to rounding; how long it took is left out."""
    if isinstance(one, dict):
        names = [name for name in one if not name.endswith("seconds")]
        return one.keys() == other.keys() and all(close(one[name], other[name]) for name in names)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    try:
        return float(one) == pytest.approx(float(other), abs=1e-4, nan_ok=True)
    except (TypeError, ValueError):
        return one == other


def table(file):
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def same_tables(one, other, *names):
    for name in names:
        assert close(table(one / name), table(other / name)), name
        assert table(one / name)


def same_adapters(one, other):
    files = sorted(path.relative_to(other) for path in other.glob("adapters/*/adapter_model.safetensors"))
    assert files
    for file in files:
        found, expected = load_file(one / file), load_file(other / file)
        for name in expected:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-3, err_msg=f"{file}, {name}")


def test_generate_prints_once(given, capsys):
    command = ["generate", "the cat", "--model", given / "model", "--max-new-tokens", 4, "--json"]
    (said,) = launched(*command).splitlines()
    alone(*command)
    assert close(json.loads(said), json.loads(capsys.readouterr().out))


def test_one_question_is_answered_once(given, capsys):
    command = ["confidence", "ask", "what is a cat", "--model", given / "model", "--max-new-tokens", 4, "--kind",
               "whole"]  # fmt: skip
    said = launched(*command)
    alone(*command)
    assert said.splitlines()[0] == capsys.readouterr().out.splitlines()[0]
    assert said.count("Response") == 1


def test_confidence(given, tmp_path):
    """Of a whole folder, and of one that two processes go on with; the tiny model finds no answers to score."""
    command = ["confidence", "--model", given / "model", "--data", given / "sums.jsonl", "--measures", "single",
               "--max-new-tokens", 4, "--batch-size", 4]  # fmt: skip
    alone(*command, "--output", tmp_path / "one")
    launched(*command, "--output", tmp_path / "two")
    same_tables(tmp_path / "two", tmp_path / "one", "predictions.csv")
    before = (tmp_path / "one" / "predictions.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "one" / "predictions.jsonl").write_text("".join(before[:5]))
    launched(*command, "--output", tmp_path / "one")
    same_tables(tmp_path / "one", tmp_path / "two", "predictions.csv")


def test_tune(given, tmp_path):
    command = ["tune", "--model", given / "model", "--data", given / "sums.jsonl", "--texts", given / "texts.txt",
               "--loss", "plain", "--posterior", "none", "--epochs", 2, "--max-length", 48, "--rank", 2, "--options", 3,
               "--learning-rate", 0.03, "--batch-size", 4]  # fmt: skip
    alone(*command, "--output", tmp_path / "one")
    launched(*command, "--output", tmp_path / "two")
    same_adapters(tmp_path / "two", tmp_path / "one")
    same_tables(tmp_path / "two", tmp_path / "one", "results.csv")
    assert not (tmp_path / "two" / "checkpoints").exists()


TRAIN = (
    "experts", "train", "--rank", 3, "--learning-rate", 0.01, "--expert-learning-rate", 0.01, "--batch-size", 4,
    "--max-length", 60, "--dimension", 32, "--clusters", 2, "--epochs", 1, "--expert-epochs", 1,
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(given, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "one"
    alone(*TRAIN, "--model", given / "model", "--data", given / "mix.jsonl", "--output", folder)
    return folder


def test_experts_train(given, trained, tmp_path):
    launched(*TRAIN, "--model", given / "model", "--data", given / "mix.jsonl", "--output", tmp_path / "two")
    same_adapters(tmp_path / "two", trained)
    with np.load(trained / "clusters.npz") as found, np.load(tmp_path / "two" / "clusters.npz") as other:
        np.testing.assert_array_equal(found["labels"], other["labels"])


def test_experts_evaluate(given, trained, tmp_path):
    """Features of the questions are kept in the folder of the training, of which the second process has a copy too."""
    shutil.copytree(trained, tmp_path / "again")
    command = ["--data", given / "mix.jsonl", "--limit", 4, "--max-new-tokens", 3, "--batch-size", 4, "--baselines",
               "base-adapter", "--ensemble", 1]  # fmt: skip
    alone("experts", "evaluate", trained, *command, "--output", tmp_path / "first")
    launched("experts", "evaluate", tmp_path / "again", *command, "--output", tmp_path / "second")
    same_tables(tmp_path / "second", tmp_path / "first", "results.csv", "weights.csv")
    said = launched("experts", "generate", tmp_path / "again", "what is red a red", "--max-new-tokens", 3, "--json")
    (answer,) = map(json.loads, said.splitlines())
    assert len(answer["tokens"]) == 3 and set(answer["weights"]) == {"base", "expert-0", "expert-1"}


def test_extract(given, tmp_path):
    command = ["extract", "--model", given / "model", "--data", given / "news.txt", "--types", given / "types.json",
               "--max-tokens", 8, "--strategy", "one_step"]  # fmt: skip
    alone(*command, "--output", tmp_path / "one")
    launched(*command, "--output", tmp_path / "two")
    same_tables(tmp_path / "two", tmp_path / "one", "predictions/texts.csv")
    one, two = ((tmp_path / name / "predictions" / "conversations.jsonl").read_text() for name in ("one", "two"))
    assert [json.loads(line)["messages"] for line in two.splitlines()] == [
        json.loads(line)["messages"] for line in one.splitlines()
    ]
