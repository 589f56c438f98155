"""Two processes of four devices compute what one of eight does; what cannot be launched is told."""

import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from jaxuq._errors import OptionError
from jaxuq.cli.launch import LaunchCommand
from jaxuq.parallel import common_path, first_says, is_first, join_processes, mesh_of, process_folder
from tests.parallel.two_processes import MESHES, everything


def test_a_process_alone_is_the_first_and_joins_nobody():
    assert is_first() and first_says({"a": 1}) == {"a": 1} and not join_processes(8)
    assert process_folder("runs/a") == common_path("runs/a") == pathlib.Path("runs/a")


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
        ([], "runs generate, confidence, tune, experts, extract in several processes, not nothing"),
        (["tag", "--mesh", "data=2"], "not tag: its models are small: share its cells by --cluster"),
        (["serve", "tiny"], "not serve: its requests reach one process only"),
        (["report", "here"], "not report: there is nothing to divide over devices"),
        (["generate", "hi"], "the processes share a mesh; add --mesh"),
        (["tune", "--mesh", "data=2", "--cluster"], "leave one of them out"),
        (["tune", "--mesh=data=3"], "2 processes cannot share the 3 devices of --mesh data=3 evenly"),
        (["tune", "--mesh", "rows=2"], "such as data=2,tensor=4"),
        (["tune", "--mesh"], "such as data=2,tensor=4"),
    ],
)
def test_what_cannot_be_launched_is_told(command, words):
    with pytest.raises(OptionError, match=words):
        LaunchCommand(2).check(command)
    with pytest.raises(OptionError, match="--processes is 0"):
        LaunchCommand(0).check(["generate", "hi", "--mesh", "data=2"])
