r"""Numerics that all leaves share: shapes, masks, weights, floating types, labels, entropies; said once.

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
import numbers
import operator
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Integer, PyTree, Shaped

from jaxuq._errors import ArrayError, OptionError

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
    numbers = jnp.arange(mask.shape[0], dtype=jnp.int32)
    return jnp.min(jnp.where(mask, numbers, mask.shape[0]), initial=mask.shape[0])


def entry(
    values: Shaped[Array, " n"], place: Integer[Array, "*shape"], missing: float | int = jnp.nan
) -> Shaped[Array, "*shape"]:
    """`values[place]`; `missing` for a place that there is not, in empty values every one."""
    inside = (place >= 0) & (place < values.shape[0])
    return jnp.pad(values, (0, 1), constant_values=missing)[jnp.where(inside, place, values.shape[0])]


def bernoulli_entropy(logits: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    r"""Entropy of coins from their log odds $z$, nats: $-p \log p - (1-p) \log(1-p)$, 0 at $z = \pm\infty$.

    Value and gradient are finite for every $z$ but NaN.
    """
    finite = jnp.isfinite(logits) | jnp.isnan(logits)
    z = jnp.abs(jnp.where(finite, logits, jnp.zeros_like(logits)))
    return jnp.where(finite, jax.nn.softplus(-z) + z * jax.nn.sigmoid(-z), jnp.zeros_like(z))


def categorical_entropy(logits: Float[Array, "*batch classes"]) -> Float[Array, "*batch"]:
    r"""Entropy of a softmax, nats: $-\sum_k p_k \log p_k$ with $0 \log 0 = 0$; classes of $-\infty$ are impossible.

    Value and gradient are finite unless all logits are $-\infty$ or one is NaN.
    """
    log_probabilities = log_softmax(logits)
    impossible = log_probabilities == -jnp.inf
    safe = jnp.where(impossible, jnp.zeros_like(logits), log_probabilities)
    return -jnp.sum(jnp.where(impossible, jnp.zeros_like(logits), jnp.exp(safe)) * safe, axis=-1)


@jax.custom_jvp
def log_softmax(logits: Float[Array, "*batch classes"]) -> Float[Array, "*batch classes"]:
    r"""Normalised log probabilities; the limit where logits are infinite, in value and gradient.

    One logit of $+\infty$ is a certain class (several share it alike); $-\infty$ is an impossible one; all $-\infty$,
    or a NaN, give NaN.
    """
    certain = logits == jnp.inf
    any_certain = jnp.broadcast_to(jnp.any(certain, axis=-1, keepdims=True), logits.shape)
    limit = jnp.where(certain, jnp.zeros_like(logits), jnp.full_like(logits, -jnp.inf))
    return jax.nn.log_softmax(jnp.where(any_certain & ~jnp.isnan(logits), limit, logits), axis=-1)


@log_softmax.defjvp
def _log_softmax_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """The slope $\\dot z - \\sum_k p_k \\dot z_k$ holds in the limits too."""
    result = log_softmax(*primals)
    (slope,) = tangents
    return result, slope - jnp.sum(jnp.exp(result) * slope, axis=-1, keepdims=True)


def log_rest(
    log_probabilities: Float[Array, "*batch classes"], labels: Integer[Array, "*batch"]
) -> Float[Array, "*batch"]:
    r"""$\log (1 - p_y)$ by adding up the other classes: exact where $p_y$ rounds to 1, $-\infty$ where it is 1."""
    others = jnp.where(
        is_class(labels, log_probabilities.shape[-1]), jnp.full_like(log_probabilities, -jnp.inf), log_probabilities
    )
    top = jax.lax.stop_gradient(jnp.max(others, axis=-1, keepdims=True))
    some = top > -jnp.inf
    shifted = others - jnp.where(some, top, jnp.zeros_like(top))
    total = jnp.sum(jnp.where(others > -jnp.inf, jnp.exp(shifted), jnp.zeros_like(shifted)), axis=-1)
    some, top = some[..., 0], top[..., 0]
    return jnp.where(some, jnp.log(jnp.where(some, total, jnp.ones_like(total))) + top, jnp.full_like(total, -jnp.inf))


def divergence(log_p: Float[Array, "*batch classes"], log_q: Float[Array, "*batch classes"]) -> Float[Array, "*batch"]:
    r"""$\mathrm{KL}(p \,\|\, q)$ from log probabilities, nats; $\infty$ where $q$ rules out what $p$ allows."""
    possible = log_p > -jnp.inf
    safe_p, safe_q = (jnp.where(possible | jnp.isnan(log_p), a, jnp.zeros_like(a)) for a in (log_p, log_q))
    terms = jnp.exp(safe_p) * (safe_p - safe_q)
    return jnp.sum(jnp.where(possible | jnp.isnan(log_p), terms, jnp.zeros_like(terms)), axis=-1)


def product(weight: Float[Array, "*shape"], value: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r"""$w v$ with $0 \cdot \infty = 0$, in the gradient too."""
    nothing = (weight == 0) & jnp.isinf(value)
    return jnp.where(nothing, jnp.zeros_like(value), weight * jnp.where(nothing, jnp.zeros_like(value), value))


def root(values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The square root with gradient 0, not infinity, at 0."""
    positive = values != 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, values, jnp.ones_like(values))), jnp.zeros_like(values))


