"""The page of `reasoner.py`: Tables 3.1 and 3.2 beside the dissertation's numbers, and its figures."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from arithmetic import make_arithmetic
from forking import forking_figure, forking_section

from jaxuq.confidence.measures import stored_facts
from jaxuq.confidence.study.scores import Evaluated, evaluated
from jaxuq.metrics import area_under_roc, bootstrap, expected_calibration_error
from jaxuq.reporting.canvas import INK, NORMAL, new_figure, panel_title, quiet
from jaxuq.reporting.confidence_figures import (
    chain_lengths,
    confidence_cost,
    confidence_reliability,
    error_against_auroc,
)
from jaxuq.study import read_run, read_sealed

BINS = 20
AMONG = ("response_probability", "normalised_predictive_entropy", "self_consistency", "uqac_similarity", "uqac")
# Table 3.1: a measure of the table, its AUROC and ECE on GSM8K, MATH and BBH, in percent, a mean over nine models.
PUBLISHED = {
    "mean_answer_probability": ("60.9 ± 0.6", "49.4 ± 0.0", "74.2 ± 1.2", "48.1 ± 0.2", "65.0 ± 0.9", "44.6 ± 0.3"),
    "mean_response_probability": ("61.1 ± 0.8", "41.9 ± 0.0", "69.0 ± 1.5", "41.5 ± 0.1", "59.3 ± 1.3", "42.6 ± 0.2"),
    "answer_probability": ("60.7 ± 0.6", "48.4 ± 0.1", "73.9 ± 1.2", "43.7 ± 0.3", "66.1 ± 0.8", "38.1 ± 0.5"),
    "response_probability": ("66.7 ± 0.7", "50.0 ± 0.0", "79.0 ± 1.1", "50.0 ± 0.0", "63.6 ± 1.5", "45.3 ± 0.4"),
    "normalised_predictive_entropy": (
        "61.8 ± 0.8", "33.2 ± 0.1", "69.3 ± 1.5", "35.3 ± 0.2", "59.4 ± 1.3", "33.5 ± 0.4",
    ),
    "predictive_entropy": ("67.1 ± 0.8", "–", "78.6 ± 1.1", "–", "63.6 ± 1.2", "–"),
    "self_consistency": ("66.4 ± 1.9", "28.9 ± 0.8", "79.5 ± 1.0", "15.8 ± 0.8", "79.5 ± 1.0", "31.6 ± 0.7"),
    "stated_confidence": ("54.9 ± 0.5", "42.9 ± 0.2", "57.4 ± 0.7", "45.1 ± 0.2", "58.2 ± 1.2", "39.7 ± 0.3"),
    "uqac_attention": ("58.4 ± 0.8", "37.4 ± 0.6", "68.6 ± 1.2", "42.8 ± 0.5", "64.6 ± 1.3", "23.4 ± 1.0"),
    "uqac_similarity": ("60.7 ± 1.0", "28.0 ± 0.5", "68.0 ± 1.3", "21.6 ± 1.0", "65.1 ± 1.2", "22.1 ± 1.0"),
    "uqac": ("61.3 ± 0.9", "33.6 ± 0.4", "69.5 ± 1.2", "25.8 ± 0.9", "66.7 ± 1.2", "24.2 ± 0.9"),
}  # fmt: skip
# Table 3.2: AUROC and ECE with the attention chain and without it, a mean over three models.
PUBLISHED_WITHOUT = {
    "GSM8K": (63.61, 29.92, 62.61, 29.83), "MATH": (71.24, 22.45, 69.40, 25.02), "BBH": (62.86, 22.80, 61.49, 23.65),
}  # fmt: skip


def read_scores(folder: Path, seed: int) -> tuple[Evaluated, dict[str, dict[str, float]]]:
    """The measures of a study, and its rows of `summary.csv` by measure."""
    found = evaluated(read_sealed(folder / "predictions.jsonl"), seed, stored_facts(read_run(folder)))
    with (folder / "summary.csv").open() as file:
        rows = {
            row["method"]: {key: float(value) if value else np.nan for key, value in row.items()
                            if key not in ("method", "dataset")}
            for row in csv.DictReader(file)
        }  # fmt: skip
    return found, rows


def compared(found: Evaluated, name: str, other: Evaluated, seed: int) -> tuple[float, float, float]:
    """AUROC of a measure less that of it in another study of the same answers, with its 95 % interval."""
    places = {line["id"]: at for at, line in enumerate(other.lines)}
    theirs = [other.scores[name][places[line["id"]]] if line["id"] in places else np.nan for line in found.lines]
    scores = jnp.asarray(found.scores[name]), jnp.asarray(theirs, jnp.float32)
    where = jnp.asarray(np.isfinite(scores[0]) & np.isfinite(scores[1]))
    scores = tuple(jnp.where(where, one, 0.0) for one in scores)

    def difference(one: Any, two: Any, correct: Any, where: Any) -> Any:
        return area_under_roc(one, correct, where=where) - area_under_roc(two, correct, where=where)

    result = bootstrap(jax.random.key(seed), difference, *scores, jnp.asarray(found.correct), where=where)
    return float(result.estimate), float(result.lower), float(result.upper)


def page(
    about: dict[str, Any],
    folders: Sequence[Path],
    settings: Sequence[dict[str, float]],
    forks: Sequence[dict[str, Any]],
) -> str:
    """The page as Markdown."""
    level, seed = about["level"], about["seed"]
    (found, rows), (other, without), (before, untuned) = (read_scores(folder, seed) for folder in folders)
    right, answers = int(found.correct.sum()), len(found.lines)
    count = len(read_sealed(folders[0] / "predictions.jsonl"))
    shares = ", ".join(f"{share:.2f} (numbers to {largest})" for largest, share in level["shares"].items())
    example = make_arithmetic("test", 3, (level["largest"],), seed)[1]
    shown = f"{example.prompt}{example.reply}".replace("\n", "\n    ")
    share = 100 * right / max(answers, 1)
    stated, told = (
        sum(line["measures"].get("stated_confidence") is not None for line in one.lines) for one in (found, before)
    )
    text = f"""# Tables 3.1 and 3.2 on a model that reasons

    python experiments/confidence/reasoner.py --output runs/reasoner --forks {about["forks"]} --write

