"""What a model is to this room: a pytree of parameters and a pure function that reads it.

Parameters come from flax, nnx, equinox or the user's own hands, so a tree may hold leaves that are no numbers, such as
activation functions. Inside a method's state they are `Static`: part of the tree's structure and no leaf, so that a
state can be jitted, mapped, scanned, sent to the host and saved whatever the model is made of.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree, Shaped

from jaxuq._errors import ArrayError

Params = PyTree[Any]
Samples = PyTree[Any]
ApplyFn = Callable[..., Shaped[Array, "..."]]


@jax.tree_util.register_pytree_with_keys_class
class Static:
    """A node without leaves that carries a value which is no array; two are alike if their values are equal."""

    def __init__(self, value: Any):
        self.value = value

    def tree_flatten_with_keys(self) -> tuple[tuple[()], Any]:
        """No children; the value is part of the structure."""
        return (), self.value

    @classmethod
    def tree_unflatten(cls, value: Any, children: Any) -> "Static":
        """The node again."""
        del children
        return cls(value)

    def __repr__(self) -> str:
        return f"Static({self.value!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and (self.value is other.value or self.value == other.value)

    def __hash__(self) -> int:
        return hash((Static, self.value))


def freeze(params: Params) -> Params:
    """Arrays as JAX's own and every other leaf as a `Static`; a frozen tree is returned as it is."""

    def one(leaf: Any) -> Any:
        return jnp.asarray(leaf) if _is_array(leaf) else Static(leaf)

    return jax.tree.map(one, params)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)


def thaw(tree: Params) -> Params:
    """The inverse of `freeze`: what the model itself reads."""
    return jax.tree.map(
        lambda leaf: leaf.value if isinstance(leaf, Static) else leaf, tree, is_leaf=lambda x: isinstance(x, Static)
    )


def is_number(leaf: Any) -> bool:
    """Whether a leaf holds floating numbers, which methods average, perturb and move; keys and counters pass by."""
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def map_numbers(function: Callable[..., Any], tree: Params, *others: PyTree) -> PyTree:
    """`jax.tree.map` over the floating leaves of a frozen tree; its other leaves stay.

    Another tree may have `None`, or anything at all, where the first has no floating numbers, as gradients do.
    """
    leaves, structure = jax.tree.flatten(tree)
    columns = [parts_at(tree, other) for other in others]
    mapped = [
        function(leaf, *(column[i] for column in columns)) if is_number(leaf) else leaf for i, leaf in enumerate(leaves)
    ]
    return structure.unflatten(mapped)


def split_numbers(params: Params) -> tuple[list[Array], Callable[[list[Array]], Params]]:
    """The floating leaves of a frozen tree, and what puts others in their places and gives what the model reads."""
    leaves, structure = jax.tree.flatten(params)
    places = [i for i, leaf in enumerate(leaves) if is_number(leaf)]

    def whole(numbers: list[Array]) -> Params:
        filled = list(leaves)
        for place, number in zip(places, numbers):
            filled[place] = number
        return thaw(structure.unflatten(filled))

    return [leaves[i] for i in places], whole


def aligned(tree: Params, other: PyTree, *, stacked: bool = False) -> list[Any]:
    """`parts_at`, whose arrays must have the shapes of the tree's, or of one of its entries where those are `stacked`.

    An ArrayError names the first that has another: it would broadcast, or fail where nothing tells which it was.
    """
    parts = parts_at(tree, other)
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]
    for path, leaf, part in zip(paths, jax.tree.leaves(tree), parts):
        expected = leaf.shape[1:] if stacked else leaf.shape
        if part is not None and (not _is_array(part) or part.shape != expected):
            name = f"the leaf {jax.tree_util.keystr(path)}" if path else "the array"
            found = f"shape {part.shape}" if _is_array(part) else f"a {type(part).__name__}"
            raise ArrayError(
                f"{name} has {found}, and the parameters have shape {expected} there; pass one of its shape"
            )
    return parts


def parts_at(tree: Params, other: PyTree) -> list[Any]:
    """What another tree, frozen or not, has at the places of the arrays of a frozen tree; `None` included."""
    whole = thaw(tree)
    try:
        parts = jax.tree.structure(whole).flatten_up_to(thaw(other))
    except ValueError as error:
        raise ArrayError(f"the trees differ: {error}; pass one of the same structure as the parameters") from error
    return [part for part, leaf in zip(parts, jax.tree.leaves(whole)) if _is_array(leaf)]


def freeze_numbers(params: Params) -> Params:
    """`freeze`; an ArrayError unless there is a floating leaf."""
    frozen = freeze(params)
    if not any(is_number(leaf) for leaf in jax.tree.leaves(frozen)):
        raise ArrayError("the parameters have no leaf of floating numbers; pass the pytree of arrays that is trained")
    return frozen


def wide(array: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """Widen half-precision numbers, in which running sums would stand still; others are returned as they are."""
    return array.astype(jnp.float32) if is_number(array) and jnp.finfo(array.dtype).bits < 32 else array


def stacked(tree: Params, num_samples: int) -> Samples:
    """Every array `num_samples` times along a new leading axis."""
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[None], (num_samples, *leaf.shape)), tree)
