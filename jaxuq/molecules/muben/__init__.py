"""MUBen, the molecular uncertainty benchmark: `jaxuq muben` as a function.

    configuration = MubenConfiguration(dataset="esol", methods="deterministic,ensemble", seeds=3)
    folder = run_muben(configuration)

and as a study, whose results are a data frame, comparisons and a page:

    study = muben_study(["esol", "mine.csv"], ["deterministic", "swag", MINE], seeds=3, output="runs/mine")
    study.frame(), study.compare("swag", "mine"), study.page()

`run_active` starts with few labels and acquires more in rounds; `run_grid` makes several runs, here or on a cluster.
`METHODS` and `BACKBONES` are open tables; a new row of the benchmark is a new entry, here or in another package.
"""

from jaxuq.molecules.muben.acquisition import acquisition_scores
from jaxuq.molecules.muben.active import run_active
from jaxuq.molecules.muben.backbones import BACKBONES, Backbone, make_backbone
from jaxuq.molecules.muben.binned import binned_scores
from jaxuq.molecules.muben.configuration import MubenConfiguration
from jaxuq.molecules.muben.grid import grid_cells, run_grid
from jaxuq.molecules.muben.methods import METHODS
from jaxuq.molecules.muben.opening import select_methods
from jaxuq.molecules.muben.published_scores import (
    published_binary_calibration,
    published_gaussian_likelihood,
    published_precision_recall_area,
    published_regression_calibration,
)
from jaxuq.molecules.muben.recipe import Recipe, recipe_optimizer
from jaxuq.molecules.muben.run import run_muben
from jaxuq.molecules.muben.study import muben_study

__all__ = [
    "BACKBONES",
    "METHODS",
    "Backbone",
    "MubenConfiguration",
    "Recipe",
    "acquisition_scores",
    "binned_scores",
    "grid_cells",
    "make_backbone",
    "muben_study",
    "published_binary_calibration",
    "published_gaussian_likelihood",
    "published_precision_recall_area",
    "published_regression_calibration",
    "recipe_optimizer",
    "run_active",
    "run_grid",
    "run_muben",
    "select_methods",
]
