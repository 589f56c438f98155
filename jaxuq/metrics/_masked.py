"""What every metric does to its inputs and its result: floating type, masks, and undefined values.

Inputs are cleaned before the mathematics (`select`) and the result is guarded after it, so that a masked entry, NaN
included, reaches neither value nor gradient; and a NaN in a *valid* entry is never ranked or binned away.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped


def as_float(values: Shaped[Array, "..."], like: Shaped[Array, "..."] | None = None) -> Float[Array, "..."]:
    """Convert to the type in which metrics are accumulated: that of `like`, but at least single precision."""
    dtype = (values if like is None else like).dtype
    if not jnp.issubdtype(dtype, jnp.floating) or jnp.finfo(dtype).bits < 32:
        dtype = jnp.float32
    return values.astype(dtype)


def valid_entries(where: Bool[Array, "*shape"] | None, values: Shaped[Array, "*shape"]) -> Bool[Array, "*shape"]:
    """Give the mask itself, or all True."""
    return jnp.ones(values.shape, bool) if where is None else where


def select(
    values: Shaped[Array, "..."], valid: Bool[Array, "..."], fill: float | int | bool = 0
) -> Shaped[Array, "..."]:
    """Replace masked entries by `fill`; `valid` covers the leading axes of `values`."""
    valid = valid.reshape(valid.shape + (1,) * (values.ndim - valid.ndim))
    return jnp.where(jnp.broadcast_to(valid, values.shape), values, jnp.asarray(fill, values.dtype))


def prepare(
    where: Bool[Array, "..."] | None, first: Shaped[Array, "..."], *others: Shaped[Array, "..."]
) -> tuple[Array, ...]:
    """Give the mask, then every array in the floating type of the first with zeros where masked."""
    valid = valid_entries(where, first)
    return valid, *(select(as_float(array, first), valid) for array in (first, *others))


def masked_mean(values: Float[Array, "..."], valid: Bool[Array, "..."]) -> Float[Array, ""]:
    """Mean of the valid entries; NaN when there are none."""
    return undefined_unless(jnp.any(valid), jnp.sum(select(values, valid)) / number_of(valid, values))


def number_of(valid: Bool[Array, "..."], like: Float[Array, "..."]) -> Float[Array, ""]:
    """Count the valid entries, at least 1 so that one may divide by it."""
    return jnp.maximum(jnp.sum(valid), 1).astype(like.dtype)


def undefined_unless(condition: Bool[Array, "..."], result: Float[Array, "..."]) -> Float[Array, "..."]:
    """Give `result` where `condition` holds and NaN elsewhere."""
    return jnp.where(condition, result, jnp.nan)


def no_nan(*arrays: Float[Array, "..."]) -> Bool[Array, ""]:
    """Say whether no entry of the (already masked) arrays is NaN."""
    result = jnp.asarray(True)
    for array in arrays:
        result &= ~jnp.any(jnp.isnan(array))
    return result


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(map(repr, choices))}")


def check_count(name: str, value: int, minimum: int = 1) -> None:
    """Raise ValueError unless `value` is an integer of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"{name} is {value!r}; expected an integer of at least {minimum}")


def check_open_unit(name: str, value: float) -> None:
    """Raise ValueError unless `value` lies strictly between 0 and 1."""
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name} is {value!r}; expected a number strictly between 0 and 1")
