"""Figures of a tuning run: reliability, risk against coverage, and what was gained against what was forgotten."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxuq.reporting.canvas import GREY, NORMAL, SMALL, new_figure, plain, quiet
from jaxuq.reporting.frames import Frame
from jaxuq.reporting.kinds import Ranked, Stated, reliability_diagrams, risk_coverage_curves
from jaxuq.reporting.method_style import method_style

if TYPE_CHECKING:
    import matplotlib.figure

_BINS = 10


class Answered(NamedTuple):
    """Answers of one method to one part, seeds after each other.

    Attributes:
        confidence: highest probability.
        correct: whether it was right.
    """

    confidence: np.ndarray
    correct: np.ndarray


def tuning_reliability(answered: Mapping[str, Answered]) -> "matplotlib.figure.Figure":
    """Draw the share of right answers against the highest probability, a panel a method, in ten bins.

    Args:
        answered: by method.

    Returns:
        The figure.
    """
    shown = [Stated(method_style(name), *map(jnp.asarray, one), label=name) for name, one in answered.items()]
    return reliability_diagrams(
        shown, bins=_BINS, x_label="highest probability", y_label="share of right answers (grey: share of answers)"
    )


def tuning_risk_coverage(answered: Mapping[str, Answered]) -> "matplotlib.figure.Figure":
    """Draw the share of wrong answers among the most confident ones, against how many are kept.

    Args:
        answered: by method.

    Returns:
        The figure.
    """
    shown = [
        Ranked(method_style(name), [(jnp.asarray(1 - one.confidence), jnp.asarray(1 - one.correct), None)])
        for name, one in answered.items()
    ]
    return risk_coverage_curves(
        shown, x_label="share of questions that are answered", y_label="share of wrong answers among them", height=4.0
    )


def tuning_forgetting(summary: Frame) -> "matplotlib.figure.Figure":
    """Draw negative log likelihood on the test against what was forgotten of other texts, a point a method.

    Args:
        summary: rows of `summary.csv` of one part.

    Returns:
        The figure.
    """
    figure = new_figure(6.0, 3.8)
    axes = figure.subplots()
    quiet(axes)
    for row in summary.to_dict("records"):
        if not np.isfinite(row.get("forgetting_mean", np.nan)):
            continue
        style = method_style(row["method"])
        place = (row["forgetting_mean"], row["nll_mean"])
        spread = (row.get("forgetting_std", np.nan), row.get("nll_std", np.nan))
        axes.errorbar(
            *place, xerr=np.nan_to_num(spread[0]), yerr=np.nan_to_num(spread[1]), color=style.colour,
            marker=style.marker, markersize=7, linestyle="none",
        )  # fmt: skip
        axes.annotate(plain(style.title), place, xytext=(6, 5), textcoords="offset points", fontsize=SMALL,
                      color=style.colour)  # fmt: skip
    axes.axvline(0, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set_xlabel("forgetting: rise of the loss on other texts, nats a token", fontsize=NORMAL)
    axes.set_ylabel("NLL of the test's answers, nats", fontsize=NORMAL)
    axes.margins(0.2)
    return figure
