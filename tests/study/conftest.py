"""A small network, a cache of the tests' own, and a finished run of every command, made once a file."""

import pathlib

import pytest

from jaxuq.networks import DNN
from tests.study.studies import STUDIES


@pytest.fixture(scope="module", autouse=True)
def _small_network_and_own_cache(tmp_path_factory):
    from jaxuq.molecules.muben import BACKBONES

    patch = pytest.MonkeyPatch()
    whole = BACKBONES["dnn"]

    def small(options):
        made = whole.functions["make"](options)
        return made._replace(network=lambda outputs: DNN(num_outputs=outputs, width=8, depth=0))

    patch.setitem(BACKBONES, "dnn", whole._replace(functions={"make": small}))
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