SmolLM2-135M, tuned by jaxuq on {about["examples"]} written-out expressions of two to four operations (LoRA of rank
{about["rank"]} on all linear layers, one epoch), was asked {count} others without an example in its prompt:

    {shown}

Which part an expression belongs to follows from its text, so that none is in two. The share of right answers to
{level["questions"]} validation questions was {shares}.
Asked is with numbers to {level["largest"]}: **{right} of {answers} answers are right ({share:.0f} %)**, and
{count - answers} responses had no answer.

The dissertation's numbers are means over nine models of 1 to 9 billion parameters on three other sets of questions.
They stand here for the order of the rows, not to be reached.

## Table 3.1

AUROC and ECE in %, mean ± deviation over five class-balanced subsamples, 20 bins; last, AUROC on all answers with 95 %
bootstrap intervals. Self-consistency has {about["samples"]} samples at temperature {about["temperature"]}.
Asked how sure it is of its answer, the tuned model gave a confidence in {stated} replies; the model before tuning,
asked about the same answers, in {told}.

| measure | AUROC | ECE | GSM8K: AUROC | ECE | MATH: AUROC | ECE | BBH: AUROC | ECE | AUROC, all [95 %] |
|---|---|---|---|---|---|---|---|---|---|
"""
    for name, published in PUBLISHED.items():
        own = rows.get(name)
        cells = ["–"] * 3 if own is None else _own_cells(own)
        title = found.about[name].title.replace("|", "\\|")
        text += f"| {title} | {' | '.join([*cells[:2], *published, cells[2]])} |\n"
        if name == "stated_confidence" and name in untuned:
            first, second, last = _own_cells(untuned[name])
            text += f"| {title}, by the model before tuning | {first} | {second} {'| ' * 6}| {last} |\n"
    text += (
        "\nThe other measures, the best first:\n\n| measure | AUROC | ECE | AUROC, all [95 %] |\n|---|---|---|---|\n"
    )
    others = sorted((name for name in rows if name not in PUBLISHED), key=lambda name: -rows[name]["auroc_mean"])
    for name in others:
        title = found.about[name].title.replace("|", "\\|")
        text += f"| {title} | {' | '.join(_own_cells(rows[name]))} |\n"
    text += _by_operations(found)
    text += _table_without(rows, without, found, other, seed)
    text += _figures_section(found, settings)
    return text + forking_section(forks, seed)


def _own_cells(row: dict[str, float]) -> list[str]:
    def pair(name: str) -> str:
        mean, deviation = 100 * row[f"{name}_mean"], 100 * row[f"{name}_std"]
        return f"{mean:.1f} ± {deviation:.1f}" if np.isfinite(mean) else "–"

    ends = [row[f"auroc_all{end}"] for end in ("_lower", "_upper")]
    interval = f" [{ends[0]:.3f}, {ends[1]:.3f}]" if np.isfinite(ends).all() else ""
    return [pair("auroc"), pair("ece"), f"{row['auroc_all']:.3f}{interval}" if np.isfinite(row["auroc_all"]) else "–"]


def _by_operations(found: Evaluated) -> str:
    """Accuracy, and AUROC among expressions of one length: what a measure knows beside the length."""
    shown = [name for name in AMONG if name in found.scores]
    titles = [found.about[name].title.replace("|", "\\|") for name in shown]
    text = f"""
