"""The page of `jaxuq muben --active`: learning curves, and the scores of the last round."""

import pathlib
from functools import partial

from jaxuq.reporting.drawings import Drawing, render_drawings
from jaxuq.reporting.errors import ReportError
from jaxuq.reporting.frames import Frame
from jaxuq.reporting.learning_curve_figure import learning_curve_figure
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.metric_names import metric_name, primary_metric
from jaxuq.reporting.page import (
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
from jaxuq.reporting.result_folder import read_record
from jaxuq.reporting.tables import ScoreTable, print_tables, score_table
from jaxuq.reporting.template import as_list

_SHOWN = ("mae", "r2", "average_precision", "nll", "crps", "brier", "ece", "rce", "spearman", "conformal_width")
_NEEDED = ("method", "seed", "acquisition", "round", "labels")


def write_active_report(folder: str | pathlib.Path) -> pathlib.Path:
    """Write `report.html` and `figures/` into the folder of an active-learning run, finished or not.

    Args:
        folder: with `run.json` and `active.csv`.

    Returns:
        Path of the page.

    Raises:
        ReportError: it is no result folder, or its table is unreadable.
    """
    path = pathlib.Path(folder)
    run, rounds = read_record(path), read_rounds(path)
    configuration = run.get("configuration") or {}
    tables, pictures, notices = [], [], ["No round is over yet."]
    if rounds is not None and len(rounds):
        tables = active_tables(rounds)
        pictures, notices = render_drawings(_drawings(rounds), path / "figures")
    facts = [
        ("First labels", str(configuration.get("start"))),
        ("Rounds", f"{configuration.get('active')} of {configuration.get('acquire')}"),
        ("Seeds", str(configuration.get("seeds"))),
        *run_facts(run),
    ]
    words = [configuration.get(name) for name in ("dataset", "backbone")] + [f"{configuration.get('split')} split"]
    drawn = [Pictures(pictures)] if pictures else [Text("There is nothing to draw yet.")]
    scores = [Text(_SCORES, soft=True), *map(scores_grid, tables)] if tables else [Text("There are no scores yet.")]
    if rounds is not None and "stop" in rounds.columns and len(rounds):
        scores += [Text(line) for line in (_PROMISE.format(**configuration), *stopping_lines(rounds))]
    left_out = rejected_section(run.get("rejected"), "molecule", ("Row", "SMILES", "Reason"), "rejected" in run)
    return write_page(
        path,
        title=" · ".join(map(source_name, words)),
        command="jaxuq muben --active",
        sections=[
            Section("Learning curves", [Text(_CURVES), *drawn]),
            Section("Scores on the test molecules", scores, "Scores"),
            *run_sections(run, ["muben", *map(str, as_list(configuration.get("methods")))], left_out),
        ],
        facts=facts,
        status=str(run.get("status", "unknown")),
        missing=notices,
        notes=[str(note) for note in as_list(run.get("notes"))],
    )


_CURVES = (
    "Training starts with a few labels drawn at random. Each round adds labels, chosen where the method is least "
    "certain or at random, and trains anew from the beginning. The validation part, which chooses the epoch, has all "
    "its labels throughout and they are not counted."
)
_SCORES = (
    "Mean ± standard deviation over seeds. ↑ higher is better, ↓ lower is better. No best is marked: the rounds of two "
    "methods are not resampled together."
)


_PROMISE = (
    "Where labelling may stop: from the first round on whose predictions are promised to be wrong at most in a share "
    "of {stop}, by {audit} molecules that were put aside; a promise for molecules like those of the training part, "
    "which fails in one run in ten at most, for each line by itself."
)


def stopping_lines(rounds: Frame) -> list[str]:
    """Where each curve may stop.

    Args:
        rounds: what `read_rounds` gave, of a run with `--stop`.

    Returns:
        A sentence for each method and acquisition.
    """
    lines = []
    for method, acquisition in rounds[["method", "acquisition"]].drop_duplicates().itertuples(index=False):
        own = rounds[(rounds["method"] == method) & (rounds["acquisition"] == acquisition)]
        curves = [own[own["seed"] == seed] for seed in own["seed"].unique()]
        ends = [int(curve.loc[curve["stop"], "labels"].min()) for curve in curves if curve["stop"].any()]
        where = f"after {', '.join(map(str, ends))} labels" if ends else "no round can be promised"
        lines.append(f"{method_style(method).title}, {acquisition}: {len(ends)} of {len(curves)} seeds; {where}.")
    return lines


def read_rounds(folder: str | pathlib.Path) -> "Frame | None":
    """Read `active.csv`.

    Args:
        folder: of the run.

    Returns:
        The table, or None if there is none yet.

    Raises:
        ReportError: it is unreadable, or a column is missing.
    """
    import pandas

    file = pathlib.Path(folder) / "active.csv"
    if not file.is_file():
        return None
    try:
        rounds = pandas.read_csv(file)
    except (OSError, ValueError) as error:
        raise ReportError(f"{file}: not a readable CSV table ({error})") from error
    missing = [name for name in _NEEDED if name not in rounds.columns]
    if missing:
        raise ReportError(f"{file}: no column {', '.join(missing)}; found {', '.join(map(str, rounds.columns))}")
    return rounds


def active_tables(rounds: Frame) -> list[ScoreTable]:
    """The scores of the last round, and their means over the rounds after the first.

    Args:
        rounds: what `read_rounds` gave.

    Returns:
        Two tables, a row for each method and acquisition.
    """
    named = rounds.assign(
        method=[f"{method_style(m).title}, {a}" for m, a in zip(rounds["method"], rounds["acquisition"], strict=True)]
    )
    first = primary_metric(str(rounds["dataset"].iloc[0]), list(rounds.columns))
    names: list[str] = list(dict.fromkeys(([first] if first else []) + list(_SHOWN)))
    metrics = [name for name in names if name in rounds.columns and rounds[name].notna().any()]
    last = named[named["round"] == named["round"].max()]
    later = named[named["round"] > 0].groupby(["method", "seed"], sort=False)[metrics].mean().reset_index()
    tables = [score_table(last, metrics=metrics, title=f"With {int(last['labels'].max())} labels")]
    if len(later):
        tables.append(score_table(later, metrics=metrics, title="Mean over the rounds after the first"))
    return tables


def print_active(folder: str | pathlib.Path) -> None:
    """Print the tables of a run on standard output.

    Args:
        folder: of the run.
    """
    rounds = read_rounds(folder)
    if rounds is not None and len(rounds):
        print_tables(active_tables(rounds))
        if "stop" in rounds.columns:
            print("May stop:", *stopping_lines(rounds), sep="\n  ")


def _drawings(rounds: Frame) -> list[Drawing]:
    first = primary_metric(str(rounds["dataset"].iloc[0]), list(rounds.columns))
    calibration = "ece" if "ece" in rounds.columns else "rce"
    reading = (
        "Each line begins with the same labels, drawn at random; a band is one standard deviation over seeds. Where "
        "the line of the uncertain molecules runs {} that of random ones, choosing them pays."
    )
    return [
        Drawing(
            f"learning-{metric}",
            f"{metric_name(metric).title} and labels",
            reading.format("above" if metric_name(metric).direction == "higher" else "below"),
            partial(learning_curve_figure, rounds, metric),
        )
        for metric in dict.fromkeys((first, "nll", calibration))
        if metric is not None and metric in rounds.columns and rounds[metric].notna().any()
    ]
