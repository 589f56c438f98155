"""The engine on cells that are cheap: what is done is never done again, tables lack nothing, workers change nothing."""

import csv
import json
import warnings

import numpy as np
import pytest

from jaxuq.study import (
    Listener,
    Log,
    Plan,
    RunFolderError,
    StudyWarning,
    compute_cells,
    open_run,
    summarise,
    write_table,
)
from jaxuq.study.crew import Crew, work_on_share
from jaxuq.study.identity import Identity

CALLS: list[str] = []


def squares(path, names=("a", "b", "c", "d"), fails=(), crew=None, content="1", listener=Listener()):  # noqa: B008
    """A run of four cells in two groups."""
    opened = open_run(path, system="test", options={}, content={"data": content}, device="cpu", crew=crew)
    with opened as folder:

        def work(plans):
            for plan in plans:
                CALLS.append(plan.name)
                if plan.name in fails:
                    raise ValueError(plan.name)
                yield plan, {"value": np.array(ord(plan.name) ** 2), "secret": np.array(0)}

        def rows(plan, value):
            row = {"method": plan.name, "seed": 0, "score": float(value["value"])}
            return {"results.csv": [row], "further.csv": [row | {"more": n} for n in range(2)]}

        plans = [
            Plan(
                name, folder.cell(f"cells/{name}.npz", data=content, method=name), group="ab" if name in "ab" else "cd"
            )
            for name in names
        ]
        tables = compute_cells(folder, plans, work, rows=rows, listener=listener, shown=("score",))
        write_table(folder.path / "summary.csv", summarise(tables["results.csv"], by=["method"], names=["score"]))
    return folder


def _scores(path, file="results.csv"):
    with (path / file).open() as table:
        return {row["method"]: float(row["score"]) for row in csv.DictReader(table)}


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


def test_what_is_there_is_not_computed_again_and_tables_follow_the_plans(tmp_path):
    squares(tmp_path, names="bc")
    squares(tmp_path, names="dcba")
    assert CALLS == ["b", "c", "d", "a"]
    assert list(_scores(tmp_path).items()) == [(name, ord(name) ** 2) for name in "dcba"]
    assert (tmp_path / "further.csv").read_text().count("\n") == 1 + 8


def test_an_interruption_leaves_what_is_finished_in_the_tables_and_goes_on(tmp_path):
    with pytest.raises(ValueError, match="c"):
        squares(tmp_path, fails="c")
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["status"] == "running" and set(_scores(tmp_path)) == {"a", "b"}
    (tmp_path / "results.csv").unlink()
    squares(tmp_path)
    assert CALLS == ["a", "b", "c", "c", "d"] and set(_scores(tmp_path)) == set("abcd")
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "complete"


def test_a_listener_hears_of_new_cells_and_may_end_the_run(tmp_path):
    heard = []
    squares(tmp_path, names="a")
    squares(tmp_path, listener=Listener(scored=lambda cell, scores: heard.append((cell, scores))))
    assert heard == [(name, {"score": ord(name) ** 2}) for name in "bcd"]


def _here(function, calls, *, started, finished, **further):
    """Workers of a cluster that has one process, this."""
    for name, arguments in calls.items():
        started(name, 0)
        try:
            outcome = function(*arguments)
        except Exception as error:
            outcome = error
        finished(name, outcome)


def test_workers_compute_their_share_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxuq.study.engine.run_on_cluster", _here)
    whole = squares(tmp_path / "alone")
    CALLS.clear()
    told = []
    crew = Crew("local", 2, squares, (tmp_path / "shared",))
    squares(tmp_path / "shared", crew=crew, listener=Listener(message=told.append))
    assert list("abcd") == CALLS and told == ["ab begins", "ab is over", "cd begins", "cd is over"]
    for file in ("results.csv", "further.csv", "summary.csv"):
        assert (tmp_path / "shared" / file).read_bytes() == (whole.path / file).read_bytes()
    assert json.loads((tmp_path / "shared" / "run.json").read_text())["status"] == "complete"


def test_a_worker_that_fails_costs_its_share_and_reads_no_other_data(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxuq.study.engine.run_on_cluster", _here)
    with pytest.raises(ValueError, match="a"):
        squares(tmp_path, crew=Crew("local", 2, squares, (tmp_path, "abcd", "a")))
    assert set(_scores(tmp_path)) == {"c", "d"}
    squares(tmp_path)
    assert set(_scores(tmp_path)) == set("abcd")
    with pytest.raises(RunFolderError, match="other content than a worker of it reads"):
        work_on_share(squares, (tmp_path, "abcd", "", None, "2"), "ab", ["a"])


def _log(path, formula=1, share="", **options):
    return Log(path, "said.jsonl", Identity({"formula": formula}, options, {"rate": 1}), share)


def test_a_log_keeps_whole_lines_of_its_identity(tmp_path):
    log = _log(tmp_path)
    log.append([{"id": "a"}, {"id": "b"}])
    with log.path.open("ab") as file:
        file.write(b'{"id": "c", "ce')  # a kill in the middle of a line
    log.append([{"id": "d"}])
    assert [line["id"] for line in log.read()] == ["a", "b", "d"]
    assert _log(tmp_path, rate=1).read() == log.read()  # an option that the lines do not know, at its default
    assert _log(tmp_path, rate=2).read() == [] == _log(tmp_path, formula=2).read()
    log.settle([{"id": "d"}, {"id": "a"}])
    before = log.path.stat().st_mtime_ns
    log.settle([{"id": "d"}, {"id": "a"}])
    assert [line["id"] for line in log.read()] == ["d", "a"] and log.path.stat().st_mtime_ns == before


def test_a_log_of_several_processes_is_read_as_one(tmp_path):
    for share in ("", "share 1", "share 2"):
        _log(tmp_path, share=share).append([{"id": share}])
    assert [line["id"] for line in _log(tmp_path).read()] == ["", "share 1", "share 2"]


@pytest.mark.parametrize("place", range(0, 60, 7))
def test_a_flipped_byte_of_a_log_costs_one_line(tmp_path, place):
    log = _log(tmp_path)
    log.append([{"id": "aaaaaaaa", "value": 1.5}, {"id": "bbbbbbbb", "value": 2.5}])
    content = bytearray(log.path.read_bytes())
    content[place] ^= 0x01
    log.path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StudyWarning)
        assert [line["id"] for line in log.read()] == ["bbbbbbbb"]
