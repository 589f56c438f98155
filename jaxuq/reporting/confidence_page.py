"""The report of a confidence study: one self-contained page and its figures."""

import io
import math
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxuq.confidence.measures import MEASURES, NEEDS, MeasureFacts, as_measure, stored_facts
from jaxuq.confidence.study.scores import ON_ALL, Evaluated, evaluated
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
from jaxuq.reporting.page import (
    Field,
    Grid,
    Pictures,
    Row,
    Section,
    Text,
    pairs_grid,
    print_grid,
    run_facts,
    run_sections,
    source_name,
    write_page,
)
from jaxuq.reporting.tables import best_of, format_number
from jaxuq.reporting.template import as_list
from jaxuq.study import read_run, read_sealed
from jaxuq.study.comparison import paired_scores, standing
from jaxuq.study.resamples import read_resamples

# heading, column, its deviation
_COLUMNS = (
    ("AUROC ↑", "auroc_mean", "auroc_std"),
    ("ECE ↓", "ece_mean", "ece_std"),
    ("AUROC, all ↑", "auroc_all", None),
    ("AUPRC ↑", "auprc", None),
    ("PRR ↑", "prr", None),
    ("AURC ↓", "aurc", None),
    ("Brier ↓", "brier", None),
    ("ECE, Platt ↓", "ece_platt", None),
    ("ECE, isotonic ↓", "ece_isotonic", None),
    ("Seconds", "seconds", None),
)
_PRINTED = ("auroc_mean", "ece_mean", "prr", "ece_isotonic", "seconds")
_DIGITS = 3
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
    scores = _grid(path, summary, about)
    return write_page(
        path,
        title=_title(run),
        command="jaxuq confidence",
        sections=[
            Section(
                "How well each measure tells right from wrong answers",
                [Text(_said(summary), soft=True), scores] if scores.groups else [Text("There are no scores (yet).")],
                "Scores",
            ),
            *_promises(path, about),
            Section("Figures", [Pictures(pictures) if pictures else Text("There is nothing to draw.")]),
            Section("The most confident wrong answers", _mistakes(found), "Confident mistakes"),
            Section("What is missing", _missing(lines, run.get("rejected"))),
            *run_sections(run, ["uqac", "dissertation", *cited]),
        ],
        facts=_facts(run, lines, found),
        status=str(run.get("status", "unknown")),
        missing=undrawn,
        notes=[str(note) for note in as_list(run.get("notes"))],
    )


def _title(run: Mapping[str, Any]) -> str:
    if given := run.get("answers_of"):  # of another program: no model was loaded
        return f"Confidence of the answers in {given}"
    configuration = run["configuration"]
    return f"Confidence of {source_name(configuration.get('model'))} on {source_name(configuration.get('data'))}"


def _promises(path: Path, about: Mapping[str, MeasureFacts]) -> list[Section]:
    """From which value on to answer, where the run worked that out."""
    import pandas as pd

    try:
        found = pd.read_csv(path / "abstention.csv")
    except FileNotFoundError:
        return []
    items = []
    for row in found.to_dict("records"):
        known, answered = math.isfinite(row["value"]), float(row["answered"])
        measure = about[row["method"]]
        value = f"{'≥' if measure.sign > 0 else '≤'} {format_number(row['value'], _DIGITS)}" if known else "none"
        share = f"{answered:.0%}" if known else "no promise"
        items.append((measure.title, f"{row['risk']:.0%}", value, share, str(int(row["labelled"]))))
    said = (
        "From which value on to answer, so that of the answers given at most this share is wrong: a promise that holds "
        "with probability 0.9 over the answers that were graded here, for a measure that was chosen before looking, on "
        "answers like these. Where no value keeps it, more graded answers, another share or a better measure is needed."
    )
    columns = ("Measure", "At most wrong", "Answer where it is", "Answered", "Graded answers")
    return [Section("When to answer", [Text(said, soft=True), pairs_grid(items, *columns)])]


def _said(summary: Frame) -> str:
    floor = float(summary["ece_floor"].mean()) if "ece_floor" in summary else math.nan
    chance = (
        "" if math.isnan(floor) else
        f"; chance alone would make {floor:.3f} of perfectly calibrated confidences, as the halves are small"
    )  # fmt: skip
    return (
        "First two columns in %, as in the dissertation's Table 3.1: mean ± deviation over five subsamples with as "
        "many right as wrong answers; ECE with 20 bins, for measures that lie in [0, 1] as they are. The others on all "
        "answers; in brackets 95 % bootstrap intervals. ECE, Platt and isotonic: on one half of the answers after "
        f"calibration on the other (25 random splits, 10 bins){chance}. Seconds: beside generating the answer. Bold, "
        "in columns with intervals: better than every other beyond chance (the 95 % intervals of the paired "
        "differences over answers leave out zero). ~ : the paired difference from the best may be zero. – : undefined."
    )


def print_confidence(folder: str | Path) -> None:
    """Print the main columns of a study's table on standard output."""
    path = Path(folder)
    summary = _summary(path)
    print_grid(_grid(path, summary, stored_facts(read_run(path), summary["method"]), _PRINTED))


def _summary(path: Path) -> Frame:
    import pandas as pd

    try:
        return pd.read_csv(path / "summary.csv")
    except FileNotFoundError:
        return pd.read_csv(io.StringIO("method,dataset,n\n"))


