"""The report of a confidence study: one self-contained page and its figures."""

import io
import math
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxuq.confidence.measures import MEASURES, NEEDS, MeasureFacts, as_measure, stored_facts
from jaxuq.confidence.study.scores import Evaluated, evaluated
from jaxuq.reporting.confidence_figures import (
    GROUPS,
    chain_lengths,
    confidence_cost,
    confidence_reliability,
    confidence_risk_coverage,
    error_against_auroc,
    measure_agreement,
)
from jaxuq.reporting.drawings import Drawing, render_drawings
from jaxuq.reporting.errors import ReportError
from jaxuq.reporting.frames import Frame
from jaxuq.reporting.template import bibtex_of, duration, render_template
from jaxuq.study import read_run, read_sealed, write_bytes

# heading, column, spread or interval, whether higher is better (None: no best)
_COLUMNS = (
    ("AUROC ↑", "auroc_mean", "auroc_std", True),
    ("ECE ↓", "ece_mean", "ece_std", False),
    ("AUROC, all ↑", "auroc_all", "interval", True),
    ("AUPRC ↑", "auprc", "interval", True),
    ("PRR ↑", "prr", "interval", True),
    ("AURC ↓", "aurc", "interval", False),
    ("Brier ↓", "brier", None, False),
    ("ECE, Platt ↓", "ece_platt", None, False),
    ("ECE, isotonic ↓", "ece_isotonic", None, False),
    ("Seconds", "seconds", None, None),
)
_MISTAKES = 10


def write_confidence_report(folder: str | Path) -> Path:
    """Write `report.html` and `figures/` into the folder of a confidence study, finished or not.

    Args:
        folder: with `run.json` and `predictions.jsonl`; the tables are read from `summary.csv`.

    Returns:
        Path of the page.

    Raises:
        ReportError: there are no predictions.
        RunFolderError: it is no result folder.
    """
    path = Path(folder)
    run = read_run(path)
    lines = read_sealed(path / "predictions.jsonl")
    if not lines:
        raise ReportError(f"{path} has no predictions (yet): there is nothing to report")
    seed = int(run["configuration"].get("seed", 0))
    about = stored_facts(run, {name for line in lines for name in line["measures"]})
    found = evaluated(lines, seed, about)
    summary = _summary(path)
    both = len(set(found.correct.tolist())) == 2 and len(summary) > 0
    cited = dict.fromkeys(key for one in about.values() for key in one.citation)
    pictures, undrawn = render_drawings(_drawings(found, summary, both), path / "figures")
    configuration = run["configuration"]
    page = render_template(
        "confidence.html",
        title=f"Confidence of {configuration.get('model')} on {configuration.get('data')}",
        status=str(run.get("status", "unknown")),
        facts=_facts(run, lines, found),
        notes=[str(note) for note in run.get("notes", [])],
        notices=undrawn,
        headings=[heading for heading, *_ in _COLUMNS],
        groups=_groups(summary, about),
        floor=float(summary["ece_floor"].mean()) if "ece_floor" in summary else math.nan,
        pictures=pictures,
        mistakes=_mistakes(found),
        missing=[line for line in lines if line["answer"] is None][:_MISTAKES],
        rejected=[tuple(map(str, one)) for one in run.get("rejected", [])],
        not_run=_not_run(),
        configuration={str(key): str(value) for key, value in configuration.items()},
        versions={str(key): str(value) for key, value in run.get("versions", {}).items()},
        bibtex="\n\n".join([bibtex_of(["uqac", "dissertation", *cited]), *(one for one in cited if "@" in one)]),
    )
    write_bytes(path / "report.html", page.encode())
    return path / "report.html"


def print_confidence(folder: str | Path) -> None:
    """Print the main columns of a study's table on standard output."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    shown = [column for column in _COLUMNS if column[1] in ("auroc_mean", "ece_mean", "prr", "ece_isotonic", "seconds")]
    summary = _summary(Path(folder))
    for title, rows in _groups(summary, stored_facts(read_run(Path(folder)), summary["method"])):
        table = Table(title=title, title_justify="left", box=None)
        table.add_column("Measure", min_width=32)
        for heading, *_ in shown:
            table.add_column(heading, justify="right", min_width=14)
        for row in rows:
            cells = [cell for column, cell in zip(_COLUMNS, row["cells"]) if column in shown]
            table.add_row(
                row["title"], *(f"[bold]{cell['text']}[/bold]" if cell["best"] else cell["text"] for cell in cells)
            )
        console.print(table)


def _summary(path: Path) -> Frame:
    import pandas as pd

    try:
        return pd.read_csv(path / "summary.csv")
    except FileNotFoundError:
        return pd.read_csv(io.StringIO("method,dataset,n\n"))


def _groups(summary: Frame, about: Mapping[str, MeasureFacts]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Rows of the table by group, with the best of every column marked."""
    best = {}
    for _, column, _, higher in _COLUMNS:
        values = summary[column].to_numpy(float) if column in summary else np.array([])
        if higher is not None and np.isfinite(values).any():
            best[column] = np.nanmax(values) if higher else np.nanmin(values)
    groups = []
    for group, (title, *_) in GROUPS.items():
        rows = []
        for _, row in summary.iterrows():
            if about[row["method"]].group == group:
                cells = [_cell(row, column, spread, best.get(column)) for _, column, spread, _ in _COLUMNS]
                note = f"{int(row['n'])} answers only" if row["n"] < summary["n"].max() else ""
                rows.append({"name": row["method"], "title": about[row["method"]].title, "cells": cells, "note": note})
        if rows:
            groups.append((title[0].upper() + title[1:], rows))
    return groups


