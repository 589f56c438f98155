r"""Numerics that all leaves share: shapes, masks, weights, floating types, labels; said once.

The rules, which every public array function keeps:

- **Shapes** are compared, never broadcast: `check_shapes` raises an `ArrayError` that names both arrays.
- **Masks** (`where=`) clean inputs before the mathematics (`select`), so that a masked entry, NaN included, reaches
  neither value nor gradient. **Weights** (`weights=`) multiply; an entry of weight 0 counts like a masked one.
- **Sums are taken in at least single precision** (`as_float`), whatever the type of the inputs.
- **Labels**: a counted class label outside `[0, classes)`, a binary one outside [0, 1] or a NaN makes the result NaN
  (`within_classes`, `undefined_unless`), under `jit` as outside; it is never read as another class. Leave it out
  with `where=`.
- **Nothing counted**: a score of nothing is NaN, a loss of nothing is 0 with gradient 0 (`weighted_mean`'s `empty`).
"""

import functools
import math
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, Integer, Shaped

from jaxuq._errors import ArrayError

_P = ParamSpec("_P")
_R = TypeVar("_R")


def check_shapes(**arrays: Any) -> None:
    """Raise an ArrayError unless all arrays have one shape; shapes that would only broadcast are no exception.

    An array that is None is passed over. `(array, k)` compares the shape without its last `k` axes: class axes, or
    features. The first array sets the shape.

    Args:
        **arrays: the arrays by the names that the caller knows them by.

    Raises:
        ArrayError: which names the two arrays, their shapes and the likely remedy.

    Example:
        >>> import jax.numpy as jnp
        >>> check_shapes(logits=(jnp.zeros((4, 3)), 1), labels=jnp.zeros(4, int), where=None)
        >>> check_shapes(mean=jnp.zeros(200), labels=jnp.zeros((200, 1)))
        Traceback (most recent call last):
            ...
        jaxuq._errors.ArrayError: labels has shape (200, 1) where mean has (200,); pass labels[:, 0]
    """
    first: tuple[str, tuple[int, ...], int, tuple[int, ...]] | None = None
    for name, given in arrays.items():
        array: Any = given
        extra = 0
        if isinstance(given, tuple) and len(given) == 2:
            array, extra = given
        if array is None:
            continue
        shape = jnp.shape(array)
        if len(shape) < extra:
            raise ArrayError(f"{name} has shape {shape}; expected at least {extra} axes, the last of them of classes")
        leading = shape[: len(shape) - extra]
        if first is None:
            first = name, leading, extra, shape
        elif leading != first[1]:
            raise ArrayError(
                f"{name} has shape {shape} where {first[0]} has {first[3]}"
                f"{_apart(extra, first[2])}; {remedy(name, leading, first[0], first[1])}"
            )


def _apart(extra: int, extra_of_first: int) -> str:
    """Says which trailing axes were not compared."""
    of = [f"the last {count} of {which}" for count, which in ((extra, "it"), (extra_of_first, "the latter")) if count]
    return f" ({' and '.join(of)} apart)" if of else ""


def concrete(*values: Any) -> bool:
    """Whether all values are there to be looked at: none is None, traced by a transform, or on another machine."""
    return not any(
        value is None or isinstance(value, Tracer) or not getattr(value, "is_fully_addressable", True)
        for value in values
    )


def check_between(name: str, values: Any, low: int, high: int, what: str, where: Any = None) -> None:
    """Raise an ArrayError if a whole number that counts is outside `low` to `high`; what is traced is not looked at.

    Args:
        name: of the array.
        values: whole numbers.
        low: the least.
        high: the largest.
        what: they are numbers of, for the message.
        where: those that count; None: all.

    Raises:
        ArrayError: which names the array, the number, and the range.

    Example:
        >>> check_between("tokens", [1, 9], 0, 6, "a vocabulary of 7")
        Traceback (most recent call last):
            ...
        jaxuq._errors.ArrayError: tokens holds 9; expected whole numbers from 0 to 6, for a vocabulary of 7
    """
    if not concrete(values) or (where is not None and not concrete(where)):
        return
    counted_ = np.asarray(values) if where is None else np.asarray(values)[np.asarray(where, bool)]
    outside = counted_[(counted_ < low) | (counted_ > high)]
    if outside.size:
        raise ArrayError(f"{name} holds {outside[0]}; expected whole numbers from {low} to {high}, for {what}")


