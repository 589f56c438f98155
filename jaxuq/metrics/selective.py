"""Selective prediction: how risk falls as the least certain predictions are refused."""

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real, Shaped

from jaxuq._arrays import as_float, no_nan, select, undefined_unless, weighted, weighted_mean
from jaxuq._options import check_choice
from jaxuq._shapes import checked
from jaxuq.metrics._ties import group_means, orderable, sort_with_ties


class RiskCoverageCurve(NamedTuple):
    """Risk of the most certain predictions, one point per number of predictions kept.

    Attributes:
        coverage: share of the counted entries that is kept, ascending from 1 / N to 1.
        selective_risk: mean risk of those kept. Positions beyond the number of counted entries repeat the last point.
    """

    coverage: Float[Array, " n"]
    selective_risk: Float[Array, " n"]


@checked
def risk_coverage_curve(
    uncertainty: Float[Array, " n"], risk: Shaped[Array, " n"], *, where: Bool[Array, " n"] | None = None
) -> RiskCoverageCurve:
    r"""Mean risk of the k most certain predictions, for every k.

    $$\mathrm{coverage}_k = \frac{k}{N}, \qquad
      \mathrm{risk}_k = \frac1k \sum_{i=1}^k \ell_{(i)}, \qquad u_{(1)} \le \dots \le u_{(N)}$$

    Plot risk against coverage to see what refusing the doubtful cases buys. Predictions of equal uncertainty are kept
    in random order and the curve is the expectation over that order (each counts with the mean risk of its tie group),
    so the order of the entries does not matter and an uninformative constant gives a flat curve.

    Args:
        uncertainty: any real numbers, larger for less certain predictions (a variance, an entropy, 1 - confidence).
        risk: loss of each prediction: 0 or 1 for right or wrong, or any real loss.
        where: True for the entries that count; None counts all.

    Returns:
        `RiskCoverageCurve` with fields of shape [n]; NaN if no entry counts, or one that counts is NaN.

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> curve = risk_coverage_curve(jnp.array([0.1, 0.9, 0.5, 0.5]), jnp.array([0, 1, 1, 0]))
        >>> print(curve.coverage, curve.selective_risk.round(3))
        [0.25 0.5 0.75 1. ] [0. 0.25 0.333 0.5 ]

    References:
        El-Yaniv and Wiener, On the Foundations of Noise-free Selective Classification, JMLR 11, 2010.
        Geifman and El-Yaniv, Selective Classification for Deep Neural Networks, NeurIPS, 2017.
    """
    order = orderable(uncertainty, where)
    factors, uncertainty, risk = weighted(where, None, uncertainty=uncertainty, risk=risk)
    sums, once, _ = _cumulative_risk(order, risk, factors)
    kept = jnp.arange(1, risk.shape[0] + 1, dtype=risk.dtype)
    count = jnp.maximum(jnp.sum(once), 1.0)
    total = weighted_mean(risk, weights=factors)
    defined = jnp.any(factors != 0) & no_nan(uncertainty, risk)
    return RiskCoverageCurve(
        coverage=undefined_unless(defined, jnp.where(once > 0, kept / count, 1.0)),
        selective_risk=undefined_unless(defined, jnp.where(once > 0, sums / kept, total)),
    )


