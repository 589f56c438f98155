"""Figures of an evaluation of experts: accuracies, weights over clusters, what clusters hold, and sweeps."""

from typing import TYPE_CHECKING

import numpy as np

from jaxuq.reporting.canvas import GREY, INK, LIGHT, NORMAL, SMALL, WIDTH, new_figure, panel_title, panels, plain, quiet
from jaxuq.reporting.frames import Frame

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

_OURS, _OTHERS = "#D55E00", "#0072B2"


def accuracy_figure(summary: Frame, titles: dict[str, str]) -> "matplotlib.figure.Figure":
    """Draw the micro-averaged accuracy of every method with its bootstrap interval, and each seed's spread in light.

    Args:
        summary: `summary.csv`, rows of the micro average.
        titles: of the methods.

    Returns:
        The figure.
    """
    rows = summary[[name in titles for name in summary["method"]]]
    figure = new_figure(WIDTH, 0.34 * len(rows) + 1.2)
    axes = figure.subplots()
    quiet(axes, grid="x")
    for place, (_, row) in enumerate(rows.iterrows()):
        colour = _OURS if row["method"] == "elrea" else _OTHERS
        middle = 100 * float(row["accuracy_mean"])
        axes.plot([100 * row["accuracy_lower"], 100 * row["accuracy_upper"]], [place, place], color=colour, linewidth=2)
        axes.plot(middle, place, "o", color=colour, markersize=7)
        axes.annotate(f"{middle:.1f}", (middle, place), (0, 6), textcoords="offset points", ha="center",
                      fontsize=SMALL, color=colour)  # fmt: skip
    axes.set_yticks(range(len(rows)), [plain(titles[name]) for name in rows["method"]])
    axes.set_ylim(len(rows) - 0.5, -0.7)
    axes.set_xlabel("exact match in %, with 95 % bootstrap intervals", fontsize=NORMAL)
    return figure


def weight_figure(weights: Frame) -> "matplotlib.figure.Figure":
    """Draw the mean weight of every member for the questions of each source, a panel for each seed (Figure 5.2)."""
    return _heat_panels(weights, "member", "weight", y_label="questions of", x_label="base adapter, experts by cluster")


def composition_figure(clusters: Frame) -> "matplotlib.figure.Figure":
    """Draw how many training instructions of each source each cluster holds, a panel for each seed (Figure D.1)."""
    return _heat_panels(clusters, "cluster", "count", y_label="instructions of", x_label="cluster", whole=True)


def _heat_panels(
    table: Frame, column: str, value: str, *, x_label: str, y_label: str, whole: bool = False
) -> "matplotlib.figure.Figure":
    seeds = sorted(set(table["seed"]))
    figure, grid = panels(len(seeds), x_label=x_label, y_label=y_label, aspect=0.8, share=False)
    for axes, seed in zip(grid, seeds):
        own = table[table["seed"] == seed]
        sources = [str(source) for source in dict.fromkeys(own["source"].fillna(""))]
        members = list(dict.fromkeys(own[column].astype(str)))
        values = own[value].to_numpy(float).reshape(len(sources), len(members), order="F" if whole else "C")
        _heat(axes, values, sources, members, "{:.0f}" if whole else "{:.2f}")
        title = f"seed {seed}"
        if "adjusted_rand_index" in own and np.isfinite(own["adjusted_rand_index"].iloc[0]):
            title += f", adjusted Rand index {own['adjusted_rand_index'].iloc[0]:.2f}"
        panel_title(axes, title)
    return figure


def _heat(axes: "matplotlib.axes.Axes", values: np.ndarray, rows: list[str], columns: list[str], numbers: str) -> None:
    axes.grid(False)
    largest = max(float(np.nanmax(values)), 1e-9)
    axes.imshow(values, cmap="Blues", vmin=0, vmax=largest * 1.2, aspect="auto")
    for row in range(len(rows)):
        for column in range(len(columns)):
            dark = values[row, column] > 0.7 * largest
            axes.text(column, row, numbers.format(values[row, column]), ha="center", va="center", fontsize=SMALL,
                      color="white" if dark else INK)  # fmt: skip
    axes.set_xticks(range(len(columns)), columns, fontsize=SMALL)
    axes.set_yticks(range(len(rows)), [plain(row) or "all" for row in rows], fontsize=SMALL)
    axes.tick_params(labelbottom=True)


def sweep_figure(summary: Frame) -> "matplotlib.figure.Figure":
    """Draw ELREA's accuracy with the k best experts, and with fewer numbers of the projection (Figure 5.3).

    Args:
        summary: `summary.csv`, rows of the micro average.

    Returns:
        The figure.
    """
    rows = {str(row["method"]): row for _, row in summary.iterrows()}
    kinds = {"elrea-top-": "experts kept", "elrea-": "numbers of a projected gradient"}
    swept: dict[str, list[tuple[int, str]]] = {kind: [] for kind in kinds}
    for name in rows:
        kind = next((kind for kind in kinds if name.startswith(kind)), None)
        if kind is not None:
            swept[kind].append((int(name.removeprefix(kind)), name))
    shown = {kind: sorted(found) for kind, found in swept.items() if found}
    figure = new_figure(WIDTH / 2 * max(len(shown), 1), 3.4)
    grid = figure.subplots(1, max(len(shown), 1), squeeze=False)[0]
    for axes, (kind, found) in zip(grid, shown.items()):
        quiet(axes)
        own = [rows[name] for _, name in found]
        middle = np.array([100 * float(row["accuracy_mean"]) for row in own])
        ends = np.array([[100 * float(row[f"accuracy_{end}"]) for row in own] for end in ("lower", "upper")])
        axes.errorbar([number for number, _ in found], middle, yerr=np.abs(ends - middle), color=_OURS, marker="o",
                      ecolor=LIGHT)  # fmt: skip
        axes.axhline(100 * float(rows["elrea"]["accuracy_mean"]), color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlabel(kinds[kind], fontsize=NORMAL)
        if kind == "elrea-":
            axes.set_xscale("log", base=2)
        axes.set_ylabel("exact match in %", fontsize=NORMAL)
    return figure
