"""The kinds of figures that several pages share: each is drawn here, and nowhere else, over one plain record.

Reliability diagrams, risk-coverage curves, curves over a number (of labels, of experts) and heat maps; dots with
whiskers are `forest_figure`, over a score table.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from jaxuq.metrics import reliability_bins, risk_coverage_curve
from jaxuq.reporting.canvas import GREY, INK, LIGHT, NORMAL, SMALL, WIDTH, new_figure, panel_title, panels, plain, quiet

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

_MOST_POINTS = 600
_DASHED = (0, (4, 3))


class Look(NamedTuple):
    """How something is called and drawn; a `MethodStyle` is one.

    Attributes:
        title: for people.
        colour: `#rrggbb`.
        line: a matplotlib dash pattern.
        marker: a matplotlib marker.
    """

    title: str
    colour: str
    line: Any = "-"
    marker: str = ""


class Stated(NamedTuple):
    """What was said with which confidence, and whether it came true.

    Attributes:
        look: of the panel.
        confidence: in [0, 1].
        happened: 0 or 1.
        where: which count; None: all.
        label: of the line.
    """

    look: Any
    confidence: Any
    happened: Any
    where: Any = None
    label: str = ""


class Ranked(NamedTuple):
    """Predictions in the order in which they are trusted.

    Attributes:
        look: of the line.
        parts: `(uncertainty, risk, where)` of each seed; the line is the mean of their curves.
    """

    look: Any
    parts: Sequence[tuple[Any, Any, Any]]


class Measured(NamedTuple):
    """A line over a number.

    Attributes:
        look: of the line.
        at: the number: labels, experts.
        middle: the values.
        lower: lower ends.
        upper: upper ends.
        opacity: of the line.
    """

    look: Any
    at: Any
    middle: Any
    lower: Any
    upper: Any
    opacity: float = 1.0


def reliability_diagrams(
    shown: Sequence[Stated], *, bins: int = 20, low: float = 0.0, x_label: str, y_label: str
) -> "matplotlib.figure.Figure":
    """Draw how often what is said comes true against how surely it is said, a panel each.

    A point is a bin of confidence: its mean and the share of it that came true, from `jaxuq.metrics.reliability_bins`.
    The grey bars are the shares of all predictions that fall in the bins: a point above a short bar is noise.

    Args:
        shown: the panels.
        bins: of equal width on [0, 1].
        low: the least confidence that there can be.
        x_label: what is said.
        y_label: what came true.

    Returns:
        The figure.

    References:
        Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML, 2017 (Figure 1).
    """
    figure, grid = panels(len(shown), x_label=x_label, y_label=y_label)
    bins_of = jax.jit(reliability_bins, static_argnames=("bins",))
    edges = np.arange(bins + 1) / bins
    for axes, one in zip(grid, shown, strict=True):
        rows = jax.device_get(bins_of(one.confidence, one.happened, bins=bins, where=one.where))
        axes.bar(edges[:-1], rows.weight, width=1 / bins, align="edge", color=LIGHT, edgecolor="white")
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=_DASHED)
        filled = rows.weight > 0
        axes.plot(
            rows.confidence[filled], rows.accuracy[filled], color=one.look.colour, marker=one.look.marker,
            markersize=4.5, linewidth=1.6, label=one.label,
        )  # fmt: skip
        panel_title(axes, one.look.title, one.look.colour)
        axes.set_xlim(low, 1.0)
        axes.set_ylim(0.0, 1.02)
        ticks = np.linspace(low, 1.0, 6 if low else 5)
        axes.set_xticks(ticks, [f"{tick:g}" if at % 2 == 0 else "" for at, tick in enumerate(ticks)])
    return figure


def risk_coverage_curves(
    shown: Sequence[Ranked], *, x_label: str, y_label: str, height: float = 4.8
) -> "matplotlib.figure.Figure":
    """Draw the risk of the most certain predictions against the share of predictions kept, all lines together.

    Each part is one curve of `jaxuq.metrics.risk_coverage_curve`; long ones are drawn through 600 of their points.

    Args:
        shown: the lines.
        x_label: what is kept.
        y_label: the risk.
        height: of the figure.

    Returns:
        The figure.

    References:
        Geifman and El-Yaniv, Selective Classification for Deep Neural Networks, NeurIPS, 2017.
    """
    figure = new_figure(WIDTH, height)
    axes = figure.subplots()
    quiet(axes)
    highest = []
    for rank, one in enumerate(shown):
        coverage, risk = _mean_curve(one.parts)
        index = np.unique(np.linspace(0, len(risk) - 1, _MOST_POINTS).astype(int)) if len(risk) else slice(0)
        axes.plot(
            coverage[index], risk[index], color=one.look.colour, linestyle=one.look.line, linewidth=1.7,
            marker=one.look.marker, markersize=4.5, markevery=(0.03 + 0.02 * (rank % 3), 0.14),
            label=plain(one.look.title),
        )  # fmt: skip
        highest.append(float(np.max(risk[coverage >= 0.1], initial=0.0)))
    axes.set_xlim(0, 1)
    # The risk of the first few predictions kept is noise and may lie above the frame.
    axes.set_ylim(0, 1.08 * max([value for value in highest if np.isfinite(value)], default=0.0) or 1.0)
    axes.set_xlabel(x_label, fontsize=NORMAL)
    axes.set_ylabel(plain(y_label), fontsize=NORMAL)
    figure.legend(loc="outside right upper", fontsize=SMALL, frameon=False, handlelength=3.4)
    return figure


def _mean_curve(parts: Sequence[tuple[Any, Any, Any]]) -> tuple[np.ndarray, np.ndarray]:
    curves = []
    for uncertainty, risk, where in parts:
        curve = jax.jit(risk_coverage_curve)(uncertainty, risk, where=where)
        count = len(curve.coverage) if where is None else int(np.sum(np.asarray(where)))
        curves.append((np.asarray(curve.coverage)[:count], np.asarray(curve.selective_risk)[:count]))
    # All seeds are tested on the same labels, so their coverages agree; a seed tested on others is left out.
    same = [risk for coverage, risk in curves if len(coverage) == len(curves[0][0])]
    return curves[0][0], np.mean(same, axis=0)


def draw_curves(axes: "matplotlib.axes.Axes", lines: Sequence[Measured], *, band: bool, level: float = np.nan) -> None:
    """Draw values over a number with their ends, in a panel.

    Args:
        axes: the panel.
        lines: in it.
        band: whether ends bound a band; otherwise they are whiskers, moved apart so that none hides another.
        level: of a dashed line to compare with; NaN: none.
    """
    quiet(axes)
    if np.isfinite(level):
        axes.axhline(level, color=GREY, linewidth=1.2, linestyle=_DASHED)
    steps = np.diff(sorted({float(at) for one in lines for at in one.at}))
    beside = 0.0 if band or not len(steps) else 0.12 * float(steps.min())
    for number, one in enumerate(lines):
        at = np.asarray(one.at, np.float64) + beside * (number - (len(lines) - 1) / 2)
        style = {
            "color": one.look.colour, "linestyle": one.look.line, "marker": one.look.marker, "markersize": 4.5,
            "linewidth": 1.6, "alpha": one.opacity, "label": plain(one.look.title),
        }  # fmt: skip
        if band:
            axes.fill_between(at, one.lower, one.upper, color=one.look.colour, alpha=0.13, lw=0)
            axes.plot(at, one.middle, **style)
        else:
            middle = np.asarray(one.middle, np.float64)
            ends = np.stack([middle - one.lower, one.upper - middle]).clip(0)
            axes.errorbar(at, middle, yerr=ends, elinewidth=0.6, capsize=0, **style)


def draw_heat(
    axes: "matplotlib.axes.Axes",
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    low: float,
    high: float,
    written: Callable[[float], str] | None = None,
    colours: str = "Blues",
    size: float = SMALL,
    rotation: float = 0.0,
    equal: bool = False,
) -> Any:
    """Draw a table of numbers as colours.

    Args:
        axes: the panel.
        values: `[rows, columns]`.
        rows: names.
        columns: names.
        low: value of the first colour.
        high: value of the last.
        written: the text of a number, written into its field; None: none.
        colours: name of a colour map.
        size: of the letters.
        rotation: of the columns' names, degrees.
        equal: whether fields are squares.

    Returns:
        The image, for a colour bar.
    """
    axes.grid(False)
    image = axes.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="equal" if equal else "auto")
    for (row, column), value in np.ndenumerate(values):
        if written is not None and np.isfinite(value) and (text := written(float(value))):
            red, green, blue, _ = image.cmap(image.norm(value))
            dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color="white" if dark else INK)
    side = "right" if 0 < rotation < 90 else "center"
    axes.set_xticks(range(len(columns)), list(map(plain, columns)), fontsize=size, rotation=rotation, ha=side)
    axes.set_yticks(range(len(rows)), list(map(plain, rows)), fontsize=size)
    axes.tick_params(length=0, labelbottom=True, labelcolor=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return image
