"""What calibrators share: which labels count and how much, new logits in a forecast, deviations, interpolation."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real, Shaped

from jaxuq._arrays import as_float, check_shapes, select
from jaxuq._entropies import bernoulli_entropy, categorical_entropy, log_softmax
from jaxuq.posterior import BernoulliForecast, CategoricalForecast, GaussianForecast

_Classification = TypeVar("_Classification", BernoulliForecast, CategoricalForecast)


def expect(forecast: Any, kinds: tuple[type, ...], method: str, instead: str) -> None:
    """Raise a TypeError that names the method, what it got, what it takes and what to use instead."""
    if not isinstance(forecast, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{method} takes a {names}, got {type(forecast).__name__}; use {instead}")


def check_state(
    of_row: Float[Array, "n *tasks"],
    rows: Mapping[str, Shaped[Array, "rows *tasks"]] = MappingProxyType({}),
    **arrays: Shaped[Array, "*tasks"],
) -> None:
    """Raise an ArrayError unless every array of a fitted state has one entry a task, in each of its `rows` if it has
    some; `of_row` is of the forecast."""
    shapes = {name: array.shape for name, array in arrays.items()}
    shapes |= {name: array.shape[1:] for name, array in rows.items()}
    for name, shape in shapes.items():
        known, other = (jax.ShapeDtypeStruct(one, bool) for one in (of_row.shape[1:], shape))
        check_shapes(**{"a row of the forecast": known, name: other})


class Evidence(NamedTuple):
    """The labels of a fit and what they weigh.

    Attributes:
        labels: as given, 0 where they do not count.
        weight: 1 or the weight given; 0 where masked.
    """

    labels: Real[Array, "n *tasks"]
    weight: Float[Array, "n *tasks"]

    @property
    def counts(self) -> Bool[Array, "n *tasks"]:
        """Which labels count at all."""
        return self.weight != 0


def evidence(
    labels: Real[Array, "n *tasks"],
    where: Bool[Array, "n *tasks"] | None,
    weights: Real[Array, "n *tasks"] | None,
    **arrays: Any,
) -> Evidence:
    """Check that the arrays of a forecast belong to the labels, mask and weights, and clean the latter.

    Args:
        labels: one a row and task.
        where: True where the label is known; None counts all.
        weights: >= 0 of each label; None weighs all alike.
        **arrays: of the forecast, by name, as `check_shapes` takes them; the first sets the type of the sums.

    Returns:
        Labels and weights, masked ones 0.

    Raises:
        ArrayError: if the shapes differ.
    """
    check_shapes(**arrays, labels=labels, where=where, weights=weights)
    first = next(iter(arrays.values()))
    first = first[0] if isinstance(first, tuple) else first
    weight = as_float(jnp.ones(jnp.shape(labels), bool) if weights is None else weights, first)
    weight = select(weight, where)
    labels = select(jnp.asarray(labels), weight != 0)
    small = jnp.issubdtype(labels.dtype, jnp.integer) and labels.dtype.itemsize < 4  # too small for a class number
    return Evidence(labels.astype(jnp.int32) if small or labels.dtype == bool else labels, weight)


def with_logits(
    forecast: _Classification, logits: Float[Array, "..."], identity: Bool[Array, "*tasks"]
) -> _Classification:
    """The forecast with new logits; the entropy of the new probabilities is split in the proportion of the old parts.

    The samples behind the two parts are gone, so their own recalibrated entropies cannot be computed. Keeping the
    proportion keeps both parts >= 0, keeps their sum the entropy of the probabilities, and a certain forecast (total 0)
    counts as wholly aleatoric. Tasks of `identity` keep all their arrays as they are; types stay.
    """
    categorical = isinstance(forecast, CategoricalForecast)
    logits = as_float(logits)
    entropy = categorical_entropy(logits) if categorical else bernoulli_entropy(logits)
    logits = log_softmax(logits) if categorical else logits
    aleatoric, epistemic = as_float(forecast.aleatoric, logits), as_float(forecast.epistemic, logits)
    total = aleatoric + epistemic
    uncertain = total > 0
    share = jnp.where(uncertain, epistemic / jnp.where(uncertain, total, 1), 0)

    def unless_identity(new: Array, old: Array) -> Array:
        kept = identity[None, ..., None] if new.ndim > identity.ndim + 1 else identity[None]
        return jnp.where(kept, old, new.astype(old.dtype))

    return forecast._replace(
        logits=unless_identity(logits, forecast.logits),
        aleatoric=unless_identity(entropy * (1 - share), forecast.aleatoric),
        epistemic=unless_identity(entropy * share, forecast.epistemic),
    )


def scale_variances(
    forecast: GaussianForecast, factor: Float[Array, "*tasks"], identity: Bool[Array, "*tasks"]
) -> GaussianForecast:
    """Both parts of the variance multiplied by a factor a task; 0 and infinity, and tasks of `identity`, stay."""

    def scaled(part: Array) -> Array:
        kept = identity[None] | (jnp.isinf(part) & ~jnp.isnan(factor)[None])
        new = as_float(factor, part)[None] * as_float(jnp.where(kept, 0, part))
        return jnp.where(kept, part, new.astype(part.dtype))

    return forecast._replace(aleatoric=scaled(forecast.aleatoric), epistemic=scaled(forecast.epistemic))


def deviation(variance: Float[Array, "..."]) -> Float[Array, "..."]:
    """Square root with gradient 0 at 0, in at least single precision."""
    variance = as_float(variance)
    zero = variance == 0
    return jnp.where(zero, jnp.zeros_like(variance), jnp.sqrt(jnp.where(zero, jnp.ones_like(variance), variance)))


def interpolate_per_task(
    values: Float[Array, "n *tasks"],
    knots: Float[Array, "knots *tasks"],
    heights: Float[Array, "knots *tasks"],
    left: float | None = None,
) -> Float[Array, "n *tasks"]:
    """`jnp.interp` along axis 0, each task with its own knots."""

    def one(column, x, y):
        return jnp.interp(column, x, y, left=left)

    flat = (array.reshape(array.shape[0], math.prod(array.shape[1:])) for array in (values, knots, heights))
    return jax.vmap(one, in_axes=1, out_axes=1)(*flat).reshape(values.shape)