def check_shares(name: str, weights: Any, axis: int) -> None:
    """Raise an ArrayError unless weights are not negative and sum to one along an axis; traced ones are not looked at.

    Args:
        name: of the array.
        weights: to be looked at; None is passed over.
        axis: along which they sum to one.

    Raises:
        ArrayError: which names the array, a sum, and the remedy.

    Example:
        >>> check_shares("weights", np.array([1.0, 1.0]), 0)
        Traceback (most recent call last):
            ...
        jaxuq._errors.ArrayError: weights sums to 2 along axis 0; expected numbers >= 0 that sum to 1: divide by the sum
    """
    if not concrete(weights):
        return
    values = np.asarray(weights, np.float64)
    sums = values.sum(axis)
    wrong = ~(np.abs(sums - 1) < 0.02)
    if wrong.any() or (values < 0).any():
        said = f"sums to {sums[wrong].ravel()[0]:g} along axis {axis}" if wrong.any() else f"holds {values.min():g}"
        raise ArrayError(f"{name} {said}; expected numbers >= 0 that sum to 1: divide by the sum")


def remedy(name: str, shape: tuple[int, ...], other: str, expected: tuple[int, ...]) -> str:
    """What to do with an array of this shape where another is expected, in code if it can be said so."""
    colons = ", ".join(":" * (len(shape) - 1))
    if shape[:-1] == expected and shape[-1:] == (1,):
        return f"pass {name}[{colons}, 0]" if colons else f"pass {name}[0]"
    if expected[:-1] == shape and expected[-1:] == (1,):
        return f"pass {name}[..., None]"
    if len(shape) == 2 and shape == expected[::-1]:
        return f"pass {name}.T"
    if len(shape) > len(expected) == 1 and shape[:1] == expected:
        return "map over its other axes with jax.vmap (tasks on axis 1: jaxuq.metrics.average_over_tasks)"
    if math.prod(shape) == math.prod(expected):
        return f"pass {name}.reshape{expected}"
    if len(shape) == len(expected):
        return f"every entry of {other} needs one of {name}"
    return f"reshape {name} to {expected}"


def as_float(values: Shaped[Array, "..."], *like: Shaped[Array, "..."]) -> Float[Array, "..."]:
    """Convert to the type in which sums are taken: the widest of the floating types of `like`, else of its own.

    At least single precision; integers and booleans have no say.
    """
    return jnp.asarray(values).astype(widest(*(like or (values,))))


def widest(*arrays: Shaped[Array, "..."]) -> jnp.dtype:
    """The widest floating type of the arrays, at least single precision; JAX's default if there is none."""
    found = [dtype for dtype in (jnp.asarray(array).dtype for array in arrays) if jnp.issubdtype(dtype, jnp.floating)]
    if not found:
        return jnp.dtype(jnp.result_type(float))
    return jnp.dtype(jnp.float64 if any(jnp.finfo(dtype).bits > 32 for dtype in found) else jnp.float32)


