"""Small data sets and finished runs of the benchmark, shared by its tests."""

import csv

import pytest

from jaxuq.molecules import load_molecules
from jaxuq.molecules.muben import BACKBONES, MubenConfiguration, run_muben
from jaxuq.networks import DNN

TINY = {
    "features": "morgan",
    "epochs": 4,
    "members": 2,
    "samples": 3,
    "seeds": 2,
    "batch_size": 32,
    "resamples": 8,
    "strategy": "map",
}


@pytest.fixture(scope="session", autouse=True)
def _small_network_and_own_cache(tmp_path_factory):
    """One hidden layer compiles several times faster than nine; features are cached in a folder of the tests."""
    patch = pytest.MonkeyPatch()
    whole = BACKBONES["dnn"]

    def small(configuration):
        made = whole.functions["make"](configuration)
        return made._replace(network=lambda outputs: DNN(num_outputs=outputs, width=16, depth=0))

    patch.setitem(BACKBONES, "dnn", whole._replace(functions={"make": small}))
    patch.setenv("JAXUQ_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def regression_csv(tmp_path_factory):
    """Eighty hydration free energies, a quarter of a second task's labels missing."""
    data = load_molecules("freesolv")
    path = tmp_path_factory.mktemp("data") / "solvation.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["smiles", "energy", "double"])
        for row, (smiles, label) in enumerate(zip(data.smiles[:80], data.labels[:80, 0])):
            writer.writerow([smiles, label, "" if row % 4 == 0 else 2 * label + 1])
    return path


@pytest.fixture(scope="session")
def regression_run(regression_csv, tmp_path_factory):
    """A run of every regression method, and its configuration."""
    configuration = MubenConfiguration(
        dataset=str(regression_csv), output=tmp_path_factory.mktemp("runs") / "all", **TINY
    )
    return run_muben(configuration), configuration


@pytest.fixture(scope="session")
def classification_run(tmp_path_factory):
    """A run on two tasks, of which the second has one class only in the test part."""
    data = load_molecules("bace")
    path = tmp_path_factory.mktemp("data") / "binding.csv"
    rows = list(range(0, 1500, 15))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["smiles", "binds", "constant"])
        for row in rows:
            writer.writerow([data.smiles[row], int(data.labels[row, 0]), 1])
    configuration = MubenConfiguration(
        dataset=str(path),
        output=tmp_path_factory.mktemp("runs") / "classes",
        methods="deterministic,temperature,isotonic,ensemble,laplace,evidential,sngp,vbll",
        task_type="classification",
        **TINY,
    )
    return run_muben(configuration), configuration
