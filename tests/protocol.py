"""What a public array function must do, said once: the `Example` that every one of them supplies to `test_protocol.py`.

Each room has a `tests/<room>/protocol.py` with two dictionaries: `EXAMPLES` maps each public name of the room to one or
several `Example`; `HOST` maps the public names that are not array functions (types, functions that read files or call
scikit-learn) to the reason why.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Example(NamedTuple):
    """One call of a public function on small arrays.

    Attributes:
        function: what is called as `function(*args, **kwargs)`.
        args: positional pytrees of arrays; all are traced by `jit`, stacked by `vmap` and sharded along axis 0.
        kwargs: static keyword arguments.
        where: a mask passed as `where=`; the entries of `masked` that it leaves out are overwritten with NaN (or with
            the largest integer) and neither the value nor the gradient may change.
        masked: positions in `args` whose leading axes are those of `where`.
        differentiable: positions in `args` with a finite gradient of the sum of all floating outputs.
        vmappable: whether a leading batch axis may be added to every argument (False for what fixes the batch itself).
        shardable: whether axis 0 of the arguments can be divided over eight devices.
        keeps_type: whether results have the type of the arguments, as parameters and forecasts do, and only sums within
            are wider.
        whole: positions in `args` of parameters, which a mesh with explicit axes holds whole on every device.
        rows: the position in `args` whose leading axis counts rows of data, which may be none; None if there is none.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = MappingProxyType({})
    where: Any = None
    masked: tuple[int, ...] = ()
    differentiable: tuple[int, ...] = ()
    vmappable: bool = True
    shardable: bool = True
    keeps_type: bool = False
    whole: tuple[int, ...] = ()
    rows: int | None = 0


def in_type_of(module: Any, variables: Any) -> Any:
    """The module with the type of its variables: what `dtype` is to a user."""
    kinds = {leaf.dtype for leaf in jax.tree.leaves(variables) if jnp.issubdtype(leaf.dtype, jnp.floating)}
    (dtype,) = kinds
    return module.clone(dtype=dtype)


def random_variables(module: Any, *inputs: Any) -> Any:
    """Variables of a flax module, drawn by NumPy: nothing is compiled while tests are collected."""
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        return jnp.asarray((path[-1].key == "scale") + 0.4 * rng.normal(size=leaf.shape), leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, jax.eval_shape(module.init, jax.random.key(0), *inputs))
