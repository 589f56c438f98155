"""What commands say beside their results, and the switch that quiets them."""

import logging
import pathlib
import sys
import tomllib
import warnings

import pytest

from jaxuq.cli import main
from jaxuq.cli.telling import progress_console, say, take_switch, telling, warn
from jaxuq.study.errors import StudyWarning

LINE = "[bold]12/20[/bold] :smile: " + "a long path/" * 20


@pytest.mark.parametrize("quiet", [False, True])
def test_lines_go_to_standard_error_as_they_are(capsys, quiet):
    with telling(quiet):
        say(LINE)
        warn("a file was damaged")
        logging.getLogger("jaxuq.serving").error("a request failed")
        warnings.warn("results were kept", StudyWarning, stacklevel=1)
        bars = progress_console()
        bars.print("a bar")
    captured = capsys.readouterr()
    said = [] if quiet else [LINE]
    notes = ["note: a file was damaged", "a request failed", "note: results were kept"]
    assert captured.err.splitlines() == said + notes + ([] if quiet else ["a bar"])
    assert captured.out == ""


def test_afterwards_nothing_is_left(capsys):
    logger = logging.getLogger("jaxuq")
    before = logger.level, list(logger.handlers)
    with pytest.raises(ZeroDivisionError), telling(False):
        _ = 1 // 0
    assert (logger.level, logger.handlers) == before
    say("to nobody")
    assert capsys.readouterr().err == ""


def test_the_switch_is_an_argument_anywhere_or_a_variable(monkeypatch):
    monkeypatch.delenv("JAXUQ_QUIET", raising=False)
    assert take_switch(["tag", "--quiet", "--seeds", "3"]) == (["tag", "--seeds", "3"], True)
    assert take_switch(["tag"]) == (["tag"], False)
    for value, quiet in (("1", True), ("yes", True), ("0", False), ("", False)):
        monkeypatch.setenv("JAXUQ_QUIET", value)
        assert take_switch(["tag"]) == (["tag"], quiet)


def test_results_and_errors_are_the_same_for_a_quiet_command(capsys):
    main(["data"])
    loud = capsys.readouterr().out
    main(["--quiet", "data"])
    assert capsys.readouterr().out == loud != ""
    with pytest.raises(SystemExit) as error:
        main(["report", "/no/such/folder", "--quiet"])
    assert error.value.code == 2 and "/no/such/folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("mubne", "there is no command 'mubne': did you mean muben?"),
        ("confidance", "did you mean confidence?"),
        ("xyz", "there are muben, molecules, tag,"),
    ],
)
def test_a_mistyped_command_is_told_what_may_be_meant(given, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main([given])
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and len(lines) == 1 and said in lines[0]


def test_the_version_is_that_of_the_project(capsys):
    main(["--version"])
    declared = tomllib.loads((pathlib.Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["version"]
    assert capsys.readouterr().out == f"jaxuq {declared}\n"


def test_a_root_logger_that_a_package_has_set_up_says_nothing_twice(capfd, monkeypatch):
    root = logging.StreamHandler(sys.stderr)
    monkeypatch.setattr(logging.getLogger(), "handlers", [root])
    with telling(False):
        say("once")
    assert capfd.readouterr().err.count("once") == 1
    assert logging.getLogger("jaxuq").propagate
