"""Reliability: confidence against accuracy, bin by bin, for diagrams and for every binned calibration error."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Real, Shaped

from jaxuq._arrays import no_nan, undefined_unless, weighted, within_unit
from jaxuq._errors import OptionError
from jaxuq._options import check_choice, check_count
from jaxuq._shapes import checked
from jaxuq.metrics._ties import Sorted, group_means, sort_with_ties


class ReliabilityBins(NamedTuple):
    """One row of a reliability diagram per bin.

    Attributes:
        confidence: mean confidence in the bin; NaN where the bin is empty.
        accuracy: mean correctness in the bin; NaN where the bin is empty.
        weight: share of the counted entries that fall in the bin; sums to 1.
    """

    confidence: Float[Array, " bins"]
    accuracy: Float[Array, " bins"]
    weight: Float[Array, " bins"]


@checked
def reliability_bins(
    confidence: Float[Array, " n"],
    correct: Shaped[Array, " n"],
    *,
    bins: int = 15,
    binning: Literal["equal_width", "equal_mass"] = "equal_width",
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> ReliabilityBins:
    r"""Mean confidence, mean accuracy and share of entries in each confidence bin.

    $$\mathbb{B}_s = \{n : c_n \in (\rho_s, \rho_{s+1}]\}, \qquad
      \mathrm{conf}_s = \tfrac{1}{N_s} \sum_{n \in \mathbb{B}_s} c_n, \qquad
      \mathrm{acc}_s = \tfrac{1}{N_s} \sum_{n \in \mathbb{B}_s} a_n, \qquad w_s = N_s / N$$

    Plot accuracy against confidence: below the diagonal is overconfident. `expected_calibration_error` is the weighted
    mean of the gaps. For one binary task, pass the positive-class probability and the label.

    Args:
        confidence: stated probabilities, in [0, 1].
        correct: what happened: 0 or 1 (or booleans).
        bins: number of bins.
        binning: `"equal_width"` divides [0, 1] evenly, a confidence of 0 falling in the first bin. `"equal_mass"` puts
            the same number of entries in each bin, to within one; where a bin's edge cuts through equal confidences,
            their accuracy is shared evenly, so the order of the entries does not matter.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        `ReliabilityBins`, each field of shape [bins]; all NaN if no entry counts, or one that counts is NaN or has
        a `correct` outside [0, 1].

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: if `bins` is not a positive integer, `binning` is unknown, or weights meet bins of equal mass.

    Example:
        >>> import jax.numpy as jnp
        >>> confidence, correct = jnp.array([0.25, 0.5, 0.75, 1.0]), jnp.array([0, 0, 1, 0])
        >>> rows = reliability_bins(confidence, correct, bins=2)
        >>> print(rows.confidence, rows.accuracy, rows.weight)
        [0.375 0.875] [0. 0.5] [0.5 0.5]

    References:
        DeGroot and Fienberg, The Comparison and Evaluation of Forecasters, The Statistician 32, 1983.
        Niculescu-Mizil and Caruana, Predicting Good Probabilities with Supervised Learning, ICML, 2005.
    """
    check_choice("binning", binning, ("equal_width", "equal_mass"))
    if weights is not None and binning == "equal_mass":
        raise OptionError("weights with binning='equal_mass' has no meaning; use binning='equal_width'")
    factors, confidence, correct = weighted(where, weights, confidence=confidence, correct=correct)
    totals = (width_totals if binning == "equal_width" else mass_totals)(confidence, correct, factors, bins)
    filled, counted = totals.count != 0, jnp.sum(totals.count)
    size = jnp.where(filled, totals.count, 1.0)
    defined = (counted != 0) & no_nan(confidence) & within_unit(correct)
    return ReliabilityBins(
        confidence=undefined_unless(filled & defined, totals.confidence / size),
        accuracy=undefined_unless(filled & defined, totals.correct / size),
        weight=undefined_unless(defined, totals.count / jnp.where(counted == 0, 1.0, counted)),
    )


class BinTotals(NamedTuple):
    """Sums over each bin, from which every binned calibration error follows."""

    confidence: Float[Array, " bins"]
    correct: Float[Array, " bins"]
    count: Float[Array, " bins"]


def width_totals(
    confidence: Float[Array, " n"],
    correct: Float[Array, " n"],
    factors: Float[Array, " n"],
    bins: int,
    closed: Literal["right", "left"] = "right",
) -> BinTotals:
    """Sum over bins of equal width on [0, 1].

    Bins closed on the right put 0 in the first bin; bins closed on the left give 1 a bin of its own, an extra one.
    """
    check_count("bins", bins)
    confidence, correct, factors = confidence, correct, factors
    edges = jnp.asarray(np.arange(bins + 1) / bins, confidence.dtype)
    if closed == "right":
        index = jnp.clip(jnp.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
        return _totals(index, confidence, correct, factors, bins)
    index = jnp.clip(jnp.searchsorted(edges, confidence, side="right") - 1, 0, bins)
    return _totals(index, confidence, correct, factors, bins + 1)


def mass_totals(
    confidence: Float[Array, " n"], correct: Float[Array, " n"], factors: Float[Array, " n"], bins: int
) -> BinTotals:
    """Sum over bins of equal numbers of entries in order of confidence, ties shared; every entry counts once or not."""
    groups = sort_with_ties(confidence, factors != 0, correct)
    (correct,) = groups.values
    index, once = mass_index(groups, bins), groups.valid.astype(confidence.dtype)
    return _totals(index, groups.keys, group_means(correct, groups, once), once, bins)


def mass_index(groups: Sorted, bins: int) -> Int[Array, " n"]:
    """Give the bin of each sorted position: position * bins / count, rounded down."""
    check_count("bins", bins)
    position = jnp.arange(groups.valid.shape[0], dtype=jnp.int32)
    return jnp.minimum(position * bins // jnp.maximum(jnp.sum(groups.valid, dtype=jnp.int32), 1), bins - 1)


def _totals(index: Array, confidence: Array, correct: Array, factors: Array, bins: int) -> BinTotals:
    def total(values: Array) -> Array:
        return jax.ops.segment_sum(values * factors, index, num_segments=bins)

    return BinTotals(total(confidence), total(correct), total(jnp.ones_like(confidence)))
