"""Risk-coverage curves: what refusing the least certain predictions buys."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp

from jaxuq.reporting.kinds import Ranked, risk_coverage_curves
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.pooled import pool_classes, pool_values, value_unit
from jaxuq.reporting.result_folder import Predictions

if TYPE_CHECKING:
    import matplotlib.figure


def risk_coverage_figure(
    predictions: Mapping[str, Sequence[Predictions]], *, regression: bool, unit: str = ""
) -> "matplotlib.figure.Figure":
    """Draw the risk of the most certain predictions against the share of predictions kept, all methods together.

    The risk is the absolute error (regression) or the error rate (classification); predictions are ordered by total
    predictive variance or entropy, pooled over tasks; see `risk_coverage_curves`.

    Args:
        predictions: for each method its predictions, one per seed.
        regression: whether the predictions are means and variances, else logits and entropies.
        unit: unit of the labels.

    Returns:
        The figure, one panel.
    """
    shown = [
        Ranked(method_style(method), [_ranked(seed, regression) for seed in seeds])
        for method, seeds in predictions.items()
    ]
    named = value_unit(next(iter(predictions.values()), ()), unit)
    return risk_coverage_curves(
        shown,
        x_label="coverage: share of predictions kept, the most certain first",
        y_label=f"mean absolute error{named}" if regression else "error rate",
    )


def _ranked(seed: Predictions, regression: bool) -> tuple[Any, Any, Any]:
    if regression:
        values = pool_values([seed])
        return values.variance, jnp.abs(values.labels - values.mean), values.where
    classes = pool_classes([seed])
    return classes.uncertainty, 1.0 - classes.correct, classes.where
