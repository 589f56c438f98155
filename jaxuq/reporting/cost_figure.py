"""What each method costs: seconds of training and of prediction."""

from typing import TYPE_CHECKING

import numpy as np

from jaxuq.reporting.canvas import SMALL, WIDTH, new_figure, panel_title, plain, quiet
from jaxuq.reporting.frames import Frame
from jaxuq.reporting.method_style import method_style

if TYPE_CHECKING:
    import matplotlib.figure

_PANELS = {"train_seconds": "Training, seconds", "predict_seconds": "Prediction, seconds"}


def cost_figure(results: Frame, methods: list[str]) -> "matplotlib.figure.Figure":
    """Draw mean seconds of training and of prediction per method.

    A scale is logarithmic if the longest takes more than 50 times the shortest.

    Args:
        results: rows with `method`, `train_seconds` and `predict_seconds`, one per seed.
        methods: the rows of the figure, in order.

    Returns:
        The figure: two panels of bars.

    References:
        Li et al., MUBen: Benchmarking the Uncertainty of Molecular Representation Models, TMLR, 2024.
    """
    figure = new_figure(WIDTH, 0.9 + 0.27 * len(methods))
    grid = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(methods))
    styles = [method_style(method) for method in methods]
    for axes, (key, title) in zip(grid, _PANELS.items(), strict=True):
        quiet(axes, grid="x")
        panel_title(axes, title)
        seconds = np.full(len(methods), np.nan)
        if key in results.columns:
            seconds = results.groupby("method")[key].mean().reindex(methods).to_numpy(dtype=np.float64)
        known = seconds[np.isfinite(seconds) & (seconds > 0)]
        logarithmic = len(known) > 0 and known.max() > 50 * known.min()
        axes.set_xscale("log" if logarithmic else "linear")
        left = known.min() / 3 if logarithmic else 0.0
        axes.barh(
            places, np.nan_to_num(seconds) - left, left=left, color=[style.colour for style in styles], height=0.7
        )
        for place, value in zip(places, seconds, strict=True):
            text = "–" if not np.isfinite(value) else f"{value:.3g}" if value < 1e4 else f"{value:,.0f}"
            at = value if np.isfinite(value) and value > left else left
            axes.annotate(text, (at, place), (3, 0), textcoords="offset points", va="center", fontsize=SMALL)
        if len(known):
            axes.set_xlim(left, known.max() * (4 if logarithmic else 1.18))
    grid[0].set_yticks(places, [plain(style.title) for style in styles], fontsize=SMALL)
    grid[0].set_ylim(len(methods) - 0.4, -0.6)
    return figure
