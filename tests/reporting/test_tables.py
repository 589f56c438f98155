"""The score table holds the numbers that pandas computes, and marks the best."""

import io

import numpy as np
import pandas
import pytest
import rich.console

from jaxuq.reporting import markdown_table, read_folder, score_table, terminal_table
from jaxuq.reporting.metric_names import decimals, metric_name
from jaxuq.study.comparison import Paired
from tests.reporting.folders import CLASSIFICATION, REGRESSION


def _frame(**columns):
    methods = [f"m{i}" for i in range(len(next(iter(columns.values()))))]
    return pandas.DataFrame({"method": methods, "seed": 0, **columns})


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_means_spreads_and_intervals_are_those_of_pandas(kind, request):
    folder = read_folder(request.getfixturevalue(f"{kind}_folder"))
    metrics = REGRESSION if kind == "regression" else CLASSIFICATION
    table = score_table(folder.results, folder.summary, metrics=metrics)
    expected = folder.results.groupby("method")[metrics].agg(["mean", "std"])
    summary = folder.summary.set_index("method")
    assert [method for method, _ in table.rows] == folder.methods
    for method, cells in table.rows:
        for metric, cell in zip(metrics, cells, strict=True):
            assert cell.mean == pytest.approx(expected.loc[method, (metric, "mean")], rel=1e-12)
            assert cell.std == pytest.approx(expected.loc[method, (metric, "std")], rel=1e-12)
            assert (cell.lower, cell.upper) == tuple(summary.loc[method, [f"{metric}_lower", f"{metric}_upper"]])


def test_the_best_follows_the_direction_of_the_metric():
    results = _frame(rmse=[0.5, 0.4, 0.6], auroc=[0.7, 0.8, 0.9], coverage=[0.8, 0.89, 0.97], sharpness=[1.0, 2.0, 3.0])
    table = score_table(results, metrics=["rmse", "auroc", "coverage", "sharpness"], nominal_coverage=0.9)
    assert [column.heading for column in table.columns] == ["RMSE ↓", "AUROC ↑", "Coverage → 0.9", "Sharpness"]
    best = [[cell.best for cell in cells] for _, cells in table.rows]
    assert best == [[False, False, False, False], [True, False, True, False], [False, True, False, False]]


def test_coverage_has_no_best_while_the_nominal_one_is_unknown():
    table = score_table(_frame(coverage=[0.8, 0.9]), metrics=["coverage"])
    assert not any(cell.best for _, cells in table.rows for cell in cells)


def test_methods_that_agree_in_the_digits_shown_are_all_best():
    table = score_table(_frame(auroc=[0.738612, 0.738609, 0.7385, float("nan")]), metrics=["auroc"])
    assert [cells[0].best for _, cells in table.rows] == [True, True, False, False]
    assert [cells[0].text for _, cells in table.rows] == ["0.7386", "0.7386", "0.7385", "–"]


def _draws(seeds=1, **means):
    """Resamples that share what the examples bring (0.05), and differ by little of their own (0.005)."""
    rng = np.random.default_rng(0)
    shared = 0.05 * rng.normal(size=400)
    return {
        m: {"rmse": Paired(mean, {}, mean + shared + 0.005 * rng.normal(size=(seeds, 400)), "test")}
        for m, mean in means.items()
    }


def test_marks_rest_on_paired_differences_not_on_overlap():
    wide = {"rmse_lower": [0.3, 0.3, 0.4], "rmse_upper": [0.5, 0.5, 0.6]}
    clear = _frame(rmse=[0.40, 0.50]), _frame(**{key: values[::2] for key, values in wide.items()})
    table = score_table(*clear, metrics=["rmse"], paired=_draws(m0=0.40, m1=0.50))
    assert [(cells[0].decided, cells[0].overlaps) for _, cells in table.rows] == [(True, False), (False, False)]
    assert markdown_table(table).count("**0.4000**") == 1
    near = _frame(rmse=[0.40, 0.401, 0.5])
    table = score_table(near, _frame(**wide), metrics=["rmse"], paired=_draws(m0=0.40, m1=0.401, m2=0.5))
    assert [cells[0].overlaps for _, cells in table.rows] == [False, True, False]
    assert table.rows[0][1][0].best and not any(cells[0].decided for _, cells in table.rows)


def test_seeds_that_disagree_leave_the_best_undecided():
    rows = {"method": ["m0"] * 3 + ["m1"] * 3, "seed": [0, 1, 2] * 2, "rmse": [0.2, 0.4, 0.6, 0.7, 0.5, 0.3]}
    table = score_table(pandas.DataFrame(rows), metrics=["rmse"], paired=_draws(3, m0=0.4, m1=0.5))
    assert [cells[0].overlaps for _, cells in table.rows] == [False, True]
    assert not any(cells[0].decided for _, cells in table.rows)


def test_methods_of_other_examples_are_not_paired():
    draws = _draws(m0=0.4, m1=0.5)
    draws["m1"]["rmse"] = draws["m1"]["rmse"]._replace(part="other")
    for paired in (draws, None):
        table = score_table(_frame(rmse=[0.4, 0.5]), metrics=["rmse"], paired=paired)
        assert not any(cells[0].decided or cells[0].overlaps for _, cells in table.rows)


def test_seconds_that_were_measured_once_for_all_seeds_have_no_deviation():
    import pandas

    rows = {"method": ["a", "a", "b", "b"], "seed": [0, 1, 0, 1], "train_seconds": [1.48, 1.48, 1.0, 2.0]}
    table = score_table(pandas.DataFrame(rows), metrics=["train_seconds"])
    assert "±" not in table.rows[0][1][0].text and "±" in table.rows[1][1][0].text


def test_a_summary_of_other_seeds_gives_no_interval():
    summary = _frame(rmse_lower=[0.1], rmse_upper=[0.3], num_seeds=[3])
    (_, (cell,)), *_ = score_table(_frame(rmse=[0.2]), summary, metrics=["rmse"]).rows
    assert cell.interval == "" and not cell.overlaps


def test_an_unknown_metric_is_shown_without_a_direction():
    table = score_table(_frame(my_score=[1.0, 2.0]), metrics=["my_score"])
    assert table.columns[0].heading == "my score"
    assert not any(cells[0].best for _, cells in table.rows)


@pytest.mark.parametrize(
    ("values", "metric", "expected"), [([95.72], "mae", 2), ([0.01511], "rmse", 5), ([0.1], "ece", 4)]
)
def test_digits_follow_the_size_of_the_scores(values, metric, expected):
    assert decimals(values, metric_name(metric)) == expected


def test_markdown_has_one_line_per_method_and_escapes_its_syntax():
    results = _frame(rmse=[0.5, 0.4]).assign(method=["a|b", "<script>"])
    lines = markdown_table(score_table(results, metrics=["rmse"], unit="eV")).splitlines()
    assert lines == [
        "| Method | RMSE (eV) ↓ |",
        "|:---|---:|",
        "| a\\|b | 0.5000 |",
        "| &lt;script> | 0.4000 |",
    ]


def test_the_terminal_shows_every_number_and_leaves_brackets_in_names_alone():
    results = _frame(rmse=[0.5, 0.4]).assign(method=["[red]x[/red]", "ual"])
    console = rich.console.Console(file=io.StringIO(), width=100)
    console.print(terminal_table(score_table(results, metrics=["rmse"], title="esol")))
    text = console.file.getvalue()
    assert all(word in text for word in ("esol", "[red]x[/red]", "UAL", "0.5000", "0.4000"))
