"""A one-task metric over many tasks with missing labels."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real, Shaped

from jaxuq._arrays import counted, weighted_mean
from jaxuq._errors import OptionError
from jaxuq._shapes import checked


class TaskAverage(NamedTuple):
    """A metric per task and its mean over the tasks on which it is defined.

    Attributes:
        mean: mean over the tasks where `defined`; NaN if there are none.
        per_task: the metric of each task, NaN where it is undefined.
        defined: True for the tasks that the mean counts.
    """

    mean: Float[Array, ""]
    per_task: Float[Array, " tasks"]
    defined: Bool[Array, " tasks"]


@checked
def average_over_tasks(
    metric: Callable[..., Array],
    *arrays: Shaped[Array, "n tasks ..."],
    where: Bool[Array, "n tasks"] | None = None,
    weights: Real[Array, "n tasks"] | None = None,
) -> TaskAverage:
    r"""Map a metric over tasks and average it over those where it is defined.

    $$\bar m = \frac{1}{|D|} \sum_{t \in D} m_t, \qquad D = \{t : m_t \text{ is not NaN}\}$$

    A task may have no labels, or labels of one class only, for which a metric such as `area_under_roc` has no value.
    Such a task is left out; it counts neither as 0 nor as NaN. A metric is also NaN when a prediction that counts is
    NaN: compare `defined` with what you expect, or a model that diverged on a task is quietly spared it.

    Args:
        metric: takes one-task arrays of shape [n] (or [n, ...]) and `where=` of shape [n], gives a scalar. Options go
            in with `functools.partial`.
        *arrays: what the metric takes, with tasks on axis 1.
        where: True for the labels that exist; None means all.
        weights: how often each label counts, >= 0, for a metric that takes `weights=`; None: the metric gets none.

    Returns:
        `TaskAverage`.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: if no array is given.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.metrics import area_under_roc
        >>> scores = jnp.array([[0.1, 0.3], [0.9, 0.2], [0.4, 0.8]])
        >>> labels = jnp.array([[0, 1], [1, 1], [0, 1]])
        >>> result = average_over_tasks(area_under_roc, scores, labels)
        >>> print(result.mean, result.per_task, result.defined)
        1.0 [ 1. nan] [ True False]

    References:
        Wu et al., MoleculeNet: A Benchmark for Molecular Machine Learning, Chemical Science 9, 2018.
    """
    if not arrays:
        raise OptionError("average_over_tasks got no arrays; pass the arrays that the metric takes after the metric")
    options = {"where": counted(where, arrays[0].shape[:2])}
    if weights is not None:
        options["weights"] = weights
    per_task = jax.vmap(lambda options, *columns: metric(*columns, **options), in_axes=1)(options, *arrays)
    defined = ~jnp.isnan(per_task)
    return TaskAverage(weighted_mean(per_task, defined), per_task, defined)
