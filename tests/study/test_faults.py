"""What can go wrong with a folder while a command works in it: one line, and the same numbers after a repeat."""

import errno
import importlib
import io
import os
import shutil
import signal
import sys
import time
import warnings

import numpy as np
import pytest

from jaxuq.study import RunFolderError, working_alone
from jaxuq.training import load_checkpoint, save_checkpoint
from tests.study.studies import STUDIES, numbers

pytestmark = pytest.mark.filterwarnings("ignore::jaxuq.study.StudyWarning")
_QUICK = ("extract", "confidence")  # the others take the longer way through the same code
_COMMANDS = [pytest.param(name, marks=[] if name in _QUICK else [pytest.mark.long]) for name in STUDIES]
_CLI = importlib.import_module("jaxuq.cli.main")  # `jaxuq.cli.main` is the function
_ARGUMENTS = ["models", "list"]


@pytest.mark.parametrize("name", _COMMANDS)
def test_a_second_process_is_told_who_works_in_the_folder(name, first, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(first(name), root)
    before = numbers(root / "out")
    with working_alone(root / "out"), pytest.raises(RunFolderError, match=f"process {os.getpid()} works in .*/out"):
        STUDIES[name].run(root / "data", root / "out", 0.0)
    assert numbers(root / "out") == before


@pytest.mark.parametrize("name", _COMMANDS)
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_damaged_files_are_made_again_to_the_same_numbers(name, damage, first, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(first(name), root)
    before = numbers(root / "out")
    files = [*(root / "out").glob("predictions/**/*"), *(root / "out").glob("*.jsonl"), *(root / "out").glob("*.csv")]
    for file in files:
        if file.is_file():
            content = bytearray(file.read_bytes())
            middle = len(content) // 2
            if damage == "missing":
                file.unlink()
            elif damage == "truncated":
                file.write_bytes(content[:middle])
            else:
                content[middle] ^= 0x01
                file.write_bytes(content)
    STUDIES[name].run(root / "data", root / "out", 0.0)
    assert numbers(root / "out") == before


@pytest.mark.parametrize("name", _COMMANDS)
@pytest.mark.parametrize("writes", [1, 3])
def test_a_full_disk_is_an_error_of_the_disk_and_a_repeat_ends_with_the_same_numbers(
    name, writes, first, tmp_path, monkeypatch
):
    root, real, written = tmp_path / "root", os.fsync, []
    shutil.copytree(first(name) / "data", root / "data")

    def full(descriptor):
        written.append(descriptor)
        if len(written) > writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr(os, "fsync", full)
        STUDIES[name].run(root / "data", root / "out", 0.0)
    STUDIES[name].run(root / "data", root / "out", 0.0)
    assert numbers(root / "out") == numbers(first(name) / "out")


def test_tables_hold_every_cell_that_is_on_disk_when_a_run_is_interrupted(tmp_path):
    """Three of four cells, each of a data set divided anew for every seed."""
    from jaxuq.molecules import load_molecules
    from jaxuq.molecules.muben import MubenConfiguration, run_muben
    from jaxuq.study import Listener

    data, done = load_molecules("freesolv"), []
    lines = [f"{smiles},{label}" for smiles, (label,) in zip(data.smiles[:40], data.labels[:40].tolist())]
    (tmp_path / "mine.csv").write_text("\n".join(["smiles,energy", *lines]) + "\n")
    configuration = MubenConfiguration(
        dataset=str(tmp_path / "mine.csv"), split="random", features="morgan", epochs=1, seeds=2, batch_size=8,
        methods="deterministic,variance-scaling", strategy="map", output=tmp_path / "out", resamples=0,
    )  # fmt: skip

    def scored(*cell):
        done.append(cell)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_muben(configuration, Listener(scored=scored))
    table = tmp_path / "out" / "results.csv"
    assert table.read_text().count("\n") == 1 + 3
    table.unlink()  # and were it lost, the next call would begin by writing it
    with pytest.raises(KeyboardInterrupt):
        done[:] = done[:2]
        run_muben(configuration, Listener(scored=scored))
    assert table.read_text().count("\n") == 1 + 4
    for seed in range(2):  # each seed's predictions name its own molecules
        cell = np.load(tmp_path / "out" / "predictions" / f"deterministic-seed{seed}.npz")
        known = dict(zip(data.smiles, data.labels[:, 0].tolist()))
        np.testing.assert_allclose([known[name] for name in cell["test_smiles"]], cell["test_labels"][:, 0], rtol=1e-6)


def test_a_checkpoint_on_a_full_disk_is_an_error_of_the_disk_and_the_one_before_stays(tmp_path, monkeypatch):
    import orbax.checkpoint as ocp

    save_checkpoint(tmp_path, {"a": np.zeros(3, np.float32)})

    def refused(self, *args, **kwargs):
        raise ValueError("RESOURCE_EXHAUSTED: Failed to write 12 bytes: No space left on device [os_error_code='28']")

    monkeypatch.setattr(ocp.StandardCheckpointer, "save", refused)
    with pytest.raises(OSError, match="No space left on device") as raised:
        save_checkpoint(tmp_path, {"a": np.ones(3, np.float32)})
    assert raised.value.errno == errno.ENOSPC and raised.value.filename == str(tmp_path)
    assert load_checkpoint(tmp_path)["a"].tolist() == [0, 0, 0]


def _ended(monkeypatch, capsys, command):
    """Exit code and standard error of a command that does this."""
    monkeypatch.setattr(_CLI, "_run", lambda options: command())
    with pytest.raises(SystemExit) as ended:
        _CLI.main(_ARGUMENTS)
    error = capsys.readouterr().err
    assert error.startswith("jaxuq: ") and error.count("\n") == 1, error
    return ended.value.code, error


def test_sigterm_ends_in_one_line_with_its_own_code(monkeypatch, capsys):
    def asked_to_end():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    before = signal.getsignal(signal.SIGTERM)
    code, error = _ended(monkeypatch, capsys, asked_to_end)
    assert code == 143 and "terminated; finished work is kept" in error
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_refuses_is_one_line_that_names_it(monkeypatch, capsys, number):
    def refused():
        raise OSError(number, os.strerror(number), "runs/mine/run.json")

    code, error = _ended(monkeypatch, capsys, refused)
    assert code == 2 and os.strerror(number) in error and "runs/mine/run.json" in error


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii", "utf-8"])
def test_no_encoding_ends_a_finished_run(monkeypatch, encoding):
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])

    def says_it():
        for stream in (sys.stdout, sys.stderr):
            print("RMSE ↓ 0.5 ± 0.1 … \ud800 分子", file=stream, flush=True)

    monkeypatch.setattr(_CLI, "_run", lambda options: says_it())
    _CLI.main(_ARGUMENTS)
    assert all(b"0.5" in stream.buffer.getvalue() for stream in streams)


def test_what_was_set_aside_is_one_line_without_code(monkeypatch, capsys):
    from jaxuq.study import StudyWarning

    told = "data changed since the results in runs/mine were made"
    monkeypatch.setattr(_CLI, "_run", lambda options: warnings.warn(told, StudyWarning, stacklevel=1))
    _CLI.main(_ARGUMENTS)
    assert capsys.readouterr().err == f"note: {told}\n"
