"""The page of a run of `jaxuq muben`: score tables and figures."""

import pathlib
import sys
from typing import Any

from jaxuq.reporting.drawings import render_drawings
from jaxuq.reporting.errors import ReportError
from jaxuq.reporting.frames import Frame
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.metric_names import QUESTIONS, RUN_COLUMNS, metric_name
from jaxuq.reporting.report_drawings import report_drawings
from jaxuq.reporting.result_folder import Predictions, ResultFolder, read_folder, read_predictions
from jaxuq.reporting.tables import ScoreTable, score_table, terminal_table
from jaxuq.reporting.template import as_list, as_words, bibtex_of, duration, render_template
from jaxuq.study import read_resamples, write_bytes
from jaxuq.study.comparison import Paired, paired_scores

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
    versions = result.run.get("versions")
    versions = versions if isinstance(versions, dict) else {}
    page = render_template(
        "report.html",
        title=_title(result),
        system=str(result.run["system"]),
        status=str(result.run.get("status", "unknown")),
        facts=_facts(result),
        notices=notices + undrawn,
        notes=[str(note) for note in as_list(result.run.get("notes"))],
        tables=tables,
        pictures=pictures,
        rejected=[_rejected(item) for item in as_list(result.run.get("rejected"))],
        counted="rejected" in result.run,
        configuration={str(key): as_words(value) for key, value in result.configuration.items()},
        versions={str(key): str(value) for key, value in versions.items()},
        bibtex=bibtex_of(
            [str(result.run["system"]), *result.methods, *dict.fromkeys(map(str, result.results["backbone"]))]
        ),
    )
    target = result.path / "report.html"
    write_bytes(target, page.encode())
    return target


def print_benchmark(folder: str | pathlib.Path) -> None:
    """Print the score tables of a run on standard output.

    Args:
        folder: of the run.
    """
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 140)
    result = read_folder(folder)
    for _, _, rows, summary in parts(result):
        for table in report_tables(result, rows, summary):
            console.print(terminal_table(table))


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


def paired_methods(folder: ResultFolder, rows: Frame) -> dict[str, dict[str, Paired]]:
    """The resampled scores of the methods of one part of a folder.

    Args:
        folder: what `read_folder` gave.
        rows: of `results.csv`, of one data set (and split and backbone, where there are such).

    Returns:
        By method and metric; empty where the run has no resamples.
    """
    stored = read_resamples(folder.path)
    keys = [name for name in RUN_COLUMNS if name not in ("method", "seed")]
    place = {name: str(rows[name].iloc[0]) for name in keys if len(rows)}

    def of(method: str) -> dict[str, Paired]:
        wanted = place | {"method": method}
        there = None if stored is None else stored[0]
        return paired_scores(there, lambda cell: all(str(cell.get(k, wanted[k])) == wanted[k] for k in wanted))

    return {str(method): of(str(method)) for method in dict.fromkeys(rows["method"])}


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
    return " · ".join(str(word) for word in words if word) or folder.path.name


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
    if run.get("device"):
        facts.append(("Device", str(run["device"])))
    if isinstance(run.get("seconds"), int | float):
        facts.append(("Time", duration(float(run["seconds"]))))
    if "rejected" in run:
        facts.append(("Rejected molecules", str(len(as_list(run["rejected"])))))
    return facts


def _rejected(item: Any) -> tuple[str, str, str]:
    values = list(item) if isinstance(item, list | tuple) else ["", "", item]
    row, smiles, reason = (str(value) for value in [*values, "", "", ""][:3])
    return row, smiles, reason
