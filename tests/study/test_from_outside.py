"""A package of somebody else's: a method, a backbone and a label model, one file each, found by its metadata alone."""

import csv
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
METHOD = '''
"""A method with a training of its own: the mean of the training labels, and their spread."""
import jax.numpy as jnp
from jaxuq._entries import Entry
from jaxuq.molecules.muben.setting import Trained
from jaxuq.posterior import GaussianForecast


def train(setting, seeds, trained):
    labels = setting.problem.train.labels
    mean = jnp.stack([labels.mean(0) + 0.01 * seed for seed in seeds])
    return Trained({"mean": mean[:, None]}, None, 0.0)


def forecast(setting, networks, rng_key, inputs, train):
    rows = len(next(iter(__import__("jax").tree.leaves(inputs))))
    mean = jnp.broadcast_to(networks.params["mean"][0], (rows, networks.params["mean"].shape[-1]))
    return GaussianForecast(mean, jnp.ones_like(mean), jnp.zeros_like(mean))


MINE = Entry("mean-label", "Mean of the labels", {"train": train, "forecast": forecast},
             style={"colour": "#123456"}, about={"task_types": ("regression",)})
'''
BACKBONE = '''
"""A backbone: the length of a SMILES."""
import numpy as np
from jaxuq._entries import Entry
from jaxuq.molecules.muben import Backbone, Recipe
from jaxuq.networks import DNN


def featurise(smiles, progress):
    return np.array([[len(one), one.count("C"), 1.0] for one in smiles], np.float32)


def make(configuration):
    return Backbone(featurise, lambda outputs: DNN(num_outputs=outputs, width=4, depth=0), Recipe(1e-2, 8, 2, 1))


MINE = Entry("lengths", "Lengths", {"make": make})
'''
LABEL_MODEL = '''
"""A label model: what the first labelling function says."""
import numpy as np
from jaxuq._entries import Entry
from jaxuq.tagging.benchmark.methods import Outcome
from jaxuq.tagging.label_model import LabelForecast
from jaxuq.tagging.tagger import hard_targets


def run(rng_key, problem):
    labels = np.maximum(np.asarray(problem.test.labels.observations)[..., 0], 0)
    forecast = LabelForecast(labels, hard_targets(labels, problem.num_labels))
    return Outcome(forecast, None, None, np.zeros(0), np.zeros(0), None)


MINE = Entry("first-function", "The first function", {"run": run})
'''
POINTS = """
[jaxuq.methods]
mean-label = stranger.method:MINE
[jaxuq.backbones]
lengths = stranger.backbone:MINE
[jaxuq.label_models]
first-function = stranger.label_model:MINE
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder as an installer leaves it, whose package says when it is imported."""
    root = tmp_path_factory.mktemp("site")
    package, info = root / "stranger", root / "stranger-1.0.dist-info"
    package.mkdir(), info.mkdir()
    (package / "__init__.py").write_text("import sys\nprint('stranger is imported', file=sys.stderr)\n")
    for name, text in (("method", METHOD), ("backbone", BACKBONE), ("label_model", LABEL_MODEL)):
        (package / f"{name}.py").write_text(text)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    return root


def _jaxuq(site, *arguments, **further):
    path = os.pathsep.join([str(site), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "COLUMNS": "200"} | further
    command = [sys.executable, "-m", "jaxuq", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=300)


@pytest.mark.parametrize(("command", "names"), [("muben", ["mean-label", "lengths"]), ("tag", ["first-function"])])
def test_it_is_in_the_help_and_nothing_is_imported_for_it(site, command, names):
    said = _jaxuq(site, command, "--help")
    assert said.returncode == 0, said.stderr
    assert all(name in said.stdout for name in names)
    assert "stranger is imported" not in said.stderr
    without = _jaxuq(ROOT, command, "--help")
    assert not any(name in without.stdout for name in names)
    if command == "muben":
        from jaxuq.molecules.muben import METHODS

        assert not [name for name in METHODS if f"{name}," not in without.stdout and f"{name}." not in without.stdout]


def _methods(folder):
    with (folder / "results.csv").open() as file:
        return {row["method"] for row in csv.DictReader(file)}


def test_a_method_with_its_own_training_and_a_backbone_are_in_tables_and_on_the_page(site, tmp_path):
    from tests.study.studies import STUDIES

    STUDIES["muben"].write(tmp_path / "data")
    said = _jaxuq(
        site, "muben", "--dataset", tmp_path / "data", "--backbone", "lengths", "--methods", "deterministic,mean-label",
        "--seeds", 2, "--resamples", 20, "--strategy", "map", "--output", tmp_path / "out",
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert _methods(tmp_path / "out") == {"deterministic", "mean-label"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Mean of the labels" in page and "#123456" in page and "could not be drawn" not in page
    assert "Mean of the labels" in said.stdout


def test_a_label_model_is_in_tables_and_on_the_page(site, tmp_path):
    from tests.study.studies import STUDIES

    STUDIES["tag"].write(tmp_path / "data")
    said = _jaxuq(
        site, "tag", "--data", tmp_path / "data", "--model", "majority-vote,first-function", "--seeds", 1, "--output",
        tmp_path / "out",
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert _methods(tmp_path / "out") == {"majority-vote", "first-function"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "The first function" in page and "could not be drawn" not in page


def test_a_package_that_cannot_be_imported_is_one_line(site, tmp_path):
    (site / "stranger" / "method.py").write_text("import no_such_thing\n")
    said = _jaxuq(site, "muben", "--dataset", "esol", "--methods", "mean-label", "--output", tmp_path / "out")
    (site / "stranger" / "method.py").write_text(METHOD)
    assert said.returncode == 2 and said.stderr.strip().splitlines()[-1].startswith("jaxuq: method 'mean-label' of")
