"""Scores as the published MUBen code computes them, where it differs from their definitions; its tables hold these."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from jaxuq import metrics
from jaxuq._arrays import masked, no_nan, select, undefined_unless, weighted_mean, within_unit
from jaxuq._meshes import whole
from jaxuq._options import check_count
from jaxuq._shapes import checked
from jaxuq.metrics._ties import sort_with_ties


@checked
def published_gaussian_likelihood(
    mean: Float[Array, " n"],
    variance: Float[Array, " n"],
    labels: Float[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Mean negative log likelihood without its constant, $\tfrac12 [\log \sigma^2 + (y - \mu)^2 / \sigma^2]$.

    Variances are raised to at least 1e-6, both as by PyTorch's `gaussian_nll_loss`. The definition is
    `jaxuq.metrics.gaussian_negative_log_likelihood`.

    Args:
        mean: predictive means, in the units of the labels.
        variance: predictive variances >= 0.
        labels: true values.
        where: True for the entries that count; None counts all.

    Returns:
        A scalar in nats; NaN if no entry counts, or a variance that counts is negative.

    Example:
        >>> import jax.numpy as jnp
        >>> print(published_gaussian_likelihood(jnp.array([0.0]), jnp.array([1.0]), jnp.array([1.0])))
        0.5
    """
    raised = jnp.where(variance < 0, variance, jnp.maximum(variance, 1e-6))
    constant = 0.5 * math.log(2 * math.pi)
    return metrics.gaussian_negative_log_likelihood(mean, raised, labels, where=where) - constant


@checked
def published_regression_calibration(
    mean: Float[Array, " n"],
    variance: Float[Array, " n"],
    labels: Float[Array, " n"],
    *,
    num_quantiles: int = 20,
    where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Calibration error over all *pairs*: every label is compared with every prediction.

    $$\frac{1}{S - 1} \sum_{s=1}^{S-1} \left(\frac{s}{S} - \frac{1}{N^2} \left|\{(n, m) :
      \Phi\left(\tfrac{y_n - \mu_m}{\sigma_m}\right) \le \tfrac{s}{S}\}\right|\right)^2$$

    The published code does so through a broadcast from [N] to [N, N]. It rewards predictions that ignore the input: a
    perfectly calibrated sharp predictor scores worse than one wide constant. The definition is
    `jaxuq.metrics.regression_calibration_error`. By sorting, in O(S N log N) time and O(S N) memory.

    Args:
        mean: predictive means, in the units of the labels.
        variance: predictive variances >= 0.
        labels: true values.
        num_quantiles: S; 20 gives the 19 interior quantiles .05, ..., .95.
        where: True for the entries that count; None counts all.

    Returns:
        A scalar >= 0; NaN if no entry counts, or one that counts is NaN.

    Raises:
        OptionError: fewer than 2 quantiles.

    Example:
        >>> import jax.numpy as jnp
        >>> labels = jnp.linspace(-3.0, 3.0, 16)
        >>> print(published_regression_calibration(labels, jnp.ones(16), labels, num_quantiles=2))
        0.0009765625
    """
    check_count("num_quantiles", num_quantiles, 2)
    arrays = masked(where, mean=mean, variance=variance, labels=labels)
    valid, mean, variance, labels = (whole(array) for array in arrays)
    deviation = jnp.sqrt(variance)
    levels = jnp.asarray(np.arange(1, num_quantiles) / num_quantiles, mean.dtype)
    ordered = jnp.sort(select(labels, valid, jnp.inf))
    count = jnp.maximum(jnp.sum(valid), 1)

    def observed(level: Array) -> Array:
        thresholds = mean + deviation * jax.scipy.special.ndtri(level)
        below = jnp.minimum(jnp.searchsorted(ordered, thresholds, side="right"), count)
        return jnp.sum(select(below.astype(mean.dtype), valid)) / count.astype(mean.dtype) ** 2

    gaps = levels - jax.vmap(observed)(levels)
    return undefined_unless(jnp.any(valid) & no_nan(mean, deviation, labels), jnp.mean(gaps**2))


@checked
def published_binary_calibration(
    probabilities: Float[Array, " n"],
    labels: Shaped[Array, " n"],
    *,
    bins: int = 15,
    where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
    """Calibration error of the positive class's probability itself, in bins that are closed on the left.

    As by torchmetrics' `binary_calibration_error`. That of the top class, which the benchmark's text defines, is
    `jaxuq.metrics.binary_calibration_error`.

    Args:
        probabilities: of the positive class, in [0, 1].
        labels: 0 or 1 (or booleans).
        bins: number of bins of equal width on [0, 1]; 1 has a further one for itself.
        where: True for the entries that count; None counts all.

    Returns:
        A scalar in [0, 1]; NaN if no entry counts, or one that counts is NaN or has a label out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> print(published_binary_calibration(jnp.array([0.25, 0.75]), jnp.array([0, 0])))
        0.5
    """
    return metrics.expected_calibration_error(probabilities, labels, bins=bins, closed="left", where=where)


@checked
def published_precision_recall_area(
    scores: Float[Array, " n"], labels: Shaped[Array, " n"], *, where: Bool[Array, " n"] | None = None
) -> Float[Array, ""]:
    """The area under straight lines through the precision-recall curve, from recall 0 at precision 1 ("prc-auc").

    Too optimistic, for precision is not linear in recall; the definition is `jaxuq.metrics.average_precision`.

    Args:
        scores: any real numbers, larger for the positive class.
        labels: 0 or 1 (or booleans).
        where: True for the entries that count; None counts all.

    Returns:
        A scalar in (0, 1]; NaN if the entries that count have one class only, a NaN among them, or a label outside
        [0, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> scores, labels = jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([0, 0, 1, 1])
        >>> print(published_precision_recall_area(scores, labels).round(4))
        0.7917

    References:
        Davis and Goadrich, The Relationship between Precision-Recall and ROC Curves, ICML, 2006.
    """
    valid, scores, labels = masked(where, scores=scores, labels=labels)
    groups = sort_with_ties(scores, valid, labels)
    positive = (groups.values[0] > 0) & groups.valid

    def from_here_up(values: Array) -> Array:
        return jnp.append(jax.lax.cumsum(values.astype(scores.dtype), reverse=True), jnp.zeros((), scores.dtype))

    right, called = from_here_up(positive), from_here_up(groups.valid)

    def precision_from(position: Array) -> Array:
        some = called[position] > 0
        return jnp.where(some, right[position] / jnp.where(some, called[position], 1.0), 1.0)

    precision = 0.5 * (precision_from(groups.first) + precision_from(groups.last + 1))
    both = (right[0] > 0) & (right[0] < called[0])
    return undefined_unless(both & no_nan(scores) & within_unit(labels), weighted_mean(precision, positive))
