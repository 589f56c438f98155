"""Standardising the labels of regression tasks, and taking predictions back to the labels' units."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._arrays import counted


class LabelScaler(NamedTuple):
    """Mean and standard deviation of each task's training labels; a pytree that is saved with the model.

    Attributes:
        mean: one per task, in the units of the labels.
        scale: one per task, positive, in the units of the labels.
    """

    mean: Float[Array, " tasks"]
    scale: Float[Array, " tasks"]


def fit_label_scaler(
    labels: Float[Array, "molecules tasks"],
    where: Bool[Array, "molecules tasks"] | None = None,
) -> LabelScaler:
    r"""Mean and standard deviation of the known labels of each task.

    $$\mu_k = \frac{\sum_n m_{nk} y_{nk}}{\sum_n m_{nk}}, \qquad
      s_k = \sqrt{\frac{\sum_n m_{nk} (y_{nk} - \mu_k)^2}{\sum_n m_{nk}}}$$

    The deviation is the population's (divided by n, not n - 1), as in scikit-learn's `StandardScaler`. A task whose
    known labels are all equal gets scale 1, so that it is only shifted; one without any label gets mean 0 and scale 1.
    Fit on training labels only.

    Args:
        labels: in any units.
        where: which labels are known; None: all. The others have no influence, even where they are NaN.

    Returns:
        The scaler.

    Example:
        >>> scaler = fit_label_scaler(jnp.array([[1.0], [3.0]]))
        >>> scaler.mean.tolist(), scaler.scale.tolist()
        ([2.0], [1.0])
    """
    where = counted(where, labels)
    known = jnp.where(where, labels, 0)
    count = jnp.maximum(jnp.sum(where, axis=0), 1).astype(labels.dtype)
    mean = jnp.sum(known, axis=0) / count
    deviations = jnp.where(where, known - jnp.broadcast_to(mean, labels.shape), 0)
    highest = jnp.max(jnp.where(where, known, -jnp.inf), axis=0, initial=-jnp.inf)
    lowest = jnp.min(jnp.where(where, known, jnp.inf), axis=0, initial=jnp.inf)
    variance = jnp.sum(deviations**2, axis=0) / count
    varies = (highest > lowest) & (variance > 0)
    return LabelScaler(mean, jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, 1)), 1))


def scale_labels(scaler: LabelScaler, labels: Float[Array, "*batch tasks"]) -> Float[Array, "*batch tasks"]:
    r"""Labels in standard units, $(y - \mu) / s$, for training.

    Args:
        scaler: from `fit_label_scaler`.
        labels: in their own units; entries that are unknown come out finite if they are finite.

    Returns:
        Standardised labels.

    Example:
        >>> scale_labels(LabelScaler(jnp.array([2.0]), jnp.array([4.0])), jnp.array([[6.0]])).tolist()
        [[1.0]]
    """
    return (labels - jnp.broadcast_to(scaler.mean, labels.shape)) / jnp.broadcast_to(scaler.scale, labels.shape)


def unscale_mean(scaler: LabelScaler, mean: Float[Array, "*batch tasks"]) -> Float[Array, "*batch tasks"]:
    r"""A predicted mean in the units of the labels, $\mu + s\,m$.

    Args:
        scaler: from `fit_label_scaler`.
        mean: predicted in standard units.

    Returns:
        The mean in the units of the labels.

    Example:
        >>> unscale_mean(LabelScaler(jnp.array([2.0]), jnp.array([4.0])), jnp.array([[1.0]])).tolist()
        [[6.0]]
    """
    return jnp.broadcast_to(scaler.mean, mean.shape) + mean * jnp.broadcast_to(scaler.scale, mean.shape)


def unscale_variance(scaler: LabelScaler, variance: Float[Array, "*batch tasks"]) -> Float[Array, "*batch tasks"]:
    r"""A predicted variance in the squared units of the labels, $s^2 v$. The shift has no part in it.

    Args:
        scaler: from `fit_label_scaler`.
        variance: predicted in standard units, at least 0: aleatoric, epistemic or total.

    Returns:
        The variance in the squared units of the labels.

    Example:
        >>> unscale_variance(LabelScaler(jnp.array([2.0]), jnp.array([4.0])), jnp.array([[0.5]])).tolist()
        [[8.0]]
    """
    return variance * jnp.broadcast_to(scaler.scale**2, variance.shape)
