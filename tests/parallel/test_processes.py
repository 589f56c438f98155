"""Two processes of four devices compute what one of eight does; a command that is launched prints and writes once."""

import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from jaxuq._errors import OptionError
from jaxuq.cli.launch import LaunchCommand
from jaxuq.parallel import first_says, is_first, join_processes, mesh_of
from tests.parallel.two_processes import MESHES, everything


def test_a_process_alone_is_the_first_and_joins_nobody():
    assert is_first() and first_says({"a": 1}) == {"a": 1} and not join_processes(8)


@pytest.mark.long
def test_two_processes_of_four_devices_give_what_one_of_eight_gives(tmp_path):
    """Tokens are equal; log-probabilities, hidden states, chains, features and adapters to 1e-5."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.parallel.two_processes", str(rank), "2", port, str(tmp_path)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    said = [one.communicate(timeout=1500)[0] for one in ranks]
    assert [one.returncode for one in ranks] == [0, 0], said
    assert "process 1 of 2, 4 of 8 devices" in said[1]
    for number, text in enumerate(MESHES):
        alone = dict(everything(mesh_of(text)))
        for name, expected in alone.items():
            together = np.load(tmp_path / f"{number}-{name}.npy")
            if name in ("tokens", "digest"):
                np.testing.assert_array_equal(together, expected)
            else:
                np.testing.assert_allclose(together, expected, atol=1e-5, err_msg=f"{name}, {text}")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], "runs generate or confidence in several processes, not nothing"),
        (["tune", "--mesh", "data=2"], "not tune; other commands share their work by --cluster"),
        (["generate", "hi"], "the processes share a mesh; add --mesh"),
    ],
)
def test_what_cannot_be_launched_is_told(command, words):
    with pytest.raises(OptionError, match=words):
        LaunchCommand(2).check(command)
    with pytest.raises(OptionError, match="--processes is 0"):
        LaunchCommand(0).check(["generate", "hi", "--mesh", "data=2"])


@pytest.mark.long
def test_a_launched_study_has_the_lines_of_one_process(tmp_path):
    """`jaxuq launch --processes 2 confidence`: the first process writes, and tells the other what is missing."""
    from tests.language.tiny_checkpoints import write_folder

    model = write_folder(tmp_path / "model", "llama")
    (tmp_path / "mine.jsonl").write_text('{"id": "a", "question": "one", "answer": "two", "kind": "text"}\n' * 1)
    common = ["confidence", "--model", str(model), "--data", str(tmp_path / "mine.jsonl"), "--measures", "single",
              "--max-new-tokens", "4", "--batch-size", "2"]  # fmt: skip
    root = pathlib.Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    for name, before, after in (
        ("one", [], ["--mesh", "data=2,tensor=2"]),
        ("two", ["launch", "--processes", "2"], ["--mesh", "data=2,tensor=2"]),
    ):
        given = [*before, *common, "--output", str(tmp_path / name), *after]
        ran = subprocess.run(
            [sys.executable, "-m", "jaxuq", *given], env=environment, capture_output=True, text=True, cwd=root
        )
        assert ran.returncode == 0, ran.stderr
    one, two = ((tmp_path / name / "results.csv").read_text() for name in ("one", "two"))
    assert one == two
