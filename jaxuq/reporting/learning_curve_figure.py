"""Learning curves: what labels buy, chosen one way and another."""

from typing import TYPE_CHECKING

import numpy as np

from jaxuq.reporting.canvas import SMALL, panels, plain
from jaxuq.reporting.frames import Frame
from jaxuq.reporting.kinds import Look, Measured, draw_curves
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.metric_names import metric_name

if TYPE_CHECKING:
    import matplotlib.figure

_LINES = {
    "random": ((0, (1.4, 1.2)), 0.55), "epistemic": ((0, (5.0, 1.6)), 1.0), "bald": ((0, (5.0, 1.6)), 1.0),
    "entropy": ((0, (6.0, 1.4, 1.4, 1.4)), 1.0),
}  # fmt: skip


def learning_curve_figure(
    rounds: Frame, metric: str, x_label: str = "labelled training molecules"
) -> "matplotlib.figure.Figure":
    """Draw a metric against the number of labels, a panel a method, a line an acquisition.

    Args:
        rounds: rows of `active.csv`: columns `method`, `acquisition`, `labels`, `seed` and the metric.
        metric: the column to draw.
        x_label: what labels are.

    Returns:
        The figure. A line is the mean over seeds, its band one sample standard deviation to either side.
    """
    methods = list(dict.fromkeys(rounds["method"]))
    figure, grid = panels(len(methods), x_label=x_label, y_label=metric_name(metric).title, aspect=0.72)
    for axes, method in zip(grid, methods, strict=True):
        style, own, lines = method_style(method), rounds[rounds["method"] == method], []
        for acquisition in dict.fromkeys(own["acquisition"]):
            line, opacity = _LINES.get(acquisition, ("-", 1.0))
            colour = "#666666" if acquisition == "random" else style.colour
            by_labels = own[own["acquisition"] == acquisition].groupby("labels")[metric]
            mean, std = by_labels.mean(), by_labels.std(ddof=1).fillna(0.0)
            labels, middle, spread = (np.asarray(part, np.float64) for part in (mean.index, mean, std))
            look = Look(acquisition, colour, line, style.marker)
            lines.append(Measured(look, labels, middle, middle - spread, middle + spread, opacity))
        draw_curves(axes, lines, band=True)
        axes.set_title(plain(style.title), fontsize=SMALL + 1, loc="left")
        axes.set_xticks(sorted(set(own["labels"])))
        axes.legend(frameon=False, fontsize=SMALL)
    return figure
