"""Pytrees as JSON and named arrays, and back: nothing is imported, called or looked up that the reader did not name.

A structure is nested lists, each `[kind, ...]`: `none`, `array` and `key` (with the array's name), `value`, `static`,
`dict`, `list`, `tuple`, `record` (a fitted state), `draws`, and `like` for trees of other people's classes, of which
paths alone are written and which are read into a tree of the same classes.
"""

from typing import Any
from urllib.parse import quote

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq._errors import JaxuqError
from jaxuq.calibration.beta import BetaState
from jaxuq.calibration.by_group import GroupState
from jaxuq.calibration.classwise_isotonic import ClasswiseState
from jaxuq.calibration.conformal_regression import ConformalState
from jaxuq.calibration.isotonic import IsotonicState
from jaxuq.calibration.isotonic_quantiles import QuantileState
from jaxuq.calibration.linear_scaling import LinearState
from jaxuq.calibration.platt import PlattState
from jaxuq.calibration.temperature import TemperatureState
from jaxuq.calibration.variance import VarianceState
from jaxuq.calibration.venn_abers import VennAbersState
from jaxuq.posterior import READERS, Draws
from jaxuq.posterior._model import Static

_STATES: dict[str, Any] = {
    state.__name__: state
    for state in (
        BetaState, ClasswiseState, ConformalState, GroupState, IsotonicState, LinearState, PlattState, QuantileState,
        TemperatureState, VarianceState, VennAbersState,
    )
}  # fmt: skip
_DEPTH = 64  # nested containers in one tree, far from Python's own limit of calls


class FittedError(JaxuqError, ValueError):
    """A fitted forecaster that cannot be saved, or a folder that holds none that can be read; says what and why."""


class _NotPlain(Exception):
    pass


def pack(tree: Any, prefix: str, arrays: dict[str, np.ndarray]) -> list[Any]:
    """The structure of a tree; its arrays are added to `arrays` under names that begin with `prefix`."""
    if isinstance(tree, Draws):
        reader = READERS.name_of(tree.reader)
        if reader is None:
            raise FittedError(
                f"samples are Draws read by {getattr(tree.reader, '__name__', tree.reader)}, which has no name to "
                "save; put it in jaxuq.posterior.READERS, where the loading process has it too"
            )
        parts = [pack(getattr(tree, name), f"{prefix}/{name}", arrays) for name in ("varying", "fixed")]
        return ["draws", reader, *parts]
    found: dict[str, np.ndarray] = {}
    try:
        structure = _pack_plain(tree, prefix, found, 0)
    except _NotPlain:
        found.clear()
        paths = jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_end)[0]
        structure = ["like", [[_name("", path), _pack_leaf(leaf, _name(prefix, path), found)] for path, leaf in paths]]
    arrays.update(found)
    return structure


def _is_end(node: Any) -> bool:
    return node is None or isinstance(node, Static)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _name(prefix: str, path: tuple[Any, ...]) -> str:
    """A path of JAX's keys; text is escaped, so that brackets and slashes belong to the form alone."""
    for step in path:
        key = next(getattr(step, name) for name in ("key", "name", "idx") if hasattr(step, name))
        prefix += "/" + _escaped(key)
    return prefix


def _escaped(key: Any) -> str:
    return quote(key, safe="", errors="surrogatepass") if type(key) is str else f"[{quote(repr(key), safe='')}]"


def _pack_plain(tree: Any, name: str, arrays: dict[str, np.ndarray], depth: int) -> list[Any]:
    if depth > _DEPTH:
        raise FittedError(f"{name[:60]}... is nested deeper than {_DEPTH} containers; stack its layers")

    def below(value: Any, key: Any) -> list[Any]:
        return _pack_plain(value, f"{name}/{_escaped(key)}", arrays, depth + 1)

    if type(tree) is dict:
        return ["dict", [[_pack_key(key), below(value, key)] for key, value in tree.items()]]
    if type(tree) in (list, tuple):
        return [type(tree).__name__, [below(value, number) for number, value in enumerate(tree)]]
    if _STATES.get(type(tree).__name__) is type(tree):
        return ["record", type(tree).__name__, [below(value, field) for field, value in tree._asdict().items()]]
    leaf = _pack_leaf(tree, name, arrays)
    if leaf in (["given"], ["static", ["given"]]):
        raise _NotPlain
    return leaf


