"""Call a function of the room as its users do: with JAX arrays in single precision, in one program."""

import functools

import jax
import jax.numpy as jnp
import numpy as np


def call(function, *arrays, **options):
    """Put NumPy arrays and lists in the arguments on the device, jit, and call; other keywords are static."""

    def move(value):
        value = np.asarray(value)
        return jnp.asarray(value.astype({"f": np.float32, "i": np.int32}.get(value.dtype.kind, value.dtype)))

    given = {key: move(value) for key, value in options.items() if isinstance(value, (np.ndarray, list, jax.Array))}
    static = {key: value for key, value in options.items() if key not in given}
    arguments = [jax.tree.map(move, value) if isinstance(value, tuple) else move(value) for value in arrays]
    return jax.jit(functools.partial(function, **static))(*arguments, **given)
