"""A forest plot: scores and their intervals, method by method."""

import math
from typing import TYPE_CHECKING

import numpy as np

from jaxuq.reporting.canvas import GREY, SMALL, WIDTH, new_figure, panel_title, plain, quiet
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.metric_names import format_number
from jaxuq.reporting.tables import ScoreTable

if TYPE_CHECKING:
    import matplotlib.figure


def forest_figure(table: ScoreTable) -> "matplotlib.figure.Figure":
    """Draw each mean with its interval over examples, a panel per metric; a vertical line marks the best mean.

    Thin ticks are the seeds. Where there is no interval the line is their standard deviation, drawn thin. A method
    whose score lies far away from all others is drawn at the frame as a triangle, with its number.

    Args:
        table: what `score_table` gave; three or four columns read best.

    Returns:
        The figure.
    """
    figure = new_figure(WIDTH, 1.0 + 0.29 * len(table.rows))
    grid = np.ravel(figure.subplots(1, len(table.columns), sharey=True, squeeze=False))
    styles = [method_style(method) for method, _ in table.rows]
    for index, (axes, column) in enumerate(zip(grid, table.columns, strict=True)):
        quiet(axes, grid="x")
        panel_title(axes, column.heading)
        cells = [cells[index] for _, cells in table.rows]
        left, right = _frame([cell.mean for cell in cells])
        best = [cell.mean for cell in cells if cell.best]
        if best:
            axes.axvline(best[0], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
        for place, (cell, style) in enumerate(zip(cells, styles, strict=True)):
            if math.isnan(cell.mean):
                continue
            if not left <= cell.mean <= right:
                _outside(axes, cell.mean, place, left, right, style)
                continue
            known = not math.isnan(cell.lower)
            spread = 0.0 if math.isnan(cell.std) else cell.std
            ends = (cell.lower, cell.upper) if known else (cell.mean - spread, cell.mean + spread)
            axes.plot(ends, [place, place], color=style.colour, linewidth=2.4 if known else 0.9, solid_capstyle="butt")
            if len(cell.seeds) > 1:
                axes.plot(cell.seeds, [place] * len(cell.seeds), "|", color=style.colour, markersize=7, alpha=0.6)
            axes.plot(
                [cell.mean], [place], color=style.colour, marker=style.marker, markersize=6, markeredgecolor="white"
            )
        span = [end for cell in cells if left <= cell.mean <= right for end in (cell.lower, cell.upper, cell.mean)]
        span = [value for value in span if math.isfinite(value)] + [left, right]
        margin = 0.05 * (max(span) - min(span))
        axes.set_xlim(min(span) - margin, max(span) + margin)
        axes.locator_params(axis="x", nbins=4)
    grid[0].set_yticks(range(len(styles)), [plain(style.title) for style in styles], fontsize=SMALL)
    grid[0].set_ylim(len(styles) - 0.4, -0.6)
    return figure


def _frame(means: list[float]) -> tuple[float, float]:
    """Give the span of the means without those far away: more than ten times the half spread from the median."""
    finite = np.sort([mean for mean in means if math.isfinite(mean)])
    if len(finite) == 0:
        return 0.0, 1.0
    low, middle, high = np.quantile(finite, [0.25, 0.5, 0.75])
    reach = 10 * max(high - low, 1e-3 * abs(middle), 1e-9)
    near = finite[np.abs(finite - middle) <= reach]
    pad = 0.02 * max(float(near[-1] - near[0]), 1e-3 * abs(float(middle)), 1e-9)
    return float(near[0]) - pad, float(near[-1]) + pad


def _outside(axes, value, place, left, right, style):
    high = value > right
    axes.annotate(
        f"{format_number(value, 2)} ▸" if high else f"◂ {format_number(value, 2)}",
        (1.0 if high else 0.0, place),
        xycoords=("axes fraction", "data"),
        ha="right" if high else "left",
        va="center",
        fontsize=SMALL - 1,
        color=style.colour,
    )
