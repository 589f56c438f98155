"""Bootstrap: how far a metric would move had other examples been drawn."""

import functools
import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float, Int, Key, Real, Shaped

from jaxuq._arrays import as_float, counted
from jaxuq._errors import OptionError
from jaxuq._meshes import whole
from jaxuq._options import check_choice, check_count, check_number
from jaxuq._shapes import checked


class BootstrapResult(NamedTuple):
    """A metric with its bootstrap interval. The fields have the shape of the metric's own result.

    Attributes:
        estimate: the metric on the data as given.
        lower: lower end of the interval.
        upper: upper end of the interval.
        standard_error: standard deviation of the metric over the resamples.
        num_defined: number of resamples on which the metric was not NaN; the interval rests on these.
        resamples: the metric on each resample. Of two methods resampled with one key, these are paired: their
            differences are those of the difference.
    """

    estimate: Float[Array, "*out"]
    lower: Float[Array, "*out"]
    upper: Float[Array, "*out"]
    standard_error: Float[Array, "*out"]
    num_defined: Int[Array, "*out"]
    resamples: Float[Array, "resamples *out"]


IntervalKind = Literal["debiased", "percentile"]
"""How an interval is made of resamples: see `interval_of_resamples`."""


@checked
def interval_of_resamples(
    estimate: Float[Array, "*out"],
    resamples: Float[Array, "resamples *out"],
    *,
    level: float = 0.95,
    interval: IntervalKind = "debiased",
) -> tuple[Float[Array, "*out"], Float[Array, "*out"]]:
    r"""Confidence interval of a score from its values on bootstrap resamples.

    The least interval that holds $\hat m$ and

    $$\hat m - b \pm z s, \qquad \hat m - (1 + \sqrt 2) \, b \pm z \sqrt{s^2 + b^2}, \qquad
      b = \bar{m^*} - \hat m, \; s^2 = \mathrm{var}(m^*), \; z = z_{(1 + \mathrm{level}) / 2}$$

    made longer by $e_-$ below and $e_+$ above. The first is the normal interval with its bias $b$ taken off; a bias of
    at most $s / 4$ is too uncertain for that, and the interval holds the uncorrected $\hat m \pm z s$ as well. To
    second order a studentised score reaches further on the side to which it is skewed: $W + c W^2$ for a mean $W$ with
    skewness $\gamma$ has $b = c s$ and $k = \gamma + 6 c$, the skewness of the resamples, and an upper end further by

    $$e_+ = s \max(0, (k / 3 - b / s) z^2 + k / 6), \qquad e_- = s \max(0, (\min(0, b / s) - k / 3) z^2 - k / 6)$$

    The second is for sums of absolute gaps (a calibration error), which sampling moves away from zero; where the true
    one is zero, $\hat m \propto \sqrt{1/n}$ and $\bar{m^*} \propto \sqrt{2/n}$, so that the whole bias is
    $b / (\sqrt 2 - 1) = (1 + \sqrt 2) \, b$. Such a bias is uncertain itself: $b^2$ is added to the variance, and it
    says nothing of a curvature, which is why $e_-$ leaves it out. Scores with little bias and skewness get the normal
    interval. How often these intervals hold the truth: `experiments/metrics/README.md`.

    `"percentile"` is $[Q_{(1 - \mathrm{level}) / 2}(m^*), Q_{(1 + \mathrm{level}) / 2}(m^*)]$, as many papers print. It
    counts the bias of a calibration error (which no sample leaves at zero) twice instead of removing it: its interval
    may lie beside the score and miss the truth.

    Two methods on the same examples: `jaxuq.study.comparison.paired_interval`.

    Args:
        estimate: the score on the data as given.
        resamples: the score on each resample; NaN where it is undefined, which leaves it out.
        level: nominal coverage, in (0, 1).
        interval: `"debiased"` or `"percentile"`.

    Returns:
        `(lower, upper)` of the shape of `estimate`; NaN if no resample is defined. They may lie beyond the range of the
        score (below 0 for an error): cut them there for display if you like, coverage is the same.

    Raises:
        ArrayError: the shapes do not fit.
        OptionError: if `level` is not in (0, 1) or `interval` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> lower, upper = interval_of_resamples(jnp.array(0.1), jnp.array([0.15, 0.2, 0.25]), level=0.9)
        >>> print(lower.round(3), upper.round(3))
        -0.319 0.1

    References:
        Davison and Hinkley, Bootstrap Methods and Their Application, Cambridge University Press, 1997 (section 5.2.1,
        the normal interval with bias adjusted, `norm` of R's `boot.ci`).
        P. Hall, The Bootstrap and Edgeworth Expansion, Springer, 1992 (section 3.5, limits to second order).
        Efron and Tibshirani, An Introduction to the Bootstrap, Chapman and Hall, 1993 (section 10.3, biases below a
        quarter of the standard error; section 13.3, percentile).
    """
    check_number("level", level, 0.0, 1.0, open_low=True, open_high=True)
    check_choice("interval", interval, ("debiased", "percentile"))
    wide = resamples.dtype if resamples.dtype.itemsize >= 4 else jnp.float32
    estimate, resamples = estimate.astype(wide), resamples.astype(wide)
    if not resamples.shape[0]:
        return jnp.full_like(estimate, jnp.nan), jnp.full_like(estimate, jnp.nan)
    if interval == "percentile":
        tails = jnp.asarray([0.5 - 0.5 * level, 0.5 + 0.5 * level], resamples.dtype)
        lower, upper = jnp.nanquantile(resamples, tails, axis=0)
        return lower, upper
    bias, spread = jnp.nanmean(resamples, axis=0) - estimate, jnp.nanstd(resamples, axis=0)
    z = ndtri(jnp.asarray(0.5 + 0.5 * level, wide))
    moved = spread > 0
    skew = jnp.nanmean(((resamples - (estimate + bias)[None]) / jnp.where(moved, spread, 1)[None]) ** 3, axis=0)
    skewed = spread * jnp.where(moved, skew, 0) * (2 * z**2 + 1) / 6
    below, above = jnp.maximum(jnp.minimum(bias, 0) * z**2 - skewed, 0), jnp.maximum(skewed - bias * z**2, 0)
    far, wider = estimate - (1.0 + math.sqrt(2.0)) * bias, z * jnp.hypot(spread, bias)
    near, half = estimate - bias, z * spread
    kept = jnp.where(jnp.abs(bias) <= spread / 4, estimate, near)
    # The comparisons with the score come last: it is inside whatever rounding does.
    lower = jnp.minimum(jnp.minimum(jnp.minimum(near, kept) - half, far - wider) - below, estimate)
    return lower, jnp.maximum(jnp.maximum(jnp.maximum(near, kept) + half, far + wider) + above, estimate)


