"""Figures of a tuning run: reliability, risk against coverage, and what was gained against what was forgotten."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq.metrics import reliability_bins, risk_coverage_curve
from jaxuq.reporting.canvas import GREY, LIGHT, NORMAL, SMALL, new_figure, panel_title, panels, plain, quiet
from jaxuq.reporting.frames import Frame
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
    figure, grid = panels(
        len(answered), x_label="highest probability", y_label="share of right answers (grey: share of answers)"
    )
    bins_of = jax.jit(reliability_bins, static_argnames=("bins",))
    edges = np.arange(_BINS + 1) / _BINS
    for axes, (method, one) in zip(grid, answered.items()):
        rows = jax.device_get(bins_of(jnp.asarray(one.confidence), jnp.asarray(one.correct), bins=_BINS))
        style = method_style(method)
        axes.bar(edges[:-1], rows.weight, width=1 / _BINS, align="edge", color=LIGHT, edgecolor="white")
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        filled = rows.weight > 0
        axes.plot(
            rows.confidence[filled], rows.accuracy[filled], color=style.colour, marker=style.marker, markersize=4.5,
            linewidth=1.6,
        )  # fmt: skip
        panel_title(axes, style.title, style.colour)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xticks([0, 0.5, 1])
    return figure


def tuning_risk_coverage(answered: Mapping[str, Answered]) -> "matplotlib.figure.Figure":
    """Draw the share of wrong answers among the most confident ones, against how many are kept.

    Args:
        answered: by method.

    Returns:
        The figure.
    """
    figure = new_figure(7.0, 4.0)
    axes = figure.subplots()
    quiet(axes)
    curve_of = jax.jit(risk_coverage_curve)
    for method, one in answered.items():
        curve = jax.device_get(curve_of(jnp.asarray(1 - one.confidence), jnp.asarray(1 - one.correct)))
        style = method_style(method)
        axes.plot(
            curve.coverage, curve.selective_risk, color=style.colour, linestyle=style.line, linewidth=1.6,
            label=plain(style.title),
        )  # fmt: skip
    axes.set_xlabel("share of questions that are answered", fontsize=NORMAL)
    axes.set_ylabel("share of wrong answers among them", fontsize=NORMAL)
    axes.legend(fontsize=SMALL, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure


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