@checked
def area_under_risk_coverage(
    uncertainty: Float[Array, " n"],
    risk: Shaped[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Area under the risk-coverage curve (AURC): selective risk averaged over all coverages.

    $$\mathrm{AURC} = \frac1N \sum_{k=1}^N \frac1k \sum_{i=1}^k \ell_{(i)}$$

    Small when the risk is small *and* the uncertainty ranks it well. Its few most certain predictions weigh most;
    `area_under_generalised_risk_coverage` weighs all failures alike, and `prediction_rejection_ratio` removes the
    level of the risk itself. Ties as in `risk_coverage_curve`.

    Args:
        uncertainty: larger for less certain predictions.
        risk: loss of each prediction.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once. Their sum takes the place of N.

    Returns:
        A scalar in the units of the risk; NaN if no entry counts, or one that counts is NaN.

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> print(area_under_risk_coverage(jnp.array([0.1, 0.2, 0.3, 0.4]), jnp.array([0, 0, 0, 1])))
        0.0625

    References:
        Geifman, Uziel and El-Yaniv, Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers, ICLR, 2019.
    """
    order = orderable(uncertainty, where)
    factors, uncertainty, risk = weighted(where, weights, uncertainty=uncertainty, risk=risk)
    sums, factors, risks = _cumulative_risk(order, risk, factors)
    before, total = jnp.cumsum(factors) - factors, jnp.sum(factors)
    # Entry i is met w times: sum over j <= w of (S + j r) / (W + j), with S and W the sums before it.
    area = risks * factors + (sums - factors * risks - risks * before) * _harmonic(before, factors)
    defined = no_nan(uncertainty, risk) & (total != 0)
    return undefined_unless(defined, jnp.sum(area) / jnp.where(total == 0, 1.0, total))


def _harmonic(start: Array, count: Array) -> Array:
    r"""$\sum_{j=1}^{c} 1 / (s + j) = \psi(s + c + 1) - \psi(s + 1)$, for any real count."""
    # Eight terms by hand, so that the series of the digamma function begins where three of its terms are enough; the
    # function itself costs ten times as much where a resample is a pass over many weights.
    first = sum(count / ((start + j) * (start + count + j)) for j in range(1, 9))
    low = start + 8.5
    far = jnp.log1p(count / low) + _digamma_series(low + count) - _digamma_series(low)
    return jnp.where(count == 1, 1 / (start + 1), first + far)


def _digamma_series(x: Array) -> Array:
    """The digamma function at x + 1/2, less the logarithm of x: Abramowitz and Stegun, 6.3.18, shifted."""
    square = 1 / jnp.square(x)
    return square * (1 / 24 - square * (7 / 960 - square * 31 / 8064))


@checked
def area_under_generalised_risk_coverage(
    uncertainty: Float[Array, " n"],
    risk: Shaped[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Area under the generalised risk-coverage curve (AUGRC): mean risk of a failure that goes undetected.

    $$\mathrm{AUGRC} = \int_0^1 \mathrm{coverage} \cdot \mathrm{risk}(\mathrm{coverage}) \; d\,\mathrm{coverage}
      = \frac{1}{N^2} \sum_{k=1}^N \left(\sum_{i=1}^k \ell_{(i)} - \tfrac12 \ell_{(k)}\right)$$

    The risk at each coverage is divided by N, not by the number kept. For 0/1 risk with error rate $e$ it equals
    $(1 - \mathrm{AUROC}) \, e (1 - e) + e^2 / 2$, AUROC being that of the uncertainty for telling failures. It is the
    right summary for comparing whole systems; see `area_under_risk_coverage` for the older one. Ties as in
    `risk_coverage_curve`.

    Args:
        uncertainty: larger for less certain predictions.
        risk: loss of each prediction.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar in the units of the risk; NaN if no entry counts, or one that counts is NaN.

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> print(area_under_generalised_risk_coverage(jnp.array([0.1, 0.2, 0.3, 0.4]), jnp.array([0, 0, 0, 1])))
        0.03125

    References:
        Traub et al., Overcoming Common Flaws in the Evaluation of Selective Classification Systems, NeurIPS, 2024.
    """
    order = orderable(uncertainty, where)
    factors, uncertainty, risk = weighted(where, weights, uncertainty=uncertainty, risk=risk)
    sums, factors, risks = _cumulative_risk(order, risk, factors)
    total = jnp.sum(factors)
    area = weighted_mean((sums - 0.5 * factors * risks) / jnp.where(total == 0, 1.0, total), weights=factors)
    return undefined_unless(no_nan(uncertainty, risk), area)


@checked
def prediction_rejection_ratio(
    uncertainty: Float[Array, " n"],
    risk: Shaped[Array, " n"],
    *,
    convention: Literal["malinin", "lm_polygraph"] = "malinin",
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Prediction rejection ratio (PRR): area gained over random rejection, as a share of what an oracle gains.

    $$\mathrm{PRR} = \frac{A_{\mathrm{random}} - A_{\mathrm{uncertainty}}}{A_{\mathrm{random}} - A_{\mathrm{oracle}}}$$

    1 when uncertainty orders the predictions by their risk, 0 when it is no better than chance, negative when it
    misleads. Independent of the overall level of the risk, so it isolates the ranking. Ties as in
    `risk_coverage_curve`.

    Args:
        uncertainty: larger for less certain predictions.
        risk: loss of each prediction; for a quality score pass its negative, which gives the same ratio.
        convention: which area A. `"malinin"` is that of `area_under_generalised_risk_coverage`: a rejected prediction
            counts as handed to an oracle, with risk 0. `"lm_polygraph"` is that of `area_under_risk_coverage`, the mean
            over those kept, as LM-Polygraph computes it.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar <= 1; NaN if no entry counts, one that counts is NaN, or all risks are equal.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: if `convention` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> risk = jnp.array([0.0, 1.0, 2.0])
        >>> print(prediction_rejection_ratio(risk, risk), prediction_rejection_ratio(jnp.zeros(3), risk))
        1.0 0.0

    References:
        Malinin, Mlodozeniec and Gales, Ensemble Distribution Distillation, ICLR, 2020.
        Fadeeva et al., LM-Polygraph: Uncertainty Estimation for Language Models, EMNLP Demos, 2023.
    """
    check_choice("convention", convention, ("malinin", "lm_polygraph"))
    given = uncertainty, risk
    factors, uncertainty, risk = weighted(where, weights, uncertainty=uncertainty, risk=risk)
    kept = factors != 0
    # Both areas are linear in the risk: taking the mean off first gives a random area of exactly 0.
    excess = select(risk - weighted_mean(risk, weights=factors), kept)

    def area(uncertainty):
        areas = {"malinin": area_under_generalised_risk_coverage, "lm_polygraph": area_under_risk_coverage}
        return areas[convention](uncertainty, excess, where=where, weights=factors)

    lowest = jnp.min(select(risk, kept, jnp.inf), initial=jnp.inf)
    highest = jnp.max(select(risk, kept, -jnp.inf), initial=-jnp.inf)
    varied = ~(highest <= lowest)
    by_uncertainty, by_risk = (area(as_float(keys)) for keys in given)
    return undefined_unless(varied, (0.0 - by_uncertainty) / jnp.where(varied, 0.0 - by_risk, 1.0))


def _cumulative_risk(order: tuple[Array, Array], risk: Array, factors: Array) -> tuple[Array, Array, Array]:
    """In order of certainty: summed risk so far, weights (0 for what does not count), and risks with ties shared."""
    groups = sort_with_ties(*order, risk, factors)
    risks, factors = groups.values
    risks = select(group_means(risks, groups, factors), groups.valid)
    return jnp.cumsum(factors * risks), factors, risks