def _not_run() -> list[tuple[str, str]]:
    """Measures of the table that one model and one set of questions do not suffice for, and what they need."""
    table = [as_measure(name, MEASURES[name]) for name in MEASURES]
    missing = {one.name: [need for need in one.needs if need not in NEEDS] for one in table}
    return [(name, ", ".join(needs)) for name, needs in missing.items() if needs]


def _cell(row: Any, column: str, spread: str | None, best: float | None) -> dict[str, Any]:
    value = float(row.get(column, math.nan))
    if not math.isfinite(value):
        return {"text": "–", "interval": "", "best": False}
    if column == "seconds":
        return {"text": f"{value:.2g}", "interval": "", "best": False}
    digits = 1 if column in ("auroc_mean", "ece_mean") else 3
    scale = 100.0 if digits == 1 else 1.0
    text, interval = f"{scale * value:.{digits}f}", ""
    if spread == "interval":
        interval = f"[{row[f'{column}_lower']:.3f}, {row[f'{column}_upper']:.3f}]"
    elif spread is not None:
        text += f" ± {scale * float(row[spread]):.{digits}f}"
    same = best is not None and f"{scale * value:.{digits}f}" == f"{scale * best:.{digits}f}"
    return {"text": text, "interval": interval, "best": same}


def _facts(run: dict[str, Any], lines: list[dict[str, Any]], found: Evaluated) -> list[tuple[str, str]]:
    right, graded = int(found.correct.sum()), len(found.lines)
    facts = [
        ("Questions", f"{len(lines)} of {run.get('questions', len(lines))}"),
        ("Right answers", f"{right} of {graded} ({right / graded:.0%})" if graded else "none graded"),
        ("No answer found", str(len(lines) - graded)),
        ("Measures", str(len(found.scores))),
        ("Compared on", f"{int(found.common.sum())} answers"),
        ("Tokens an answer", f"{np.mean([line['tokens'] for line in lines]):.1f}"),
        ("Samples", str(len(lines[0]["samples"]))),
        ("Device", str(run.get("device", ""))),
        ("Time", duration(float(run.get("seconds", 0.0)))),
    ]
    if run.get("rejected"):
        facts.append(("Left out", f"{len(run['rejected'])} questions or lines"))
    return facts


def _mistakes(found: Evaluated) -> list[dict[str, Any]]:
    """The wrong answers that UQAC was surest of."""
    if "uqac" not in found.scores:
        return []
    values = found.scores["uqac"]
    wrong = np.flatnonzero((found.correct == 0) & np.isfinite(values))
    order = wrong[np.argsort(-values[wrong], kind="stable")][:_MISTAKES]
    agree = found.scores.get("agreement", np.full(len(values), np.nan))
    shown = [f"{value:.1f}" if np.isfinite(value) else "–" for value in agree[order]]
    return [
        found.lines[at] | {"confidence": f"{values[at]:.3f}", "agreement": share} for at, share in zip(order, shown)
    ]


_READINGS = {
    "reliability": "Points on the diagonal mean that answers given with 80 % confidence are right 80 % of the time; "
    "below it a measure is overconfident. Raw values, before any calibration. Grey bars: the share of answers in each "
    "of twenty bins; a point over a short bar rests on few answers.",
    "risk-coverage": "Keep the most confident answers only (left) and fewer of them should be wrong. The two best "
    "measures of every group by AUROC, and UQAC. The right end is the share of wrong answers among all.",
    "cost": "Seconds that a measure takes for one answer beside generating it, and how well it tells right from wrong "
    "answers; grey bars are 95 % bootstrap intervals. The dashed line is what generating an answer takes.",
    "calibration-and-ranking": "Two different virtues: a measure may rank answers well and still state wrong "
    "probabilities. Raw measures that lie in [0, 1], on balanced subsamples; bars are deviations over five of them.",
    "lengths": "Chains are short whatever the length of the response, so products of probabilities along them do not "
    "fall with it.",
    "measures-alike": "Rank correlation over the answers; all measures are turned so that higher is more confident. "
    "Blocks of red are measures of which one would do.",
}


def _drawings(found: Evaluated, summary: Frame, both: bool) -> list[Drawing]:
    wanted = []
    bounded = any(found.about[name].bounded is not False for name in found.scores)
    if both and bounded:
        wanted.append(("reliability", "Reliability diagrams", partial(confidence_reliability, found)))
    if both:
        wanted += [
            ("risk-coverage", "Risk against coverage", partial(confidence_risk_coverage, found, summary)),
            ("cost", "Cost against quality", partial(confidence_cost, found, summary)),
        ]
    if both and bounded:
        draw = partial(error_against_auroc, summary, found.about)
        wanted.append(("calibration-and-ranking", "Calibration error against AUROC", draw))
    if found.lines:
        wanted.append(("lengths", "Lengths of responses and of attention chains", partial(chain_lengths, found)))
    if found.common.sum() > 2 and len(found.scores) > 1:
        wanted.append(("measures-alike", "Which measures say the same", partial(measure_agreement, found)))
    return [Drawing(name, title, _READINGS[name], draw) for name, title, draw in wanted]
