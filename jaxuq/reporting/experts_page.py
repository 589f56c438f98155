"""The report of an evaluation of experts: one self-contained page and its figures."""

import math
import sys
from functools import partial
from pathlib import Path
from typing import Any

from jaxuq.reporting.drawings import Drawing, render_drawings
from jaxuq.reporting.errors import ReportError
from jaxuq.reporting.experts_figures import accuracy_figure, composition_figure, sweep_figure, weight_figure
from jaxuq.reporting.frames import Frame
from jaxuq.reporting.template import bibtex_of, duration, render_template
from jaxuq.study import read_run, write_bytes

AVERAGE = "micro average"
_READINGS = {
    "accuracy": "Points are means over seeds; bars are bootstrap intervals over the questions of all seeds together. "
    "Whether two methods differ is in the table's last column, which compares them question by question.",
    "weights": "Mean weight of base adapter and experts for the questions of each source. A row with one dark cell is "
    "routed to one expert; even rows mean that routing does not tell the experts apart.",
    "clusters": "How many training instructions of each source are in each cluster. One dark cell a row and "
    "column: the clusters are the sources.",
    "sweeps": "Dashed: ELREA with all experts and all numbers. Fewer numbers change "
    "the routing only, not the clusters.",
}


def write_experts_report(folder: str | Path) -> Path:
    """Write `report.html` and `figures/` into the folder of `jaxuq experts evaluate`.

    Args:
        folder: with `run.json` and the tables.

    Returns:
        Path of the page.

    Raises:
        ReportError: a table is missing.
        RunFolderError: it is no result folder.
    """
    path = Path(folder)
    run = read_run(path)
    summary, clusters, weights, costs = (_read(path, name) for name in ("summary", "clusters", "weights", "costs"))
    pictures, undrawn = render_drawings(_drawings(summary, clusters, weights), path / "figures")
    configuration = run["configuration"]
    seeds = int(summary["num_seeds"].max())
    page = render_template(
        "experts.html",
        title=f"Experts of {run.get('model', 'a model')} on {configuration.get('data')}",
        status=str(run.get("status", "unknown")),
        facts=[
            ("Trainings", str(seeds)),
            ("Questions", str(int(summary["n"].max()))),
            ("Methods", str(summary["method"].nunique())),
            ("Without a gradient", f"{run.get('unrouted', 0)} questions, answered by the base adapter"),
            ("Device", str(run.get("device", ""))),
            ("Time", duration(float(run.get("seconds", 0.0)))),
        ],
        notices=undrawn,
        subsets=list(dict.fromkeys(summary["dataset"])),
        rows=_rows(summary),
        costs=_costs(costs),
        pictures=pictures,
        rejected=[tuple(map(str, one)) for one in run.get("rejected", [])],
        configuration={str(key): str(value) for key, value in configuration.items()},
        versions={str(key): str(value) for key, value in run.get("versions", {}).items()},
        bibtex=bibtex_of(["elrea"]),
    )
    write_bytes(path / "report.html", page.encode())
    return path / "report.html"


def print_experts(folder: str | Path) -> None:
    """Print the accuracies of an evaluation on standard output."""
    from rich.console import Console
    from rich.table import Table

    summary = _read(Path(folder), "summary")
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    table = Table(title="exact match in %", title_justify="left", box=None)
    table.add_column("Method", min_width=24)
    subsets = list(dict.fromkeys(summary["dataset"]))
    for subset in [*subsets, "95 % interval", "ELREA's gain"]:
        table.add_column(subset, justify="right")
    for row in _rows(summary):
        cells = [f"[bold]{cell['text']}[/bold]" if cell["best"] else cell["text"] for cell in row["cells"]]
        table.add_row(row["title"], *cells, row["cells"][-1]["interval"], row["gain"])
    console.print(table)


def titles() -> dict[str, str]:
    """Titles of the methods by name."""
    from jaxuq.experts.pipeline.methods import METHODS

    return {name: entry.title for name, entry in METHODS.items()}


def _read(path: Path, name: str) -> Frame:
    import pandas as pd

    try:
        return pd.read_csv(path / f"{name}.csv")
    except (OSError, ValueError) as error:
        raise ReportError(f"{path} has no readable {name}.csv ({error}); run jaxuq experts evaluate again") from None


def _rows(summary: Frame) -> list[dict[str, Any]]:
    """A row a method; the best of every subset is marked, sweeps aside."""
    named, subsets = titles(), list(dict.fromkeys(summary["dataset"]))
    known = summary[[name in named for name in summary["method"]]]
    best = {subset: known[known["dataset"] == subset]["accuracy_mean"].max() for subset in subsets}
    rows = []
    for method in dict.fromkeys(summary["method"]):
        own = {row["dataset"]: row for _, row in summary[summary["method"] == method].iterrows()}
        cells = [_cell(own[subset], best[subset], method in named) for subset in subsets]
        last = own[subsets[-1]]
        gain = "–"
        if method != "elrea":
            ends = [100 * float(last[f"elrea_gain{end}"]) for end in ("", "_lower", "_upper")]
            gain = "{:+.1f} [{:+.1f}, {:+.1f}]".format(*ends)
        rows.append({"title": named.get(method, method), "cells": cells, "gain": gain})
    return rows


def _cell(row: Any, best: float, counts: bool) -> dict[str, Any]:
    value = 100 * float(row["accuracy_mean"])
    spread = float(row["accuracy_std"])
    text = f"{value:.1f}" + (f" ± {100 * spread:.1f}" if math.isfinite(spread) else "")
    interval = f"[{100 * row['accuracy_lower']:.1f}, {100 * row['accuracy_upper']:.1f}]"
    return {"text": text, "interval": interval, "best": counts and f"{value:.4f}" == f"{100 * best:.4f}"}


def _costs(costs: Frame) -> list[tuple[str, str]]:
    if "step" not in costs:
        return []
    found = costs.groupby("step", sort=False)[["seconds", "peak_mebibytes"]].mean()
    return [(str(step), f"{row['seconds']:.1f} s, {row['peak_mebibytes']:,.0f} MiB") for step, row in found.iterrows()]


def _drawings(summary: Frame, clusters: Frame, weights: Frame) -> list[Drawing]:
    average = summary[summary["dataset"] == AVERAGE]
    wanted = [
        ("accuracy", "Accuracy of every method", partial(accuracy_figure, average, titles())),
        ("weights", "Weights over clusters", partial(weight_figure, weights)),
        ("clusters", "What clusters hold", partial(composition_figure, clusters)),
    ]
    if any(str(name).startswith("elrea-") for name in average["method"]):
        wanted.append(("sweeps", "Fewer experts, fewer numbers", partial(sweep_figure, average)))
    return [Drawing(name, title, _READINGS[name], draw) for name, title, draw in wanted]
