"""Standardising the labels of regression tasks, and taking predictions back to the labels' units."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxuq._arrays import check_shapes
from jaxuq._errors import ArrayError


class LabelScaler(NamedTuple):
    """Mean and standard deviation of each task's training labels; a pytree that is saved with the model.

    Attributes:
        mean: one per task, in the units of the labels.
        scale: one per task, positive, in the units of the labels.
    """

    mean: Float[Array | np.ndarray, " tasks"]
    scale: Float[Array | np.ndarray, " tasks"]


def fit_label_scaler(
    labels: Float[Array | np.ndarray, "molecules tasks"],
    where: Bool[Array | np.ndarray, "molecules tasks"] | None = None,
) -> LabelScaler:
    r"""Mean and standard deviation of the known labels of each task.

    $$\mu_k = \frac{\sum_n m_{nk} y_{nk}}{\sum_n m_{nk}}, \qquad
      s_k = \sqrt{\frac{\sum_n m_{nk} (y_{nk} - \mu_k)^2}{\sum_n m_{nk}}}$$

    The deviation is the population's (divided by n, not n - 1), as in scikit-learn's `StandardScaler`. A task whose
    known labels are all equal gets scale 1, so that it is only shifted; one without any label gets mean 0 and scale 1.
    Fit on training labels only.

    Computed on the host in double precision: labels may lie far from 0 or be of any size, and a task counts as
    constant only if its labels are equal, or differ by less than the least normal number of single precision, 1.2e-38,
    which devices take for 0.

    Args:
        labels: in any units.
        where: which labels are known; None: all. The others have no influence, even where they are NaN.

    Returns:
        The scaler, in double precision.

    Raises:
        ArrayError: the shapes differ.

    Example:
        >>> scaler = fit_label_scaler(jnp.array([[1.0], [3.0]]))
        >>> scaler.mean.tolist(), scaler.scale.tolist()
        ([2.0], [1.0])
    """
    check_shapes(labels=labels, where=where)
    kept = np.ones(np.shape(labels), bool) if where is None else np.asarray(where, bool)
    known = np.where(kept, np.asarray(labels, np.float64), 0.0)
    count = np.maximum(kept.sum(axis=0), 1)
    lowest = np.min(known, axis=0, where=kept, initial=np.inf)
    highest = np.max(known, axis=0, where=kept, initial=-np.inf)
    varies = highest - np.where(highest > lowest, lowest, highest) >= np.finfo(np.float32).tiny
    unit = np.where(varies, highest - np.where(varies, lowest, 0.0), 1.0)
    mean = np.sum(known, axis=0) / count
    mean = np.where(varies | ~kept.any(axis=0), mean, highest)  # the rounded mean of equal labels may differ from them
    spread = np.sqrt(np.sum(np.where(kept, (known - mean) / unit, 0.0) ** 2, axis=0) / count)
    return LabelScaler(mean, np.where(varies, unit * spread, 1.0))


def scale_labels(
    scaler: LabelScaler, labels: Float[Array | np.ndarray, "*batch tasks"]
) -> Float[Array | np.ndarray, "*batch tasks"]:
    r"""Labels in standard units, $(y - \mu) / s$, for training.

    NumPy arrays are scaled on the host in double precision, so that labels far from 0 keep their decimals; JAX arrays
    in their own type.

    Args:
        scaler: from `fit_label_scaler`.
        labels: in their own units; entries that are unknown come out finite if they are finite.

    Returns:
        Standardised labels, of the kind of array that went in.

    Raises:
        ArrayError: the last axis is not that of the scaler's tasks.

    Example:
        >>> scale_labels(LabelScaler(np.array([-1e7]), np.array([4.0])), np.array([[-1e7 + 2.0]])).tolist()
        [[0.5]]
    """
    mean, scale, labels, kind = _alike(scaler, labels)
    return ((labels - mean) / scale).astype(kind)


def unscale_mean(
    scaler: LabelScaler, mean: Float[Array | np.ndarray, "*batch tasks"]
) -> Float[Array | np.ndarray, "*batch tasks"]:
    r"""A predicted mean in the units of the labels, $\mu + s\,m$.

    Args:
        scaler: from `fit_label_scaler`.
        mean: predicted in standard units; a NumPy array is unscaled on the host in double precision.

    Returns:
        The mean in the units of the labels.

    Raises:
        ArrayError: the last axis is not that of the scaler's tasks.

    Example:
        >>> unscale_mean(LabelScaler(jnp.array([2.0]), jnp.array([4.0])), jnp.array([[1.0]])).tolist()
        [[6.0]]
    """
    shift, scale, mean, kind = _alike(scaler, mean)
    return (shift + mean * scale).astype(kind)


def unscale_variance(
    scaler: LabelScaler, variance: Float[Array | np.ndarray, "*batch tasks"]
) -> Float[Array | np.ndarray, "*batch tasks"]:
    r"""A predicted variance in the squared units of the labels, $s^2 v$. The shift has no part in it.

    Args:
        scaler: from `fit_label_scaler`.
        variance: predicted in standard units, at least 0: aleatoric, epistemic or total.

    Returns:
        The variance in the squared units of the labels.

    Raises:
        ArrayError: the last axis is not that of the scaler's tasks.

    Example:
        >>> unscale_variance(LabelScaler(jnp.array([2.0]), jnp.array([4.0])), jnp.array([[0.5]])).tolist()
        [[8.0]]
    """
    _, scale, variance, kind = _alike(scaler, variance)
    return (scale * variance * scale).astype(kind)


def _alike(scaler: LabelScaler, values: Array | np.ndarray) -> tuple[Any, Any, Any, Any]:
    """Mean, scale and values in one shape and type, and the type of the result.

    Double precision for NumPy's, their own for JAX's, of which half precision is widened: it may hold what comes out,
    but not the mean and scale of labels such as 1e5.

    Raises:
        ArrayError: the last axis is not that of the scaler's tasks.
    """
    tasks = np.shape(scaler.mean)[-1]
    if np.shape(values)[-1:] != (tasks,):
        raise ArrayError(f"an array of tasks has shape {np.shape(values)}; its last axis needs the scaler's {tasks}")
    numpy: Any = np if isinstance(values, np.ndarray) else jnp
    kind: Any = np.dtype(np.float64) if numpy is np else jnp.result_type(values)
    values = numpy.asarray(values, kind if kind.itemsize >= 4 else jnp.float32)
    mean, scale = (numpy.broadcast_to(numpy.asarray(a, values.dtype), values.shape) for a in scaler)
    return mean, scale, values, kind
