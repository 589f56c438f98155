"""Calibration curves of regression: nominal against observed quantiles."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import jax
import numpy as np

from jaxuq.metrics import regression_calibration_curve
from jaxuq.reporting.canvas import GREY, LIGHT, panel_title, panels
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.pooled import pool_values
from jaxuq.reporting.result_folder import Predictions

if TYPE_CHECKING:
    import matplotlib.figure


def calibration_figure(
    predictions: Mapping[str, Sequence[Predictions]],
    *,
    num_quantiles: int = 20,
    kind: Literal["central", "quantile"] = "quantile",
) -> "matplotlib.figure.Figure":
    """Draw observed against nominal quantiles, a panel per method with the others in grey.

    The curves are those of `jaxuq.metrics.regression_calibration_curve`, pooled over tasks and seeds.

    Args:
        predictions: for each method its predictions, one per seed.
        num_quantiles: number of steps between 0 and 1.
        kind: `"quantile"` shows bias and spread together; `"central"` counts central intervals only.

    Returns:
        The figure, a panel per method.

    References:
        Kuleshov, Fenner and Ermon, Accurate Uncertainties for Deep Learning Using Calibrated Regression, ICML, 2018
        (Figure 1).
    """
    central = kind == "central"
    figure, grid = panels(
        len(predictions),
        x_label="nominal coverage of central intervals" if central else "nominal quantile",
        y_label="observed coverage" if central else "share of labels below it",
    )
    curve_of = jax.jit(regression_calibration_curve, static_argnames=("num_quantiles", "kind"))
    curves = {}
    for method, seeds in predictions.items():
        pooled = pool_values(seeds)
        curve = curve_of(
            pooled.mean, pooled.variance, pooled.labels, num_quantiles=num_quantiles, kind=kind, where=pooled.where
        )
        curves[method] = np.asarray(curve.expected), np.asarray(curve.observed)
    for axes, method in zip(grid, predictions, strict=True):
        style = method_style(method)
        for other, (expected, observed) in curves.items():
            if other != method:
                axes.plot(expected, observed, color=LIGHT, linewidth=0.9)
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        axes.plot(*curves[method], color=style.colour, linewidth=2, label=method)
        panel_title(axes, style.title, style.colour)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    return figure
