"""Figures of an evaluation of experts: weights over clusters, what clusters hold, and sweeps."""

from typing import TYPE_CHECKING

import numpy as np

from jaxuq.reporting.canvas import NORMAL, WIDTH, new_figure, panel_title, panels
from jaxuq.reporting.frames import Frame
from jaxuq.reporting.kinds import Look, Measured, draw_curves, draw_heat

if TYPE_CHECKING:
    import matplotlib.figure

_OURS = "#D55E00"


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
        largest = max(float(np.nanmax(values)), 1e-9)
        written = "{:.0f}" if whole else "{:.2f}"
        draw_heat(
            axes, values, [source or "all" for source in sources], members, low=0.0, high=1.2 * largest,
            written=written.format,
        )  # fmt: skip
        title = f"seed {seed}"
        if "adjusted_rand_index" in own and np.isfinite(own["adjusted_rand_index"].iloc[0]):
            title += f", adjusted Rand index {own['adjusted_rand_index'].iloc[0]:.2f}"
        panel_title(axes, title)
    return figure


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
        own = [rows[name] for _, name in found]
        middle, lower, upper = (
            np.array([100 * float(row[f"accuracy_{end}"]) for row in own]) for end in ("mean", "lower", "upper")
        )
        line = Measured(Look("ELREA", _OURS, "-", "o"), [number for number, _ in found], middle, lower, upper)
        draw_curves(axes, [line], band=False, level=100 * float(rows["elrea"]["accuracy_mean"]))
        axes.set_xlabel(kinds[kind], fontsize=NORMAL)
        if kind == "elrea-":
            axes.set_xscale("log", base=2)
        axes.set_ylabel("exact match in %", fontsize=NORMAL)
    return figure
