"""How parameters, caches and activations are spread over a mesh of devices: tables of rules by name.

A mesh may have any of four axes. Over `data` and `fsdp` go the rows of a batch; over `fsdp` (over `data`, where a mesh
has no `fsdp`) the parameters are split as well, and gathered layer by layer when they are used; over `tensor` go heads,
inner widths and the vocabulary; over `expert` the expert MLPs of a mixture, or the members of an ensemble of adapters,
each with its own cache.
"""

import contextlib
import contextvars
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree, Shaped

from jaxuq._arguments import typed
from jaxuq._options import check_choice

PARTITION_RULES: tuple[tuple[str, PartitionSpec], ...] = (
    (r"(^|/)embedding$", PartitionSpec("tensor", "fsdp")),
    (r"(^|/)unembedding$", PartitionSpec(None, "vocabulary")),
    (r"experts/(gate|up)/kernel$", PartitionSpec("expert", "fsdp", "tensor")),
    (r"experts/down/kernel$", PartitionSpec("expert", "tensor", "fsdp")),
    (r"(query|key|value|gate|up)/kernel$", PartitionSpec("fsdp", "tensor")),
    (r"(query|key|value|gate|up)/bias$", PartitionSpec("tensor")),
    (r"(output|down)/kernel$", PartitionSpec("tensor", "fsdp")),
    (r"^cache/(keys|values)(/\d+)?$", PartitionSpec("rows", "tensor", None, None)),
    (r"^cache/positions$", PartitionSpec("rows", None)),
    (r".*", PartitionSpec()),
)
"""Patterns of parameter names and how their *last* axes are split; the first pattern found counts.

`fsdp` stands for the axis `data` where the mesh has no `fsdp`; `rows` for `data` and `fsdp` together; `vocabulary` for
`tensor` and `fsdp`: the table that makes logits stays where it is, since every block of tokens would gather it anew,
and the hidden states, which are small, go to it: their rows are split over what is left (`read`).
"""

ACTIVATION_RULES: dict[str, PartitionSpec] = {
    "tokens": PartitionSpec("rows", None),
    "residual": PartitionSpec("rows", None, None),
    "inner": PartitionSpec("rows", None, "tensor"),
    "residual of few": PartitionSpec(None, None, "fsdp"),
    "inner of few": PartitionSpec(None, None, "tensor"),
    "queries": PartitionSpec("rows", None, "tensor", None),
    "keys": PartitionSpec("rows", "tensor", None, None),
    "read": PartitionSpec("read", None, None),
    "logits": PartitionSpec("read", None, "vocabulary"),
    "table": PartitionSpec("vocabulary", None),
    "columns": PartitionSpec(None, "vocabulary"),
}
"""What a pass makes and how its last axes are split, in the words of `PARTITION_RULES`; see `constrain`.

Without them the compiler leaves split weights where they are and gives every device the whole batch. Of few tokens, as
in a step of decoding, that is right: parts of products are added up, and the stream is split by width. `logits` are
those of a block of tokens, made from hidden states split as `read` says (those that a token is drawn from are whole, on
as many devices as rows allow: `draws`); `table` and `columns` are an embedding and an unembedding that logits are made
with.
"""


def _axes(name: str | None, size: int, sizes: dict[str, int]) -> Any:
    """The axes of a mesh that a word of the tables stands for, as far as they divide an array's axis."""
    if name is None:
        return None
    fully = "fsdp" if "fsdp" in sizes else "data"
    words = {"rows": ("data", "fsdp"), "fsdp": (fully,), "vocabulary": ("tensor", fully)}
    words["draws"] = (*words["rows"], "tensor")
    words["read"] = tuple(axis for axis in words["rows"] if axis != fully)
    chosen: tuple[str, ...] = ()
    for axis in words.get(name, (name,)):
        if axis in sizes and size % sizes[axis] == 0:
            chosen, size = (*chosen, axis), size // sizes[axis]
    return chosen[0] if len(chosen) == 1 else chosen or None


def _spec(rule: PartitionSpec, shape: Sequence[int], sizes: dict[str, int]) -> PartitionSpec:
    padded = [None] * (len(shape) - len(rule)) + list(rule)[max(len(rule) - len(shape), 0) :]
    return PartitionSpec(*(_axes(name, size, sizes) for name, size in zip(padded, shape)))


