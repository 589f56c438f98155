"""Bootstrap: how far a metric would move had other examples been drawn."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, Real, Shaped

from jaxuq._arrays import check_count, check_number, counted, whole
from jaxuq._errors import OptionError
from jaxuq._shapes import checked


class BootstrapResult(NamedTuple):
    """A metric with its bootstrap interval. The fields have the shape of the metric's own result.

    Attributes:
        estimate: the metric on the data as given.
        lower: lower end of the percentile interval.
        upper: upper end of the percentile interval.
        standard_error: standard deviation of the metric over the resamples.
        num_defined: number of resamples on which the metric was not NaN; the interval rests on these.
    """

    estimate: Float[Array, "*out"]
    lower: Float[Array, "*out"]
    upper: Float[Array, "*out"]
    standard_error: Float[Array, "*out"]
    num_defined: Int[Array, "*out"]


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
) -> BootstrapResult:
    r"""Percentile bootstrap interval of any metric.

    $$\left[Q_{(1 - \mathrm{level}) / 2}(m^*),\; Q_{(1 + \mathrm{level}) / 2}(m^*)\right], \qquad
      m^*_b = m(\text{rows drawn with replacement})$$

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

    Returns:
        `BootstrapResult`. Resamples on which the metric is NaN are left out and counted by `num_defined`.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: if no array is given, `level` is not in (0, 1), or a count is not a positive integer.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.metrics import mean_absolute_error
        >>> errors = jnp.arange(100.0)
        >>> result = bootstrap(jax.random.key(0), mean_absolute_error, errors, jnp.zeros(100))
        >>> print(result.estimate, bool(result.lower < 49.5), bool(result.upper > 49.5))
        49.5 True True

    References:
        Efron and Tibshirani, An Introduction to the Bootstrap, Chapman and Hall, 1993 (section 13.3).
    """
    check_number("level", level, 0.0, 1.0, open_low=True, open_high=True)
    num_resamples = check_count("num_resamples", num_resamples)
    batch_size = check_count("batch_size", batch_size)
    if not arrays:
        raise OptionError("bootstrap got no arrays; pass the arrays that the metric takes after the metric")
    mask = counted(where, arrays[0].shape[:1])
    options = {} if weights is None else {"weights": weights}
    rows = jax.tree.map(whole, (arrays, mask, options))
    return _percentiles(rng_key, metric, *rows, num_resamples, float(level), min(batch_size, num_resamples))


# Compiled as a whole: outside `jit` the loop would otherwise be traced and compiled anew at every call.
@functools.partial(jax.jit, static_argnames=("metric", "num_resamples", "level", "batch_size"))
def _percentiles(
    rng_key: Key[Array, ""],
    metric: Callable[..., Array],
    arrays: tuple[Shaped[Array, "n ..."], ...],
    mask: Bool[Array, "n ..."],
    options: dict[str, Real[Array, "n ..."]],
    num_resamples: int,
    level: float,
    batch_size: int,
) -> BootstrapResult:
    """Compute the metric on the data and on each resample of their rows."""
    n = mask.shape[0]
    row_counts = jnp.any(mask, axis=tuple(range(1, mask.ndim)))
    rows = jnp.argsort(~row_counts)
    num_rows = jnp.sum(row_counts, dtype=jnp.int32)
    drawn = (jnp.arange(n, dtype=jnp.int32) < num_rows).reshape((n,) + (1,) * (mask.ndim - 1))

    def resample(number):
        picks = jax.random.randint(jax.random.fold_in(rng_key, number), (n,), 0, jnp.maximum(num_rows, 1))
        chosen = rows[picks]
        drawn_options = {name: values[chosen] for name, values in options.items()}
        return metric(*(array[chosen] for array in arrays), where=mask[chosen] & drawn, **drawn_options)

    values = jax.lax.map(resample, jnp.arange(num_resamples), batch_size=batch_size)
    tails = jnp.asarray([0.5 - 0.5 * level, 0.5 + 0.5 * level], values.dtype)
    lower, upper = jnp.nanquantile(values, tails, axis=0)
    return BootstrapResult(
        estimate=metric(*arrays, where=mask, **options),
        lower=lower,
        upper=upper,
        standard_error=jnp.nanstd(values, axis=0, ddof=1),
        num_defined=jnp.sum(~jnp.isnan(values), axis=0),
    )