@checked
def bootstrap(
    rng_key: Key[Array, ""],
    metric: Callable[..., Array],
    *arrays: Shaped[Array, "n ..."],
    where: Bool[Array, "n ..."] | None = None,
    weights: Real[Array, "n ..."] | None = None,
    num_resamples: int = 1000,
    level: float = 0.95,
    batch_size: int = 32,
    interval: IntervalKind = "debiased",
    as_weights: bool = False,
) -> BootstrapResult:
    r"""Bootstrap interval of any metric, which holds the metric itself and takes its bias off.

    $$m^*_b = m(\text{rows drawn with replacement})$$

    How an interval is made of these: `interval_of_resamples`.

    Rows are drawn from those with at least one entry that counts, as many as there are, so padding changes nothing but
    the random numbers; the labels of one row stay together, which keeps the correlation between tasks. For the
    difference of two methods on the same examples, bootstrap a metric that takes both predictions and subtracts. It
    covers the choice of test examples only, neither seeds nor training data, and it is too narrow for few rows and for
    extremes such as `maximum_calibration_error`.

    Resamples run `batch_size` at a time; memory is `batch_size` copies of the arrays plus `num_resamples` results.
    Resample b depends on (`rng_key`, b) alone: asking for more leaves the first ones as they were.

    Args:
        rng_key: random key.
        metric: takes the arrays and `where=`, gives an array of any shape, such as
            `lambda p, y, where: average_over_tasks(area_under_roc, p, y, where=where).mean`.
        *arrays: what the metric takes, all with rows on axis 0.
        where: True for the entries that count, of shape [n] or [n, ...]; None counts all (the metric always gets a mask
            of shape [n] then).
        weights: how often each entry counts, >= 0, for a metric that takes `weights=`; None: the metric gets none. Rows
            are drawn alike, and take their weights along.
        num_resamples: number of resamples.
        level: nominal coverage of the interval, in (0, 1).
        batch_size: number of resamples computed at once.
        interval: `"debiased"`, or the `"percentile"` interval of many papers, which may lie beside a biased score.
        as_weights: whether the metric is given each resample as `weights=`, how often each row was drawn, rather than
            as rows. It is the same number, but for rounding, and a metric that sorts (`area_under_roc`,
            `average_precision`, `area_under_risk_coverage`, `prediction_rejection_ratio`) sorts once a batch instead
            of once a resample.

    Returns:
        `BootstrapResult`. Resamples on which the metric is NaN are left out and counted by `num_defined`.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: if no array is given, `level` is not in (0, 1), `interval` is unknown, or a count is not a
            positive integer.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.metrics import mean_absolute_error
        >>> errors = jnp.arange(100.0)
        >>> result = bootstrap(jax.random.key(0), mean_absolute_error, errors, jnp.zeros(100))
        >>> print(result.estimate, bool(result.lower < 49.5), bool(result.upper > 49.5))
        49.5 True True

    References:
        Davison and Hinkley, Bootstrap Methods and Their Application, Cambridge University Press, 1997 (section 5.2.1).
        Efron and Tibshirani, An Introduction to the Bootstrap, Chapman and Hall, 1993 (section 13.3, percentile).
    """
    check_number("level", level, 0.0, 1.0, open_low=True, open_high=True)
    num_resamples = check_count("num_resamples", num_resamples)
    batch_size = check_count("batch_size", batch_size)
    if not arrays:
        raise OptionError("bootstrap got no arrays; pass the arrays that the metric takes after the metric")
    mask = counted(where, arrays[0].shape[:1])
    options = {} if weights is None else {"weights": weights}
    rows = jax.tree.map(whole, (arrays, mask, options))
    values = _resampled(rng_key, metric, *rows, num_resamples, min(batch_size, num_resamples), as_weights)
    lower, upper = interval_of_resamples(values.estimate, values.resamples, level=level, interval=interval)
    return BootstrapResult(
        estimate=values.estimate,
        lower=lower,
        upper=upper,
        standard_error=jnp.nanstd(values.resamples, axis=0, ddof=1),
        num_defined=jnp.sum(~jnp.isnan(values.resamples), axis=0),
        resamples=values.resamples,
    )


