"""A folder never takes another run, and results never belong to other content than they follow from."""

import json
import multiprocessing
import pathlib
import warnings

import numpy as np
import pytest

from jaxuq.study import Options, RunFolderError, StudyWarning, check_folder, open_run, read_run, working_alone
from jaxuq.study.earlier import set_aside

CONFIGURATION = {"dataset": "esol.csv", "rate": 0.1, "methods": ("deterministic", "swag")}
FIRST, SECOND = {"data": "1"}, {"data": "2"}


def _open(path, content=FIRST, resume=True, defaults=None, **changes):
    options = Options({**CONFIGURATION, **changes}, defaults or {}, names=("dataset",), free=("methods",))
    return open_run(path, system="muben", options=options, content=content, device="cpu", resume=resume)


def _write(path, value, content=FIRST, **changes):
    """A run of one cell, as any command makes it: the value is computed only if it is not there."""
    with _open(path, content, **changes) as folder:
        cell = folder.cell("predictions/a.npz", data=content["data"])
        kept = cell.read()
        if kept is None:
            cell.write({"value": np.array(value)})
        write_table(folder.path, cell.read()["value"])
    return float(cell.read()["value"])


def write_table(path, value):
    (path / "results.csv").write_text(f"value\n{value}\n")


def test_the_same_run_goes_on_and_tuples_equal_lists(tmp_path):
    with _open(tmp_path / "run") as first:
        assert read_run(tmp_path / "run")["status"] == "running"
    record = read_run(tmp_path / "run")
    assert record["status"] == "complete"
    (tmp_path / "run" / "run.json").write_text(json.dumps(record | {"seconds": 3.0}))
    with _open(tmp_path / "run", methods=["deterministic", "swag"]) as again:
        assert not first.resumed and again.resumed
        assert 3.0 <= read_run(tmp_path / "run")["seconds"] < 60.0, "the time of earlier calls counts"
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"run.json"}


def test_another_configuration_is_refused_and_nothing_changes(tmp_path):
    with _open(tmp_path / "run"):
        pass
    before = (tmp_path / "run" / "run.json").read_bytes()
    with (
        pytest.raises(RunFolderError, match=r"rate: 0.1 there, 0.2 here.*another --output"),
        _open(tmp_path / "run", rate=0.2),
    ):
        pass
    with (
        pytest.raises(RunFolderError, match=r"dataset: 'esol.csv' there, 'bace.csv' here"),
        _open(tmp_path / "run", SECOND, dataset="bace.csv"),
    ):
        pass
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_an_option_that_is_not_known_counts_as_its_default(tmp_path):
    with _open(tmp_path / "run"):
        pass
    with _open(tmp_path / "run", new=4, defaults={"new": 4}) as folder:
        assert folder.resumed
    with _open(tmp_path / "run", defaults={"new": 4}) as folder:  # and an older call goes on with a newer folder
        assert folder.resumed
    with pytest.raises(RunFolderError, match="new: 4 there, 5 here"):
        check_folder(tmp_path / "run", system="muben", options=Options({**CONFIGURATION, "new": 5}, {"new": 4}))


@pytest.mark.parametrize("name", ["/somewhere/else/esol.csv", "renamed.csv", "esol.csv/"])
def test_where_content_is_and_how_it_is_called_makes_no_other_run(tmp_path, name):
    assert _write(tmp_path / "run", 1.0) == 1.0
    assert _write(tmp_path / "run", 2.0, dataset=name) == 1.0


def test_changed_content_is_computed_and_the_old_is_kept_named_and_comes_back(tmp_path):
    run = tmp_path / "run"
    _write(run, 1.0)
    (run / "models").mkdir()
    with pytest.warns(StudyWarning, match=r"data changed since the results in .* kept in .*earlier"):
        assert _write(run, 2.0, SECOND) == 2.0
    assert "2.0" in (run / "results.csv").read_text() and not (run / "models").exists()
    (kept,) = (run / "earlier").iterdir()
    assert "1.0" in (kept / "results.csv").read_text() and read_run(kept)["content"] == FIRST
    with pytest.warns(StudyWarning, match="are back"):
        assert _write(run, 3.0, FIRST) == 1.0
    assert (run / "models").is_dir() and "1.0" in (run / "results.csv").read_text()
    assert [read_run(one)["content"] for one in (run / "earlier").iterdir()] == [SECOND]


def test_a_folder_from_before_there_were_digests_is_kept_and_not_used(tmp_path):
    run = tmp_path / "run"
    _write(run, 1.0)
    record = read_run(run)
    del record["content"]
    (run / "run.json").write_text(json.dumps(record))
    with pytest.warns(StudyWarning, match="before results were tied to their data"):
        _write(run, 2.0, SECOND)
    assert (run / "earlier" / "before-digests" / "results.csv").is_file()


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_an_interrupted_setting_aside_goes_on(tmp_path, moved, monkeypatch):
    run = tmp_path / "run"
    _write(run, 1.0)
    import jaxuq.study.earlier as earlier

    left, move = [moved], earlier._move

    def dying(entry, target):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        move(entry, target)

    monkeypatch.setattr(earlier, "_move", dying)
    with pytest.raises(KeyboardInterrupt), pytest.warns(StudyWarning):
        _write(run, 2.0, SECOND)
        raise KeyboardInterrupt
    monkeypatch.undo()
    with pytest.warns(StudyWarning):
        assert _write(run, 2.0, SECOND) == 2.0
    with pytest.warns(StudyWarning):
        assert _write(run, 3.0, FIRST) == 1.0


