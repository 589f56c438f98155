"""Calls in two worker processes of this machine; without Ray, what is said about a cluster."""

import os
import signal
import sys

import pytest

from jaxuq._extras import MissingPackageError
from jaxuq.study import ClusterError, run_on_cluster


def test_a_missing_ray_is_one_line_that_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'jaxuq\[cluster\]'"):
        run_on_cluster(divmod, {"a": (7, 2)}, address="auto")
    with pytest.raises(ValueError, match="workers is 0"):
        run_on_cluster(divmod, {"a": (7, 2)}, workers=0)


def dies_until(folder, attempts):
    """Die as a killed process does, so many times; then say how often this was begun, and where."""
    begun = len(list(folder.iterdir()))
    (folder / str(begun)).touch()
    if begun < attempts:
        os.kill(os.getpid(), signal.SIGKILL)
    return begun, os.getcwd(), os.getpid()


def fails():
    raise KeyError("whatever")


def ends(kind, *arguments):
    return {"fails": fails, "dies": dies_until, "divides": divmod}[kind](*arguments)


def test_what_cannot_be_sent_to_another_process_is_told():
    with pytest.raises(ClusterError, match="put functions of your own into a file"):
        run_on_cluster(lambda: 1, {"a": ()})


@pytest.mark.long
def test_a_death_is_another_attempt_and_an_exception_an_outcome(tmp_path):
    once, always = tmp_path / "once", tmp_path / "always"
    once.mkdir(), always.mkdir()
    calls = {
        "good": ("divides", 7, 2),
        "once": ("dies", once, 1),
        "always": ("dies", always, 99),
        "bad": ("fails",),
    }
    told = []
    outcomes = run_on_cluster(
        ends,
        calls,
        retries=1,
        started=lambda name, deaths: told.append(f"{name} {deaths}"),
        finished=lambda name, outcome: told.append(f"{name} over"),
    )
    assert list(outcomes) == list(calls)
    assert outcomes["good"] == (3, 1)
    attempts, folder, process = outcomes["once"]
    assert attempts == 1 and folder == os.getcwd() and process != os.getpid()
    assert isinstance(outcomes["always"], ClusterError) and "died 2 times" in str(outcomes["always"])
    assert len(list(always.iterdir())) == 2
    assert isinstance(outcomes["bad"], KeyError)
    begun = ["good 0", "once 0", "once 1", "always 0", "always 1", "bad 0"]
    assert sorted(told) == sorted([*begun, *(f"{name} over" for name in calls)])
