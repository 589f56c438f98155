"""Samplers against Bayesian linear regression: its posterior and its discretised chains have a closed form."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxuq.posterior import psgld, sghmc, sgld

NOISE, PRIOR, CHAINS, DRAWS, THIN, BURN_IN = 1.0, 0.7, 400, 40, 8, 300
STEP = 0.2
FRICTION = 0.3


@pytest.fixture(scope="module")
def regression():
    """Precision and mean of the exact posterior, and the summed gradient of the negative log likelihood."""
    rng = np.random.default_rng(3)
    design = rng.normal(size=(6, 3)) @ np.diag([0.5, 0.4, 0.3])
    labels = design @ np.array([1.0, -1.0, 0.5]) + NOISE * rng.normal(size=6)
    precision = design.T @ design / NOISE**2 + np.eye(3) / PRIOR**2
    mean = np.linalg.solve(precision, design.T @ labels / NOISE**2)
    x, y = jnp.asarray(design, jnp.float32), jnp.asarray(labels, jnp.float32)
    gradient = jax.grad(lambda theta: jnp.sum((y - x @ theta) ** 2) / (2 * NOISE**2))
    return precision, mean, gradient


def _run(method, gradient, rng_key):
    """`[chains, draws, 3]` thinned samples of independent chains, by way of the trace."""

    def chain(key):
        params = jnp.zeros(3)
        state, trace = method.init(key, params), method.start(params)

        def step(carry, number):
            params, state, trace = carry
            updates, state = method.update(gradient(params), state, params)
            params = optax.apply_updates(params, updates)
            keep = (number >= BURN_IN) & (number % THIN == 0)
            trace = jax.tree.map(functools.partial(jnp.where, keep), method.collect(trace, params), trace)
            return (params, state, trace), None

        (_, _, trace), _ = jax.lax.scan(step, (params, state, trace), jnp.arange(BURN_IN + DRAWS * THIN))
        return method.sample(key, trace, DRAWS)

    return np.asarray(jax.jit(jax.vmap(chain))(jax.random.split(rng_key, CHAINS)), np.float64)


def _assert_moments(draws, mean, covariance, bias=0.0):
    """Mean and covariance within 4.5 standard errors, the errors from the effective sample size."""
    from numpyro.diagnostics import effective_sample_size

    centred = draws - mean
    for i in range(draws.shape[-1]):
        size = effective_sample_size(draws[..., i])
        assert abs(centred[..., i].mean()) < 4.5 * np.sqrt(covariance[i, i] / size)
        for j in range(i + 1):
            products = centred[..., i] * centred[..., j]
            error = np.sqrt(covariance[i, i] * covariance[j, j] + covariance[i, j] ** 2)
            tolerance = 4.5 * error / np.sqrt(effective_sample_size(products)) + bias * error
            assert tolerance < 0.2 * error + bias * error
            assert abs(products.mean() - covariance[i, j]) < tolerance


def test_sgld_has_the_covariance_of_its_discretised_chain(regression, rng_key):
    precision, mean, gradient = regression
    stationary = np.linalg.inv(precision @ (np.eye(3) - STEP * precision / 4))
    draws = _run(sgld(STEP, prior_scale=PRIOR, capacity=DRAWS), gradient, rng_key)
    _assert_moments(draws, mean, stationary)


def test_a_schedule_sets_the_step(regression, rng_key):
    precision, mean, gradient = regression
    schedule = optax.piecewise_constant_schedule(STEP, {BURN_IN // 2: 0.5})
    draws = _run(sgld(schedule, prior_scale=PRIOR, capacity=DRAWS), gradient, rng_key)
    stationary = np.linalg.inv(precision @ (np.eye(3) - 0.5 * STEP * precision / 4))
    _assert_moments(draws, mean, stationary)


def test_sghmc_has_the_covariance_of_its_discretised_chain(regression, rng_key):
    precision, mean, gradient = regression
    stationary = np.linalg.inv(precision @ (np.eye(3) - STEP * precision / (2 * (2 - FRICTION))))
    draws = _run(sghmc(STEP, friction=FRICTION, prior_scale=PRIOR, capacity=DRAWS), gradient, rng_key)
    _assert_moments(draws, mean, stationary)


def test_sghmc_takes_out_the_noise_that_gradients_bring(regression, rng_key):
    precision, mean, gradient = regression
    estimate = 0.1

    def noisy(theta):
        return gradient(theta) + jnp.sqrt(2 * estimate / STEP) * jax.random.normal(
            jax.random.key(jax.lax.bitcast_convert_type(theta[0], jnp.int32)), (3,)
        )

    stationary = np.linalg.inv(precision @ (np.eye(3) - STEP * precision / (2 * (2 - FRICTION))))
    method = sghmc(STEP, friction=FRICTION, noise_estimate=estimate, prior_scale=PRIOR, capacity=DRAWS)
    _assert_moments(_run(method, noisy, rng_key), mean, stationary)


def test_psgld_has_the_covariance_of_its_discretised_chain(regression, rng_key):
    precision, mean, gradient = regression
    likelihood = precision - np.eye(3) / PRIOR**2
    covariance = np.linalg.inv(precision)
    for _ in range(20):  # the preconditioner depends on the spread of the gradients, and that on the preconditioner
        squares = (
            np.diag(likelihood @ covariance @ likelihood) + np.asarray(gradient(jnp.asarray(mean, jnp.float32))) ** 2
        )
        covariance = np.linalg.inv(precision @ (np.eye(3) - STEP * np.diag(1 / np.sqrt(squares)) @ precision / 4))
    draws = _run(psgld(STEP, decay=0.995, prior_scale=PRIOR, capacity=DRAWS), gradient, rng_key)
    _assert_moments(draws, mean, covariance, bias=0.03)  # the bias of the term that is left out


def test_psgld_scales_drift_and_noise_by_the_same_preconditioner(rng_key):
    method = psgld(0.01, decay=0.9, damping=0.5)
    plain = sgld(0.01)
    gradient = jnp.array([1.0, -20.0])
    state = method.init(rng_key, gradient)
    updates, state = method.update(gradient, state)
    noise = plain.update(jnp.zeros(2), plain.init(rng_key, gradient))[0] / np.sqrt(0.01)
    preconditioner = 1 / (0.5 + np.sqrt(0.1 * np.asarray(gradient) ** 2))
    expected = -0.005 * preconditioner * gradient + np.sqrt(0.01 * preconditioner) * noise
    np.testing.assert_allclose(updates, expected, rtol=1e-5)
    updates, state = method.update(gradient, state)
    np.testing.assert_allclose(state.second_moment, 0.19 * gradient**2, rtol=1e-5)


def test_friction_one_is_sgld_with_twice_the_step(rng_key):
    params = jnp.array([1.0, -2.0])
    hamiltonian, langevin = sghmc(0.05, friction=1.0), sgld(0.1)
    a = hamiltonian.update(params, hamiltonian.init(rng_key, params), params)[0]
    b = langevin.update(params, langevin.init(rng_key, params), params)[0]
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_noise_is_new_at_every_step_and_the_same_after_a_restart(rng_key):
    method = sgld(0.1)
    params = jnp.zeros(4)
    first, state = method.update(params, method.init(rng_key, params))
    second, _ = method.update(params, state)
    again, _ = method.update(params, state)
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(second, again)


def test_a_sampler_of_the_last_layer_beside_an_optimiser_of_the_rest(rng_key):
    params = {"hidden": jnp.ones(3), "output": jnp.ones(2)}
    gradients = {"hidden": jnp.full(3, 0.5), "output": jnp.full(2, -1.0)}
    method = sgld(0.2, prior_scale=0.5)
    adam = optax.adam(0.1)
    both = optax.multi_transform({"rest": adam, "last": method.as_optax(rng_key)}, {"hidden": "rest", "output": "last"})
    with jax.numpy_dtype_promotion("standard"):  # adam raises a float to an integer power
        updates, _ = jax.jit(both.update)(gradients, both.init(params), params)
        expected, _ = adam.update(gradients["hidden"], adam.init(params["hidden"]))
    np.testing.assert_allclose(updates["hidden"], expected, rtol=1e-6)
    drift = -0.1 * (gradients["output"] + params["output"] / 0.25)
    pure_noise, _ = sgld(0.2).update({"output": jnp.zeros(2)}, sgld(0.2).init(rng_key, None), None)
    np.testing.assert_allclose(updates["output"], drift + pure_noise["output"], rtol=1e-5)


@pytest.mark.parametrize(
    ("collected", "asked", "expected"),
    [(12, 3, [5, 8, 11]), (12, 5, [4, 6, 8, 9, 11]), (12, 10, range(2, 12)), (4, 2, [1, 3]), (2, 4, [0, 0, 1, 1])],
)
def test_trace_keeps_the_newest_and_thins_evenly(rng_key, collected, asked, expected):
    method = sgld(0.1, capacity=10)
    trace = method.start({"a": jnp.zeros(2)})
    for value in range(collected):
        trace = method.collect(trace, {"a": jnp.full(2, float(value))})
    drawn = method.sample(rng_key, trace, asked)["a"][:, 0]
    assert drawn[-1] == collected - 1
    assert np.ptp(np.diff(drawn)) <= 1
    if list(expected) != [4, 6, 8, 9, 11]:
        np.testing.assert_array_equal(drawn, list(expected))


def test_an_empty_trace_gives_nan_and_a_small_one_says_so(rng_key):
    method = sgld(0.1, capacity=3)
    trace = method.start(jnp.zeros(2))
    assert np.isnan(method.sample(rng_key, trace, 2)).all()
    with pytest.raises(ValueError, match="at most 3"):
        method.sample(rng_key, trace, 30)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: psgld(0.1, decay=1.0), "decay is 1.0"),
        (lambda: psgld(0.1, damping=0.0), "damping is 0.0"),
        (lambda: sghmc(0.1, friction=0.0), "friction is 0.0"),
        (lambda: sghmc(0.1, noise_estimate=0.2), "noise_estimate is 0.2"),
        (lambda: sgld(0.1, capacity=0), "capacity is 0"),
        (lambda: sgld(0.1, prior_scale=1.0).update(jnp.ones(1), sgld(0.1).init(jax.random.key(0), None)), "parameters"),
    ],
)
def test_errors_name_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
