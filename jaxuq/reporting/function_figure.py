"""How good labelling functions look to a model against how good they are."""

from typing import TYPE_CHECKING

import numpy as np

from jaxuq.reporting.canvas import GREY, INK, SMALL, panel_title, panels
from jaxuq.reporting.frames import Frame
from jaxuq.reporting.method_style import method_style

if TYPE_CHECKING:
    import matplotlib.figure

_NAMED = 8  # functions up to which each point carries its name


def _apart(values: np.ndarray, distance: float = 0.055) -> np.ndarray:
    """Heights for names beside points, moved up until no two are closer than a line of text."""
    heights, last = np.array(values, float), -np.inf
    for place in np.argsort(values, kind="stable"):
        if np.isfinite(heights[place]):
            heights[place] = last = max(heights[place], last + distance)
    return heights


def function_figure(table: Frame, methods: list[str], column: str) -> "matplotlib.figure.Figure":
    """Scatter the estimated reliability of each labelling function over its true F1, a panel per method.

    Args:
        table: rows of `reliability.csv` of one data set.
        methods: the panels, in order.
        column: the estimate: `"agreement"`, or `"reliability"` for models that have their own.

    Returns:
        The figure. A panel's title has the correlation over functions (means over seeds).

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, Figure 4.11.
    """
    label = "F1 of the function against the model's entities" if column == "agreement" else "the model's reliability"
    figure, grid = panels(len(methods), x_label="true F1 of the labelling function", y_label=label)
    for axes, method in zip(grid, methods):
        rows = table[table["method"] == method].groupby("function", sort=False)[["true_f1", column]].mean()
        true, seen = rows["true_f1"].to_numpy(float), rows[column].to_numpy(float)
        style = method_style(method)
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        axes.scatter(true, seen, color=style.colour, marker=style.marker, s=28, zorder=3)
        if len(rows) <= _NAMED:
            heights = _apart(seen)
            for name, x, y, height in zip(rows.index, true, seen, heights):
                right = x < 0.55
                axes.annotate(
                    str(name).removeprefix("tag-").removeprefix("link-"),
                    (x, y),
                    xytext=(x + (0.03 if right else -0.03), height - 0.015),
                    ha="left" if right else "right",
                    fontsize=SMALL - 2.5,
                    color=INK,
                )
        both = np.isfinite(true) & np.isfinite(seen)
        varied = both.sum() > 2 and np.std(true[both]) > 0 and np.std(seen[both]) > 0
        correlation = f", r = {np.corrcoef(true[both], seen[both])[0, 1]:.2f}" if varied else ""
        panel_title(axes, f"{style.title}{correlation}", style.colour)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
    return figure
