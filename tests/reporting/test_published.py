"""Ranks of published report files: against SciPy on made-up ones, against the thesis's tables on the real ones."""

import csv
import os
import pathlib

import numpy as np
import pytest
from scipy.stats import rankdata

from jaxuq.reporting import ReportError, compare_published, is_published, published_scores
from tests.metrics.test_published_ranks import BACKBONES, PUBLISHED

_METHODS = ("none", "MCDropout", "DeepEnsembles")


def _write(folder: pathlib.Path, backbone: str, dataset: str, values) -> None:
    with (folder / f"{backbone}-{dataset}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["", "method", "rmse-mean", "ce-mean", "rmse-std"])
        writer.writerows([i, f"{backbone}-{m}", v, 2 * v, 0.1] for i, (m, v) in enumerate(zip(_METHODS, values)))


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_ranks_of_reports_equal_scipy(tmp_path, rng):
    values = rng.random((2, 2, 3))  # data sets, backbones, methods
    for dataset, of_set in zip(("x", "y"), values):
        for backbone, row in zip(("A", "B-one"), of_set):
            _write(tmp_path, backbone, dataset, row)
    _write(tmp_path, "A", "alone", rng.random(3))  # no file of the other backbone: not ranked
    assert is_published(tmp_path)
    compare_published(tmp_path, tmp_path / "out", ["a", "b-ONE"])
    expected = np.mean([rankdata(of_set.ravel()) for of_set in values], axis=0)
    rows = _rows(tmp_path / "out" / "regression-ranks.csv")
    np.testing.assert_allclose([float(row["rmse_rank"]) for row in rows], expected, atol=1e-4)
    reciprocal = np.mean([1 / rankdata(of_set.ravel()) for of_set in values], axis=0).reshape(2, 3)
    by_method = _rows(tmp_path / "out" / "regression-ranks-by-method.csv")
    np.testing.assert_allclose([float(row["rce_mrr"]) for row in by_method], reciprocal.mean(axis=0), atol=1e-4)
    with pytest.raises(ReportError, match="has no backbone 'C'"):
        published_scores(tmp_path, ["C"])


@pytest.mark.data
def test_average_ranks_of_the_thesis(tmp_path):
    folder = pathlib.Path(os.environ.get("JAXUQ_DATA", "/nonexistent")) / "muben_reports" / "primary"
    assert folder.is_dir(), "tests marked `data` need muben_reports in the folder that JAXUQ_DATA names"
    compare_published(folder, tmp_path, BACKBONES)
    ranks = {row["row"].lower(): row for row in _rows(tmp_path / "regression-ranks.csv")}
    order = ("deterministic", "mc dropout", "swag", "bayes by backprop", "sgld", "deep ensemble")
    for metric, table in PUBLISHED.items():
        column = f"{'rce' if metric == 'ce' else metric}_rank"
        ours = [[float(ranks[f"{method} · {backbone.lower()}"][column]) for method in order] for backbone in BACKBONES]
        np.testing.assert_allclose(ours, table, atol=0.00501)
    grover = {row["row"]: row for row in _rows(tmp_path / "classification-ranks.csv") if row["row"].endswith("GROVER")}
    assert float(grover["Deep ensemble · GROVER"]["nll_rank"]) == pytest.approx(5.38, abs=0.006)  # table 2.4
    assert float(grover["SWAG · GROVER"]["auroc_rank"]) == pytest.approx(9.13, abs=0.006)
