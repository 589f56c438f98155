"""Ranks of published report files: against SciPy on made-up ones, against the thesis's tables on the real ones."""

import csv
import os
import pathlib

import numpy as np
import pytest
from scipy.stats import rankdata

from jaxuq.reporting import ReportError, compare_published, is_published, published_changes, published_scores
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


def test_changes_are_means_of_rows_that_both_have(tmp_path, rng):
    values = rng.uniform(1, 2, (2, 2, 3))  # conditions, data sets, methods
    for condition, of_condition in zip(("base", "frozen"), values):
        (tmp_path / condition).mkdir()
        for dataset, row in zip(("x", "y"), of_condition):
            _write(tmp_path / condition, "A", dataset, row)
    _write(tmp_path / "base", "B", "x", rng.random(3))  # no such row in the other folder
    _write(tmp_path / "frozen", "A", "z", rng.random(3))  # nor in the base
    changes = published_changes(tmp_path / "base", [tmp_path / "frozen"])
    expected = 100 * np.mean(values[1] / values[0] - 1)
    assert changes["metric"].tolist() == ["rmse", "rce"] and changes["rows"].tolist() == [6, 6]
    np.testing.assert_allclose(changes["change"], expected, rtol=1e-12)
    page = compare_published(tmp_path / "base", tmp_path / "out", others=[tmp_path / "frozen"])
    assert f"{expected:+.2f} %" in page.read_text()
    assert len(_rows(tmp_path / "out" / "changes.csv")) == 2


# Frozen backbones and random splits against the primary scores, in percent: the thesis's table 2.6.
_CHANGES = {
    ("classification", "frozen"): {"auroc": -24.07, "ece": 145.13, "nll": 53.43, "brier": 88.98},
    ("classification", "random"): {"auroc": 13.25, "ece": -35.19, "nll": -33.87, "brier": -37.35},
    ("regression", "frozen"): {"rmse": 78.60, "mae": 92.40, "nll": 58.18, "rce": -46.06},
    ("regression", "random"): {"rmse": -26.34, "mae": -31.36, "nll": -53.87, "rce": 19.06},
}


@pytest.mark.data
def test_changes_of_the_thesis():
    folder = pathlib.Path(os.environ.get("JAXUQ_DATA", "/nonexistent")) / "muben_reports"
    assert folder.is_dir(), "tests marked `data` need muben_reports in the folder that JAXUQ_DATA names"
    changes = published_changes(folder / "primary", [folder / "frozen", folder / "random"])
    for (task_type, condition), expected in _CHANGES.items():
        rows = changes[(changes["task_type"] == task_type) & (changes["condition"] == condition)]
        found = dict(zip(rows["metric"], rows["change"]))
        assert found == pytest.approx(expected, abs=0.0051)


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
