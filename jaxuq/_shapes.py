"""`checked`: what the annotation of a public function says about shapes is compared with what it is given.

jaxtyping's names of axes are documentation unless somebody reads them. `checked` reads them at every call, under `jit`
at every tracing, and never lets two arrays broadcast that only happen to fit: `[n]` against `[n, 1]` is an error with
its remedy, not a matrix of all pairs.
"""

import functools
import inspect
import numbers
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, ParamSpec, TypeVar

import jax.numpy as jnp
import jaxtyping
import numpy as np

from jaxuq._arrays import remedy
from jaxuq._errors import ArrayError
from jaxuq._placement import Axes, on_explicit_mesh, placed, result_axes

_P = ParamSpec("_P")
_R = TypeVar("_R")
_UNIONS = (typing.Union, types.UnionType)


class _Layout(NamedTuple):
    """What a signature says: names of the positional arguments and of `*args`; the axes of arguments, of the fields of
    records among them and of the result; which arguments are arrays and nothing else; which are records.
    """

    positional: tuple[str, ...]
    rest: str | None
    axes: dict[str, Axes]
    result: Any
    arrays: frozenset[str]
    records: dict[str, tuple[str, ...]]


def checked(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compare the shapes of array arguments with the axes in the function's jaxtyping annotations.

    On a mesh with explicit axes the annotations say more: a result is divided along the axes along which the arguments
    are (see `jaxuq._placement`).

    Axes of one name have one size over all arguments, and over the fields of records (NamedTuples) among them, unless
    two are of one kind; `*name` stands for any number of axes; numbers are sizes. Values that are no arrays (None,
    Python numbers, pytrees) are passed over, and so are axes with `#` or arithmetic. Where nothing but an array will
    do, a list of numbers is made one, and text, functions and the like are an ArrayError.

    Args:
        function: annotated with jaxtyping, such as `Float[Array, "*batch classes"]`.

    Returns:
        The function, which raises an ArrayError that names the array, its shape, the array that it disagrees with, and
        the likely remedy.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxtyping import Array, Float
        >>> @checked
        ... def error(mean: Float[Array, " n"], labels: Float[Array, " n"]) -> Float[Array, " n"]:
        ...     return labels - mean
        >>> error(jnp.zeros(200), jnp.zeros((200, 1)))
        Traceback (most recent call last):
            ...
        jaxuq._errors.ArrayError: labels has shape (200, 1) where mean has (200,); pass labels[:, 0]
    """
    layout_once = functools.cache(lambda: _layout_of(function))  # when first called: annotations name what comes later

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        layout = layout_once()
        args, kwargs = _as_arrays(layout, args, kwargs)
        given = _given(layout, args, kwargs)
        _compare(layout, given)
        mesh = on_explicit_mesh(args, kwargs)
        if mesh is None:
            return function(*args, **kwargs)
        axes = [(layout.axes.get(key), value) for key, _, value in given]
        return placed(function, mesh, axes, layout.result, _split, args, kwargs)

    return call


def compared(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """The comparison of `checked` alone: for methods of flax modules, whose parameters lie where their caller's do."""
    layout_once = functools.cache(lambda: _layout_of(function))

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        args, kwargs = _as_arrays(layout_once(), args, kwargs)
        _compare(layout_once(), _given(layout_once(), args, kwargs))
        return function(*args, **kwargs)

    return call


def _layout_of(function: Callable[..., Any]) -> _Layout:
    positional, rest, axes, arrays, records = [], None, {}, set(), {}
    signature = inspect.signature(function, eval_str=True)
    annotations = [parameter.annotation for parameter in signature.parameters.values()]
    for name, parameter in signature.parameters.items():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            positional.append(name)
        elif parameter.kind is parameter.VAR_POSITIONAL:
            rest = name
        found = tuple(_axes_in(parameter.annotation))
        if found:
            axes[name] = found
        if found and _nothing_else(parameter.annotation):
            arrays.add(name)
        inside = _fields_of(parameter.annotation) if annotations.count(parameter.annotation) == 1 else {}
        axes |= {f"{name}.{field}": found for field, found in inside.items()}
        if inside:
            records[name] = tuple(inside)
    result = result_axes(signature.return_annotation, _axes_in)
    return _Layout(tuple(positional), rest, axes, result, frozenset(arrays), records)


def _fields_of(annotation: Any) -> dict[str, Axes]:
    """The axes of each array in a record, such as the parameters of a layer."""
    if not (isinstance(annotation, type) and hasattr(annotation, "_fields")):
        return {}
    hints = typing.get_type_hints(annotation)
    found = {field: tuple(_axes_in(hints[field])) for field in getattr(annotation, "_fields", ()) if field in hints}
    return {field: axes for field, axes in found.items() if axes}


def _nothing_else(annotation: Any) -> bool:
    """Whether an annotation allows arrays, numbers and None alone."""
    parts = typing.get_args(annotation) if typing.get_origin(annotation) in _UNIONS else (annotation,)
    return all(
        part in (type(None), int, float, bool) or (isinstance(part, type) and issubclass(part, jaxtyping.AbstractArray))
        for part in parts
    )


def _as_arrays(layout: _Layout, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The arguments with lists of numbers as arrays; an ArrayError for what is no number at all."""
    names = [*layout.positional, *[layout.rest or ""] * len(args)]
    return (
        tuple(_as_array(layout, name, value) for name, value in zip(names, args)),
        {name: _as_array(layout, name, value) for name, value in kwargs.items()},
    )


def _as_array(layout: _Layout, name: str, value: Any) -> Any:
    if name not in layout.arrays or value is None:
        return value
    if isinstance(value, numbers.Number) or hasattr(value, "__jax_array__"):
        return value
    plain = isinstance(value, list | tuple) and not hasattr(value, "_fields")
    if plain:
        try:
            value = jnp.asarray(value)
        except (TypeError, ValueError):
            kind = type(value).__name__
            raise ArrayError(
                f"{name} is a {kind} that makes no array; expected numbers in rows of one length"
            ) from None
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "USOMm":
        raise ArrayError(f"{name} is an array of {value.dtype}; expected numbers")
    if not plain and not isinstance(getattr(value, "shape", None), tuple):
        shown = repr(value)
        raise ArrayError(f"{name} is {shown if len(shown) <= 60 else f'{shown[:57]}...'}; expected an array of numbers")
    return value


def _axes_in(annotation: Any) -> Iterator[tuple[str, ...]]:
    if isinstance(annotation, type) and issubclass(annotation, jaxtyping.AbstractArray):
        yield tuple(token.rpartition("=")[2].lstrip("?") for token in annotation.dim_str.split())
    elif typing.get_origin(annotation) in _UNIONS:
        for part in typing.get_args(annotation):
            yield from _axes_in(part)


class _Sizes:
    """What the arguments so far have made of each axis, and which of them was the first to."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[tuple[int, ...], str, tuple[int, ...]]] = {}

    def disagreement(self, axes: tuple[str, ...], shape: tuple[int, ...]) -> str | None:
        """The first axis that does not fit, `""` for a wrong number of axes, None if all fit."""
        parts = _split(axes, shape)
        if parts is None:
            return ""
        for axis, size in parts:
            known = self.known.get(axis)
            if (axis.isdigit() and size != (int(axis),)) or (known is not None and known[0] != size):
                return axis
        return None

    def learn(self, name: str, axes: tuple[str, ...], shape: tuple[int, ...]) -> None:
        for axis, size in _split(axes, shape) or ():
            if axis.lstrip("*").isidentifier() and axis.lstrip("*") != "_":
                self.known.setdefault(axis, (size, name, shape))

    def expected(self, axes: tuple[str, ...]) -> tuple[int, ...] | None:
        """The shape that these axes must have, where all are known."""
        if not all(axis in self.known or axis.isdigit() for axis in axes):
            return None
        return tuple(size for axis in axes for size in ((int(axis),) if axis.isdigit() else self.known[axis][0]))


def _split(axes: tuple[str, ...], shape: tuple[Any, ...]) -> list[tuple[str, tuple[Any, ...]]] | None:
    """The part of each axis in a shape, those of a `*name` together; None where the number of axes does not fit."""
    many = next((place for place, axis in enumerate(axes) if axis == "..." or axis.startswith("*")), None)
    if many is None:
        return [(axis, (size,)) for axis, size in zip(axes, shape)] if len(axes) == len(shape) else None
    after = len(axes) - many - 1
    if len(shape) < many + after:
        return None
    middle = shape[many : len(shape) - after]
    before: list[tuple[str, tuple[Any, ...]]] = [(axis, (size,)) for axis, size in zip(axes[:many], shape)]
    behind = [(axis, (size,)) for axis, size in zip(axes[many + 1 :], shape[len(shape) - after :])]
    return [*before, (axes[many], middle), *behind]


def _given(layout: _Layout, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """Each argument by the name of its parameter, by its own in an error, and its value."""
    count = len(layout.positional)
    given = [(name, name, value) for name, value in zip(layout.positional, args)]
    given += [(layout.rest or "", f"{layout.rest}[{i}]", value) for i, value in enumerate(args[count:])]
    given += [(name, name, value) for name, value in kwargs.items()]
    parts = [
        (name, field, getattr(value, field, None)) for name, _, value in given for field in layout.records.get(name, ())
    ]
    return [(f"{name}.{field}", f"{name}.{field}", value) for name, field, value in parts] + given


def _compare(layout: _Layout, given: list[tuple[str, str, Any]]) -> None:
    sizes = _Sizes()
    for key, name, value in given:
        allowed = layout.axes.get(key)
        shape = getattr(value, "shape", None)
        if allowed is None or not isinstance(shape, tuple):
            continue
        wrong = [sizes.disagreement(axes, shape) for axes in allowed]
        if None not in wrong:
            raise ArrayError(_message(sizes, name, allowed[0], shape, wrong[0] or ""))
        sizes.learn(name, allowed[wrong.index(None)], shape)


def _message(sizes: _Sizes, name: str, axes: tuple[str, ...], shape: tuple[int, ...], wrong: str) -> str:
    expected = sizes.expected(axes)
    wanted = f"[{', '.join(axes)}]"
    if expected is None or (wrong.isdigit() and wrong not in sizes.known):
        if wrong:
            place = axes.index(wrong) - len(axes)
            size = wrong if wrong.isdigit() else f"{sizes.known[wrong][0][0]}, as {sizes.known[wrong][1]} has"
            return f"{name} has shape {shape}; expected {wanted} with axis {place} of size {size}"
        few = len(shape) < len(axes)
        way = (
            f"add the missing axes, such as {name}[None]"
            if few
            else "map over the others with jax.vmap (tasks on axis 1: jaxuq.metrics.average_over_tasks)"
        )
        return f"{name} has shape {shape}; expected the axes {wanted}; {way}"
    known = sizes.known.get(wrong) or next((sizes.known[axis] for axis in axes if axis in sizes.known), None)
    if known is None:  # a scalar
        return f"{name} has shape {shape}; expected a scalar; {remedy(name, shape, name, ())}"
    _, other, other_shape = known
    where = f"where {other} has {other_shape}"
    if other_shape != expected:
        where = f"where {wanted} is {expected}, for {other} has shape {other_shape}"
    return f"{name} has shape {shape} {where}; {remedy(name, shape, other, expected)}"
