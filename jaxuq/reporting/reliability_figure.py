"""Reliability diagrams: how often a method is right, against how sure it says it is."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from jaxuq.reporting.kinds import Stated, reliability_diagrams
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
    """Draw one reliability diagram per method, pooled over tasks and seeds; see `reliability_diagrams`.

    Args:
        predictions: for each method its predictions, one per seed.
        bins: bins of equal width on [0, 1].
        confidence: `"top_class"` plots the accuracy of the predicted class against its probability, from 1/2 to 1, as
            the expected calibration error counts it; `"positive_class"` the frequency of positives against their
            probability, from 0 to 1.

    Returns:
        The figure, a panel per method.
    """
    top = confidence == "top_class"
    shown = []
    for method, seeds in predictions.items():
        pooled = pool_classes(seeds)
        stated, happened = (pooled.confidence, pooled.correct) if top else (pooled.probability, pooled.label)
        shown.append(Stated(method_style(method), stated, happened, pooled.where, method))
    return reliability_diagrams(
        shown,
        bins=bins,
        low=0.5 if top else 0.0,
        x_label="confidence in the predicted class" if top else "predicted probability of the positive class",
        y_label=f"{'accuracy' if top else 'observed share of positives'} (grey bars: share of predictions)",
    )
