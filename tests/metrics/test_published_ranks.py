"""The published average ranks of MUBen's regression study, from its published scores."""

import csv
import os
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import metrics

pytestmark = pytest.mark.data

BACKBONES = ("DNN-rdkit", "ChemBERTa", "GROVER", "Uni-Mol")
METHODS = ("none", "MCDropout", "SWAG", "BBP", "SGLD", "DeepEnsembles")
DATA_SETS = ("esol", "freesolv", "lipo", "qm7", "qm8", "qm9")
# Table 2.5, columns "Average Ranking": a row per method in the order above.
PUBLISHED = {
    "rmse": [
        [16.67, 15.17, 18.00, 21.17, 19.83, 11.50],
        [17.83, 14.33, 19.33, 17.67, 19.83, 14.83],
        [10.67, 9.33, 12.33, 14.17, 14.83, 8.17],
        [5.83, 4.00, 6.33, 3.17, 2.50, 2.50],
    ],
    "mae": [
        [15.67, 15.17, 17.67, 20.50, 19.33, 11.17],
        [16.67, 13.83, 18.50, 18.50, 20.50, 13.83],
        [11.67, 11.17, 13.33, 15.67, 15.17, 8.67],
        [4.83, 3.17, 6.17, 3.00, 4.00, 1.83],
    ],
    "nll": [
        [11.33, 11.33, 14.00, 10.33, 6.83, 6.33],
        [18.83, 15.00, 20.33, 10.83, 9.50, 14.67],
        [17.67, 16.00, 20.33, 7.67, 4.67, 13.50],
        [16.67, 16.67, 19.67, 4.33, 2.50, 11.00],
    ],
    "ce": [
        [10.50, 10.67, 12.50, 7.33, 1.83, 8.67],
        [14.67, 13.67, 15.83, 9.00, 8.50, 12.67],
        [16.00, 14.33, 17.83, 4.00, 2.67, 14.00],
        [21.17, 21.33, 22.67, 10.33, 9.17, 20.67],
    ],
}


@pytest.fixture
def reports():
    folder = pathlib.Path(os.environ.get("JAXUQ_DATA", "/nonexistent")) / "muben_reports" / "primary"
    if not folder.is_dir():
        pytest.skip("needs the folder muben_reports/primary in the folder named by JAXUQ_DATA")
    return folder


@pytest.mark.parametrize("metric", PUBLISHED)
def test_regression_ranks_reproduce(reports, metric):
    scores = []
    for data_set in DATA_SETS:
        column = []
        for backbone in BACKBONES:
            with open(reports / f"{backbone}-{data_set}.csv") as file:
                rows = {row["method"].lower(): float(row[f"{metric}-mean"]) for row in csv.DictReader(file)}
            column += [rows[f"{backbone}-{method}".lower()] for method in METHODS]
        scores.append(column)
    ranks = metrics.rank_methods(jnp.asarray(scores, jnp.float32).T, higher_is_better=False)
    ours = np.asarray(metrics.mean_rank(ranks)).reshape(len(BACKBONES), len(METHODS))
    np.testing.assert_allclose(ours, PUBLISHED[metric], atol=0.00501)
