"""What a model is to this room: a pytree of parameters and a pure function that reads it."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, PyTree, Shaped

Params = PyTree[Shaped[Array, "..."]]
Samples = PyTree[Shaped[Array, "samples ..."]]
ApplyFn = Callable[..., Shaped[Array, "..."]]


def bind_parameters(apply_fn: ApplyFn, state: Any) -> ApplyFn:
    """The `bind` of every method whose samples are parameters: the model itself reads them."""
    del state
    return apply_fn


def at_least_float32(array: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """Widen half-precision numbers, in which running sums would stand still."""
    return array.astype(jnp.float32) if jnp.finfo(array.dtype).bits < 32 else array
