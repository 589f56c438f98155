"""Precision, recall and F1 of every label model, one line each."""

from typing import TYPE_CHECKING

from jaxuq.reporting.canvas import NORMAL, SMALL, WIDTH, new_figure, plain, quiet
from jaxuq.reporting.frames import Frame
from jaxuq.reporting.method_style import method_style

if TYPE_CHECKING:
    import matplotlib.figure

_MARKS = (("precision", ">", 26), ("recall", "<", 26), ("f1", "o", 52))


def entity_score_figure(table: Frame, methods: list[str]) -> "matplotlib.figure.Figure":
    """Draw scores of one data set: a filled dot for F1, with every seed's as a thin tick, and precision and recall.

    Args:
        table: rows of `results.csv` of one data set.
        methods: from top to bottom.

    Returns:
        The figure.
    """
    figure = new_figure(WIDTH * 0.82, 0.34 * len(methods) + 1.2)
    axes = figure.subplots()
    quiet(axes, grid="x")
    for place, method in enumerate(reversed(methods)):
        rows, style = table[table["method"] == method], method_style(method)
        means = {name: 100 * float(rows[name].mean()) for name, _, _ in _MARKS}
        axes.plot([means["precision"], means["recall"]], [place, place], color=style.colour, linewidth=1, alpha=0.5)
        axes.scatter(100 * rows["f1"], [place] * len(rows), marker="|", color=style.colour, s=90, linewidths=1)
        for name, marker, size in _MARKS:
            face = style.colour if name == "f1" else "white"
            axes.scatter(
                [means[name]], [place], marker=marker, s=size, facecolor=face, edgecolor=style.colour, zorder=3
            )
    axes.set_yticks(
        range(len(methods)), [plain(method_style(name).title) for name in reversed(methods)], fontsize=SMALL
    )
    axes.set_ylim(-0.6, len(methods) - 0.4)
    axes.set_xlabel("%  (filled: F1, ▹ precision, ◃ recall; ticks: F1 of each seed)", fontsize=NORMAL)
    return figure