def whole(array: Shaped[Array, "..."], axis: int | None = None) -> Shaped[Array, "..."]:
    """The same array with `axis` (None: every axis) whole on every device, where an explicit mesh has divided it.

    Sorting, binning, gathering and cumulative sums need it. One device, meshes with automatic axes and `jax.shard_map`
    need nothing and get nothing.
    """
    sharding = jax.typeof(array).sharding
    spec = [*sharding.spec, *(None,) * (array.ndim - len(sharding.spec))]
    axes = range(array.ndim) if axis is None else [axis % array.ndim] if array.ndim else []
    if all(spec[number] is None for number in axes):
        return array
    for number in axes:
        spec[number] = None
    return jax.sharding.reshard(array, NamedSharding(sharding.mesh, PartitionSpec(*spec)))


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise an OptionError unless `value` is one of `choices`."""
    if value not in choices:
        raise OptionError(f"{name} is {value!r}; expected one of {', '.join(map(repr, choices))}")


def check_count(name: str, value: Any, minimum: int = 1) -> int:
    """The value as an int; an OptionError unless it is a whole number (NumPy's too, no bool) of at least `minimum`."""
    try:
        count = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = None
    if count is None or count < minimum:
        raise OptionError(f"{name} is {value!r}; expected an integer of at least {minimum}")
    return count


def check_number(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """The value as a float; an OptionError unless it is a finite real number between `low` and `high`.

    NumPy's numbers and arrays without axes count; NaN, infinities and booleans do not. Bounds are allowed values unless
    `open_low` or `open_high` says otherwise.
    """
    whole = hasattr(value, "dtype") and getattr(value, "shape", None) == () and value.dtype.kind in "fiu"
    number = float(value) if (isinstance(value, numbers.Real) and not isinstance(value, bool)) or whole else math.nan
    inside = (low < number if open_low else low <= number) and (number < high if open_high else number <= high)
    if not (math.isfinite(number) and inside):
        left = "(" if open_low or low == -math.inf else "["
        right = ")" if open_high or high == math.inf else "]"
        raise OptionError(f"{name} is {value!r}; expected a finite number in {left}{low:g}, {high:g}{right}")
    return number


def vary_like(tree: PyTree, *others: PyTree) -> PyTree:
    """The same arrays, varying over every axis of `jax.shard_map` that an array of `others` varies over.

    The carry of a loop starts from constants and becomes a function of the inputs, so it must vary as they do from the
    start, as must a cotangent. And the gradient in an array that does not vary is summed over the devices. Outside
    `shard_map` nothing changes.
    """
    axes = {axis for leaf in jax.tree.leaves(others) for axis in _varies_over(leaf)}

    def one(leaf: Any) -> Any:
        missing = tuple(sorted(axes - _varies_over(leaf)))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(one, jax.tree.map(jnp.asarray, tree))


def _varies_over(leaf: Any) -> frozenset[str]:
    kind: Any = jax.typeof(leaf)  # jax 0.10 gathered what was called `vma` in one record
    return frozenset(kind.manual_axis_type.varying if hasattr(kind, "manual_axis_type") else kind.vma)


def divided_like(
    function: Callable[..., Shaped[Array, "..."]], like: Shaped[Array, "..."], *args: PyTree
) -> Shaped[Array, "..."]:
    """`function(*args)`, for functions that look up entries of an array, which explicit meshes refuse.

    On an explicit mesh the compiler chooses the placement inside, and the leading axes of the result are divided as
    those of `like` are. Elsewhere it is a plain call.
    """
    sharding = jax.typeof(like).sharding
    explicit = tuple(
        name for name, kind in zip(sharding.mesh.axis_names, sharding.mesh.axis_types) if kind == AxisType.Explicit
    )
    if not explicit:
        return function(*args)
    placed: Any = jax.sharding.auto_axes(function, axes=explicit, out_sharding=sharding)
    return placed(*args)


def rows_at(table: Shaped[Array, "rows width"], places: Integer[Array, "*shape"]) -> Shaped[Array, "*shape width"]:
    """`table[places]`, on explicit meshes divided as the places are; a place out of range reads the nearest row."""
    return divided_like(lambda table, places: jnp.take(table, places, axis=0, mode="clip"), places, table, places)
