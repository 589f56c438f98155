"""The page of `jaxuq tune`: scores before and after, with intervals, part by part."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from jaxuq.reporting.drawings import Drawing, render_drawings
from jaxuq.reporting.forest_figure import forest_figure
from jaxuq.reporting.labelling_figure import labelling_figure, read_curve
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
from jaxuq.reporting.result_folder import ResultFolder, paired_methods, read_folder
from jaxuq.reporting.tables import ScoreTable, print_tables, score_table
from jaxuq.reporting.tuning_figures import Answered, tuning_forgetting, tuning_reliability, tuning_risk_coverage
from jaxuq.study import cell_arrays

_TABLES = (
    ("What did choosing gain, over all rounds?", ("curve_accuracy", "accuracy_gain", "curve_nll", "nll_gain")),
    ("How good are the answers?", ("accuracy", "nll", "brier")),
    ("Does confidence mean what it says?", ("ece", "correctness_auroc", "aurc")),
    ("What kind of uncertainty is it, and what was forgotten?", ("aleatoric", "epistemic", "forgetting")),
)
_ENTRIES = {
    "compare": ("ual", "laplace-lora", "bayeslora", "lora-ensemble", "tfb", "blob", "swag-lora"),
    "acquire": ("batch-bald", "lora-ensemble"),
    "teach": ("r-tuning", "calibration-tuning", "conftuner"),
}


def write_tuning_report(folder: str | Path) -> Path:
    """Write `report.html` and `figures/` into the folder of a run of `jaxuq tune`.

    Args:
        folder: with `run.json`, `results.csv`, `summary.csv` and `predictions/`.

    Returns:
        Path of the page.

    Raises:
        ReportError: it is no result folder, or a table is unreadable.
    """
    result = read_folder(folder)
    sections, notices = [], list(result.notices)
    run, configuration = result.run, result.configuration
    reading = Text(f"{_READING} {_TAUGHT if configuration.get('teach') else _COMPARED}", soft=True)
    for part in dict.fromkeys(result.results["dataset"]):
        pictures, undrawn = render_drawings(_drawings(result, part), result.path / "figures")
        notices += undrawn
        parts = [reading, *map(scores_grid, tuning_tables(result, part)), Pictures(pictures)]
        sections.append(Section(f"{part}: {_what(part)}", parts, part))
    if not sections:
        sections.append(Section("Scores", [Text("There are no scores yet.")]))
    facts = [("Tuned on", f"{run.get('tuned_on', '?')} questions")]
    questions = run.get("questions")
    facts += [(name, f"{count} questions") for name, count in (questions or {}).items()]
    left_out = rejected_section(run.get("rejected"), "question", ("Question", "Reason"), "rejected" in run)
    return write_page(
        result.path,
        title=f"{source_name(configuration.get('model'))} tuned on {source_name(configuration.get('data'))}",
        command="jaxuq tune",
        sections=sections + run_sections(run, _entries(configuration), left_out),
        facts=[*facts, ("Seeds", str(configuration.get("seeds"))), *run_facts(run)],
        status=str(run.get("status", "unknown")),
        missing=notices,
        notes=[str(note) for note in run.get("notes") or []],
    )


_READING = (
    "Mean ± standard deviation over seeds; in brackets, where known, the 95 % bootstrap interval over questions. "
    f"↑ higher is better, ↓ lower is better. {MARKS}"
)
_TAUGHT = (
    "Every score but accuracy is of one confidence an answer: NLL and Brier score are those of the answer being right, "
    "with the confidence as its probability."
)
_COMPARED = (
    "NLL, Brier score and ECE are of the distribution over the answers to choose from; the AUROC says how well its "
    "highest probability tells right answers from wrong ones."
)


def tuning_tables(result: ResultFolder, part: str) -> list[ScoreTable]:
    """The tables of one part of a run.

    Args:
        result: of `read_folder`.
        part: `dataset` in the tables.

    Returns:
        One for each question.
    """
    rows, summary = result.results, result.summary
    rows = rows[rows["dataset"] == part]
    summary = summary[summary["dataset"] == part] if len(summary) else summary
    planned = [name for name in result.run.get("methods") or [] if name in set(rows["method"])]
    tables, paired = [], paired_methods(result, rows)
    for title, names in _TABLES:
        there = [name for name in names if name in rows.columns and rows[name].notna().any()]
        if there:
            tables.append(
                score_table(rows, summary, metrics=there, methods=planned or None, title=title, paired=paired)
            )  # fmt: skip
    return tables


def print_tuning(folder: str | Path) -> None:
    """Print the tables of a run on standard output.

    Args:
        folder: of the run.
    """
    result = read_folder(folder)
    for part in dict.fromkeys(result.results["dataset"]):
        print(f"{part}: {_what(part)}")
        print_tables(tuning_tables(result, part), intervals=True)


def _what(part: str) -> str:
    if part.endswith("-shifted"):
        return "questions of a kind that was not tuned on"
    return "questions of the kind that was tuned on, none of them seen"


def _drawings(result: ResultFolder, part: str) -> list[Drawing]:
    first = [table for table in tuning_tables(result, part) if table.title != _TABLES[0][0]]
    shown = first[0]._replace(
        columns=first[0].columns[:2] + first[1].columns[:1],
        rows=[(name, cells[:2] + other[:1]) for (name, cells), (_, other) in zip(first[0].rows, first[1].rows)],
    )
    curve = read_curve(result.path, part)
    answered = _answered(result, part, [name for name, _ in shown.rows])
    summary = result.summary[result.summary["dataset"] == part]
    drawings = [
        Drawing(
            f"{part}-scores", "Scores and how sure they are",
            "A point is the mean over seeds, a bar its 95 % interval over questions. The dashed line is the best mean.",
            partial(forest_figure, shown),
        ),
    ]  # fmt: skip
    if answered:  # else their answers are not in the folder any more
        drawings += [
            Drawing(
                f"{part}-reliability", "Reliability",
                "On the diagonal, a stated 80 % is right 80 % of the time; below it a method is overconfident. A point "
                "over a short grey bar rests on few questions. Seeds are pooled.",
                partial(tuning_reliability, answered),
            ),
            Drawing(
                f"{part}-risk-coverage", "Does it know when it fails?",
                "Answer only the most confident questions (left): the lower the line, the better confidence tells "
                "right from wrong. Seeds are pooled.",
                partial(tuning_risk_coverage, answered),
            ),
        ]  # fmt: skip
    if curve is not None:
        drawings.insert(
            0,
            Drawing(
                f"{part}-curve", "How far do few labels go?",
                "Scores on this part against the number of labels: means over seeds, 95 % intervals over questions. "
                "Dotted: before tuning. All begin with the same labels, so curves differ by what was chosen alone.",
                partial(labelling_figure, curve),
            ),
        )  # fmt: skip
    elif "forgetting" in result.results.columns and not part.endswith("-shifted"):
        drawings.append(
            Drawing(
                f"{part}-forgetting", "What was gained, and what was forgotten",
                "Lower is better on both axes: the loss on the test's answers, and the rise of the loss on texts that "
                "have nothing to do with them. Whiskers are deviations over seeds.",
                partial(tuning_forgetting, summary),
            )
        )  # fmt: skip
    return drawings


def _answered(result: ResultFolder, part: str, methods: list[str]) -> dict[str, Answered]:
    found = {}
    for method in methods:
        seeds = sorted(set(result.results.loc[result.results["method"] == method, "seed"]))
        cells = [cell_arrays(result.path / "predictions" / f"{method}-{seed}.npz") for seed in seeds]
        kept = [cell for cell in cells if cell is not None and f"{part}/labels" in cell]
        said = [cell for cell in cells if cell is not None and f"{part}/confidence" in cell]
        if said:
            found[method] = Answered(
                *(np.concatenate([cell[f"{part}/{name}"] for cell in said]) for name in ("confidence", "correct"))
            )
        elif kept:
            log_probs = np.concatenate([cell[f"{part}/log_probs"] for cell in kept])
            labels = np.concatenate([cell[f"{part}/labels"] for cell in kept])
            right = (log_probs.argmax(1) == labels).astype(np.float32)
            found[method] = Answered(np.exp(log_probs.max(1)).clip(0, 1).astype(np.float32), right)
    return found


def _entries(configuration: Mapping[str, object]) -> list[str]:
    """What the run used, for its citations."""
    kind = next((name for name in ("acquire", "teach") if configuration.get(name)), "compare")
    return [*_ENTRIES[kind], *(["q-tuning"] if configuration.get("keep_ratio") else [])]
