"""Several runs on one page: ranks over data sets, and warnings where runs are not alike."""

import html.parser
import json
import re

import numpy as np
import pandas
import pytest
from scipy.stats import rankdata

from jaxuq.reporting import ReportError, compare_runs
from jaxuq.study import Resamples
from tests.reporting.folders import write_result_folder


class _Words(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.words = []

    def handle_data(self, data):
        self.words.append(data.strip())


def _text(page):
    parser = _Words()
    parser.feed(page.read_text())
    return [word for word in parser.words if word]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("compare")
    sets = ("esol", "freesolv", "lipo")
    methods = ("deterministic", "swag", "bbp")
    return [
        write_result_folder(root / name, dataset=name, methods=methods, numbers=i, molecules=4)
        for i, name in enumerate(sets)
    ]


def test_ranks_and_scores_equal_those_of_scipy_and_pandas(runs, tmp_path):
    page = compare_runs(runs, tmp_path / "out")
    words = _text(page)
    scores = pandas.concat([pandas.read_csv(run / "results.csv") for run in runs])
    rmse = scores.pivot_table(index="method", columns="dataset", values="rmse").loc[["deterministic", "swag", "bbp"]]
    ranks = rankdata(rmse, axis=0)
    ranked = page.read_text().split("ranks</h2>")[1]
    for title, row in zip(("Deterministic", "SWAG", "Bayes by backprop"), ranks, strict=True):
        found = re.search(rf"{title}</th>\s*<td[^>]*>([\d.]+)<small>([\d.]+)</small>", ranked)
        assert float(found.group(1)) == pytest.approx(np.mean(row), abs=0.005)
        assert float(found.group(2)) == pytest.approx(np.mean(1 / row), abs=0.0005)
    for dataset in rmse:
        assert any(word.startswith(f"{rmse[dataset].min():.4f}") for word in words)
    assert "Before you compare" not in words
    assert (tmp_path / "out" / "figures" / "regression-method-mrr.png").exists()


@pytest.mark.long
def test_data_sets_of_one_name_that_are_not_the_same_data_are_told_apart(tmp_path):
    runs = [
        write_result_folder(tmp_path / name, backbone=name, numbers=number, molecules=4)
        for number, name in enumerate(("dnn", "gin", "dmpnn"))
    ]
    for run, data in zip(runs, ("a" * 64, "b" * 64, "a" * 64), strict=True):
        record = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps(record | {"digests": {"esol": data}}))
    page = compare_runs(runs, tmp_path / "out").read_text()
    assert "is not the same data in all runs" in page and "esol [aaaaaa]" in page and "esol [bbbbbb]" in page
    ranks = pandas.read_csv(tmp_path / "out" / "regression-ranks.csv")
    own = pandas.concat([pandas.read_csv(run / "results.csv") for run in (runs[0], runs[2])])
    means = own.groupby(["method", "backbone"])["rmse"].mean()
    within = means.rank().to_numpy()  # of the data set that two runs share; the third is ranked among its own
    assert sorted(ranks["rmse_rank"])[-1] == within.max() == 4
    alike = compare_runs([runs[0], runs[2]], tmp_path / "alike").read_text()
    assert "is not the same data" not in alike and "esol [" not in alike


@pytest.mark.parametrize("known", [True, False])
def test_only_what_is_better_beyond_chance_is_marked(tmp_path, known):
    means = {("dnn", "deterministic"): 0.8, ("dnn", "ensemble"): 0.6, ("gin", "deterministic"): 0.4}
    means["gin", "ensemble"] = 0.401
    shared = 0.1 * np.random.default_rng(0).normal(size=200)
    runs = []
    for backbone in ("dnn", "gin"):
        run = write_result_folder(tmp_path / backbone, backbone=backbone, molecules=4)
        results = pandas.read_csv(run / "results.csv")
        results["rmse"] = [means[backbone, method] for method in results["method"]]
        results.to_csv(run / "results.csv", index=False)
        methods = ("deterministic", "ensemble")
        draws = [
            means[backbone, method] + shared + 0.005 * np.random.default_rng(i).normal(size=200)
            for i, method in enumerate(methods)
        ]
        if known:
            cells = [{"method": method, "backbone": backbone, "seed": seed} for method in methods for seed in (0, 1)]
            estimates = np.array([[means[backbone, method]] for method in methods for _ in range(2)])
            Resamples(cells, ["same"] * 4, ["rmse"], estimates, np.repeat(draws, 2, axis=0)[..., None]).write(run)
        runs.append(run)
    page = compare_runs(runs, tmp_path / "out").read_text()
    titles = {"deterministic": "Deterministic", "ensemble": "Deep ensemble"}
    for (backbone, method), mean in means.items():
        cell = re.search(rf'{titles[method]} · {backbone}</th>\s*<td class="([^"]*)"[^>]*>(?:<span>)?([\d.]+)', page)
        assert float(cell.group(2)) == pytest.approx(mean, abs=1e-4)
        assert ("best" in cell.group(1)) == (known and (backbone, method) == ("dnn", "ensemble"))
        assert "winner" not in cell.group(1)  # the two of gin cannot be told apart


@pytest.mark.long
def test_runs_that_are_not_alike_are_warned_about(tmp_path):
    runs = [
        write_result_folder(tmp_path / "a", split="scaffold", molecules=4),
        write_result_folder(
            tmp_path / "b", split="random", seeds=1, dataset="lipo", molecules=4, epochs=5, status="running"
        ),
        write_result_folder(tmp_path / "c", dataset="qm7", methods=("deterministic",), molecules=4),
    ]
    text = " ".join(_text(compare_runs(runs, tmp_path / "out")))
    for expected in (
        "different splits (random, scaffold)",
        "a: 2; b: 1",
        "differ in “epochs”",
        "not complete",
        "not ranked",
    ):
        assert expected in text


def test_the_same_thing_run_with_two_settings_gives_two_rows(tmp_path):
    runs = [
        write_result_folder(tmp_path / name, numbers=number, molecules=4, width=number)
        for number, name in enumerate(("narrow", "wide"))
    ]
    words = _text(compare_runs(runs, tmp_path / "out"))
    assert "Deep ensemble · width 0" in words and "Deep ensemble · width 1" in words


@pytest.mark.long
def test_regression_and_classification_are_compared_apart(tmp_path):
    runs = [
        write_result_folder(tmp_path / "a", molecules=4),
        write_result_folder(tmp_path / "b", task_type="classification", dataset="bbbp", molecules=4),
    ]
    words = _text(compare_runs(runs, tmp_path / "out"))
    assert "Regression: scores" in words and "Classification: scores" in words


def test_what_cannot_be_compared_is_refused(runs, tmp_path):
    with pytest.raises(ReportError, match=r"no run\.json in it"):
        compare_runs([*runs, tmp_path], tmp_path / "out")
    with pytest.raises(ReportError, match="one of the runs"):
        compare_runs(runs, runs[0])
    (tmp_path / "run.json").write_text('{"system": "muben"}')
    with pytest.raises(ReportError, match="no rows"):
        compare_runs([tmp_path], tmp_path / "out")
    assert not (tmp_path / "out").exists()
