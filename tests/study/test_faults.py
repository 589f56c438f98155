"""What can go wrong while a command works in a folder: one line, and after a repeat the same numbers, for all."""

import errno
import importlib
import io
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest

from jaxuq.study import working_alone
from jaxuq.training import load_checkpoint, save_checkpoint
from tests.study.studies import STUDIES, numbers

pytestmark = pytest.mark.filterwarnings("ignore::jaxuq.study.StudyWarning")
ROOT = pathlib.Path(__file__).parents[2]
_CLI = importlib.import_module("jaxuq.cli.main")  # `jaxuq.cli.main` is the function
_ARGUMENTS = ["models", "list"]
_QUICK = ("extract", "confidence")  # the others take the longer way through the same code
_COMMANDS = [pytest.param(name, marks=[] if name in _QUICK else [pytest.mark.long]) for name in STUDIES]


def _ended(capsys, command):
    """Exit code and the last line on standard error of a command that does this."""
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_CLI, "_run", lambda name, options: command())
        try:
            _CLI.main(_ARGUMENTS)
        except SystemExit as ended:
            lines = capsys.readouterr().err.splitlines()
            assert "Traceback" not in "".join(lines)
            return ended.code, lines[-1]
    return 0, ""


def _copied(first, target):
    shutil.copytree(first, target)
    return target


# A disk that refuses, from some write on: what it says is what the user reads, and nothing that is whole is lost.
_REFUSED = [
    pytest.param(name, number, writes, marks=[] if quick else [pytest.mark.long])
    for name in STUDIES
    for number in (errno.ENOSPC, errno.EROFS, errno.EACCES)
    for writes in (0, 1, 3, 6)
    for quick in [name in _QUICK and (number, writes) in ((errno.ENOSPC, 3), (errno.EROFS, 0))]
]


@pytest.mark.parametrize(("name", "number", "writes"), _REFUSED)
def test_a_disk_that_refuses_is_one_line_and_a_repeat_ends_with_the_same_numbers(
    name, number, writes, first, tmp_path, monkeypatch, capsys
):
    root, real, written = tmp_path / "root", os.fsync, []
    shutil.copytree(first(name) / "data", root / "data")

    def refuses(descriptor):
        written.append(descriptor)
        if len(written) > writes:
            raise OSError(number, os.strerror(number), "where it writes")
        real(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuses)
        code, said = _ended(capsys, lambda: STUDIES[name].run(root / "data", root / "out", 0.0))
    assert code == 2 and said.startswith("jaxuq: ") and os.strerror(number) in said
    STUDIES[name].run(root / "data", root / "out", 0.0)
    assert numbers(root / "out") == numbers(first(name) / "out")


@pytest.mark.parametrize("name", STUDIES)
def test_a_folder_that_cannot_be_made_is_one_line(name, tmp_path, capsys):
    STUDIES[name].write(tmp_path / "data")
    (tmp_path / "file").write_text("")
    code, said = _ended(capsys, lambda: STUDIES[name].run(tmp_path / "data", tmp_path / "file" / "out", 0.0))
    assert code == 2 and said.startswith("jaxuq: ") and str(tmp_path / "file") in said


@pytest.mark.parametrize("name", _COMMANDS)
def test_a_second_process_is_told_who_works_in_the_folder(name, first, tmp_path, capsys):
    root = _copied(first(name), tmp_path / "root")
    before = numbers(root / "out")
    with working_alone(root / "out"):
        code, said = _ended(capsys, lambda: STUDIES[name].run(root / "data", root / "out", 0.0))
    assert code == 2 and f"process {os.getpid()} works in" in said and str(root / "out") in said
    assert numbers(root / "out") == before


# Damage: whatever is lost is computed again, and where that cannot be known the file is named.
def _damaged(content, damage):
    middle = len(content) // 2
    if damage == "truncated":
        return content[:middle]
    if damage == "empty":
        return b""
    return content[:middle] + bytes([content[middle] ^ 0x01]) + content[middle + 1 :]


@pytest.mark.parametrize("name", _COMMANDS)
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_damaged_files_are_made_again_to_the_same_numbers(name, damage, first, tmp_path):
    root = _copied(first(name), tmp_path / "root")
    out = root / "out"
    before = numbers(out)
    for file in [*out.glob("predictions/**/*"), *out.glob("*.jsonl"), *out.glob("*.csv"), *out.glob("*.npz")]:
        if file.is_file():
            content = file.read_bytes()
            file.unlink()
            if damage != "missing":
                file.write_bytes(_damaged(content, damage))
    STUDIES[name].run(root / "data", out, 0.0)
    assert numbers(out) == before


