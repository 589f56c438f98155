"""Acting on a part of the parameters: choose leaves by path, and put the two parts together again.

last, rest = select(params, paths_containing("output"))
apply = lambda last, inputs: apply_fn(merge(last, rest), inputs)
samples = method.sample(rng_key, state, 30)          # 30 copies of the last layer, one of everything else
outputs = predict(apply, samples, inputs)
"""

from collections.abc import Callable

import jax

from jaxuq.posterior._model import Params


def paths_containing(*fragments: str) -> Callable[[str], bool]:
    """A predicate that holds for paths with any of the given fragments in them.

    Args:
        *fragments: pieces of a path such as `"output"`, `"head/kernel"` or `"lora"`; case matters.

    Returns:
        `predicate(path) -> bool` for `select`.

    Raises:
        ValueError: when no fragment is given, or an empty one, which every path contains.

    Example:
        >>> last_layer = paths_containing("output")
        >>> last_layer("params/output/kernel"), last_layer("params/hidden_0/kernel")
        (True, False)
    """
    if not fragments or not all(fragments):
        raise ValueError(f"fragments are {fragments}; give one or more pieces of a path, none of them empty")
    return lambda path: any(fragment in path for fragment in fragments)


def select(params: Params, predicate: Callable[[str], bool]) -> tuple[Params, Params]:
    """Split parameters into the leaves whose path satisfies a predicate and all others.

    Both parts keep the structure of `params`, with `None` where the other part has the leaf; JAX and optax treat `None`
    as an empty subtree, so a part can be differentiated, stacked, sampled and saved like any parameter tree.

    Args:
        params: the parameters, any pytree.
        predicate: called with each leaf's path, its keys joined by `/` as in `"params/output/kernel"`.

    Returns:
        `(selected, rest)`.

    Raises:
        ValueError: when no path satisfies the predicate; the message lists the first paths.

    Example:
        >>> import jax.numpy as jnp
        >>> params = {"hidden": {"kernel": jnp.ones((2, 3))}, "output": {"kernel": jnp.ones((3, 1))}}
        >>> last, rest = select(params, paths_containing("output"))
        >>> last["hidden"], rest["output"]
        ({'kernel': None}, {'kernel': None})
        >>> merge(last, rest)["output"]["kernel"].shape
        (3, 1)
    """
    with_paths, structure = jax.tree_util.tree_flatten_with_path(params)
    paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in with_paths]
    chosen = [predicate(path) for path in paths]
    if not any(chosen):
        raise ValueError(f"no parameter path satisfies the predicate; the first paths are {paths[:8]}")
    leaves = [leaf for _, leaf in with_paths]
    selected = structure.unflatten([leaf if keep else None for leaf, keep in zip(leaves, chosen)])
    rest = structure.unflatten([None if keep else leaf for leaf, keep in zip(leaves, chosen)])
    return selected, rest


def merge(selected: Params, rest: Params) -> Params:
    """Put the two parts that `select` made together again.

    Args:
        selected: one part, with `None` where `rest` has the leaf.
        rest: the other part.

    Returns:
        The whole parameter tree. Where a sample axis was added to `selected` it stays; `rest` is not copied.

    Raises:
        ValueError: when both parts have a leaf at the same path.

    Example:
        >>> import jax.numpy as jnp
        >>> merge({"a": jnp.zeros(2), "b": None}, {"a": None, "b": jnp.ones(1)})
        {'a': Array([0., 0.], dtype=float32), 'b': Array([1.], dtype=float32)}
    """

    def pick(path, left, right):
        if left is not None and right is not None:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise ValueError(f"both parts have the leaf {name!r}; exactly one of them may, as `select` returns them")
        return right if left is None else left

    return jax.tree_util.tree_map_with_path(pick, selected, rest, is_leaf=lambda leaf: leaf is None)