## Among chains of one length

Longer chains are wrong more often, and have smaller products of probabilities: AUROC in % among expressions with the
same number of operations.

| operations | answers | right | {" | ".join(titles)} |
|---|---|---{"|---" * len(shown)}|
"""
    kinds = np.array([line["category"] for line in found.lines])
    for kind in sorted(set(kinds)):
        cells = []
        for name in shown:
            where = (kinds == kind) & np.isfinite(found.scores[name])
            scores = jnp.asarray(np.where(where, found.scores[name], 0.0))
            value = float(area_under_roc(scores, jnp.asarray(found.correct), where=jnp.asarray(where)))
            cells.append(f"{100 * value:.1f}" if np.isfinite(value) else "–")
        own = found.correct[kinds == kind]
        text += f"| {kind.split()[0]} | {len(own)} | {100 * own.mean():.0f} % | {' | '.join(cells)} |\n"
    return text


def _table_without(rows: Any, without: Any, found: Evaluated, other: Evaluated, seed: int) -> str:
    text = """
## Table 3.2: without the attention chain

The similarity filter on all tokens of the reasoning in place of the chain. The difference is that of AUROC on all
answers, paired, with its 95 % bootstrap interval.

| measure | AUROC | ECE | without: AUROC | ECE | difference of AUROC [95 %] |
|---|---|---|---|---|---|
"""
    for name in ("uqac_similarity", "uqac"):
        if name not in rows or name not in without:
            continue
        estimate, lower, upper = compared(found, name, other, seed)
        cells = [*_own_cells(rows[name])[:2], *_own_cells(without[name])[:2]]
        text += f"| {found.about[name].title} | {' | '.join(cells)} | {estimate:+.3f} [{lower:+.3f}, {upper:+.3f}] |\n"
    for name, numbers in PUBLISHED_WITHOUT.items():
        cells = [f"{one:.2f}" for one in numbers]
        text += f"| dissertation, {name} | {' | '.join(cells)} | {(numbers[0] - numbers[2]) / 100:+.3f} |\n"
    return text


def _figures_section(found: Evaluated, settings: Sequence[dict[str, float]]) -> str:
    right = found.correct > 0
    tokens = np.array([line["tokens"] for line in found.lines])
    chains = np.array([len(line["chain"]) for line in found.lines])
    parts = [values[part] for values in (tokens, chains) for part in (right, ~right)]
    means = [f"{values.mean():.1f}" if values.size else "–" for values in parts]
    share = 100 * chains.mean() / tokens.mean()
    auroc, ece = (100 * np.array([row[key] for row in settings]) for key in ("auroc", "ece"))
    correlation = f"{np.corrcoef(auroc, ece)[0, 1]:+.2f}" if auroc.std() > 0 and ece.std() > 0 else "undefined"
    kept, above = (sorted({row[key] for row in settings}) for key in ("kept", "above"))
    work = ("generate", "read", "substitutions", "samples", "stated_confidence")
    spent = {part: f"{np.median([line['seconds'].get(part, 0.0) for line in found.lines]):.2f}" for part in work}
    return f"""
