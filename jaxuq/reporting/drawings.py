"""Draw figures for a page: each one that fails is left out and named, and the page comes out all the same."""

import base64
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from jaxuq.reporting.canvas import figure_bytes
from jaxuq.study import write_bytes

if TYPE_CHECKING:
    import matplotlib.figure


class Drawing(NamedTuple):
    """A figure that a page wants.

    Attributes:
        name: stem of its files.
        title: its heading.
        reading: one or two sentences on how to read it.
        draw: makes the figure.
    """

    name: str
    title: str
    reading: str
    draw: "Callable[[], matplotlib.figure.Figure]"


class Picture(NamedTuple):
    """A figure as it goes into a page.

    Attributes:
        name: stem of its files.
        title: its heading.
        reading: how to read it.
        source: the SVG as a data address.
    """

    name: str
    title: str
    reading: str
    source: str


def render_drawings(drawings: list[Drawing], folder: pathlib.Path) -> tuple[list[Picture], list[str]]:
    """Draw figures, write each as PNG and SVG, and prepare them for a page.

    Args:
        drawings: what to draw, in order.
        folder: where the files go.

    Returns:
        The pictures, and a sentence for each figure that could not be drawn.
    """
    pictures, notices = [], []
    for drawing in drawings:
        try:
            figure = drawing.draw()
            png, svg = figure_bytes(figure, "png"), figure_bytes(figure, "svg")
        # Whatever is wrong with one figure's data, the reader should still get the rest of the page.
        except Exception as error:
            notices.append(f"The figure “{drawing.title}” could not be drawn ({type(error).__name__}: {error}).")
            for kind in ("png", "svg"):  # One from an earlier call would belong to other numbers.
                (folder / f"{drawing.name}.{kind}").unlink(missing_ok=True)
            continue
        write_bytes(folder / f"{drawing.name}.png", png)
        write_bytes(folder / f"{drawing.name}.svg", svg)
        source = "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
        pictures.append(Picture(drawing.name, drawing.title, drawing.reading, source))
    return pictures, notices