def _pack_key(key: Any) -> Any:
    """A dictionary's key as JSON: text, whole numbers, None and booleans as they are, tuples of them as lists."""
    if type(key) is tuple:
        return [_pack_key(part) for part in key]
    if key is None or type(key) in (str, int, bool, float):
        return key
    raise _NotPlain


def _pack_leaf(leaf: Any, name: str, arrays: dict[str, np.ndarray]) -> list[Any]:
    if leaf is None:
        return ["none"]
    if isinstance(leaf, Static):
        return ["static", _pack_leaf(leaf.value, name, arrays)]
    if type(leaf) in (bool, int, float, str):
        return ["value", leaf]
    if not _is_array(leaf):
        return ["given"]
    if name in arrays:
        raise FittedError(f"two arrays would be called {name}; keys of one dictionary must differ as text")
    arrays[name] = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
    return ["key", name, str(jax.random.key_impl(leaf))] if _is_key(leaf) else ["array", name]


def unpack(structure: Any, arrays: dict[str, np.ndarray], like: Any, what: str) -> Any:
    """The tree of a structure; `like` is a tree of the same classes, or None; takes what it uses out of `arrays`."""
    kind, *content = structure
    if kind == "draws":
        reader, varying, fixed = content
        if reader not in READERS:
            raise FittedError(f"{what} are read by {reader!r}, which jaxuq.posterior.READERS lacks here; put it in")
        likes = (like.varying, like.fixed) if isinstance(like, Draws) else (like, like)
        parts = [unpack(part, arrays, other, what) for part, other in zip((varying, fixed), likes)]
        return Draws(parts[0], parts[1], READERS[reader])
    if kind != "like":
        return _unpack_plain(structure, arrays)
    if like is None:
        raise FittedError(
            f"{what} are a tree of classes, which a file cannot name safely; pass like=Fitted(...) with a tree of the "
            "same structure there, such as the parameters that the model's init gives"
        )
    stored = dict(content[0])
    leaves, rebuild = jax.tree_util.tree_flatten_with_path(like, is_leaf=_is_end)
    wanted = {_name("", path): leaf for path, leaf in leaves}
    if set(wanted) != set(stored):
        different = sorted(set(wanted) ^ set(stored))[:4]
        raise FittedError(f"{what} were saved from another structure than like= has; they differ in {different}")
    return rebuild.unflatten(
        [_unpack_like(stored[path], arrays, leaf, f"{what}{path}") for path, leaf in wanted.items()]
    )


def _unpack_like(node: Any, arrays: dict[str, np.ndarray], like: Any, what: str) -> Any:
    if node[0] == "static":
        return Static(_unpack_like(node[1], arrays, like.value if isinstance(like, Static) else like, what))
    if node[0] == "given":
        return like
    leaf = _unpack_plain(node, arrays)
    both = _is_array(leaf) and _is_array(like) and not _is_key(leaf)
    if both and np.shape(like) not in (leaf.shape, leaf.shape[1:]):
        raise FittedError(f"{what} has shape {leaf.shape} and in like= {np.shape(like)}, which is another model")
    return leaf


def _unpack_plain(structure: Any, arrays: dict[str, np.ndarray]) -> Any:
    kind, *content = structure
    if kind == "none":
        return None
    if kind == "value" and isinstance(content[0], bool | int | float | str):
        return content[0]
    if kind == "static":
        return Static(_unpack_plain(content[0], arrays))
    if kind == "array":
        array = arrays.pop(content[0])
        return array if jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype else jnp.asarray(array)
    if kind == "key":
        return jax.random.wrap_key_data(jnp.asarray(arrays.pop(content[0])), impl=content[1])
    if kind == "dict":
        return {_unpack_key(key): _unpack_plain(node, arrays) for key, node in content[0]}
    if kind in ("list", "tuple"):
        return (list if kind == "list" else tuple)(_unpack_plain(node, arrays) for node in content[0])
    if kind == "record":
        return _STATES[content[0]](*(_unpack_plain(node, arrays) for node in content[1]))
    raise ValueError(f"a part is of the unknown kind {kind!r:.40}")


def _unpack_key(key: Any) -> Any:
    return tuple(_unpack_key(part) for part in key) if isinstance(key, list) else key
