"""Figures of ranks: a map of mean ranks, and bars of mean reciprocal ranks."""

from typing import TYPE_CHECKING

import numpy as np

from jaxuq.reporting.canvas import SMALL, WIDTH, new_figure, panel_title, panels, plain, quiet
from jaxuq.reporting.kinds import draw_heat
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.metric_names import metric_name
from jaxuq.reporting.ranks import RankTable

if TYPE_CHECKING:
    import matplotlib.figure


def mean_rank_figure(ranks: RankTable) -> "matplotlib.figure.Figure":
    """Draw mean ranks as a map: a row per competitor, a column per metric, dark for good.

    Args:
        ranks: what `rank_table` gave.

    Returns:
        The figure; each field holds its mean rank.

    References:
        Li et al., MUBen: Benchmarking the Uncertainty of Molecular Representation Models, TMLR, 2024 (average ranks).
    """
    values = ranks.mean_rank
    figure = new_figure(min(WIDTH, 2.6 + 0.72 * len(ranks.metrics)), 1.4 + 0.34 * len(ranks.competitors))
    axes = figure.subplots()
    top = max(float(np.nanmax(values, initial=1.0)), 1.0 + 1e-6)
    digits = 1 if np.any(values[np.isfinite(values)] % 1) else 0
    titles = [metric_name(key).title for key in ranks.metrics]
    names = [method_style(name).title for name in ranks.competitors]
    draw_heat(
        axes, values, names, titles, low=1.0, high=top, written=lambda value: f"{value:.{digits}f}", colours="cividis",
        rotation=35.0,
    )  # fmt: skip
    axes.set_xticks(np.arange(len(titles) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
    return figure


def reciprocal_rank_figure(ranks: RankTable) -> "matplotlib.figure.Figure":
    """Draw mean reciprocal ranks as bars, a panel per metric; a longer bar is better.

    Args:
        ranks: what `rank_table` gave.

    Returns:
        The figure.

    References:
        Li et al., MUBen: Benchmarking the Uncertainty of Molecular Representation Models, TMLR, 2024.
    """
    height = 0.35 + 0.17 * len(ranks.competitors)
    figure, grid = panels(
        len(ranks.metrics), x_label="mean reciprocal rank (higher is better)", y_label="", aspect=height / 2.4
    )
    places = np.arange(len(ranks.competitors))
    styles = [method_style(name) for name in ranks.competitors]
    for axes, key, values in zip(grid, ranks.metrics, ranks.mean_reciprocal_rank.T, strict=True):
        quiet(axes, grid="x")
        axes.barh(places, np.nan_to_num(values), color=[style.colour for style in styles], height=0.72)
        axes.set_yticks(places, [plain(style.title) for style in styles], fontsize=SMALL - 0.5)
        panel_title(axes, metric_name(key).title)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.tick_params(axis="y", length=0)
    if grid:
        # The scales are shared, so one inversion puts the first competitor on top everywhere.
        grid[0].set_ylim(len(places) - 0.4, -0.6)
    return figure
