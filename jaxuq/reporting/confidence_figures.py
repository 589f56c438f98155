"""Figures of a confidence study: reliability, risk against coverage, cost, lengths, and how measures agree."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from jaxuq.confidence.measures import MeasureFacts
from jaxuq.confidence.study.scores import Evaluated, confidence_of
from jaxuq.reporting.canvas import GREY, INK, LIGHT, NORMAL, SMALL, WIDTH, new_figure, panel_title, plain, quiet
from jaxuq.reporting.frames import Frame
from jaxuq.reporting.kinds import Look, Ranked, Stated, draw_heat, reliability_diagrams, risk_coverage_curves

if TYPE_CHECKING:
    import matplotlib.figure

GROUPS = {
    "uqac": ("UQAC", "#D55E00", "s"),
    "answer": ("final answer", "#0072B2", "o"),
    "response": ("whole response", "#56B4E9", "^"),
    "samples": ("several answers", "#009E73", "D"),
    "asking": ("asking the model", "#CC79A7", "v"),
    "learned": ("learned from labels", "#000000", "X"),
}
"""Title, colour (from a palette made for colour-blind readers) and marker of each group of measures."""
SHOWN = ("uqac", "uqac_similarity", "uqac_attention", "answer_probability", "mean_response_probability",
         "response_probability", "normalised_predictive_entropy", "self_consistency", "agreement", "p_true",
         "stated_confidence", "logistic_all")  # fmt: skip
_BINS = 20


def confidence_reliability(found: Evaluated) -> "matplotlib.figure.Figure":
    """Draw accuracy against stated confidence, a panel for each of the main measures, in twenty bins."""
    bounded = [name for name in found.scores if found.about[name].bounded is not False]
    shown = [name for name in SHOWN if name in bounded] or bounded[: len(SHOWN)]
    panels = []
    for name in shown:
        defined, look = np.isfinite(found.scores[name]), _look(found, name)
        stated = confidence_of(found.about[name], np.where(defined, found.scores[name], 0.0))
        assert stated is not None
        arrays = (jnp.asarray(stated.astype(np.float32)), jnp.asarray(found.correct))
        panels.append(Stated(look, *arrays, jnp.asarray(defined), name))
    return reliability_diagrams(
        panels,
        bins=_BINS,
        x_label="confidence, as the measure gives it",
        y_label="share of right answers (grey: share of answers)",
    )


def confidence_risk_coverage(found: Evaluated, summary: Frame) -> "matplotlib.figure.Figure":
    """Draw the share of wrong answers among the most confident ones, for the two best measures of every group."""
    ordered = summary.sort_values("auroc_all", ascending=False)["method"]
    best = {group: [name for name in ordered if found.about[name].group == group][:2] for group in GROUPS}
    if "uqac" in ordered.to_numpy() and "uqac" not in best["uqac"]:
        best["uqac"].append("uqac")
    lines = []
    for names in best.values():
        for rank, name in enumerate(names):
            values = found.scores[name]
            kept = found.common & np.isfinite(values)
            parts = (-np.where(kept, values, 0.0), 1.0 - found.correct, kept)
            look = _look(found, name)._replace(line=("-", (0, (5, 1.6)), ":")[rank])
            lines.append(Ranked(look, [tuple(map(jnp.asarray, parts))]))
    return risk_coverage_curves(
        lines,
        x_label="coverage: share of answers kept, the most confident first",
        y_label="share of wrong answers among them",
    )


def _look(found: Evaluated, name: str) -> Look:
    about = found.about[name]
    _, colour, marker = GROUPS[about.group]
    return Look(about.title, colour, "-", marker)


def confidence_cost(found: Evaluated, summary: Frame) -> "matplotlib.figure.Figure":
    """Draw AUROC on all answers against seconds beyond generating the answer, with bootstrap intervals."""
    figure = new_figure(WIDTH, 5.0)
    axes = figure.subplots()
    quiet(axes)
    for place, (group, (title, colour, marker)) in enumerate(GROUPS.items()):
        rows = summary[[found.about[name].group == group for name in summary["method"]]]
        if not len(rows):
            continue
        seconds = np.maximum(rows["seconds"].to_numpy(float), 1e-3)
        middle = rows["auroc_all"].to_numpy(float)
        spread = np.abs(np.stack([middle - rows["auroc_all_lower"], rows["auroc_all_upper"] - middle]))
        axes.errorbar(seconds, middle, yerr=spread, fmt=marker, color=colour, ecolor=LIGHT, markersize=6, label=title)
        best = int(np.nanargmax(middle)) if np.isfinite(middle).any() else 0
        axes.annotate(
            plain(found.about[rows["method"].iloc[best]].title), (seconds[best], middle[best]),
            (5, (-11, 4, 14)[place % 3]),
            textcoords="offset points", fontsize=SMALL, color=colour,
        )  # fmt: skip
    generate = np.median([line["seconds"].get("generate", 0.0) for line in found.lines])
    if generate > 0:
        axes.axvline(generate, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate("generating the answer", (generate, axes.get_ylim()[0]), (3, 3), textcoords="offset points",
                      fontsize=SMALL, color=GREY, rotation=90)  # fmt: skip
    axes.axhline(0.5, color=GREY, linewidth=1)
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_xlabel("seconds an answer beside generating it (logarithmic)", fontsize=NORMAL)
    axes.set_ylabel("AUROC, all answers", fontsize=NORMAL)
    figure.legend(loc="outside right upper", fontsize=SMALL, frameon=False)
    return figure


def chain_lengths(found: Evaluated) -> "matplotlib.figure.Figure":
    """Draw lengths of responses and of attention chains, for right and for wrong answers (Figure 3.3)."""
    figure = new_figure(WIDTH, 3.6)
    grid = figure.subplots(1, 2)
    lengths = (
        ("tokens of the response", [line["tokens"] for line in found.lines]),
        ("tokens of the attention chain", [len(line["chain"]) for line in found.lines]),
    )
    right = found.correct > 0
    for axes, (title, values) in zip(grid, lengths):
        quiet(axes, grid="y")
        numbers = np.array(values)
        bins = np.linspace(numbers.min() - 0.5, numbers.max() + 0.5, min(int(np.ptp(numbers)) + 2, 30))
        for part, label, colour in ((right, "right answers", "#0072B2"), (~right, "wrong answers", "#D55E00")):
            if part.any():
                weights = np.full(part.sum(), 1.0 / part.sum())
                mean = f"{label}, mean {numbers[part].mean():.1f}"
                axes.hist(numbers[part], bins=bins, weights=weights, alpha=0.55, color=colour, label=mean)
        axes.set_xlabel(title, fontsize=NORMAL)
        axes.legend(fontsize=SMALL, frameon=False)
    grid[0].set_ylabel("share", fontsize=NORMAL)
    return figure


def measure_agreement(found: Evaluated) -> "matplotlib.figure.Figure":
    """Draw rank correlations between measures: those that say the same need not all be computed."""
    names = [
        name for name in found.about if name in found.scores and np.isfinite(found.scores[name][found.common]).all()
    ]
    ranks = np.stack([_ranks(found.scores[name][found.common]) for name in names])
    with np.errstate(invalid="ignore"):
        table = np.corrcoef(ranks)
    figure = new_figure(WIDTH, 8.6)
    axes = figure.subplots()
    titles = [found.about[name].title for name in names]
    image = draw_heat(
        axes, table, titles, titles, low=-1.0, high=1.0, colours="RdBu_r", size=6.5, rotation=90.0, equal=True
    )
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        for tick, name in zip(ticks, names):
            tick.set_color(GROUPS[found.about[name].group][1])
    bar = figure.colorbar(image, ax=axes, shrink=0.6)
    bar.set_label("Spearman correlation", fontsize=SMALL)
    return figure


def error_against_auroc(summary: Frame, about: Mapping[str, MeasureFacts]) -> "matplotlib.figure.Figure":
    """Draw calibration error against AUROC on balanced subsamples (as Figure 3.4): two different virtues."""
    figure = new_figure(WIDTH, 4.4)
    axes = figure.subplots()
    quiet(axes)
    rows = summary[np.isfinite(summary["ece_mean"].to_numpy(float))]
    for group, (title, colour, marker) in GROUPS.items():
        part = rows[[about[name].group == group for name in rows["method"]]]
        if len(part):
            x, y = part["auroc_mean"].to_numpy(float), part["ece_mean"].to_numpy(float)
            spreads = {"xerr": part["auroc_std"].to_numpy(float), "yerr": part["ece_std"].to_numpy(float)}
            axes.errorbar(x, y, **spreads, fmt=marker, color=colour, ecolor=LIGHT, label=title)
    x, y = rows["auroc_mean"].to_numpy(float), rows["ece_mean"].to_numpy(float)
    if len(rows) > 2 and x.std() > 0 and y.std() > 0:
        panel_title(axes, f"correlation over measures {np.corrcoef(x, y)[0, 1]:+.2f}", INK)
    axes.set_xlabel("AUROC, balanced subsamples", fontsize=NORMAL)
    axes.set_ylabel("ECE, balanced subsamples", fontsize=NORMAL)
    figure.legend(loc="outside right upper", fontsize=SMALL, frameon=False)
    return figure


def _ranks(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Ranks, ties sharing their mean."""
    _, index, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2.0)[index]
