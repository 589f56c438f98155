"""Error against predicted standard deviation: are large errors announced?"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq.metrics import interval_coverage
from jaxuq.reporting.canvas import GREY, SMALL, panel_title, panels
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.pooled import pool_values, value_unit
from jaxuq.reporting.result_folder import Predictions

if TYPE_CHECKING:
    import matplotlib.figure


def error_figure(
    predictions: Mapping[str, Sequence[Predictions]], *, unit: str = "", shown: float = 0.99
) -> "matplotlib.figure.Figure":
    """Draw absolute error against predicted standard deviation, one panel per method, all of the same scale.

    The rays are |error| = k std for k = 1, 2, 3; each panel says what share of the labels lies within them
    (`jaxuq.metrics.interval_coverage`), which for a calibrated Gaussian is 68, 95 and 99.7 %.

    Args:
        predictions: for each method its predictions, one per seed; seeds are pooled. With several tasks both axes are
            in standard deviations of each task's labels.
        unit: unit of the labels.
        shown: share of the points of each method that the common scale must hold; the panels count the rest.

    Returns:
        The figure, a panel per method.

    References:
        Li et al., MUBen: Benchmarking the Uncertainty of Molecular Representation Models, TMLR, 2024.
    """
    methods = {method: pool_values(seeds) for method, seeds in predictions.items()}
    points = {}
    for method, pooled in methods.items():
        where = np.asarray(pooled.where)
        deviation = np.asarray(jnp.sqrt(pooled.variance))[where]
        points[method] = deviation, np.abs(np.asarray(pooled.labels - pooled.mean)[where])
    x_limit = _limit([deviation for deviation, _ in points.values()], shown)
    y_limit = _limit([error for _, error in points.values()], shown)
    named = value_unit(next(iter(predictions.values()), ()), unit)
    figure, grid = panels(
        len(predictions), x_label=f"predicted standard deviation{named}", y_label=f"absolute error{named}"
    )
    for axes, (method, (deviation, error)) in zip(grid, points.items(), strict=True):
        style, pooled = method_style(method), methods[method]
        axes.plot(
            deviation,
            error,
            linestyle="none",
            marker="o",
            markersize=3,
            markeredgewidth=0,
            alpha=float(np.clip(60 / max(len(error), 1) ** 0.75, 0.12, 0.6)),
            color=style.colour,
            label=method,
            rasterized=True,
        )
        inside = []
        for k in (1, 2, 3):
            axes.plot([0, x_limit], [0, k * x_limit], color=GREY, linewidth=0.9, linestyle=(0, (4, 2.0 * k - 1)))
            _name_ray(axes, k, x_limit, y_limit)
            reach = k * jnp.sqrt(pooled.variance)
            covered = jax.jit(interval_coverage)(
                pooled.mean - reach, pooled.mean + reach, pooled.labels, where=pooled.where
            )
            inside.append(f"{100 * float(covered):.0f}")
        outside = int(np.sum(~((deviation <= x_limit) & (error <= y_limit))))
        note = f"within 1, 2, 3 std: {', '.join(inside)} %" + (f"\n{outside} of {len(error)} outside" * (outside > 0))
        axes.text(
            0.98,
            0.98,
            note,
            transform=axes.transAxes,
            ha="right",
            va="top",
            fontsize=SMALL - 1.5,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5},
        )
        panel_title(axes, style.title, style.colour)
        axes.set_xlim(0, x_limit)
        axes.set_ylim(0, y_limit)
    return figure


def _limit(columns: Sequence[np.ndarray], shown: float) -> float:
    """Give the scale that holds the wanted share of every method, led by no single one: three times the median."""
    ends = [float(np.quantile(c[np.isfinite(c)], shown)) for c in columns if np.isfinite(c).any()]
    if not ends or max(ends) <= 0:
        return 1.0
    return 1.08 * min(max(ends), 3 * float(np.median(ends)) or max(ends))


def _name_ray(axes, k, x_limit, y_limit):
    x, y = (0.93 * x_limit, 0.93 * k * x_limit) if k * x_limit < 0.8 * y_limit else (0.8 * y_limit / k, 0.8 * y_limit)
    box = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5}
    axes.text(x, y, f"{k}×", fontsize=SMALL - 1.5, color="#555555", ha="center", va="center", bbox=box)
