"""The command line as its users meet it: a mistake is one line and exit code 2; a killed run goes on."""

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from jaxuq.cli import main
from jaxuq.molecules import load_molecules
from jaxuq.molecules.muben import BACKBONES
from jaxuq.networks import DNN

ROOT = pathlib.Path(__file__).parents[2]
OPTIONS = [
    *("--features", "morgan", "--epochs", "4", "--members", "2", "--samples", "3", "--seeds", "1"),
    *("--batch-size", "32", "--resamples", "0", "--strategy", "map", "--methods", "deterministic,ensemble"),
]


WITH_SMALL_NETWORK = "import sys; from tests.cli import test_cli; test_cli.main_with_small_network(sys.argv[1:])"


def _small(whole):
    def small(configuration):
        made = whole.functions["make"](configuration)
        return made._replace(network=lambda outputs: DNN(num_outputs=outputs, width=16, depth=0))

    return whole._replace(functions={"make": small})


def main_with_small_network(arguments):
    """What a process of its own runs."""
    BACKBONES["dnn"] = _small(BACKBONES["dnn"])
    main(arguments)


@pytest.fixture(autouse=True)
def _small_network_and_own_cache(tmp_path, monkeypatch):
    monkeypatch.setitem(BACKBONES, "dnn", _small(BACKBONES["dnn"]))
    monkeypatch.setenv("JAXUQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")  # a second process compiles nothing


def _csv(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def _molecules(number=60):
    data = load_molecules("freesolv")
    return [["smiles", "value"], *zip(data.smiles[:number], data.labels[:number, 0].tolist())]


def _mistake(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert stopped.value.code == 2, error
    assert error.startswith("jaxuq: ") and error.count("\n") == 1, error
    return error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "ezol"], "esol"),
        (["--dataset", "esol", "--methods", "deterministik"], "did you mean deterministic"),
        (["--dataset", "esol", "--backbone", "gnn"], "unknown backbone 'gnn'"),
        (["--dataset", "esol", "--seeds", "0"], "--seeds is 0; it must be at least 1"),
        (["--dataset", "esol", "--members", "1"], "--members is 1"),
        (["--dataset", "esol", "--methods", "temperature"], "for classification"),
        (["--dataset", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_a_wrong_option_is_one_clear_line(arguments, message, capsys, tmp_path):
    assert message in _mistake(capsys, "muben", *arguments, "--output", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], [], "empty"),
        ([["smiles", "value"]], [], "no"),
        ([["smiles", "value"], ["CCO", "1.0"]], [], ""),
        ([["smiles", "value"], ["CCO", "high"], ["CCC", "2"]], ["--task-columns", "value"], "high"),
        ([["smiles", "value"], ["CCO", ""], ["CCC", ""]], ["--task-columns", "value"], "label"),
        ([["smiles", "value"], ["CCO", "1"]], ["--task-columns", "valu"], "value"),
        ([["name", "value"], ["CCO", "1"]], [], "name"),
    ],
)
def test_bad_data_is_one_clear_line(rows, options, message, capsys, tmp_path):
    path = _csv(tmp_path / "mine.csv", rows)
    assert message in _mistake(capsys, "muben", "--dataset", path, *options, "--output", tmp_path / "run")


def test_an_unparsable_molecule_costs_only_itself(capsys, tmp_path):
    rows = _molecules()
    rows.insert(5, ["C1CC(", 3.0])
    main(["muben", "--dataset", str(_csv(tmp_path / "mine.csv", rows)), *OPTIONS, "--output", str(tmp_path / "run")])
    assert "report.html" in capsys.readouterr().err
    page = (tmp_path / "run" / "report.html").read_text()
    assert "C1CC(" in page, "the rejected molecule is listed on the page"
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["rejected"][0][:2] == [6, "C1CC("] and sum(record["sizes"].values()) == 60


def test_a_folder_of_another_configuration_is_refused(capsys, tmp_path):
    path = _csv(tmp_path / "mine.csv", _molecules())
    main(["muben", "--dataset", str(path), *OPTIONS, "--output", str(tmp_path / "run")])
    capsys.readouterr()
    before = (tmp_path / "run" / "results.csv").read_bytes()
    error = _mistake(
        capsys, "muben", "--dataset", path, *OPTIONS, "--learning-rate", "0.1", "--output", tmp_path / "run"
    )
    assert "another configuration" in error and "learning_rate" in error
    assert (tmp_path / "run" / "results.csv").read_bytes() == before


def test_report_of_no_result_folder(capsys, tmp_path):
    assert "run.json" in _mistake(capsys, "report", tmp_path)
    assert "no result folder" in _mistake(capsys, "report")


def _numbers(folder):
    with (folder / "results.csv").open() as file:
        return [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in csv.DictReader(file)]


@pytest.mark.long
@pytest.mark.slow
def test_kill_9_in_the_middle_then_the_same_command_ends_with_the_same_numbers(tmp_path):
    path = _csv(tmp_path / "mine.csv", _molecules())
    options = [*OPTIONS[:2], "--epochs", "24", *OPTIONS[4:], "--dataset", str(path)]

    def command(folder):
        return [sys.executable, "-c", WITH_SMALL_NETWORK, "muben", *options, "--output", str(folder)]

    killed = subprocess.Popen(
        command(tmp_path / "killed"), stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=ROOT
    )
    assert killed.stderr is not None
    for line in killed.stderr:
        if line.startswith("train network"):
            break
    time.sleep(0.2)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / "summary.csv").exists(), "the kill came too late to test anything"

    for folder in ("killed", "whole"):
        subprocess.run(command(tmp_path / folder), check=True, capture_output=True, cwd=ROOT)
    assert _numbers(tmp_path / "killed") == _numbers(tmp_path / "whole")


def test_a_full_disk_keeps_what_was_complete_and_a_second_try_goes_on(capsys, tmp_path, monkeypatch):
    path = _csv(tmp_path / "mine.csv", _molecules())
    arguments = ["muben", "--dataset", str(path), *OPTIONS, "--output", str(tmp_path / "run")]
    real, written = os.fsync, []

    def full(descriptor):
        written.append(descriptor)
        if len(written) > 6:
            raise OSError(28, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patched, pytest.raises(SystemExit) as stopped:
        patched.setattr(os, "fsync", full)
        main(arguments)
    assert stopped.value.code == 2
    assert "No space left on device" in capsys.readouterr().err
    main(arguments)
    assert len(_numbers(tmp_path / "run")) == 2
