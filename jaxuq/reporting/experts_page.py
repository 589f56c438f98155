"""The report of an evaluation of experts: one self-contained page and its figures."""

from functools import partial
from pathlib import Path

from jaxuq.reporting.drawings import Drawing, render_drawings
from jaxuq.reporting.errors import ReportError
from jaxuq.reporting.experts_figures import composition_figure, sweep_figure, weight_figure
from jaxuq.reporting.forest_figure import forest_figure
from jaxuq.reporting.frames import Frame
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.page import (
    MARKS,
    Field,
    Grid,
    Pictures,
    Row,
    Section,
    Text,
    pairs_grid,
    print_grid,
    rejected_section,
    run_facts,
    run_sections,
    source_name,
    write_page,
)
from jaxuq.reporting.result_folder import ResultFolder, paired_methods, read_folder
from jaxuq.reporting.tables import ScoreTable, score_table
from jaxuq.study import read_run

AVERAGE = "micro average"
_READINGS = {
    "accuracy": "Points are means over trainings (thin ticks); bars are 95 % bootstrap intervals over questions. "
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
    run, result = read_run(path), read_folder(path)
    summary, clusters, weights, costs = (_read(path, name) for name in ("summary", "clusters", "weights", "costs"))
    pictures, undrawn = render_drawings(_drawings(result, summary, clusters, weights), path / "figures")
    left_out = rejected_section(run.get("rejected"), "question", ("Number", "Reason"), "rejected" in run)
    data = run["configuration"].get("data")
    return write_page(
        path,
        title=f"Experts of {source_name(run.get('model', 'a model'))} on {source_name(data)}",
        command="jaxuq experts",
        sections=[
            Section("Exact match", [Text(_ACCURACIES, soft=True), _accuracies(result, summary)], "Accuracies"),
            Section("Figures", [Pictures(pictures)]),
            Section("Time and memory of every step", [
                Text(_COSTS, soft=True), pairs_grid(_costs(costs), "Step", "Cost")], "Costs"),
            *run_sections(run, ["elrea"], left_out),
        ],
        facts=[
            ("Trainings", str(int(summary["num_seeds"].max()))),
            ("Questions", str(int(summary["n"].max()))),
            ("Methods", str(summary["method"].nunique())),
            ("Without a gradient", f"{run.get('unrouted', 0)} questions, answered by the base adapter"),
            *run_facts(run),
        ],
        status=str(run.get("status", "unknown")),
        missing=undrawn,
    )  # fmt: skip


_ACCURACIES = (
    "Mean over trainings ± deviation (with several); in brackets 95 % bootstrap intervals over questions. Last column: "
    f"how much more ELREA has on the micro average, question by question and training by training. {MARKS} Sweeps of "
    "ELREA come last and take no part."
)
_COSTS = (
    "Mean over trainings. Memory: the most that the process had held by then, so a step shows at least what earlier "
    "ones of the same process needed."
)


def _tables(result: ResultFolder) -> dict[str, ScoreTable]:
    """Accuracies by subset: those of methods, marked among themselves, then those of sweeps."""
    found = {}
    for subset in dict.fromkeys(result.summary["dataset"]):
        rows = result.results[result.results["dataset"] == subset]
        summary = result.summary[result.summary["dataset"] == subset]
        swept = [name for name in dict.fromkeys(rows["method"]) if str(name).startswith("elrea-")]
        own = [name for name in dict.fromkeys(rows["method"]) if name not in swept]
        paired = paired_methods(result, rows)
        table = score_table(rows, summary, metrics=["accuracy"], methods=own, paired=paired, title=str(subset))
        others = score_table(rows, summary, metrics=["accuracy"], methods=swept)
        found[str(subset)] = table._replace(rows=[*table.rows, *others.rows])
    return found


def _accuracies(result: ResultFolder, summary: Frame) -> Grid:
    """A row a method, a column a subset, and what ELREA gains."""
    tables = _tables(result)
    last = summary[summary["dataset"] == list(tables)[-1]].set_index("method")
    rows: dict[str, Row] = {}
    for table in tables.values():
        for method, (cell,) in table.rows:
            row = rows.setdefault(method, Row(method_style(method).title, []))
            row.fields.append(Field(cell.text, cell.interval, repr(cell.mean), cell.decided, cell.overlaps))
    for method, row in rows.items():
        ends = [100 * float(last["elrea_gain" + end][method]) for end in ("", "_lower", "_upper")]
        text = "–" if method == "elrea" else "{:+.1f} [{:+.1f}, {:+.1f}]".format(*ends)
        row.fields.append(Field(text, exact="" if method == "elrea" else repr(ends[0])))
    return Grid(["Method", *(f"{name} ↑" for name in tables), "ELREA's gain, in %"], [("", list(rows.values()))])


def print_experts(folder: str | Path) -> None:
    """Print the accuracies of an evaluation on standard output."""
    grid = _accuracies(read_folder(folder), _read(Path(folder), "summary"))
    print_grid(grid._replace(title="exact match"))


def _read(path: Path, name: str) -> Frame:
    import pandas as pd

    try:
        return pd.read_csv(path / f"{name}.csv")
    except (OSError, ValueError) as error:
        raise ReportError(f"{path} has no readable {name}.csv ({error}); run jaxuq experts evaluate again") from None


def _average(result: ResultFolder) -> ScoreTable:
    """The micro average, without the sweeps of ELREA."""
    table = list(_tables(result).values())[-1]
    return table._replace(rows=[row for row in table.rows if not row[0].startswith("elrea-")])


def _costs(costs: Frame) -> list[tuple[str, str]]:
    if "step" not in costs:
        return []
    found = costs.groupby("step", sort=False)[["seconds", "peak_mebibytes"]].mean()
    return [(str(step), f"{row['seconds']:.1f} s, {row['peak_mebibytes']:,.0f} MiB") for step, row in found.iterrows()]


def _drawings(result: ResultFolder, summary: Frame, clusters: Frame, weights: Frame) -> list[Drawing]:
    average = summary[summary["dataset"] == AVERAGE]
    wanted = [
        ("accuracy", "Accuracy of every method", lambda: forest_figure(_average(result))),
        ("weights", "Weights over clusters", partial(weight_figure, weights)),
        ("clusters", "What clusters hold", partial(composition_figure, clusters)),
    ]
    if any(str(name).startswith("elrea-") for name in average["method"]):
        wanted.append(("sweeps", "Fewer experts, fewer numbers", partial(sweep_figure, average)))
    return [Drawing(name, title, _READINGS[name], draw) for name, title, draw in wanted]
