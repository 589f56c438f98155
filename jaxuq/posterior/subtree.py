"""Acting on a part of the parameters: any method on the leaves whose paths a predicate chooses.

last_layer = on_part(swag(rank=20), paths_containing("output"))   # a method like any other, for whole parameters
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax
from jaxtyping import Array, Key, PyTree

from jaxuq._errors import OptionError
from jaxuq.posterior._model import ApplyFn, Params, freeze, thaw
from jaxuq.posterior.draws import Draws
from jaxuq.posterior.method import Method
from jaxuq.posterior.optax_form import observing


class PartState(NamedTuple):
    """State of a method on a part of the parameters.

    Attributes:
        part: the method's own state.
        rest: the parameters that it does not act on, the newest.
    """

    part: Any
    rest: Params


def on_part(method: Method, predicate: Callable[[str], bool]) -> Method:
    """A method that acts on some leaves of the parameters and leaves the others as they are.

    Use it for a last layer, adapters, or any subnetwork: what the method needs grows with the part alone, and samples
    hold the rest once. It is called with whole parameters; gradients and models of whole parameters are given too.

    Args:
        method: any `Method`.
        predicate: called with each leaf's path, as by `select`; see `paths_containing`.

    Returns:
        A `Method` that observes what the given one does. Its samples are `Draws`, whose `varying` are the part's. In
        training, where gradients are observed, `optax.multi_transform` with `method.as_optax(rng_key)` does the same.

    Raises:
        OptionError: from its functions, when no path satisfies the predicate.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.posterior import predict, swag
        >>> params = {"hidden": jnp.ones((2, 3)), "output": jnp.ones((3, 1))}
        >>> method = on_part(swag(), paths_containing("output"))
        >>> state = method.init(jax.random.key(0), params)
        >>> state = method.update(jax.random.key(1), state, params)
        >>> samples = method.sample(jax.random.key(2), state, 30)
        >>> predict(lambda p, x: x @ p["hidden"] @ p["output"], samples, jnp.ones((5, 2))).shape
        (30, 5, 1)
    """

    def whole(part: Params, rest: Params) -> Params:
        return merge(part, thaw(rest))

    def init(rng_key: Key[Array, ""], params: Params) -> PartState:
        part, rest = select(params, predicate)
        return PartState(method.init(rng_key, part), freeze(rest))

    def update(rng_key: Key[Array, ""], state: PartState, *observed: Any, **options: Any) -> PartState:
        first, *others = observed
        if method.observes == "snapshots":
            part, rest = select(first, predicate)
            return PartState(method.update(rng_key, state.part, part), freeze(rest))
        if method.observes == "data":
            partly: Any = lambda part, *args, **kwargs: first(whole(part, state.rest), *args, **kwargs)  # noqa: E731
        elif callable(first):
            partly = lambda part: select(first(whole(part, state.rest)), predicate)[0]  # noqa: E731
        else:
            partly = select(first, predicate)[0]
        return state._replace(part=method.update(rng_key, state.part, partly, *others, **options))

    def sample(rng_key: Key[Array, ""], state: PartState, num_samples: int) -> Draws:
        return Draws(method.sample(rng_key, state.part, num_samples), state.rest, _merged)

    transformation: Callable[..., optax.GradientTransformation] | None = None
    if method.observes == "snapshots" and method.transformation is not None:
        transformation = observing(init, update)
    return Method(init, update, sample, method.observes, transformation)


def _merged(apply_fn: ApplyFn, rest: Params) -> ApplyFn:
    def apply(part: Params, inputs: PyTree, **options: Any) -> Any:
        return apply_fn(merge(part, rest), inputs, **options)

    return apply


def paths_containing(*fragments: str) -> Callable[[str], bool]:
    """A predicate that holds for paths with any of the given fragments in them.

    Args:
        *fragments: pieces of a path such as `"output"`, `"head/kernel"` or `"lora"`; case matters.

    Returns:
        `predicate(path) -> bool` for `select`.

    Raises:
        OptionError: when no fragment is given, or an empty one, which every path contains.

    Example:
        >>> last_layer = paths_containing("output")
        >>> last_layer("params/output/kernel"), last_layer("params/hidden_0/kernel")
        (True, False)
    """
    if not fragments or not all(fragments):
        raise OptionError(f"fragments are {fragments}; give one or more pieces of a path, none of them empty")
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
        OptionError: when no path satisfies the predicate; the message lists the first paths.

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
        raise OptionError(f"no parameter path satisfies the predicate; the first paths are {paths[:8]}")
    leaves = [leaf for _, leaf in with_paths]
    selected = structure.unflatten([leaf if keep else None for leaf, keep in zip(leaves, chosen)])
    rest = structure.unflatten([None if keep else leaf for leaf, keep in zip(leaves, chosen)])
    return selected, rest


def merge(selected: Params, rest: Params) -> Params:
    """Put the two parts that `select` made together again.

    Args:
        selected: one part, with `None` (or `optax.MaskedNode()`) where `rest` has the leaf.
        rest: the other part.

    Returns:
        The whole parameter tree. Where a sample axis was added to `selected` it stays; `rest` is not copied.

    Raises:
        OptionError: when both parts have a leaf at the same path.

    Example:
        >>> import jax.numpy as jnp
        >>> merge({"a": jnp.zeros(2), "b": None}, {"a": None, "b": jnp.ones(1)})
        {'a': Array([0., 0.], dtype=float32), 'b': Array([1.], dtype=float32)}
    """

    def missing(leaf: Any) -> bool:
        return leaf is None or isinstance(leaf, optax.MaskedNode)

    def pick(path: Any, left: Any, right: Any) -> Any:
        if not missing(left) and not missing(right):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise OptionError(f"both parts have the leaf {name!r}; exactly one of them may, as `select` returns them")
        return right if missing(left) else left

    return jax.tree_util.tree_map_with_path(pick, selected, rest, is_leaf=missing)