class _Resampled(NamedTuple):
    """A metric on the data and on the resamples."""

    estimate: Float[Array, "*out"]
    resamples: Float[Array, "resamples *out"]


# Compiled as a whole: outside `jit` the loop would otherwise be traced and compiled anew at every call.
@functools.partial(jax.jit, static_argnames=("metric", "num_resamples", "batch_size", "as_weights"))
def _resampled(
    rng_key: Key[Array, ""],
    metric: Callable[..., Array],
    arrays: tuple[Shaped[Array, "n ..."], ...],
    mask: Bool[Array, "n ..."],
    options: dict[str, Real[Array, "n ..."]],
    num_resamples: int,
    batch_size: int,
    as_weights: bool,
) -> _Resampled:
    """Compute the metric on the data and on each resample of their rows."""
    n = mask.shape[0]
    row_counts = jnp.any(mask, axis=tuple(range(1, mask.ndim)))
    rows = jnp.argsort(~row_counts)
    num_rows = jnp.sum(row_counts, dtype=jnp.int32)
    drawn = (jnp.arange(n, dtype=jnp.int32) < num_rows).reshape((n,) + (1,) * (mask.ndim - 1))

    def resample(number):
        picks = jax.random.randint(jax.random.fold_in(rng_key, number), (n,), 0, jnp.maximum(num_rows, 1))
        chosen = rows[picks]
        if as_weights:
            counts = jnp.zeros((n,), jnp.float32).at[chosen].add(drawn.reshape(n).astype(jnp.float32))
            times = jnp.broadcast_to(counts.reshape(drawn.shape), mask.shape)
            given = as_float(options["weights"]) if options else jnp.ones_like(times)
            return metric(*arrays, where=mask, weights=given * times.astype(given.dtype))
        drawn_options = {name: values[chosen] for name, values in options.items()}
        return metric(*(array[chosen] for array in arrays), where=mask[chosen] & drawn, **drawn_options)

    values = jax.lax.map(resample, jnp.arange(num_resamples), batch_size=batch_size)
    return _Resampled(metric(*arrays, where=mask, **options), values)
