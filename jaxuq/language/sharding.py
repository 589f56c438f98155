"""How parameters and caches are spread over a mesh of devices: a table of rules by name."""

import re
from collections.abc import Sequence

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from jaxuq._arguments import typed

PARTITION_RULES: tuple[tuple[str, PartitionSpec], ...] = (
    (r"(^|/)embedding$", PartitionSpec("tensor", "data")),
    (r"(^|/)unembedding$", PartitionSpec("data", "tensor")),
    (r"(query|key|value|gate|up)/kernel$", PartitionSpec("data", "tensor")),
    (r"(query|key|value|gate|up)/bias$", PartitionSpec("tensor")),
    (r"(output|down)/kernel$", PartitionSpec("tensor", "data")),
    (r"^cache/(keys|values)(/\d+)?$", PartitionSpec("data", "tensor", None, None)),
    (r"^cache/positions$", PartitionSpec("data", None)),
    (r".*", PartitionSpec()),
)
"""Patterns of parameter names and how their *last* axes are split; the first pattern found counts.

Over `tensor`, attention is split by heads, the MLP by inner width, the tables by vocabulary. Over `data` go the
examples and the cache's rows; parameters are split over it as well (fully sharded), and gathered when they are used.
"""


def leaf_spec(path: Sequence[str], shape: Sequence[int], mesh: Mesh) -> PartitionSpec:
    """The rule of one array, less the axes that the mesh lacks or that do not divide the array.

    Args:
        path: keys, such as `("layers", "query", "kernel")`.
        shape: of the array.
        mesh: with axes named `tensor`, `data`, both, or others.

    Returns:
        One entry for each axis of the array.

    Example:
        >>> import jax, numpy as np
        >>> mesh = Mesh(np.array(jax.devices()[:1])[None], ("data", "tensor"))
        >>> tuple(leaf_spec(("layers", "up", "kernel"), (2, 16, 32), mesh))
        (None, 'data', 'tensor')
    """
    name = "/".join(path)
    rule = next(spec for pattern, spec in PARTITION_RULES if re.search(pattern, name))
    padded = [None] * (len(shape) - len(rule)) + list(rule)[max(len(rule) - len(shape), 0) :]
    return PartitionSpec(
        *(axis if axis in mesh.shape and size % mesh.shape[axis] == 0 else None for axis, size in zip(padded, shape))
    )


def leaf_sharding(path: Sequence[str], shape: Sequence[int], mesh: Mesh) -> NamedSharding:
    """`leaf_spec` on its mesh.

    Args:
        path: keys.
        shape: of the array.
        mesh: the devices.

    Returns:
        The sharding.
    """
    return NamedSharding(mesh, leaf_spec(path, shape, mesh))


@typed()
def partition_specs(params: PyTree, mesh: Mesh) -> PyTree:
    """How each array of a tree is split.

    Args:
        params: arrays or their shapes (`jax.eval_shape`); a cache as `{"cache": cache}`.
        mesh: the devices.

    Returns:
        `PartitionSpec`s in the structure of `params`.

    Example:
        >>> import jax.numpy as jnp, numpy as np
        >>> mesh = Mesh(np.array(jax.devices()[:1]), ("tensor",))
        >>> tuple(partition_specs({"embedding": jnp.zeros((8, 4))}, mesh)["embedding"])
        ('tensor', None)
    """
    return jax.tree_util.tree_map_with_path(lambda path, leaf: leaf_spec(_names(path), leaf.shape, mesh), params)


def _names(path: tuple) -> list[str]:
    return [str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in path]


@typed()
def shard_params(params: PyTree, mesh: Mesh) -> PyTree:
    """Spread a tree of arrays over a mesh.

    Args:
        params: parameters of a decoder, stacked or not; or a cache as `{"cache": cache}`.
        mesh: the devices; axes named `tensor` and `data` are used.

    Returns:
        The same numbers, spread.

    Example:
        >>> import jax.numpy as jnp, numpy as np
        >>> mesh = Mesh(np.array(jax.devices()[:1]), ("tensor",))
        >>> len(shard_params({"embedding": jnp.zeros((8, 4))}, mesh)["embedding"].sharding.device_set)
        1
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: jax.device_put(leaf, leaf_sharding(_names(path), leaf.shape, mesh)), params
    )
