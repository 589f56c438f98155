"""Emission matrices as pictures: what a labelling function says of each label."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from jaxuq.reporting.canvas import INK, SMALL, new_figure, plain
from jaxuq.reporting.kinds import draw_heat

if TYPE_CHECKING:
    import matplotlib.figure

_WRITTEN = 7  # labels up to which the numbers are written into the squares


def emission_figure(
    emissions: Mapping[str, Mapping[str, np.ndarray]], label_names: list[str]
) -> "matplotlib.figure.Figure":
    """Draw emission matrices: a row of panels per labelling function, a column per source.

    Args:
        emissions: for each function, for each source (such as a model, or gold labels) a matrix `[state, label]` whose
            rows sum to one (or are zero where the label never occurs).
        label_names: of states and labels.

    Returns:
        The figure. Rows of a matrix are true labels, columns what the function says.

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, Figures 4.9 and 4.10.
    """
    rows, columns = len(emissions), max(len(sources) for sources in emissions.values())
    size = 1.9 if len(label_names) <= _WRITTEN else 2.4
    figure = new_figure(max(6.0, size * columns + 1.6), size * rows + 0.9)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    image = None
    for row, (function, sources) in enumerate(emissions.items()):
        for column, (source, matrix) in enumerate(sources.items()):
            axes = grid[row, column]
            image = draw_heat(
                axes, matrix, label_names, label_names, low=0.0, high=1.0, size=SMALL - 1.5, rotation=60.0, equal=True,
                written=_share if len(label_names) <= _WRITTEN else None,
            )  # fmt: skip
            if row == 0:
                axes.set_title(plain(source), fontsize=SMALL, color=INK, fontweight="bold")
            if column == 0:
                axes.set_ylabel(plain(_wrap(function)), fontsize=SMALL)
            axes.tick_params(labelbottom=row == rows - 1)
    figure.supxlabel("what the function says", fontsize=SMALL)
    figure.supylabel("true label", fontsize=SMALL)
    if image is not None:
        figure.colorbar(image, ax=grid, shrink=min(1.0, 2.5 / rows), label="probability")
    return figure


def _share(value: float) -> str:
    return f"{value:.2f}".lstrip("0") or "0" if value >= 0.005 else ""


def _wrap(name: str, width: int = 18) -> str:
    """Break a long name at its hyphens and underscores."""
    lines = [""]
    for part in name.replace("_", "_\n").replace("-", "-\n").split("\n"):
        if len(lines[-1]) + len(part) > width and lines[-1]:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
