"""Rows of data divided over devices, what they share placed on every one."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree


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


def on_every_device(tree: PyTree, mesh: Mesh | None) -> PyTree:
    """Copy arrays to all devices of a mesh; those that are spread over it already stay as they are.

    Args:
        tree: arrays, such as parameters.
        mesh: the devices; None: nothing is moved.

    Returns:
        The same arrays.

    Example:
        >>> on_every_device(jnp.arange(3), data_mesh()).tolist()
        [0, 1, 2]
    """
    if mesh is None:
        return tree
    everywhere = NamedSharding(mesh, PartitionSpec())

    def place(leaf: Any) -> Any:
        there = isinstance(leaf, jax.Array) and getattr(leaf.sharding, "mesh", None) == mesh
        return leaf if there else jax.device_put(leaf, everywhere)

    return jax.tree.map(place, tree)


def divide_rows(tree: PyTree, mesh: Mesh | None, *, axis: int = 0) -> PyTree:
    """Divide the rows of a batch over the axis `data` of a mesh.

    Args:
        tree: arrays whose axis `axis` is the rows, a multiple of the devices.
        mesh: with an axis `data`; None: one device.
        axis: of the rows.

    Returns:
        The same arrays, on the devices.

    Example:
        >>> divide_rows(np.arange(16.0), data_mesh()).sum()
        Array(120., dtype=float32)
    """
    if mesh is None:
        return jax.tree.map(jnp.asarray, tree)
    rows = NamedSharding(mesh, PartitionSpec(*(None,) * axis, "data"))
    return jax.tree.map(lambda leaf: jax.device_put(leaf, rows), tree)
