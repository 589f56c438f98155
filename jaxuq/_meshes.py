"""Arrays on meshes: what code must say so that it runs under `jax.shard_map`'s checks and on explicit meshes."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Integer, PyTree, Shaped


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
    function: Callable[..., PyTree[Shaped[Array, "..."]]], like: PyTree[Shaped[Array, "..."]], *args: PyTree
) -> PyTree[Shaped[Array, "..."]]:
    """`function(*args)`, for functions that look up entries of an array, which explicit meshes refuse.

    On an explicit mesh the compiler chooses the placement inside, and the leading axes of each result are divided as
    those of its part of `like` are. Elsewhere, and where nothing is divided, it is a plain call.
    """
    kinds: list[Any] = [jax.typeof(leaf).sharding for leaf in jax.tree.leaves((like, args))]
    mesh = next((kind.mesh for kind in kinds if any(part is not None for part in kind.spec)), None)
    if mesh is None:
        return function(*args)
    explicit = tuple(name for name, kind in zip(mesh.axis_names, mesh.axis_types) if kind == AxisType.Explicit)
    out: Any = jax.tree.map(lambda leaf: NamedSharding(mesh, jax.typeof(leaf).sharding.spec), like)
    placed: Any = jax.sharding.auto_axes(function, axes=explicit, out_sharding=out)
    return placed(*args)


def row_parts(tree: PyTree, size: int) -> int:
    """How many equal parts of the rows, the leading axis of all arrays, may lie on devices of their own.

    On explicit axes the type says it. Elsewhere nothing does, so it is all devices, if they divide the rows and batches
    of `size` rows have one for each: where the rows are not divided this changes the order of the work alone.
    """
    rows = jax.tree.leaves(tree)[0].shape[0]
    for leaf in jax.tree.leaves(tree):
        sharding = jax.typeof(leaf).sharding
        if sharding.spec and sharding.spec[0] is not None:
            axes = sharding.spec[0] if isinstance(sharding.spec[0], tuple) else (sharding.spec[0],)
            return math.prod(sharding.mesh.shape[axis] for axis in axes)
    count = jax.device_count()
    inside = AxisType.Manual in jax.sharding.get_abstract_mesh().axis_types
    return count if not inside and rows % count == 0 and size >= count else 1


def split_rows(leaf: Shaped[Array, "all_rows ..."], parts: int) -> Shaped[Array, "parts rows ..."]:
    """Equal parts of the rows; an explicit mesh that divides the rows divides the parts."""
    sharding, shape = jax.typeof(leaf).sharding, (parts, leaf.shape[0] // parts, *leaf.shape[1:])
    spec = (*sharding.spec, *(None,) * (leaf.ndim - len(sharding.spec)))
    return _reshaped(leaf, shape, (spec[0], None, *spec[1:]))


def join_rows(leaf: Shaped[Array, "..."], axis: int = 0) -> Shaped[Array, "..."]:
    """The inverse of `split_rows`, of parts on `axis` and rows on the next."""
    sharding, shape = jax.typeof(leaf).sharding, leaf.shape
    spec = (*sharding.spec, *(None,) * (leaf.ndim - len(sharding.spec)))
    joined = (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])
    return _reshaped(leaf, joined, (*spec[: axis + 1], *spec[axis + 2 :]))


def _reshaped(leaf: Array, shape: tuple[int, ...], spec: tuple[Any, ...]) -> Array:
    mesh = jax.typeof(leaf).sharding.mesh
    if all(part is None for part in spec):
        return leaf.reshape(shape)
    return jnp.reshape(leaf, shape, out_sharding=NamedSharding(mesh, PartitionSpec(*spec)))


def rows_at(table: Shaped[Array, "rows width"], places: Integer[Array, "*shape"]) -> Shaped[Array, "*shape width"]:
    """`table[places]`, on explicit meshes divided as the places are; a place out of range reads the nearest row."""
    return divided_like(lambda table, places: jnp.take(table, places, axis=0, mode="clip"), places, table, places)