## Figures 3.2, 3.3 and 3.4

![Accuracy against confidence](reasoner-reliability.png)

![Lengths of responses and chains](reasoner-lengths.png)

Responses have {means[0]} tokens on average where they are right and {means[1]} where they are wrong, attention chains
{means[2]} and {means[3]}: {share:.0f} % of a response (dissertation: below 10 %, of far longer responses).

![Calibration error against accuracy and AUROC](reasoner-settings.png)

P̃ sim as the filter keeps {kept[0]} to {kept[-1]} tokens above {above[0]:.1f} to {above[-1]:.1f}:
AUROC {auroc.min():.1f} to {auroc.max():.1f}, ECE {ece.min():.1f} to {ece.max():.1f}, correlation {correlation}
(dissertation, P̃: +0.49).

![Calibration error against AUROC, all measures](reasoner-measures.png)

## What it costs (Figure 3.6)

![Cost](reasoner-cost.png)

Seconds a question, twenty at a time, of the run that made this page, whatever else its machine did: generating
{spent["generate"]}, reading the pass {spent["read"]}, substitutions {spent["substitutions"]}, samples
{spent["samples"]}, asking for a confidence {spent["stated_confidence"]}.
"""


def figures(
    folder: Path, settings: Sequence[dict[str, float]], forks: Sequence[dict[str, Any]], seed: int
) -> dict[str, Any]:
    """Figures by name."""
    import pandas as pd

    found, _ = read_scores(folder, seed)
    summary = pd.read_csv(folder / "summary.csv")
    return {
        "reliability": confidence_reliability(found),
        "lengths": chain_lengths(found),
        "measures": error_against_auroc(summary, found.about),
        "cost": confidence_cost(found, summary),
        "settings": settings_figure(found, settings),
        "forking": forking_figure(forks, seed),
    }


def settings_figure(found: Evaluated, settings: Sequence[dict[str, float]]) -> Any:
    """ECE against accuracy for each number of operations, and against AUROC as the filter varies (Figure 3.4)."""
    figure = new_figure(9.0, 3.6)
    first, second = figure.subplots(1, 2)
    kinds = np.array([line["category"] for line in found.lines])
    for axes in (first, second):
        quiet(axes)
        axes.set_ylabel("ECE", fontsize=NORMAL)
    for kind, marker in zip(sorted(set(kinds)), "os^"):
        where = (kinds == kind) & np.isfinite(found.scores["uqac"])
        confidence = np.clip(np.where(where, found.scores["uqac"], 0.0), 0.0, 1.0)
        parts = jnp.asarray(confidence), jnp.asarray(found.correct)
        error = expected_calibration_error(*parts, bins=BINS, where=jnp.asarray(where))
        first.plot(found.correct[where].mean(), float(error), marker, color="#D55E00", label=kind)
    first.set_xlabel("share of right answers", fontsize=NORMAL)
    first.legend(fontsize=NORMAL, frameon=False)
    panel_title(first, "P̃ by number of operations", INK)
    sizes = dict(zip(sorted({row["above"] for row in settings}), (13, 8, 4)))  # settings that give the same are rings
    colours = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", INK)
    for kept, colour in zip(sorted({row["kept"] for row in settings}), colours):
        own = [row for row in settings if row["kept"] == kept]
        for row in own:
            style = {"color": colour, "markersize": sizes[row["above"]], "markerfacecolor": "none"}
            label = f"{kept:g} kept" if row is own[0] else None
            second.plot(row["auroc"], row["ece"], "o", label=label, **style)
    second.margins(0.15)
    second.set_xlabel("AUROC", fontsize=NORMAL)
    second.legend(fontsize=NORMAL, frameon=False)
    panel_title(second, "P̃ sim; rings: above 0, 0.1, 0.2", INK)
    return figure