def test_a_cell_that_did_not_change_is_used_again(tmp_path):
    run = tmp_path / "run"
    for content, value in ((FIRST, 1.0), (SECOND, 2.0)):
        with _open(run, content) as folder:
            cell = folder.cell("predictions/same.npz", data="same", beside=("models/same",))
            if cell.read() is None:
                (run / "models" / "same").mkdir(parents=True)
                (run / "models" / "same" / "w").write_text("weights")
                cell.write({"value": np.array(value)})
            assert cell.read()["value"] == 1.0 and (run / "models" / "same" / "w").read_text() == "weights"


def test_a_cell_of_another_identity_is_put_away_and_said(tmp_path):
    with _open(tmp_path) as folder:
        folder.cell("a.npz", data=1).write({"value": np.array(1.0)})
        with pytest.warns(StudyWarning, match="follows from other data or options; it is kept in"):
            assert folder.cell("a.npz", data=2).read() is None
        folder.cell("a.npz", data=2).write({"value": np.array(2.0)})
        with pytest.warns(StudyWarning):
            assert folder.cell("a.npz", data=1).read()["value"] == 1.0


def _known(path, options, defaults, formula=1):
    """Whether what is kept there is used by a program with these options."""
    with _open(path) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", StudyWarning)
        cell = folder.cell("a.npz", options=options, defaults=defaults, method="swag", formula=formula)
        found = cell.read()
        if found is None:
            cell.write({"value": np.array(1.0)})
    return found is not None


@pytest.mark.parametrize(
    ("options", "defaults", "formula", "known"),
    [
        ({"rate": 0.1}, {"rate": 0.1}, 1, True),
        ({"rate": 0.1, "decay": 0.0}, {"rate": 0.1, "decay": 0.0}, 1, True),  # a new option, as it was without it
        ({"rate": 0.1, "decay": 0.5}, {"rate": 0.1, "decay": 0.0}, 1, False),
        ({"rate": 0.2}, {"rate": 0.2}, 1, False),  # a changed default
        ({"rate": 0.1}, {"rate": 0.1}, 2, False),  # another formula
        ({"rate": 0.1, "decay": 0.0}, {"rate": 0.1}, 1, False),  # an option without a default is no old one's
        ({}, {}, 1, True),  # an option that is gone counted as its default, too
    ],
)
def test_a_cell_knows_its_options(tmp_path, options, defaults, formula, known):
    assert not _known(tmp_path, {"rate": 0.1}, {"rate": 0.1})
    assert _known(tmp_path, options, defaults, formula) is known
    assert _known(tmp_path, options, defaults, formula)


def test_an_option_that_is_gone_counts_as_what_its_default_was(tmp_path):
    assert not _known(tmp_path, {"rate": 0.2}, {"rate": 0.1})
    assert not _known(tmp_path, {}, {})


def test_no_flipped_byte_of_a_cell_changes_a_number(tmp_path):
    arrays = {"mean": np.linspace(0, 1, 7, dtype=np.float32), "text": np.array(["CCO", "C"])}
    with _open(tmp_path) as folder:
        cell = folder.cell("a.npz", data=1)
        cell.write(arrays)
        whole, seen = cell.path.read_bytes(), 0
        for place in range(0, len(whole), 3):
            cell.path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                found = cell.read()
            assert (found is None) == bool(said), place
            if found is None:
                seen += 1
            else:
                np.testing.assert_equal(found, arrays)
            if not cell.path.exists():  # its owner could not be read
                cell.path.write_bytes(whole)
        assert seen > 100


def test_no_resume_refuses_even_the_same_run(tmp_path):
    with _open(tmp_path / "run"):
        pass
    with pytest.raises(RunFolderError, match="--no-resume"), _open(tmp_path / "run", resume=False):
        pass


def test_a_folder_of_other_files_and_a_file_are_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(RunFolderError, match="holds no run"), _open(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(RunFolderError, match="is a file"), _open(tmp_path / "thesis.tex"):
        pass


def test_what_a_kill_within_the_first_write_leaves_is_no_obstacle(tmp_path):
    (tmp_path / ".run.json.abcd1234").write_text('{"system": "mu')
    (tmp_path / ".lock").write_text("process 1 on nowhere")
    with _open(tmp_path) as folder:
        assert not folder.resumed
    assert {path.name for path in tmp_path.iterdir()} == {"run.json"}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "[" * 100_000, json.dumps({"system": "muben"}), json.dumps({"configuration": {}, "seconds": "x"})],
)
def test_a_damaged_record_is_one_clear_error(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunFolderError, match=r"run\.json"):
        read_run(tmp_path)
    with pytest.raises(RunFolderError, match=r"run\.json"), _open(tmp_path):
        pass


def _hold(path, held, done):
    with working_alone(path):
        held.set()
        done.wait(60)


def test_two_processes_do_not_share_a_folder_and_the_dead_do_not_hold_it(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path, held, done))
    process.start()
    assert held.wait(60)
    with pytest.raises(RunFolderError, match=f"process {process.pid} on .* works in"), _open(tmp_path):
        pass
    process.kill()
    process.join()
    assert pathlib.Path(tmp_path, ".lock").exists()
    with _open(tmp_path):
        pass
    assert not pathlib.Path(tmp_path, ".lock").exists()


def test_setting_aside_leaves_the_lock_and_other_results(tmp_path):
    for name in (".lock", "earlier/old/a", "run.json", "results.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    target = set_aside(tmp_path, "new")
    assert {path.name for path in target.iterdir()} == {"run.json", "results.csv"}
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "earlier"}
