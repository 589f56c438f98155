"""Learning curves of a run that labels in rounds: scores against the number of labels."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxuq.reporting.canvas import NORMAL, SMALL, new_figure
from jaxuq.reporting.errors import ReportError
from jaxuq.reporting.frames import Frame, OptionalFrame
from jaxuq.reporting.kinds import Measured, draw_curves
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.metric_names import metric_name

if TYPE_CHECKING:
    import matplotlib.figure

_SHOWN = ("accuracy", "nll", "ece")


def read_curve(folder: Path, part: str) -> OptionalFrame:
    """The rows of `curve.csv` of one part.

    Args:
        folder: of the run.
        part: `dataset` in the table.

    Returns:
        The rows; None if the run has no such table.

    Raises:
        ReportError: it is there, but not readable.
    """
    import pandas

    file = folder / "curve.csv"
    if not file.is_file():
        return None
    try:
        table = pandas.read_csv(file)
        return table[table["dataset"] == part]
    except (OSError, ValueError, KeyError) as error:
        raise ReportError(f"{file}: unreadable ({error})") from error


def labelling_figure(curve: Frame) -> "matplotlib.figure.Figure":
    """Draw accuracy, negative log likelihood and calibration error against labels, a line an acquisition.

    Args:
        curve: rows of `curve.csv` of one part.

    Returns:
        The figure.
    """
    figure = new_figure(10.0, 3.4)
    grid = figure.subplots(1, len(_SHOWN))
    names = [name for name in dict.fromkeys(curve["acquisition"]) if name != "base"]
    for axes, score in zip(grid, _SHOWN):
        before = curve.loc[curve["acquisition"] == "base", f"{score}_mean"]
        lines = []
        for name in names:
            rows = curve[curve["acquisition"] == name]
            middle, lower, upper = (rows[f"{score}_{end}"].to_numpy(float) for end in ("mean", "lower", "upper"))
            lines.append(Measured(method_style(name), rows["labels"].to_numpy(float), middle, lower, upper))
        draw_curves(axes, lines, band=False, level=float(before.iloc[0]) if len(before) else np.nan)
        axes.set_title(metric_name(score).title, fontsize=NORMAL)
        axes.set_xlabel("labels", fontsize=NORMAL)
    grid[-1].legend(fontsize=SMALL, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure
