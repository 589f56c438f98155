"""The page of a run of `jaxuq muben`: score tables and figures."""

import pathlib

from jaxuq.reporting.drawings import render_drawings
from jaxuq.reporting.errors import ReportError
from jaxuq.reporting.frames import Frame
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.metric_names import QUESTIONS, metric_name
from jaxuq.reporting.page import (
    MARKS,
    Pictures,
    Section,
    Text,
    rejected_section,
    run_facts,
    run_sections,
    scores_grid,
    source_name,
    write_page,
)
from jaxuq.reporting.report_drawings import report_drawings
from jaxuq.reporting.result_folder import Predictions, ResultFolder, paired_methods, read_folder, read_predictions
from jaxuq.reporting.tables import ScoreTable, print_tables, score_table
from jaxuq.reporting.template import as_list, as_words

_MOST_NAMED = 5
# A page is wide enough for two or three questions beside each other.
_TABLES = (("prediction", "distribution"), ("calibration",), ("sets", "selection"), ("other",), ("cost",))


def write_benchmark_report(result: ResultFolder) -> pathlib.Path:
    """Write the page of `jaxuq muben`, and `figures/`.

    All test predictions of the folder are held in memory at once.

    Args:
        result: what `read_folder` gave.

    Returns:
        Path of the page.
    """
    notices = [*result.notices, *_missing_methods(result)]
    predictions, unread = load_predictions(result)
    notices += _shorten(unread)
    tables = [table for _, _, rows, summary in parts(result) for table in report_tables(result, rows, summary)]
    pictures, undrawn = render_drawings(report_drawings(result, predictions), result.path / "figures")
    scores = [Text(_READING, soft=True), *map(scores_grid, tables)] if tables else [Text("There are no scores yet.")]
    drawn = [Pictures(pictures)] if pictures else [Text("There is nothing to draw yet.")]
    left_out = rejected_section(
        result.run.get("rejected"), "molecule", ("Row", "SMILES", "Reason"), "rejected" in result.run
    )  # fmt: skip
    sections = [Section("Scores on the test molecules", scores, "Scores"), Section("Figures", drawn)]
    used = [str(result.run["system"]), *result.methods, *dict.fromkeys(map(str, result.results["backbone"]))]
    return write_page(
        result.path,
        title=_title(result),
        command=f"jaxuq {result.run['system']}",
        sections=sections + run_sections(result.run, used, left_out),
        facts=_facts(result),
        status=str(result.run.get("status", "unknown")),
        missing=notices + undrawn,
        notes=[str(note) for note in as_list(result.run.get("notes"))],
    )


_READING = (
    "Mean ± standard deviation over seeds; in brackets, where known, the 95 % bootstrap interval over test examples. "
    f"↑ higher is better, ↓ lower is better. {MARKS}"
)


def print_benchmark(folder: str | pathlib.Path) -> None:
    """Print the score tables of a run on standard output.

    Args:
        folder: of the run.
    """
    result = read_folder(folder)
    for _, _, rows, summary in parts(result):
        print_tables(report_tables(result, rows, summary))


def parts(folder: ResultFolder) -> list[tuple[str, str, Frame, Frame]]:
    """Split the tables of a folder by data set, split and backbone.

    Args:
        folder: what `read_folder` gave.

    Returns:
        For each part its data set, its title, its rows of `results.csv` and of `summary.csv`.
    """
    keys = ["dataset", "split", "backbone"]
    found = []
    for values, rows in folder.results.groupby(keys, sort=False):
        summary = folder.summary
        for key, value in zip(keys, values, strict=True):
            summary = summary[summary[key] == value]
        words = [str(values[0]), f"{values[1]} split" if values[1] else "", str(values[2])]
        found.append((str(values[0]), ", ".join(word for word in words if word), rows, summary))
    return found


def report_tables(folder: ResultFolder, rows: Frame, summary: Frame) -> list[ScoreTable]:
    """Make the score tables of one part of a folder, one per group of questions.

    Args:
        folder: what `read_folder` gave.
        rows: results of one data set, split and backbone.
        summary: the summary of the same.

    Returns:
        Tables whose titles are the questions that they answer.
    """
    tables = []
    for questions in _TABLES:
        metrics = [key for q in questions for key in folder.metrics if metric_name(key).question == q]
        if metrics:
            asked = [q for q in questions if any(metric_name(key).question == q for key in metrics)]
            tables.append(
                score_table(
                    rows,
                    summary,
                    metrics=metrics,
                    methods=[method for method in folder.methods if method in set(rows["method"])],
                    title=" ".join(QUESTIONS[q] for q in asked),
                    unit=folder.unit,
                    nominal_coverage=folder.nominal_coverage,
                    paired=paired_methods(folder, rows),
                )
            )
    return tables


def load_predictions(folder: ResultFolder) -> tuple[dict[str, list[Predictions]], list[str]]:
    """Read all test predictions of a folder.

    Args:
        folder: what `read_folder` gave.

    Returns:
        For each method that has some, its predictions by seed; and a sentence for every file that could not be read.
    """
    found: dict[str, list[Predictions]] = {}
    problems = []
    for method in folder.methods:
        seeds = sorted(set(folder.results.loc[folder.results["method"] == method, "seed"]))
        for seed in seeds:
            try:
                found.setdefault(method, []).append(read_predictions(folder, method, int(seed)))
            except ReportError as error:
                problems.append(f"{error}.")
    return {method: seeds for method, seeds in found.items() if seeds}, problems


def _missing_methods(folder: ResultFolder) -> list[str]:
    planned = as_list(folder.configuration.get("methods"))
    missing = [method_style(str(method)).title for method in planned if str(method) not in folder.methods]
    return [f"No results (yet) for: {', '.join(missing)}."] if missing and len(folder.results) else []


def _shorten(problems: list[str]) -> list[str]:
    if len(problems) <= _MOST_NAMED:
        return problems
    return [*problems[:_MOST_NAMED], f"{len(problems) - _MOST_NAMED} more prediction files could not be read."]


def _title(folder: ResultFolder) -> str:
    configuration = folder.configuration
    split = configuration.get("split")
    words = [configuration.get("dataset"), configuration.get("backbone"), f"{split} split" if split else None]
    return " · ".join(source_name(word) for word in words if word) or folder.path.name


def _facts(folder: ResultFolder) -> list[tuple[str, str]]:
    run, configuration = folder.run, folder.configuration
    tasks = as_list(run.get("task_names"))
    facts = [("Task", folder.task_type + (f", {len(tasks)} tasks" if len(tasks) > 1 else ""))]
    facts += [
        (key.capitalize(), as_words(configuration[key]))
        for key in ("seeds", "members", "samples")
        if key in configuration
    ]
    facts.append(("Methods", str(len(folder.methods))))
    facts += run_facts(run)
    if "rejected" in run:
        facts.append(("Rejected molecules", str(len(as_list(run["rejected"])))))
    return facts
