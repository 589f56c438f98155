"""SGNHT and cyclical SGLD: their equations by hand, and the temperatures that theory gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq._errors import OptionError
from jaxuq.posterior import cyclical_sgld, sgld, sgnht


def test_one_step_of_the_thermostat(monkeypatch):
    """The worked step: A 1, h .01, friction .1, given momentum, gradient and noise."""
    from jaxuq.posterior import chain

    monkeypatch.setattr(chain, "normal_like", lambda key, leaves: [jnp.array([0.5, -1.0])])
    method = sgnht(0.01)
    theta = jnp.array([1.0, -0.5])
    state = method.init(jax.random.key(0), theta)._replace(memory=(jnp.array([0.2, 0.1]), jnp.array(0.1)))
    state = method.update(jax.random.key(0), state, theta)
    np.testing.assert_allclose(state.memory[0], [0.260511, -0.036521], atol=1e-6)
    np.testing.assert_allclose(state.position, [1.002605, -0.500365], atol=1e-6)
    np.testing.assert_allclose(state.memory[1], 0.090346, atol=1e-6)


@pytest.mark.long
def test_the_friction_absorbs_unknown_gradient_noise():
    """A standard normal target whose gradients have noise of variance 50: friction A + Vh/2, where SGLD is too warm."""
    size, h, variance = 2000, 0.01, 50.0

    def run(method):
        def step(state, number):
            keys = jax.random.split(jax.random.fold_in(jax.random.key(1), number))
            noise = jnp.sqrt(variance) * jax.random.normal(keys[0], (size,))
            state = method.update(keys[1], state, state.position + noise)
            return state, (state.position, state.memory)

        return jax.lax.scan(step, method.init(jax.random.key(0), jnp.zeros(size)), jnp.arange(12_000))[1]

    positions, (momenta, frictions) = run(sgnht(h, capacity=0))
    late = slice(4000, None, 20)
    np.testing.assert_allclose(frictions[late].mean(), 1 + variance * h / 2, atol=0.03)
    np.testing.assert_allclose(jnp.square(momenta[late]).mean(), 1, atol=0.01)
    np.testing.assert_allclose(jnp.square(positions[late]).mean(), 1, atol=0.03)
    # With SGLD's own convention (step 2h): variance (2 + hV) / (2 - h)
    positions, _ = run(sgld(2 * h, capacity=0))
    np.testing.assert_allclose(jnp.square(positions[late]).mean(), (2 + h * variance) / (2 - h), atol=0.02)


def test_the_step_falls_in_each_cycle_and_noise_comes_with_the_last_fifth():
    """Four cycles of 25 steps; a gradient of 1 moves by half the step where there is no noise."""
    method = cyclical_sgld(0.2, num_steps=100)

    def step(state, number):
        new = method.update(jax.random.fold_in(jax.random.key(0), number), state, jnp.ones(1))
        return new, (state.position - new.position)[0]

    state, moved = jax.lax.scan(step, method.init(jax.random.key(0), jnp.zeros(1)), jnp.arange(100))
    for number, expected in ((1, 0.1), (13, 0.053140), (26, 0.1), (20, 0.05 * (np.cos(np.pi * 19 / 25) + 1))):
        np.testing.assert_allclose(moved[number - 1], expected, rtol=1e-3)
    drift = 0.05 * (np.cos(np.pi * (np.arange(100) % 25) / 25) + 1)
    quiet = np.isclose(moved, drift, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(quiet, np.arange(100) % 25 < 20)
    kept = np.asarray(method.sample(jax.random.key(0), state, 12))[:, 0]
    path = -np.cumsum(np.asarray(moved))
    ends = [25 * (cycle + 1) - 1 - back for cycle in range(4) for back in (2, 1, 0)]
    np.testing.assert_allclose(kept, path[ends], rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_cycles_find_both_modes():
    """Two well separated modes; plain SGLD of the same length stays in the one where it starts."""

    def gradient(theta):
        return jax.grad(lambda x: -jnp.sum(jnp.logaddexp(-2 * (x - 2) ** 2, -2 * (x + 2) ** 2)))(theta)

    def share(method, num):
        def chain(key):
            def step(state, number):
                return method.update(jax.random.fold_in(key, number), state, gradient), None

            start = method.init(key, jnp.full(1, 2.0))
            state = jax.lax.scan(step, start, jnp.arange(4000))[0]
            return method.sample(key, state, num)

        draws = jax.jit(jax.vmap(chain))(jax.random.split(jax.random.key(3), 64))
        return float((draws < 0).mean())

    # Where steps are larger than 4 / curvature the drift overshoots, so that a cycle starts somewhere else.
    assert 0.35 < share(cyclical_sgld(1.2, num_steps=4000, num_cycles=20, exploration=0.5), 60) < 0.65
    assert share(sgld(0.02, capacity=60, burn_in=1000, thinning=50), 60) < 0.05


def test_options_are_checked():
    with pytest.raises(OptionError, match="samples_per_cycle is 6, but 5 of the 25 steps"):
        cyclical_sgld(0.1, num_steps=100, samples_per_cycle=6)
    with pytest.raises(OptionError, match="exploration"):
        cyclical_sgld(0.1, num_steps=100, exploration=1.0)
    with pytest.raises(OptionError, match="diffusion"):
        sgnht(0.1, diffusion=0.0)
