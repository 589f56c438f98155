"""Reliability diagrams: how often a method is right, against how sure it says it is."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import jax
import numpy as np

from jaxuq.metrics import reliability_bins
from jaxuq.reporting.canvas import GREY, LIGHT, panel_title, panels
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.pooled import pool_classes
from jaxuq.reporting.result_folder import Predictions

if TYPE_CHECKING:
    import matplotlib.figure


def reliability_figure(
    predictions: Mapping[str, Sequence[Predictions]],
    *,
    bins: int = 20,
    confidence: Literal["top_class", "positive_class"] = "top_class",
) -> "matplotlib.figure.Figure":
    """Draw one reliability diagram per method, pooled over tasks and seeds.

    A point is a bin of confidence: its mean confidence and the share of it that came true, from
    `jaxuq.metrics.reliability_bins`. The grey bars are the shares of all predictions that fall in the bins: a point
    above a short bar is noise.

    Args:
        predictions: for each method its predictions, one per seed.
        bins: bins of equal width on [0, 1].
        confidence: `"top_class"` plots the accuracy of the predicted class against its probability, from 1/2 to 1, as
            the expected calibration error counts it; `"positive_class"` the frequency of positives against their
            probability, from 0 to 1.

    Returns:
        The figure, a panel per method.

    References:
        Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML, 2017 (Figure 1).
    """
    top = confidence == "top_class"
    figure, grid = panels(
        len(predictions),
        x_label="confidence in the predicted class" if top else "predicted probability of the positive class",
        y_label=f"{'accuracy' if top else 'observed share of positives'} (grey bars: share of predictions)",
    )
    rows_of = jax.jit(reliability_bins, static_argnames=("bins",))
    edges = np.arange(bins + 1) / bins
    for axes, (method, seeds) in zip(grid, predictions.items(), strict=True):
        pooled, style = pool_classes(seeds), method_style(method)
        stated, happened = (pooled.confidence, pooled.correct) if top else (pooled.probability, pooled.label)
        rows = rows_of(stated, happened, bins=bins, where=pooled.where)
        axes.bar(edges[:-1], np.asarray(rows.weight), width=1 / bins, align="edge", color=LIGHT, edgecolor="white")
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        filled = np.asarray(rows.weight) > 0
        axes.plot(
            np.asarray(rows.confidence)[filled],
            np.asarray(rows.accuracy)[filled],
            color=style.colour,
            marker=style.marker,
            markersize=4.5,
            linewidth=1.6,
            label=method,
        )
        panel_title(axes, style.title, style.colour)
        axes.set_xlim(0.5 if top else 0.0, 1.0)
        axes.set_ylim(0.0, 1.02)
        axes.set_xticks([0.5, 0.6, 0.7, 0.8, 0.9, 1.0] if top else [0.0, 0.25, 0.5, 0.75, 1.0])
        axes.set_xticklabels(["0.5", "", "0.7", "", "0.9", ""] if top else ["0", "", "0.5", "", "1"])
    return figure
