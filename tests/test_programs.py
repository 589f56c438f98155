"""Compiled programs are let go of before there are too many for the process."""

import jax
import jax.numpy as jnp
import pytest

from jaxuq._programs import forget_programs_if_many


@pytest.mark.long  # what the process has compiled is lost to the tests after it
def test_programs_are_forgotten_only_when_there_are_many():
    traced = []

    @jax.jit
    def double(x):
        traced.append(x)
        return 2 * x

    for expected in (1, 1):
        assert double(jnp.float32(3.0)) == 6 and len(traced) == expected
        assert not forget_programs_if_many(most_maps=10**9)
    assert forget_programs_if_many(most_maps=1)
    assert double(jnp.float32(3.0)) == 6 and len(traced) == 2
