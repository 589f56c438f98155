"""From a flax module to the plain function that the rest of jaxuq works with."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Key, PyTree

from jaxuq._arguments import typed


@typed()
def apply_function(module: nn.Module, *, method: str | None = None) -> Callable[..., Any]:
    """Turn a flax module into `apply_fn(params, inputs, *, rng_key=None) -> outputs`.

    This is the one form of a model that jaxuq knows. With `rng_key` the module's dropout acts, without it the function
    is deterministic. flax.nnx, equinox and hand-written models take the same form in a line of their own.

    Args:
        module: a `flax.linen` module.
        method: name of the module's method to call instead of `__call__`, e.g. `"features"`.

    Returns:
        The function; `params` is what `module.init(...)["params"]` holds.

    Example:
        >>> import jax, jax.numpy as jnp, flax.linen as nn
        >>> module = nn.Dense(3)
        >>> params = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 2)))["params"]
        >>> apply_function(module)(params, jnp.ones((5, 2))).shape
        (5, 3)
    """

    def apply_fn(params: PyTree, inputs: PyTree, *, rng_key: Key[Array, ""] | None = None) -> PyTree:
        rngs = None if rng_key is None else {"dropout": rng_key}
        return module.apply({"params": params}, inputs, rngs=rngs, method=method)

    return apply_fn
