"""Rows of data divided over devices, what they share placed on every one, and the mesh that is in use."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from jaxuq._errors import OptionError

AnyMesh = Mesh | AbstractMesh


def mesh_in_use(tree: PyTree) -> AnyMesh | None:
    """The mesh of `jax.set_mesh` or `jax.shard_map` around this call, or that of an array with explicit axes.

    Args:
        tree: arrays.

    Returns:
        The mesh, with its devices where they are known (outside `jit`), or None.

    Example:
        >>> import jax.numpy as jnp
        >>> mesh_in_use(jnp.zeros(3)) is None
        True
    """
    context = jax.sharding.get_abstract_mesh()
    if not context.empty:
        traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))
        return context if traced or AxisType.Manual in context.axis_types else jax.sharding.get_mesh()
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, jax.Array):
            typed = jax.typeof(leaf).sharding.mesh
            if not typed.empty and AxisType.Explicit in typed.axis_types:
                return typed if isinstance(leaf, Tracer) else getattr(leaf.sharding, "mesh", typed)
    return None


def free_axes(mesh: AnyMesh) -> tuple[str, ...]:
    """The axes of a mesh that no `jax.shard_map` around this call has taken."""
    return tuple(name for name, kind in zip(mesh.axis_names, mesh.axis_types) if kind != AxisType.Manual)


def data_mesh() -> Mesh | None:
    """All devices along one axis `data`, for functions that divide the rows of a batch.

    Returns:
        The mesh, or None if there is one device only.

    Example:
        >>> mesh = data_mesh()
        >>> mesh is None or mesh.axis_names == ("data",)
        True
    """
    return Mesh(np.array(jax.devices()), ("data",)) if jax.device_count() > 1 else None


def on_every_device(tree: PyTree, mesh: AnyMesh | None) -> PyTree:
    """Copy arrays to all devices of a mesh; those that are spread over it already stay as they are.

    Args:
        tree: arrays, such as parameters; those that are being traced stay as they are.
        mesh: the devices; None, or without devices: nothing is moved.

    Returns:
        The same arrays.

    Example:
        >>> on_every_device(jnp.arange(3), data_mesh()).tolist()
        [0, 1, 2]
    """
    if not isinstance(mesh, Mesh):
        return tree
    everywhere = NamedSharding(mesh, PartitionSpec())

    def place(leaf: Any) -> Any:
        if isinstance(leaf, Tracer):
            return leaf
        there = isinstance(leaf, jax.Array) and getattr(leaf.sharding, "mesh", None) == mesh
        if there:
            return leaf
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            words = jax.device_put(jax.random.key_data(leaf), everywhere)  # keys go to no device of another process
            return jax.random.wrap_key_data(words, impl=jax.random.key_impl(leaf))
        return jax.device_put(jnp.asarray(leaf), everywhere)

    return jax.tree.map(place, tree)


def on_host(tree: PyTree) -> PyTree:
    """Arrays as NumPy has them, wherever they lie: on this process's devices, or in parts on those of several.

    Where processes share a mesh (`jax.distributed`), all of them have to call it, with the same arrays, and each gets
    the whole.

    Args:
        tree: arrays.

    Returns:
        The same numbers on the host; what is no array stays what it is.

    Example:
        >>> on_host({"rows": divide_rows(np.arange(8.0), data_mesh())})["rows"].tolist()
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    """

    def one(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
            return jax.device_get(leaf)
        if leaf.is_fully_replicated:
            return np.asarray(leaf.addressable_data(0))
        from jax.experimental.multihost_utils import process_allgather

        return np.asarray(process_allgather(leaf, tiled=True))

    return jax.tree.map(one, tree)


def row_axes(mesh: AnyMesh) -> tuple[str, ...]:
    """The axes of a mesh over which rows of data are divided: `data` and `fsdp`, those that there are.

    Args:
        mesh: the devices.

    Returns:
        Names of axes.

    Raises:
        OptionError: there is none of them.

    Example:
        >>> row_axes(Mesh(np.array(jax.devices()[:1]), ("data",)))
        ('data',)
    """
    axes = tuple(name for name in ("data", "fsdp") if name in mesh.shape)
    if not axes:
        raise OptionError(
            f"the mesh has the axes {tuple(mesh.shape)}; rows are divided over axes named 'data' or 'fsdp'"
        )
    return axes


def row_parts(mesh: AnyMesh | None) -> int:
    """Over how many devices the rows of a batch are divided, of which batches have a multiple of rows.

    Args:
        mesh: the devices; None: one.

    Returns:
        The number; one for a mesh of other axes, whose devices share every row.

    Example:
        >>> row_parts(None)
        1
    """
    return 1 if mesh is None else math.prod(mesh.shape[name] for name in ("data", "fsdp") if name in mesh.shape)


def divide_rows(tree: PyTree, mesh: Mesh | None, *, axis: int = 0) -> PyTree:
    """Divide the rows of a batch over the axes `data` and `fsdp` of a mesh.

    Args:
        tree: arrays whose axis `axis` is the rows, a multiple of the devices.
        mesh: with an axis `data`, `fsdp`, or both; None: one device.
        axis: of the rows.

    Returns:
        The same arrays, on the devices.

    Example:
        >>> divide_rows(np.arange(16.0), data_mesh()).sum()
        Array(120., dtype=float32)
    """
    if mesh is None:
        return jax.tree.map(jnp.asarray, tree)
    rows = NamedSharding(mesh, PartitionSpec(*(None,) * axis, row_axes(mesh)))
    return jax.tree.map(lambda leaf: jax.device_put(leaf, rows), tree)
