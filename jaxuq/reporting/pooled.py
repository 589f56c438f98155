"""Test predictions of a method, pooled over tasks (and seeds), as the metrics of the figures want them."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxuq.reporting.result_folder import Predictions


class PooledClasses(NamedTuple):
    """Binary predictions, flattened.

    Attributes:
        probability: of the positive class.
        confidence: of the predicted class, in [1/2, 1].
        label: 1 for positive, 0 for negative.
        correct: 1 where the predicted class is the label, else 0.
        uncertainty: total entropy in nats.
        where: True where a label exists.
    """

    probability: Float[Array, " n"]
    confidence: Float[Array, " n"]
    label: Float[Array, " n"]
    correct: Float[Array, " n"]
    uncertainty: Float[Array, " n"]
    where: Bool[Array, " n"]


class PooledValues(NamedTuple):
    """Regression predictions, flattened.

    Attributes:
        mean: predictive means.
        variance: predictive variances, aleatoric and epistemic together.
        labels: true values.
        where: True where a label exists.
    """

    mean: Float[Array, " n"]
    variance: Float[Array, " n"]
    labels: Float[Array, " n"]
    where: Bool[Array, " n"]


def pool_classes(seeds: Sequence[Predictions]) -> PooledClasses:
    """Flatten the predictions of some seeds over tasks and seeds.

    Args:
        seeds: predictions, one per seed.

    Returns:
        `PooledClasses` with n = sum over seeds of molecules x tasks.
    """
    logits = _flat([seed.center for seed in seeds])
    label = _flat([np.where(seed.mask, seed.labels, 0.0) for seed in seeds])
    predicted = (logits > 0).astype(jnp.float32)
    return PooledClasses(
        probability=jax.nn.sigmoid(logits),
        confidence=jax.nn.sigmoid(jnp.abs(logits)),
        label=label,
        correct=(predicted == label).astype(jnp.float32),
        uncertainty=_flat([seed.aleatoric + seed.epistemic for seed in seeds]),
        where=_flat([seed.mask for seed in seeds]),
    )


def pool_values(seeds: Sequence[Predictions]) -> PooledValues:
    """Flatten the predictions of some seeds over tasks and seeds.

    With several tasks, which may have several units, each task is divided by the standard deviation of its test labels.

    Args:
        seeds: predictions, one per seed.

    Returns:
        `PooledValues` with n = sum over seeds of molecules x tasks.
    """
    scales = [_task_scale(seed) for seed in seeds]
    pairs = list(zip(seeds, scales, strict=True))
    return PooledValues(
        mean=_flat([seed.center / scale for seed, scale in pairs]),
        variance=_flat([(seed.aleatoric + seed.epistemic) / scale**2 for seed, scale in pairs]),
        labels=_flat([np.where(seed.mask, seed.labels, 0.0) / scale for seed, scale in pairs]),
        where=_flat([seed.mask for seed in seeds]),
    )


def value_unit(seeds: Sequence[Predictions], unit: str) -> str:
    """Name the unit of `pool_values` in brackets: the labels' own, or with several tasks their standard deviations."""
    if seeds and seeds[0].labels.shape[1] > 1:
        return " (in standard deviations of each task's labels)"
    return f" ({unit})" if unit else ""


def _task_scale(seed: Predictions) -> Float[np.ndarray, "1 tasks"]:
    if seed.labels.shape[1] == 1:
        return np.ones((1, 1), np.float32)
    labels = np.where(seed.mask, seed.labels, 0.0).astype(np.float64)
    count = np.maximum(seed.mask.sum(axis=0), 1)
    centred = np.where(seed.mask, labels - labels.sum(axis=0) / count, 0.0)
    deviation = np.sqrt((centred**2).sum(axis=0) / count)
    return np.where(deviation > 0, deviation, 1.0).astype(np.float32)[None]


def _flat(arrays: Sequence[np.ndarray]) -> Array:
    values = np.concatenate([np.ravel(array) for array in arrays])
    return jnp.asarray(values if values.dtype == bool else values.astype(np.float32))
