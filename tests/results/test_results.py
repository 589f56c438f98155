"""Files appear whole or not at all, and a folder never takes another run."""

import json
import os

import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.results import RunFolderError, open_run, read_arrays, read_run, write_arrays, write_text

CONFIGURATION = {"dataset": "esol", "seeds": 3, "methods": ("deterministic", "swag")}


def _open(path, **changes):
    return open_run(path, system="muben", configuration={**CONFIGURATION, **changes}, device="cpu")


def test_a_write_that_fails_leaves_the_previous_file_and_no_litter(tmp_path, monkeypatch):
    write_text(tmp_path / "a.csv", "old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(tmp_path / "a.csv", "new")
    assert (tmp_path / "a.csv").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_arrays_round_trip_and_damage_reads_as_missing(tmp_path):
    arrays = {"mean": jnp.arange(6.0).reshape(2, 3), "mask": np.array([True, False])}
    write_arrays(tmp_path / "cell.npz", arrays)
    stored = read_arrays(tmp_path / "cell.npz")
    assert stored is not None and set(stored) == {"mean", "mask"}
    np.testing.assert_array_equal(stored["mean"], arrays["mean"])
    content = (tmp_path / "cell.npz").read_bytes()
    (tmp_path / "cell.npz").write_bytes(content[: len(content) // 2])
    assert read_arrays(tmp_path / "cell.npz") is None
    assert read_arrays(tmp_path / "absent.npz") is None


def test_pickled_content_is_refused(tmp_path):
    np.savez(tmp_path / "cell.npz", bad=np.array([{"a": 1}], dtype=object))
    assert read_arrays(tmp_path / "cell.npz") is None


def test_the_same_run_goes_on_and_tuples_equal_lists(tmp_path):
    first = _open(tmp_path / "run")
    first.write_record(seconds=3.0)
    again = _open(tmp_path / "run", methods=["deterministic", "swag"])
    assert not first.resumed and again.resumed and again.record["seconds"] == 3.0


def test_another_configuration_is_refused_and_nothing_changes(tmp_path):
    _open(tmp_path / "run")
    before = (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(RunFolderError, match=r"dataset: 'esol' there, 'bace' here.*another --output"):
        _open(tmp_path / "run", dataset="bace")
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_no_resume_refuses_even_the_same_run(tmp_path):
    _open(tmp_path / "run")
    with pytest.raises(RunFolderError, match="--no-resume"):
        open_run(tmp_path / "run", system="muben", configuration=CONFIGURATION, device="cpu", resume=False)


def test_a_folder_of_other_files_and_a_file_are_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(RunFolderError, match="holds no run"):
        _open(tmp_path)
    with pytest.raises(RunFolderError, match="is a file"):
        _open(tmp_path / "thesis.tex")


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"system": "muben"})])
def test_a_damaged_record_is_one_clear_error(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunFolderError, match=r"run\.json"):
        read_run(tmp_path)
