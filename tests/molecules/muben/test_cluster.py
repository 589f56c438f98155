"""A grid of runs on worker processes: the same table as here, also when one of them is killed in the middle."""

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from jaxuq._extras import MissingPackageError
from jaxuq.molecules import DataError, load_molecules
from jaxuq.molecules.muben import MubenConfiguration, grid_cells, run_grid

from .conftest import TINY

ROOT = pathlib.Path(__file__).parents[3]


def _table(folder):
    with (folder / "results.csv").open(newline="") as file:
        return [
            {name: text for name, text in row.items() if not name.endswith("seconds")} for row in csv.DictReader(file)
        ]


def test_options_of_a_cluster():
    many = MubenConfiguration(dataset="esol,bace", cluster="local")
    assert "cluster" not in many.record() and "workers" not in many.record()  # the run is the same
    assert len(grid_cells(MubenConfiguration(dataset="esol", backbone="dnn", cluster="local"))) == 1
    with pytest.raises(DataError, match="two data sets are called 'mine'"):
        grid_cells(MubenConfiguration(dataset="a/mine.csv,b/mine.csv"))
    with pytest.raises(DataError, match="--workers is 0; it must be at least 1"):
        MubenConfiguration(workers=0).check()


def test_without_ray_a_grid_says_what_to_install_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    cells = grid_cells(MubenConfiguration(dataset="esol,bace", cluster="auto", output=tmp_path / "grid"))
    with pytest.raises(MissingPackageError, match=r"pip install 'jaxuq\[cluster\]'"):
        run_grid(cells)
    assert not (tmp_path / "grid").exists()


def _worker(process, folder):
    """The process that holds a run's folder, as its lock says."""
    import psutil

    worker = psutil.Process(int((folder / ".lock").read_text().split()[1]))
    assert worker.ppid() == process.pid
    return worker


@pytest.mark.long
def test_a_worker_killed_in_the_middle_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    data = load_molecules("freesolv")
    for name, start in (("first", 0), ("second", 80)):
        rows = zip(data.smiles[start : start + 80], data.labels[start : start + 80, 0].tolist())
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["smiles", "energy"], *rows])
    options = {**TINY, "epochs": 2, "methods": "deterministic,mc-dropout", "dataset": "first.csv,second.csv,absent.csv"}
    here = MubenConfiguration(backbone="morgan", output=tmp_path / "here", **options)
    status = run_grid(grid_cells(here))

    given = {**options, "backbone": "morgan", "output": "there", "workers": 2}
    command = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    process = subprocess.Popen(
        [sys.executable, "-m", "jaxuq", "muben", *command, "--cluster"], stderr=subprocess.PIPE, text=True
    )
    cell = "second-morgan-scaffold"
    folder = tmp_path / "there" / cell
    while not (folder / "predictions" / "deterministic-seed0.npz").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    worker = _worker(process, folder)
    worker.suspend()
    assert json.loads((folder / "run.json").read_text())["status"] == "running"
    os.kill(worker.pid, signal.SIGKILL)
    said = process.communicate(timeout=300)[1]

    assert process.returncode == 2 and "1 of 3 runs failed (absent-morgan-scaffold)" in said, said
    assert f"{cell} goes on in a new process" in said and f"{cell} is over" in said
    assert json.loads((tmp_path / "there" / "grid.json").read_text()) == status
    assert list(status.values())[:2] == ["complete"] * 2 and status["absent-morgan-scaffold"].startswith("DataError")
    for name in ("first-morgan-scaffold", cell):
        assert _table(tmp_path / "there" / name) == _table(tmp_path / "here" / name)
        assert (tmp_path / "there" / name / "report.html").exists()
