"""Risk-coverage curves: what refusing the least certain predictions buys."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq.metrics import risk_coverage_curve
from jaxuq.reporting.canvas import NORMAL, SMALL, WIDTH, new_figure, plain, quiet
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.pooled import pool_classes, pool_values, value_unit
from jaxuq.reporting.result_folder import Predictions

if TYPE_CHECKING:
    import matplotlib.figure

_MOST_POINTS = 600


def risk_coverage_figure(
    predictions: Mapping[str, Sequence[Predictions]], *, regression: bool, unit: str = ""
) -> "matplotlib.figure.Figure":
    """Draw the risk of the most certain predictions against the share of predictions kept, all methods together.

    The risk is the absolute error (regression) or the error rate (classification); predictions are ordered by total
    predictive variance or entropy, pooled over tasks. Each seed is one curve of `jaxuq.metrics.risk_coverage_curve`;
    the line is their mean. Long curves are drawn through 600 of their points.

    Args:
        predictions: for each method its predictions, one per seed.
        regression: whether the predictions are means and variances, else logits and entropies.
        unit: unit of the labels.

    Returns:
        The figure, one panel.

    References:
        Geifman and El-Yaniv, Selective Classification for Deep Neural Networks, NeurIPS, 2017.
    """
    figure = new_figure(WIDTH, 4.8)
    axes = figure.subplots()
    quiet(axes)
    highest = []
    for method, seeds in predictions.items():
        coverage, risk = _mean_curve(seeds, regression)
        style = method_style(method)
        index = np.unique(np.linspace(0, len(risk) - 1, _MOST_POINTS).astype(int)) if len(risk) else slice(0)
        axes.plot(
            coverage[index],
            risk[index],
            color=style.colour,
            linestyle=style.line,
            linewidth=1.7,
            marker=style.marker,
            markersize=4.5,
            markevery=(0.05, 0.14),
            label=plain(style.title),
        )
        highest.append(float(np.max(risk[coverage >= 0.1], initial=0.0)))
    axes.set_xlim(0, 1)
    # The risk of the first few predictions kept is noise and may lie above the frame.
    axes.set_ylim(0, 1.08 * max([value for value in highest if np.isfinite(value)], default=0.0) or 1.0)
    axes.set_xlabel("coverage: share of predictions kept, the most certain first", fontsize=NORMAL)
    named = value_unit(next(iter(predictions.values()), ()), unit)
    axes.set_ylabel(plain(f"mean absolute error{named}" if regression else "error rate"), fontsize=NORMAL)
    figure.legend(loc="outside right upper", fontsize=SMALL, frameon=False, handlelength=3.4)
    return figure


def _mean_curve(seeds: Sequence[Predictions], regression: bool) -> tuple[np.ndarray, np.ndarray]:
    curves = []
    for seed in seeds:
        if regression:
            values = pool_values([seed])
            uncertainty, risk, where = values.variance, jnp.abs(values.labels - values.mean), values.where
        else:
            classes = pool_classes([seed])
            uncertainty, risk, where = classes.uncertainty, 1.0 - classes.correct, classes.where
        curve = jax.jit(risk_coverage_curve)(uncertainty, risk, where=where)
        count = int(np.sum(np.asarray(where)))
        curves.append((np.asarray(curve.coverage)[:count], np.asarray(curve.selective_risk)[:count]))
    # All seeds are tested on the same labels, so their coverages agree; a seed tested on others is left out.
    same = [risk for coverage, risk in curves if len(coverage) == len(curves[0][0])]
    return curves[0][0], np.mean(same, axis=0)
