"""How the tests of this room call a metric: compiled, on float32 arrays, with the result as NumPy."""

import functools

import jax
import numpy as np
import pytest


@pytest.fixture
def run():
    def call(metric, *arrays, where=None, **options):
        arrays = [np.asarray(a, np.float32) if np.asarray(a).dtype == np.float64 else np.asarray(a) for a in arrays]
        if where is None:
            result = jax.jit(functools.partial(metric, **options))(*arrays)
        else:
            result = jax.jit(lambda mask, *a: metric(*a, where=mask, **options))(where, *arrays)
        return jax.tree.map(np.asarray, result)

    return call
