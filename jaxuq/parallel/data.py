"""Rows of data divided over devices."""

import jax
import numpy as np


def data_mesh() -> jax.sharding.Mesh | None:
    """All devices along one axis `data`, for functions that divide the rows of a batch.

    Returns:
        The mesh, or None if there is one device only.

    Example:
        >>> mesh = data_mesh()
        >>> mesh is None or mesh.axis_names == ("data",)
        True
    """
    return jax.sharding.Mesh(np.array(jax.devices()), ("data",)) if jax.device_count() > 1 else None
