"""Small networks, a cache of the tests' own, and a finished run of every command, made once."""

import pathlib

import pytest

from tests.study.studies import STUDIES, small_networks


@pytest.fixture(scope="module", autouse=True)
def _small_networks_and_own_cache(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    small_networks(patch)
    patch.setenv("JAXUQ_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def first(tmp_path_factory):
    """Data and a finished run of a command, made once."""
    made: dict[str, pathlib.Path] = {}

    def make(name: str) -> pathlib.Path:
        if name not in made:
            root = tmp_path_factory.mktemp("first")
            STUDIES[name].write(root / "data")
            STUDIES[name].run(root / "data", root / "out", 0.0)
            made[name] = root
        return made[name]

    return make
