"""The score table holds the numbers that pandas computes, and marks the best."""

import io

import pandas
import pytest
import rich.console

from jaxuq.reporting import markdown_table, read_folder, score_table, terminal_table
from jaxuq.reporting.metric_names import decimals, metric_name
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


def test_an_interval_that_reaches_the_best_one_is_marked():
    summary = _frame(rmse_lower=[0.1, 0.29, 0.31], rmse_upper=[0.3, 0.5, 0.6])
    table = score_table(_frame(rmse=[0.2, 0.4, 0.5]), summary, metrics=["rmse"])
    assert [cells[0].overlaps for _, cells in table.rows] == [False, True, False]


def test_the_best_of_a_column_without_intervals_is_not_printed_as_decided():
    results = _frame(auroc=[0.956, 0.960])
    table = score_table(results, metrics=["auroc"])
    assert [cells[0].best for _, cells in table.rows] == [False, True]
    assert "**" not in markdown_table(table)
    known = score_table(results, _frame(auroc_lower=[0.9, 0.91], auroc_upper=[0.97, 0.98]), metrics=["auroc"])
    assert markdown_table(known).count("**0.960") == 1 and "**0.956" not in markdown_table(known)


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
    results = _frame(rmse=[0.5, 0.4]).assign(method=["[red]x[/red]", "swag"])
    console = rich.console.Console(file=io.StringIO(), width=100)
    console.print(terminal_table(score_table(results, metrics=["rmse"], title="esol")))
    text = console.file.getvalue()
    assert all(word in text for word in ("esol", "[red]x[/red]", "SWAG", "0.5000", "0.4000"))
