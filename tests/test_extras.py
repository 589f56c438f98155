"""A missing extra is one line with the command that installs it, before any work."""

import pathlib
import sys
import tomllib

import pytest

from jaxuq._extras import EXTRAS, MissingPackageError, check_extras, missing_package, needed_package
from jaxuq.cli import main
from jaxuq.cli.main import _COMMANDS

PROJECT = tomllib.loads((pathlib.Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
_IMPORTED_AS = {"huggingface-hub": "huggingface_hub", "math-verify": "math_verify"}


def _names(requirements):
    names = (requirement.split(">")[0].split("[")[0] for requirement in requirements)
    return {_IMPORTED_AS.get(name, name) for name in names}


def test_the_table_is_that_of_the_project():
    core = _names(PROJECT["dependencies"])
    extras = {name: _names(given) - core for name, given in PROJECT["optional-dependencies"].items() if name != "all"}
    devices = {name for name, given in PROJECT["optional-dependencies"].items() if given[0].startswith("jax[")}
    extras = {name: given for name, given in extras.items() if name not in devices}  # JAX for another device
    assert {name: set(packages) for name, packages in EXTRAS.items()} == extras


_CALLS = {
    "muben": ["muben", "--dataset", "esol"],
    "molecules": ["molecules", "fit", "esol"],
    "tag": ["tag", "--data", "some"],
    "confidence": ["confidence", "--model", "some", "--data", "some"],
    "extract": ["extract", "--data", "some", "--types", "other"],
    "experts": ["experts", "train", "--model", "some", "--data", "some"],
    "tune": ["tune", "--model", "some", "--data", "some"],
    "generate": ["generate", "--model", "some", "a prompt"],
    "serve": ["serve", "some"],
    "plan": ["plan", "--model", "some"],
    "data": ["data"],
    "report": ["report", "some"],
}


@pytest.mark.parametrize(
    ("command", "extra", "package"),
    [
        (command, extra, package)
        for command in _CALLS
        for extra in _COMMANDS[command][2]
        for package in EXTRAS[extra]
    ],
)  # fmt: skip
def test_a_command_without_a_package_says_what_to_install(command, extra, package, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(SystemExit) as ended:
        main(_CALLS[command])
    said = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code == 2 and len(said) == 1, said
    assert said[0].startswith(
        f"jaxuq: jaxuq {command} needs the package {package}, which is not installed: pip install"
    )
    assert extra in said[0].partition("[")[2]
    assert not list(tmp_path.iterdir())


def test_every_command_that_needs_something_is_called_here():
    assert set(_CALLS) == {name for name, (*_, extras) in _COMMANDS.items() if extras}


def test_all_that_is_missing_is_one_command(monkeypatch):
    for name in ("rdkit", "matplotlib", "pandas"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError) as error:
        check_extras(("molecules", "reports"), "this")
    assert str(error.value) == (
        "this needs the packages pandas, rdkit and matplotlib, which are not installed: "
        "pip install 'jaxuq[molecules,reports]'"
    )
    assert isinstance(error.value, ImportError)


def test_what_no_extra_brings_is_named_alone(monkeypatch):
    assert str(missing_package("some.where", "this")).endswith("pip install some")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingPackageError, match=r"serving needs the package uvicorn.*jaxuq\[serve\]"):
        needed_package("uvicorn", "serving")
