"""What all figures share: sizes, grids of panels, quiet axes, and the way to bytes. No pyplot, no global state."""

import io
import math
import textwrap
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

GREY, LIGHT, INK = "#8a8a8a", "#d5d8dc", "#222222"
SMALL, NORMAL = 8.5, 9.5
WIDTH = 10.0
_LETTER = 0.09  # inches that a letter of normal size takes, bold ones too


def new_figure(width: float, height: float) -> "matplotlib.figure.Figure":
    """Make an empty white figure that keeps its parts from overlapping; sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def plain(text: str) -> str:
    """Keep matplotlib from reading dollar signs in a name as mathematics."""
    return text.replace("$", r"\$")


def quiet(axes: "matplotlib.axes.Axes", *, grid: Literal["x", "y", "both"] = "both") -> None:
    """Draw thin light axes and a light grid behind the data."""
    axes.grid(False)
    axes.grid(True, axis=grid, color="#e9ebee", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)
    axes.tick_params(labelsize=SMALL, color=GREY, labelcolor=INK)


def panels(
    count: int, *, x_label: str, y_label: str, aspect: float = 1.0, share: bool = True
) -> tuple["matplotlib.figure.Figure", list["matplotlib.axes.Axes"]]:
    """Make a grid of equal panels with shared labels.

    Args:
        count: number of panels, at least 1.
        x_label: label below the grid.
        y_label: label at its left.
        aspect: height of a panel over its width.
        share: whether all panels share both scales.

    Returns:
        The figure and its `count` axes, row by row.
    """
    # As few empty places as possible; between equals, the wider grid.
    columns = count if count <= 3 else min((5, 4, 3), key=lambda number: (-count % number, -number))
    rows = math.ceil(count / columns)
    width = WIDTH if columns >= 3 else 4.2 * columns
    figure = new_figure(width, rows * (width / columns * aspect + 0.25) + 0.4)
    grid = figure.subplots(rows, columns, sharex=share, sharey=share, squeeze=False).ravel()
    for index, axes in enumerate(grid):
        if index >= count:
            axes.remove()
        else:
            quiet(axes)
            # The last panel of each column carries the numbers, also where the grid's last row is not full.
            axes.tick_params(labelbottom=not share or index + columns >= count)
    figure.supxlabel(plain(x_label), fontsize=NORMAL)
    figure.supylabel(_wrapped(y_label, figure.get_figheight() - 0.4), fontsize=NORMAL)
    return figure, list(grid[:count])


def panel_title(axes: "matplotlib.axes.Axes", title: str, colour: str = INK) -> None:
    """Write a panel's title in the colour of its method, on as many lines as keep it out of the next panel."""
    place, figure = axes.get_subplotspec(), axes.get_figure(root=True)
    assert figure is not None  # axes that are drawn belong to one
    width = figure.get_figwidth() / (place.get_gridspec().ncols if place is not None else 1)
    axes.set_title(_wrapped(title, width), fontsize=NORMAL, color=colour, fontweight="bold", loc="left")


def _wrapped(text: str, inches: float) -> str:
    return textwrap.fill(plain(text), max(8, int(inches / _LETTER)))


def figure_bytes(figure: "matplotlib.figure.Figure", kind: Literal["png", "svg"]) -> bytes:
    """Render a figure as PNG (160 dots per inch) or SVG.

    Args:
        figure: the figure.
        kind: the format.

    Returns:
        The file's content. An SVG holds its letters as outlines, so it looks the same everywhere.

    Example:
        >>> figure_bytes(new_figure(1.0, 1.0), "png")[1:4]
        b'PNG'
    """
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {}
    figure.savefig(buffer, format=kind, dpi=160, metadata=metadata)
    # The layout is found once; a second format takes it over.
    figure.set_layout_engine("none")
    return buffer.getvalue()