def _grid(path: Path, summary: Frame, about: Mapping[str, MeasureFacts], only: Collection[str] = ()) -> Grid:
    """A row a measure, by group, with what is better than the others beyond chance marked."""
    columns = [column for column in _COLUMNS if not only or column[1] in only]
    marks = _marks(path, [str(name) for name in summary["method"]])
    groups = []
    for group, (title, colour, _) in GROUPS.items():
        rows = []
        for row in summary.to_dict("records"):
            if about[row["method"]].group == group:
                note = f"{int(row['n'])} answers only" if row["n"] < summary["n"].max() else ""
                fields = [
                    _field(row, column, spread, marks.get((row["method"], column), (False, False)))
                    for _, column, spread in columns
                ]
                rows.append(Row(about[row["method"]].title, fields, colour, note))
        if rows:
            groups.append((title[0].upper() + title[1:], rows))
    return Grid(["Measure", *(heading for heading, *_ in columns)], groups)


def _marks(path: Path, measures: Sequence[str]) -> dict[tuple[str, str], tuple[bool, bool]]:
    """By measure and column: whether it is the best beyond chance, and whether it may be as good as the best."""
    stored = read_resamples(path)
    if stored is None:
        return {}
    known = {name: paired_scores(stored[0], lambda cell, name=name: cell["method"] == name) for name in measures}
    marks = {}
    for column in ON_ALL:
        there = [name for name in measures if column in known[name] and math.isfinite(known[name][column].mean)]
        means = [known[name][column].mean for name in there]
        best = best_of(means, "lower" if column == "aurc" else "higher", _DIGITS)
        decided, near = standing([known[name][column] for name in there], best)
        marks |= {(name, column): mark for name, mark in zip(there, zip(decided, near))}
    return marks


def _not_run() -> list[tuple[str, str]]:
    """Measures of the table that one model and one set of questions do not suffice for, and what they need."""
    table = [as_measure(name, MEASURES[name]) for name in MEASURES]
    missing = {one.name: [need for need in one.needs if need not in NEEDS] for one in table}
    return [(name, ", ".join(needs)) for name, needs in missing.items() if needs]


def _field(row: Mapping[str, Any], column: str, spread: str | None, marks: Sequence[bool]) -> Field:
    value = float(row.get(column, math.nan))
    if not math.isfinite(value):
        return Field("–")
    if column == "seconds":
        return Field(f"{value:.2g}", exact=repr(value))
    digits = 1 if column in ("auroc_mean", "ece_mean") else _DIGITS
    scale = 100.0 if digits == 1 else 1.0
    text, interval = format_number(scale * value, digits), ""
    if column in ON_ALL:
        interval = "[{}, {}]".format(
            *(format_number(float(row[f"{column}_{end}"]), digits) for end in ("lower", "upper"))
        )
    elif spread is not None:
        text += f" ± {format_number(scale * float(row[spread]), digits)}"
    decided, near = marks
    return Field(text, interval, repr(scale * value), best=decided, near=near)


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
        *run_facts(run),
    ]
    if run.get("rejected"):
        facts.append(("Left out", f"{len(run['rejected'])} questions or lines"))
    return facts


def _mistakes(found: Evaluated) -> list[Text | Grid]:
    """The wrong answers that UQAC was surest of."""
    values = found.scores.get("uqac", np.full(len(found.correct), np.nan))
    wrong = np.flatnonzero((found.correct == 0) & np.isfinite(values))
    order = wrong[np.argsort(-values[wrong], kind="stable")][:_MISTAKES]
    if not len(order):
        return [Text("None.")]
    agree = found.scores.get("agreement", np.full(len(values), np.nan))
    rows = []
    for at in order:
        line, share = found.lines[at], f"{agree[at]:.1f}" if np.isfinite(agree[at]) else "–"
        said = (_cut(line["question"], 300), _cut(line["response"], 400), line["answer"], line["truth"])
        rows.append((f"{values[at]:.3f}", share, *said))
    told = "The wrong answers with the highest P̃ (UQAC). Agreement: share of the sampled answers that say the same."
    columns = ("Confidence", "Agreement", "Question", "Response", "Answer", "Truth")
    return [Text(told, soft=True), pairs_grid(rows, *columns)]


def _missing(lines: Sequence[Mapping[str, Any]], rejected: Any) -> list[Text | Grid]:
    parts: list[Text | Grid] = []
    unread = [line for line in lines if line["answer"] is None][:_MISTAKES]
    if unread:
        rows = [(line["id"], _cut(line["question"], 200), _cut(line["response"], 300)) for line in unread]
        parts.append(pairs_grid(rows, "Question", "Asked", "Response", title="Responses without an answer"))
    left_out = [tuple(map(str, as_list(one)))[:2] for one in as_list(rejected)]
    if left_out:
        parts.append(pairs_grid(left_out, "Place", "Reason", title="Questions and lines left out"))
    own = pairs_grid(_not_run(), "Measure", "Needs", title="Measures that this run does not have")
    return [*parts, own, Text("These need more than one model and one set of questions.", soft=True)]


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


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
        wanted.append(("risk-coverage", "Risk against coverage", partial(confidence_risk_coverage, found, summary)))
    if both and summary["seconds"].max() > 0:  # nothing was measured of answers that were there already
        wanted.append(("cost", "Cost against quality", partial(confidence_cost, found, summary)))
    if both and bounded:
        draw = partial(error_against_auroc, summary, found.about)
        wanted.append(("calibration-and-ranking", "Calibration error against AUROC", draw))
    if found.lines:
        wanted.append(("lengths", "Lengths of responses and of attention chains", partial(chain_lengths, found)))
    if found.common.sum() > 2 and len(found.scores) > 1:
        wanted.append(("measures-alike", "Which measures say the same", partial(measure_agreement, found)))
    return [Drawing(name, title, _READINGS[name], draw) for name, title, draw in wanted]
