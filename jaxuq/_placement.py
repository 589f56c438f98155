"""Placements by the names of axes: on a mesh with explicit axes, axes of one name are divided alike.

On such a mesh every operation must say how its result is divided, and those that sort, look up, take cumulative sums or
contract what is divided cannot. So the compiler chooses the placements inside a function, as it does on automatic
meshes, where no batch is gathered without need; and each axis of a result is divided as the axis of that name in the
arguments is.
"""

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
from jax.core import Tracer
from jax.sharding import AxisType, NamedSharding, PartitionSpec

Axes = tuple[tuple[str, ...], ...]  # alternatives, each the names of the axes of an array
Split = Callable[[tuple[str, ...], tuple[Any, ...]], list[tuple[str, tuple[Any, ...]]] | None]


def result_axes(annotation: Any, axes_in: Callable[[Any], Iterator[tuple[str, ...]]]) -> Any:
    """The names of the axes in a return annotation, as a tree like the result; None for what it does not say."""
    found = tuple(axes_in(annotation))
    if found:
        return found
    if typing.get_origin(annotation) is tuple and Ellipsis not in typing.get_args(annotation):
        parts: Any = [result_axes(part, axes_in) for part in typing.get_args(annotation)]
    elif isinstance(annotation, type) and (fields := getattr(annotation, "_fields", None)):
        hints = typing.get_type_hints(annotation)
        parts = [result_axes(hints[field], axes_in) for field in fields]
    else:
        return None
    return parts if any(part is not None for part in parts) else None


def on_explicit_mesh(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The mesh with explicit axes that an array of the arguments is divided over; None if there is none.

    None, too, where an argument is a function: what it closes over stays on the explicit mesh.
    """
    if any(inspect.isroutine(value) for value in (*args, *kwargs.values())):
        return None
    for leaf in jax.tree.leaves((args, kwargs)):
        if isinstance(leaf, jax.Array):
            sharding: Any = jax.typeof(leaf).sharding
            if any(part is not None for part in sharding.spec):
                return sharding.mesh
    return None


def placed(
    call: Callable[..., Any],
    mesh: Any,
    given: list[tuple[Axes | None, Any]],
    result: Any,
    split: Split,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """`call(*args, **kwargs)` with placements chosen by the compiler, and results divided by the names of their axes.

    Args:
        call: the function.
        mesh: from `on_explicit_mesh`.
        given: for each argument its annotated axes, in alternatives, and its value.
        result: from `result_axes`.
        split: gives each axis of an annotation its part of a shape, or of a placement.
        args: of the function.
        kwargs: of the function.
    """
    known: dict[str, tuple[tuple[int, ...], tuple[Any, ...]]] = {}
    for alternatives, value in given:
        for axes in alternatives or ():
            if isinstance(value, jax.Array) and (sizes := split(axes, value.shape)) is not None:
                divisions = split(axes, _full_spec(value)) or []
                for (axis, size), (_, division) in zip(sizes, divisions):
                    if axis not in known or all(part is None for part in known[axis][1]):
                        known[axis] = size, division
                break
    kinds = zip(mesh.axis_names, mesh.axis_types)
    free = mesh.update_axis_types({name: AxisType.Auto for name, kind in kinds if kind == AxisType.Explicit})
    devices = _devices(args, kwargs)
    with jax.sharding.use_abstract_mesh(free):
        args, kwargs = jax.tree.map(lambda leaf: _freed(_spread(leaf, devices)), (args, dict(kwargs)))
        outputs = call(*args, **kwargs)
    outputs = jax.tree.map(lambda leaf: _spread(leaf, devices), outputs)
    return _divide(outputs, result, known, mesh, split)


def _devices(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The mesh with its devices that an array is divided over; None while tracing, where a mesh has none."""
    for leaf in jax.tree.leaves((args, kwargs)):
        if isinstance(leaf, jax.Array) and not isinstance(leaf, Tracer):
            sharding = leaf.sharding
            if isinstance(sharding, NamedSharding) and any(part is not None for part in sharding.spec):
                return sharding.mesh
    return None


def _spread(leaf: Any, devices: Any) -> Any:
    """What lies on one device, such as a layer or what depends on it alone, on each device of the mesh."""
    if devices is None or not isinstance(leaf, jax.Array) or isinstance(leaf, Tracer):
        return leaf
    if isinstance(leaf.sharding, NamedSharding):
        return leaf
    return jax.device_put(leaf, NamedSharding(devices, PartitionSpec()))


def _full_spec(array: jax.Array) -> tuple[Any, ...]:
    spec = jax.typeof(array).sharding.spec
    return (*spec, *(None,) * (array.ndim - len(spec)))


def _freed(leaf: Any) -> Any:
    """The array with its placement left to the compiler."""
    if isinstance(leaf, jax.Array) and not jax.typeof(leaf).sharding.mesh.empty:
        return jax.sharding.reshard(leaf, PartitionSpec())
    return leaf


def _divide(output: Any, result: Any, known: Mapping, mesh: Any, split: Split) -> Any:
    if isinstance(result, list) and isinstance(output, tuple):
        parts = [_divide(part, axes, known, mesh, split) for part, axes in zip(output, result)]
        return type(output)(*parts) if hasattr(output, "_fields") else tuple(parts)
    if not isinstance(output, jax.Array):
        leaves, tree = jax.tree.flatten(output)
        return jax.tree.unflatten(tree, [_divide_leaf(leaf, None, known, mesh, split) for leaf in leaves])
    return _divide_leaf(output, None if isinstance(result, list) else result, known, mesh, split)


def _divide_leaf(leaf: Any, result: Axes | None, known: Mapping, mesh: Any, split: Split) -> Any:
    if not isinstance(leaf, jax.Array):
        return leaf
    axes = next((found for names in result or () if (found := split(names, leaf.shape)) is not None), None)
    divided = [both for both in known.values() if any(part is not None for part in both[1])]
    by_size = {length: part for sizes, parts in divided for length, part in zip(sizes, parts) if part is not None}

    def wanted_of(axis: str, size: tuple[int, ...]) -> tuple[Any, ...]:
        """Of what no argument calls so, such as the axes of a record or a cache, each axis as one that is as long."""
        found, division = known.get(axis, ((), ()))
        return division if found == size else tuple(by_size.get(length) for length in size)

    wanted = [wanted_of(axis, size) for axis, size in axes or [("", (length,)) for length in leaf.shape]]
    spec: list[Any] = []
    for part in (part for division in wanted for part in division):
        spec.append(None if part in spec else part)
    return jax.sharding.reshard(leaf, NamedSharding(mesh, PartitionSpec(*spec)))