def _kinds(root):
    """One file of every kind that a run leaves, beside its data, page and figures."""
    found = {}
    for file in sorted(root.rglob("*")):
        place = file.relative_to(root)
        if file.is_file() and place.parts[0] != "data" and "figures" not in place.parts and file.suffix != ".html":
            found.setdefault((place.parts[0], *place.parts[1:-1][:1], file.suffix or file.name), file)
    return list(found.values())


@pytest.mark.parametrize("name", _COMMANDS)
@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_one_damaged_file_of_every_kind_costs_itself_or_is_named(name, damage, first, tmp_path, capsys):
    root = _copied(first(name), tmp_path / "root")
    before = numbers(root / "out")
    for file in _kinds(root):
        content = file.read_bytes()
        if not content:
            continue
        file.unlink()  # it may share its bytes with others
        file.write_bytes(_damaged(content, damage))
        code, said = _ended(capsys, lambda: STUDIES[name].run(root / "data", root / "out", 0.0))
        if code:  # a record of a run, or adapters: what they were is known to nobody
            assert code == 2 and said.startswith("jaxuq: ") and (file.name in said or str(file.parent) in said), said
            file.write_bytes(content)
            STUDIES[name].run(root / "data", root / "out", 0.0)
        assert numbers(root / "out") == before, file


# Signals, in a process of its own; what was finished is kept, and the same command goes on.
_SCRIPT = """
import importlib, os, pathlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it starts in the background ignore it
import pytest
from tests.study.studies import STUDIES, small_networks
name, data, out, writes, number = sys.argv[1:]
real, seen = os.fsync, []
def fsync(descriptor):
    real(descriptor)
    seen.append(descriptor)
    if len(seen) == int(writes):
        os.kill(os.getpid(), int(number))
os.fsync = fsync
small_networks(pytest.MonkeyPatch())
cli = importlib.import_module("jaxuq.cli.main")
cli._run = lambda *command: STUDIES[name].run(pathlib.Path(data), pathlib.Path(out), 0.0)
cli.main(["models", "list"])
"""
_SIGNALS = [
    pytest.param(name, number, writes, marks=[] if (name, writes) == ("extract", 3) else [pytest.mark.long])
    for name in STUDIES
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
    for writes in (1, 3, 5)
]
_SAID = {signal.SIGTERM: (143, "terminated"), signal.SIGINT: (130, "interrupted")}


@pytest.mark.parametrize(("name", "number", "writes"), _SIGNALS)
def test_a_signal_ends_a_run_in_one_line_and_a_repeat_with_the_same_numbers(name, number, writes, first, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(first(name) / "data", root / "data")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    ended = subprocess.run(
        [sys.executable, "-c", _SCRIPT, name, root / "data", root / "out", str(writes), str(int(number))],
        capture_output=True, text=True, env=environment, cwd=ROOT, timeout=500,
    )  # fmt: skip
    if number == signal.SIGKILL:
        assert ended.returncode == -signal.SIGKILL, ended.stderr
    else:
        code, word = _SAID[number]
        last = ended.stderr.strip().splitlines()[-1]
        assert (ended.returncode, last) == (
            code,
            f"jaxuq: {word}; finished work is kept, and the same command continues",
        )
        assert "Traceback" not in ended.stderr
    STUDIES[name].run(root / "data", root / "out", 0.0)
    assert numbers(root / "out") == numbers(first(name) / "out")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii"])
@pytest.mark.parametrize("name", _COMMANDS)
def test_no_encoding_ends_a_finished_run(name, encoding, first, tmp_path, monkeypatch):
    root = _copied(first(name), tmp_path / "root")
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    _CLI.main(["report", str(root / "out")])
    print("RMSE ↓ 0.5 ± 0.1 … \ud800 分子", flush=True)
    assert b"0.5 " in streams[0].buffer.getvalue() and len(streams[0].buffer.getvalue()) > 100


@pytest.mark.long
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


def test_what_was_set_aside_is_one_line_without_code(monkeypatch, capsys):
    from jaxuq.study import StudyWarning

    told = "data changed since the results in runs/mine were made"
    monkeypatch.setattr(_CLI, "_run", lambda *command: warnings.warn(told, StudyWarning, stacklevel=1))
    _CLI.main(_ARGUMENTS)
    assert capsys.readouterr().err == f"note: {told}\n"
