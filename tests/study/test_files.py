"""Files appear whole or not at all, and damage is seen."""

import os

import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.study import read_arrays, read_sealed, sealed_lines, write_arrays, write_text


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


def test_a_line_that_is_damaged_or_cut_is_left_out_and_said(tmp_path):
    records = [{"id": name, "text": "à \u2028 \ud800", "value": 0.1} for name in "abc"]
    whole = sealed_lines(records, ascii=True)
    (tmp_path / "log").write_text(whole)
    assert read_sealed(tmp_path / "log") == records
    lines = whole.splitlines()
    (tmp_path / "log").write_text("\n".join([lines[0], lines[1].replace("0.1", "0.7"), lines[2][:20]]))
    with pytest.warns(UserWarning, match="2 lines of it are damaged"):
        assert read_sealed(tmp_path / "log") == records[:1]
    assert read_sealed(tmp_path / "none") == []
