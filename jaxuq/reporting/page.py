"""The report of one run: a self-contained page and its figures."""

import pathlib
from typing import Any

from jaxuq._citation import citation
from jaxuq.reporting.drawings import render_drawings
from jaxuq.reporting.errors import ReportError
from jaxuq.reporting.frames import Frame
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.metric_names import QUESTIONS, format_number, metric_name
from jaxuq.reporting.report_drawings import report_drawings
from jaxuq.reporting.result_folder import Predictions, ResultFolder, read_folder, read_predictions
from jaxuq.reporting.tables import ScoreTable, score_table
from jaxuq.reporting.tagging_page import tagging_sections
from jaxuq.results import write_bytes

_MOST_NAMED = 5
# A page is wide enough for two or three questions beside each other.
_TABLES = (("prediction", "distribution"), ("calibration",), ("sets", "selection"), ("other",), ("cost",))


def write_report(folder: str | pathlib.Path) -> pathlib.Path:
    """Write `report.html` and `figures/` into a result folder, finished or not.

    The page holds everything it needs: it can be mailed, and opened without a network. Whatever is missing in the
    folder is missing on the page and named there. Both are written atomically, and replaced when called again.
    All test predictions of the folder are held in memory at once.

    Args:
        folder: a result folder: `run.json`, `results.csv`, `summary.csv` and `predictions/`.

    Returns:
        Path of the page.

    Raises:
        ReportError: if the folder is no result folder, or one of its tables is unreadable.

    Example:
        >>> write_report("no/such/folder")
        Traceback (most recent call last):
        jaxuq.reporting.errors.ReportError: no/such/folder: no such folder; ...
    """
    result = read_folder(folder)
    if result.run["system"] == "tag":
        return _write_tagging_report(result)
    if result.run["system"] == "tune":
        from jaxuq.reporting.tuning_page import write_tuning_report  # it builds on this module

        return write_tuning_report(folder)
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
        notes=[str(note) for note in _list(result.run.get("notes"))],
        tables=tables,
        pictures=pictures,
        rejected=[_rejected(item) for item in _list(result.run.get("rejected"))],
        counted="rejected" in result.run,
        configuration={str(key): _words(value) for key, value in result.configuration.items()},
        versions={str(key): str(value) for key, value in versions.items()},
        bibtex=_bibtex(
            [str(result.run["system"]), *result.methods, *dict.fromkeys(map(str, result.results["backbone"]))]
        ),
    )
    target = result.path / "report.html"
    write_bytes(target, page.encode())
    return target


def _write_tagging_report(result: ResultFolder) -> pathlib.Path:
    """The page of `jaxuq tag`."""
    sections, notices = tagging_sections(result)
    versions, run = result.run.get("versions"), result.run
    facts = [("Models", str(len(result.methods)))]
    facts += [("Device", str(run["device"]))] if run.get("device") else []
    facts += [("Time", duration(float(run["seconds"])))] if isinstance(run.get("seconds"), int | float) else []
    page = render_template(
        "tagging.html",
        title=" · ".join(section.name for section in sections) or result.path.name,
        status=str(run.get("status", "unknown")),
        facts=facts,
        notices=[notice for notice in result.notices if "summary" not in notice] + notices,
        sections=sections,
        configuration={str(key): _words(value) for key, value in result.configuration.items()},
        versions={str(key): str(value) for key, value in (versions if isinstance(versions, dict) else {}).items()},
        bibtex=_bibtex(["tag", *result.methods]),
    )
    target = result.path / "report.html"
    write_bytes(target, page.encode())
    return target


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


def render_template(name: str, **context: Any) -> str:
    """Fill a page template; every value is escaped.

    Args:
        name: file name in `templates/`.
        **context: the template's variables.

    Returns:
        The page.
    """
    import jinja2

    loader = jinja2.FileSystemLoader(pathlib.Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"method_style": method_style, "metric_name": metric_name, "number": format_number}
    return environment.get_template(name).render(**context)


def _bibtex(names: list[str]) -> str:
    """The entries of jaxuq and of what a run used; a method of the user's own has none."""
    known = ["jaxuq"]
    for name in names:
        try:
            citation(name)
        except ValueError:
            continue
        known.append(name)
    return citation(*known)


def _missing_methods(folder: ResultFolder) -> list[str]:
    planned = _list(folder.configuration.get("methods"))
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
    tasks = _list(run.get("task_names"))
    facts = [("Task", folder.task_type + (f", {len(tasks)} tasks" if len(tasks) > 1 else ""))]
    facts += [
        (key.capitalize(), _words(configuration[key]))
        for key in ("seeds", "members", "samples")
        if key in configuration
    ]
    facts.append(("Methods", str(len(folder.methods))))
    if run.get("device"):
        facts.append(("Device", str(run["device"])))
    if isinstance(run.get("seconds"), int | float):
        facts.append(("Time", duration(float(run["seconds"]))))
    if "rejected" in run:
        facts.append(("Rejected molecules", str(len(_list(run["rejected"])))))
    return facts


def duration(seconds: float) -> str:
    """Write a time span for people.

    Args:
        seconds: the span, at least 0.

    Returns:
        Text with two units at most.

    Example:
        >>> duration(81.2), duration(8.04), duration(7260.0)
        ('1 min 21 s', '8.0 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _rejected(item: Any) -> tuple[str, str, str]:
    values = list(item) if isinstance(item, list | tuple) else ["", "", item]
    row, smiles, reason = (str(value) for value in [*values, "", "", ""][:3])
    return row, smiles, reason


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _words(value: Any) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)