def leaf_spec(path: Sequence[str], shape: Sequence[int], mesh: Mesh) -> PartitionSpec:
    """The rule of one array, less the axes that the mesh lacks or that do not divide the array.

    Args:
        path: keys, such as `("layers", "query", "kernel")`.
        shape: of the array.
        mesh: with any of the axes `data`, `fsdp`, `tensor`, `expert`, and others.

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
    return _spec(rule, shape, dict(mesh.shape))


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
        mesh: the devices; axes named `data`, `fsdp`, `tensor` and `expert` are used.

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


def place_params(params: PyTree, mesh: Mesh | None) -> PyTree:
    """Parameters where a function with `mesh=` wants them: by the rules, unless they lie on that mesh already."""
    if mesh is None:
        return params

    def one(path: tuple, leaf: Any) -> Any:
        there = isinstance(leaf, jax.Array) and getattr(leaf.sharding, "mesh", None) == mesh
        return leaf if there else jax.device_put(leaf, leaf_sharding(_names(path), leaf.shape, mesh))

    return jax.tree_util.tree_map_with_path(one, params)


def place_members(adapters: PyTree, mesh: Mesh | None) -> PyTree:
    """Adapters with a leading axis of members, which goes over `expert`; see `place_params`."""
    if mesh is None:
        return adapters
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: jax.device_put(leaf, member_sharding(_names(path), leaf.shape, mesh)), adapters
    )


def member_sharding(path: Sequence[str], shape: Sequence[int], mesh: Mesh) -> NamedSharding:
    """`leaf_sharding` of an array with a leading axis of members."""
    members = _axes("expert", shape[0], dict(mesh.shape))
    return NamedSharding(mesh, PartitionSpec(members, *leaf_spec(path, shape[1:], mesh)))


@typed()
def constrain(array: Shaped[Array, "..."], rule: str) -> Shaped[Array, "..."]:
    """The same array, to be split as a rule of `ACTIVATION_RULES` says, over the automatic axes of its mesh.

    The mesh is that of the arrays it was made from. Without one, on axes of `jax.shard_map` and on explicit axes, whose
    types say how arrays are split, nothing changes; nor do numbers ever.

    Args:
        array: what a pass has made.
        rule: its name.

    Returns:
        The array.

    Raises:
        OptionError: a name that is not in the table.

    Example:
        >>> import jax.numpy as jnp
        >>> constrain(jnp.ones((2, 3, 4)), "residual").shape
        (2, 3, 4)
    """
    check_choice("rule", rule, tuple(ACTIVATION_RULES))
    return _constrained(array, ACTIVATION_RULES[rule])


def constrain_rows(tree: PyTree[Shaped[Array, "rows ..."]], word: str = "rows") -> PyTree[Shaped[Array, "rows ..."]]:
    """`constrain` of arrays whose first axis is rows: it is split as a word of the tables says, and nothing else."""
    return jax.tree.map(lambda leaf: _constrained(leaf, PartitionSpec(word, *(None,) * (leaf.ndim - 1))), tree)


def constrain_tables(params: PyTree) -> PyTree:
    """Parameters whose tables are split as logits want them, to be called before a loop that makes logits.

    That is by vocabulary; where rows are mapped over, whose axes are taken, the rest is gathered here, once. An
    embedding that makes no logits stays as it is.
    """
    leaves, tree = jax.tree_util.tree_flatten_with_path(params)
    names = [_names(path)[-1] if path else "" for path, _ in leaves]
    name, rule = ("unembedding", "columns") if "unembedding" in names else ("embedding", "table")
    return tree.unflatten(
        constrain(leaf, rule) if own == name and leaf.ndim == 2 else leaf for own, (_, leaf) in zip(names, leaves)
    )


def parts_of(tree: PyTree, rule: str, shape: Sequence[int]) -> int:
    """Over how many devices a rule splits an array of a shape on the mesh of arrays; 1 without a mesh."""
    _, sizes = _automatic(tree)
    entries = _spec(ACTIVATION_RULES[rule], shape, sizes)
    return math.prod(sizes[axis] for entry in entries for axis in ((entry,) if isinstance(entry, str) else entry or ()))


def vocabulary_parts(array: Shaped[Array, "*batch vocab"]) -> int:
    """Into how many parts logits are split along the vocabulary; 1 without a mesh."""
    return parts_of(array, "logits", (1, 1, array.shape[-1]))


@contextlib.contextmanager
def mapped_rows(tree: PyTree, rows: int, word: str = "rows") -> Iterator[tuple[str, ...] | None]:
    """To trace a function of one row in, which `jax.vmap` maps over rows that are split over the mesh of arrays.

    Gives the axes that split them, for `jax.vmap(..., spmd_axis_name=axes)`; inside, no constraint names them. Members
    of an ensemble are rows of the word `expert`.
    """
    _, sizes = _automatic(tree)
    axes = _axes(word, rows, sizes)
    axes = (axes,) if isinstance(axes, str) else axes
    before = _mapped.set(_mapped.get() | set(axes or ()))
    try:
        yield axes
    finally:
        _mapped.reset(before)


def rows_are_mapped() -> bool:
    """Whether `mapped_rows` around this call has split rows."""
    return bool(_mapped.get())


_mapped: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar("mapped", default=frozenset())


def _constrained(array: Array, rule: PartitionSpec) -> Array:
    mesh, sizes = _automatic(array)
    if mesh is None:
        return array
    return jax.lax.with_sharding_constraint(array, NamedSharding(mesh, _spec(rule, array.shape, sizes)))


def _automatic(tree: Any) -> tuple[Any, dict[str, int]]:
    """The mesh of arrays, and the sizes of its automatic axes that are longer than one and over which none maps."""
    for leaf in jax.tree.leaves(tree):
        mesh = jax.typeof(leaf).sharding.mesh
        kinds = zip(mesh.axis_names, mesh.axis_types)
        sizes = {name: mesh.shape[name] for name, kind in kinds if kind == AxisType.Auto and mesh.shape[name] > 1}
        if sizes:
            return mesh, {name: size for name, size in sizes.items() if name not in _mapped.get()}
    return None, {}
