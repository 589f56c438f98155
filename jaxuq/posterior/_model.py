"""What a model is to this room: a pytree of parameters and a pure function that reads it."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Array, PyTree, Shaped

Params = PyTree[Shaped[Array, "..."]]
Samples = PyTree[Shaped[Array, "samples ..."]]
ApplyFn = Callable[..., Shaped[Array, "..."]]


def bind_parameters(apply_fn: ApplyFn, state: Any) -> ApplyFn:
    """The `bind` of every method whose samples are parameters: the model itself reads them."""
    del state
    return apply_fn
