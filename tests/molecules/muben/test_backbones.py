"""Backbones with structured inputs through the whole benchmark; grids of runs; pretrained parameters."""

import dataclasses
import json

import numpy as np
import pytest

from jaxuq.molecules import DataError, load_molecules
from jaxuq.molecules.muben import BACKBONES, MubenConfiguration, grid_cells, make_backbone, run_grid, run_muben
from jaxuq.molecules.muben.starting import overlay
from jaxuq.networks import GIN
from jaxuq.study import read_arrays

from .conftest import TINY


@pytest.fixture(scope="module")
def graph_run(regression_csv, tmp_path_factory):
    """Every kind of method that treats the network in a way of its own, on a small GIN, with few epochs."""
    whole = BACKBONES["gin"]

    def small(configuration):
        network = lambda outputs: GIN(outputs, width=4, depth=1)  # noqa: E731
        return whole.functions["make"](configuration)._replace(network=network, molecules_at_once=5)

    root = tmp_path_factory.mktemp("runs")
    configuration = MubenConfiguration(
        dataset=str(regression_csv),
        backbone="gin",
        methods="deterministic,mc-dropout,swag,bbp,laplace",
        output=root / "gin",
        **{**TINY, "epochs": 2, "seeds": 1},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "gin", whole._replace(functions={"make": small}))
        yield run_muben(configuration), configuration


@pytest.mark.long
def test_every_method_works_on_graphs_and_dropout_acts(graph_run):
    folder, _ = graph_run
    cells = {name: read_arrays(folder.predictions / f"{name}-seed0.npz") for name in ("deterministic", "mc-dropout")}
    assert (cells["deterministic"]["test_epistemic"] == 0).all()
    assert (cells["mc-dropout"]["test_epistemic"] > 0).all()
    assert not np.allclose(cells["mc-dropout"]["test_mean"], cells["deterministic"]["test_mean"])
    for name in ("swag", "bbp", "laplace"):
        assert (read_arrays(folder.predictions / f"{name}-seed0.npz")["test_epistemic"] > 0).all(), name


@pytest.mark.long
def test_a_grid_goes_on_after_a_failure_and_continues(graph_run, tmp_path):
    _, configuration = graph_run
    several = dataclasses.replace(
        configuration, backbone="gin,chemberta", output=tmp_path / "grid", methods="deterministic", epochs=1
    )
    cells = grid_cells(several)
    assert [cell.output_folder.name for cell in cells] == ["solvation-gin-scaffold", "solvation-chemberta-scaffold"]
    status = run_grid(cells)
    assert status == json.loads((tmp_path / "grid" / "grid.json").read_text())
    assert status["solvation-gin-scaffold"] == "complete"
    assert "--checkpoint FOLDER" in status["solvation-chemberta-scaffold"]
    with pytest.raises(DataError, match="one run has one backbone"):
        run_muben(several)
    with pytest.raises(DataError, match="unknown backbone 'ginn'; did you mean gin"):
        grid_cells(dataclasses.replace(configuration, backbone="ginn"))


def test_pretrained_parameters_need_a_place_of_their_shape():
    fresh = {"body": {"kernel": np.zeros((2, 3))}, "output": {"bias": np.zeros(1)}}
    assert overlay(fresh, {"body": {"kernel": np.ones((2, 3))}})["body"]["kernel"].all()
    with pytest.raises(ValueError, match=r"body\.bias have no place: there are kernel"):
        overlay(fresh, {"body": {"bias": np.ones(3)}})
    with pytest.raises(ValueError, match=r"body\.kernel has shape \(3, 2\), the network's \(2, 3\)"):
        overlay(fresh, {"body": {"kernel": np.ones((3, 2))}})


def test_morgan_is_the_dnn_on_fingerprints():
    data = load_molecules("freesolv")
    inputs = make_backbone("morgan", MubenConfiguration()).featurise(data.smiles[:5], None)
    assert inputs.shape == (5, 1024) and set(np.unique(inputs)) == {0, 1}
