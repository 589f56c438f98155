"""How the tests of this room call a metric: compiled, on float32 arrays, with the result as NumPy."""

import functools

import jax
import numpy as np
import pytest


@functools.cache
def _compiled(metric, masked, options):
    if not masked:
        return jax.jit(functools.partial(metric, **dict(options)))
    return jax.jit(lambda mask, *arrays: metric(*arrays, where=mask, **dict(options)))


@pytest.fixture
def run():
    def call(metric, *arrays, where=None, **options):
        arrays = [np.asarray(a, np.float32) if np.asarray(a).dtype == np.float64 else np.asarray(a) for a in arrays]
        mask = () if where is None else (where,)
        result = _compiled(metric, where is not None, tuple(options.items()))(*mask, *arrays)
        return jax.tree.map(np.asarray, result)

    return call