def widened(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """`function` on its floating arrays in one type, the widest among them and at least single precision.

    For functions whose sums and results all want it, whatever holds their arguments (trees too). A function that keeps
    the type of its arguments widens only its sums, with `as_float`.

    Example:
        >>> import jax.numpy as jnp
        >>> ones = widened(lambda values, weights: values @ weights)(jnp.ones(4096, jnp.bfloat16), jnp.ones(4096))
        >>> print(ones, ones.dtype)
        4096.0 float32
    """

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        leaves, tree = jax.tree.flatten((args, kwargs))
        floats = {place: leaf for place, leaf in enumerate(leaves) if _is_floating(leaf)}
        if not floats:
            return function(*args, **kwargs)
        wide = widest(*floats.values())
        leaves = [jnp.asarray(leaf, wide) if place in floats else leaf for place, leaf in enumerate(leaves)]
        args, kwargs = jax.tree.unflatten(tree, leaves)
        return function(*args, **kwargs)

    return call


def _is_floating(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)


def counted(
    where: Bool[Array, "*shape"] | None, values: Shaped[Array, "*shape"] | tuple[int, ...]
) -> Bool[Array, "*shape"]:
    """The mask itself, or all True of the shape of `values`, which may be a shape itself."""
    if where is not None:
        return jnp.asarray(where, bool)
    return jnp.ones(values, bool) if isinstance(values, tuple) else jnp.ones_like(values, bool)


def number_of(valid: Bool[Array, "..."], like: Float[Array, "..."]) -> Float[Array, ""]:
    """How many entries count, at least 1 so that one may divide by it, in the floating type of `like`."""
    return jnp.maximum(jnp.sum(valid), 1).astype(as_float(like).dtype)


def masked(where: Bool[Array, "..."] | None, /, **arrays: Shaped[Array, "..."]) -> tuple[Array, ...]:
    """The mask, then every array in their widest floating type with zeros where it is masked; one shape for all."""
    check_shapes(**arrays, where=where)
    first, *_ = values = list(arrays.values())
    valid = counted(where, first)
    return valid, *(select(as_float(array, *values), valid) for array in values)


def weighted(
    where: Bool[Array, "..."] | None, weights: Shaped[Array, "..."] | None, /, **arrays: Shaped[Array, "..."]
) -> tuple[Array, ...]:
    """The weight of each entry, 0 where `where` leaves it out, then the arrays as `masked` gives them.

    A weight counts an entry as often as it says: an integer weight is the same as repeating the entry. A negative one
    is NaN, and so is the result.
    """
    check_shapes(**arrays, where=where, weights=weights)
    first, *_ = values = list(arrays.values())
    factors = factors_of(where, weights, as_float(first, *values))
    kept = factors != 0
    return factors, *(select(as_float(array, *values), kept) for array in values)


def factors_of(
    where: Bool[Array, "*shape"] | None, weights: Shaped[Array, "*shape"] | None, like: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """Mask and weights as one number an entry: 0 leaves it out, NaN where a weight is negative."""
    if weights is None:
        return select(jnp.ones_like(like), where)
    factors = select(as_float(weights, like), where)
    return undefined_unless(~(factors < 0), factors)


def select(
    values: Shaped[Array, "..."], where: Bool[Array, "..."] | None, fill: float | int | bool = 0
) -> Shaped[Array, "..."]:
    """Replace what `where` leaves out by `fill`; the axes of `where` are the leading axes of `values`.

    Filling before the formula, and dropping after it, is what keeps gradients finite: `0 * NaN` would be NaN.
    """
    if where is None:
        return values
    where = jnp.asarray(where, bool)
    where = where.reshape(where.shape + (1,) * (values.ndim - where.ndim))
    return jnp.where(jnp.broadcast_to(where, values.shape), values, jnp.asarray(fill, values.dtype))


def weighted_mean(
    values: Float[Array, "*shape"],
    where: Bool[Array, "*shape"] | None = None,
    weights: Shaped[Array, "*shape"] | None = None,
    *,
    empty: float = jnp.nan,
) -> Float[Array, ""]:
    r"""$\sum_n w_n v_n / \sum_n w_n$ over the entries that `where` keeps, in at least single precision.

    Args:
        values: one number an entry; what is left out may hold anything.
        where: True for the entries that count; None counts all.
        weights: $w_n \ge 0$; None weighs all alike. An entry of weight 0 counts like a masked one.
        empty: the result where nothing counts: NaN for a score, 0 for a loss.

    Returns:
        A scalar, differentiable in the values.

    Raises:
        ArrayError: if the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> print(weighted_mean(jnp.array([1.0, 4.0, jnp.nan]), weights=jnp.array([2, 1, 0])))
        2.0
    """
    check_shapes(values=values, where=where, weights=weights)
    values = as_float(values)
    factors = factors_of(where, weights, values)
    kept = factors != 0
    total = jnp.sum(factors)
    mean = jnp.sum(select(values, kept) * factors) / jnp.where(total == 0, jnp.ones_like(total), total)
    return jnp.where(jnp.any(kept), mean, jnp.asarray(empty, values.dtype))


def within_classes(labels: Shaped[Array, "*batch"], classes: int) -> Bool[Array, "*batch"]:
    """Whether each label is a class number in `[0, classes)`."""
    if jnp.issubdtype(labels.dtype, jnp.integer):  # the number of classes may be beyond the type of the labels
        return (labels >= 0) & (labels <= min(classes - 1, jnp.iinfo(labels.dtype).max))
    return (labels >= 0) & (labels < classes)


def class_numbers(labels: Integer[Array, "*batch"], classes: int) -> Int[Array, "*batch"]:
    """The labels as 32-bit integers, 0 for one that is no class (see `within_classes`)."""
    return jnp.where(within_classes(labels, classes), labels, jnp.zeros_like(labels)).astype(jnp.int32)


def is_class(labels: Integer[Array, "*batch"], classes: int) -> Bool[Array, "*batch classes"]:
    """Each label as a one-hot row; class 0 for one that is no class."""
    return jax.nn.one_hot(class_numbers(labels, classes), classes, dtype=bool)


def within_unit(labels: Float[Array, "..."]) -> Bool[Array, ""]:
    """Whether all (already masked) binary labels lie in [0, 1]; NaN does not."""
    return jnp.all((labels >= 0) & (labels <= 1))


def take_class(values: Float[Array, "*batch classes"], labels: Integer[Array, "*batch"]) -> Float[Array, "*batch"]:
    """The entry of each label's class on the last axis; NaN, with gradient 0, for a label that is no class.

    Works for any integer type of labels, 8 bits with 1,000 classes included: labels are never cast to the values' type.
    """
    places = class_numbers(labels, values.shape[-1])
    taken = jnp.take_along_axis(values, places[..., None], axis=-1)[..., 0]
    return undefined_unless(within_classes(labels, values.shape[-1]), taken)


def undefined_unless(condition: Bool[Array, "..."], result: Float[Array, "..."]) -> Float[Array, "..."]:
    """`result` where `condition` holds and NaN elsewhere."""
    return jnp.where(condition, result, jnp.asarray(jnp.nan, result.dtype))


def no_nan(*arrays: Float[Array, "..."]) -> Bool[Array, ""]:
    """Whether no entry of the (already masked) arrays is NaN."""
    result = jnp.asarray(True)
    for array in arrays:
        result &= ~jnp.any(jnp.isnan(array))
    return result


def first_true(mask: Bool[Array, " n"]) -> Int[Array, ""]:
    """The place of the first True; n where there is none, in an empty mask too."""
    numbers = jnp.arange(mask.shape[0])
    return jnp.min(jnp.where(mask, numbers, mask.shape[0]), initial=mask.shape[0])


def entry(
    values: Shaped[Array, " n"], place: Integer[Array, "*shape"], missing: float | int = jnp.nan
) -> Shaped[Array, "*shape"]:
    """`values[place]`; `missing` for a place that there is not, in empty values every one."""
    inside = (place >= 0) & (place < values.shape[0])
    return jnp.pad(values, (0, 1), constant_values=missing)[jnp.where(inside, place, values.shape[0])]


def product(weight: Float[Array, "*shape"], value: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r"""$w v$ with $0 \cdot \infty = 0$, in the gradient too."""
    nothing = (weight == 0) & jnp.isinf(value)
    return jnp.where(nothing, jnp.zeros_like(value), weight * jnp.where(nothing, jnp.zeros_like(value), value))


def root(values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The square root with gradient 0, not infinity, at 0."""
    positive = values != 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, values, jnp.ones_like(values))), jnp.zeros_like(values))


def centre_and_scale(
    values: Float[Array, "n *columns"], valid: Bool[Array, " n"]
) -> tuple[Float[Array, "*columns"], Float[Array, "*columns"]]:
    """Mean and deviation of the rows that count, for standardising columns of any unit; a deviation of 1 where all are
    equal.

    Squares may be beyond the range, and what rounding the mean makes of equal numbers is no deviation: divided by it,
    the next number that is a little different would be millions.

    Args:
        values: 0 where they do not count.
        valid: rows that count.

    Example:
        >>> import jax.numpy as jnp
        >>> centre, scale = centre_and_scale(jnp.array([[1e30, 0.1], [3e30, 0.1], [2e30, 0.1]]), jnp.ones(3, bool))
        >>> print(f"{scale[0]:.3g} {scale[1]:.3g}")
        8.16e+29 1
    """
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(values), axis=0, initial=0))
    unit = jnp.where((largest > 0) & (largest < jnp.inf), largest, jnp.ones_like(largest))
    values, count = values / unit[None], number_of(valid, values)
    centre = jnp.sum(values, axis=0) / count
    spread = root(jnp.sum(select((values - centre[None]) ** 2, valid), axis=0) / count)
    several = spread > 4 * jnp.finfo(values.dtype).eps
    return centre * unit, jnp.where(several, spread * unit, jnp.ones_like(spread))


def length(vectors: Float[Array, "*batch dimension"]) -> Float[Array, "*batch"]:
    """The Euclidean length of vectors of any scale, whose squares may be beyond the range; with gradient 0 at 0."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(vectors), axis=-1, initial=0))
    scale = jnp.where((largest > 0) & (largest < jnp.inf), largest, jnp.ones_like(largest))
    return scale * root(jnp.sum(jnp.square(vectors / scale[..., None]), axis=-1))
