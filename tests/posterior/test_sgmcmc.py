"""Samplers against Bayesian linear regression: its posterior and its discretised chains have a closed form."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxuq import posterior
from jaxuq._errors import ArrayError
from jaxuq.posterior import (
    laplace,
    merge,
    on_part,
    paths_containing,
    posterior_state,
    psgld,
    sghmc,
    sgld,
    trace,
)

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


def _run(make, gradient, rng_key):
    """`[chains, draws, 3]` thinned samples of independent chains."""
    method = make(capacity=DRAWS, burn_in=BURN_IN, thinning=THIN, prior_scale=PRIOR)

    def chain(key):
        state = method.init(key, jnp.zeros(3))

        def step(state, number):
            return method.update(jax.random.fold_in(key, number), state, gradient), None

        state, _ = jax.lax.scan(step, state, jnp.arange(BURN_IN + DRAWS * THIN))
        return method.sample(key, state, DRAWS)

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
    draws = _run(partial(sgld, STEP), gradient, rng_key)
    _assert_moments(draws, mean, stationary)


def test_a_schedule_sets_the_step(regression, rng_key):
    precision, mean, gradient = regression
    schedule = optax.piecewise_constant_schedule(STEP, {BURN_IN // 2: 0.5})
    draws = _run(partial(sgld, schedule), gradient, rng_key)
    stationary = np.linalg.inv(precision @ (np.eye(3) - 0.5 * STEP * precision / 4))
    _assert_moments(draws, mean, stationary)


def test_sghmc_has_the_covariance_of_its_discretised_chain(regression, rng_key):
    precision, mean, gradient = regression
    stationary = np.linalg.inv(precision @ (np.eye(3) - STEP * precision / (2 * (2 - FRICTION))))
    draws = _run(partial(sghmc, STEP, friction=FRICTION), gradient, rng_key)
    _assert_moments(draws, mean, stationary)


def test_sghmc_takes_out_the_noise_that_gradients_bring(regression, rng_key):
    precision, mean, gradient = regression
    estimate = 0.1

    def noisy(theta):
        return gradient(theta) + jnp.sqrt(2 * estimate / STEP) * jax.random.normal(
            jax.random.key(jax.lax.bitcast_convert_type(theta[0], jnp.int32)), (3,)
        )

    stationary = np.linalg.inv(precision @ (np.eye(3) - STEP * precision / (2 * (2 - FRICTION))))
    make = partial(sghmc, STEP, friction=FRICTION, noise_estimate=estimate)
    _assert_moments(_run(make, noisy, rng_key), mean, stationary)


def test_psgld_has_the_covariance_of_its_discretised_chain(regression, rng_key):
    precision, mean, gradient = regression
    likelihood = precision - np.eye(3) / PRIOR**2
    covariance = np.linalg.inv(precision)
    for _ in range(20):  # the preconditioner depends on the spread of the gradients, and that on the preconditioner
        squares = (
            np.diag(likelihood @ covariance @ likelihood) + np.asarray(gradient(jnp.asarray(mean, jnp.float32))) ** 2
        )
        covariance = np.linalg.inv(precision @ (np.eye(3) - STEP * np.diag(1 / np.sqrt(squares)) @ precision / 4))
    draws = _run(partial(psgld, STEP, decay=0.995), gradient, rng_key)
    _assert_moments(draws, mean, covariance, bias=0.03)  # the bias of the term that is left out


def _moments(method, mean, gradient, burn_in, steps, chains=2000):
    """Mean and covariance of many chains, and the standard errors that the spread of the chains' own averages gives.

    The chains are the rows of one parameter, for each number moves by itself. They start at the posterior's mean.
    """
    centre = jnp.asarray(mean, jnp.float32)[None]
    key = jax.random.key(0)

    @jax.jit
    def run(state):
        def step(number, state):
            return method.update(jax.random.fold_in(key, number), state, jax.vmap(gradient))

        def counted(number, carry):
            state, first, second = carry
            state = step(number, state)
            away = state.position - centre
            return state, first + away, second + away[:, :, None] * away[:, None, :]

        state = jax.lax.fori_loop(0, burn_in, step, state)
        zeros = jnp.zeros((chains, 3)), jnp.zeros((chains, 3, 3))
        return jax.lax.fori_loop(burn_in, burn_in + steps, counted, (state, *zeros))[1:]

    sums = run(method.init(key, jnp.broadcast_to(centre, (chains, 3))))
    averages = [np.asarray(total, np.float64) / steps for total in sums]
    return [(average.mean(0), average.std(0) / np.sqrt(chains)) for average in averages]


EXACT = {  # the biases of these steps, some 0.5 %, are below the Monte Carlo error
    "sgld": (lambda: sgld(0.003, prior_scale=PRIOR, capacity=0), 2_500, 5_000),
    "sghmc": (lambda: sghmc(0.001, friction=FRICTION, prior_scale=PRIOR, capacity=0), 2_500, 5_000),
    "psgld": (lambda: psgld(0.003, decay=0.9999, prior_scale=PRIOR, capacity=0), 50_000, 12_000),
}


@pytest.mark.long
@pytest.mark.parametrize("name", EXACT)
def test_small_steps_visit_the_exact_posterior(regression, name):
    precision, mean, gradient = regression
    covariance = np.linalg.inv(precision)
    make, burn_in, steps = EXACT[name]
    (bias, error), (found, spread) = _moments(make(), mean, gradient, burn_in, steps)
    assert (np.abs(bias) < 4.5 * error).all()
    assert (np.abs(found - covariance) < 4.5 * spread).all()
    assert (np.diag(spread) < 0.015 * np.diag(covariance)).all()


@pytest.mark.long
def test_psgld_with_a_short_memory_is_off_however_small_its_step(regression):
    """The term that is left out: 13, 5 and 12 % too wide, of which the step accounts for 0.2, 0.2 and 1."""
    precision, mean, gradient = regression
    method = psgld(0.003, decay=0.99, prior_scale=PRIOR, capacity=0)
    _, (found, spread) = _moments(method, mean, gradient, 6_000, 12_000)
    excess = np.diag(found) / np.diag(np.linalg.inv(precision)) - 1
    np.testing.assert_allclose(excess, [0.126, 0.053, 0.123], atol=0.03)
    assert (np.diag(spread) < 0.01 * np.diag(np.linalg.inv(precision))).all()


def test_psgld_scales_drift_and_noise_by_the_same_preconditioner(rng_key):
    method, plain = psgld(0.01, decay=0.9, damping=0.5, capacity=0), sgld(0.01, capacity=0)
    gradient = jnp.array([1.0, -20.0])
    start = method.init(rng_key, jnp.zeros(2))
    state = method.update(rng_key, start, gradient)
    noise = plain.update(rng_key, plain.init(rng_key, jnp.zeros(2)), jnp.zeros(2)).position / np.sqrt(0.01)
    preconditioner = 1 / (0.5 + np.sqrt(0.1 * np.asarray(gradient) ** 2))
    expected = -0.005 * preconditioner * gradient + np.sqrt(0.01 * preconditioner) * noise
    np.testing.assert_allclose(state.position, expected, rtol=1e-5)
    state = method.update(rng_key, state, gradient)
    np.testing.assert_allclose(state.memory, 0.19 * gradient**2, rtol=1e-5)


def test_friction_one_is_sgld_with_twice_the_step(rng_key):
    params = jnp.array([1.0, -2.0])
    hamiltonian, langevin = sghmc(0.05, friction=1.0), sgld(0.1)
    a = hamiltonian.update(rng_key, hamiltonian.init(rng_key, params), params)
    b = langevin.update(rng_key, langevin.init(rng_key, params), params)
    np.testing.assert_allclose(a.position, b.position, rtol=1e-6)


def test_a_step_is_its_key_and_its_state(rng_key):
    method = sgld(0.1)
    params = jnp.zeros(4)
    state = method.init(rng_key, params)
    first, again = (method.update(rng_key, jax.device_get(state), params) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    other = method.update(jax.random.fold_in(rng_key, 1), state, params)
    assert not np.allclose(first.position, other.position)


@pytest.mark.parametrize("make", [sgld, psgld, sghmc])
def test_half_precision_chains_move_as_single_precision_ones(rng_key, make):
    """Moves of 1e-3 are far below the spacing of bfloat16 at 10, 0.0625; after many the spread is right."""
    method = make(1e-6, capacity=0)
    steps = 2500

    @jax.jit
    def run(params):
        def step(state, number):
            return method.update(jax.random.fold_in(rng_key, number), state, jnp.zeros_like(params)), None

        return jax.lax.scan(step, method.init(rng_key, params), jnp.arange(steps))[0]

    half, single = run(jnp.full(40, 10.0, jnp.bfloat16)), run(jnp.full(40, 10.0))
    assert half.position.dtype == jnp.bfloat16
    moved = np.asarray(half.position, np.float64) + np.asarray(half.lost)
    np.testing.assert_allclose(moved, single.position, atol=1e-3 * np.abs(single.position - 10).max() + 1e-4)
    np.testing.assert_array_equal(half.position, jnp.asarray(moved, jnp.bfloat16))
    assert len(np.unique(np.asarray(half.position, np.float32))) > (1 if make is sgld else 0)


def test_a_half_precision_chain_in_an_optimiser_moves_as_the_direct_one(rng_key):
    method = sgld(1e-3)
    rider = method.as_optax(rng_key)
    params = jnp.full(3, 10.0, jnp.bfloat16)
    state, optimizer_state = method.init(rng_key, params), rider.init(params)
    for number in range(60):
        state = method.update(jax.random.fold_in(rng_key, number), state, jnp.ones(3))
        updates, optimizer_state = rider.update(jnp.ones(3, jnp.bfloat16), optimizer_state, params)
        params = optax.apply_updates(params, updates)
    np.testing.assert_array_equal(params, state.position)
    assert (params != 10.0).any()
    jax.tree.map(np.testing.assert_array_equal, posterior_state(optimizer_state), state)


def test_a_sampler_of_the_last_layer_beside_an_optimiser_of_the_rest(rng_key):
    """By optax labels equal to the direct form, which acts on the part; the samples are whole networks."""
    params = {"hidden": jnp.ones(3), "output": jnp.ones(2)}
    gradients = {"hidden": jnp.full(3, 0.5), "output": jnp.full(2, -1.0)}
    method = sgld(0.2, prior_scale=0.5)
    direct = on_part(method, paths_containing("output"))
    adam = optax.adam(0.1)
    both = optax.multi_transform({"rest": adam, "last": method.as_optax(rng_key)}, {"hidden": "rest", "output": "last"})
    with jax.numpy_dtype_promotion("standard"):  # adam raises a float to an integer power
        updates, state = jax.jit(both.update)(gradients, both.init(params), params)
        expected, _ = adam.update(gradients["hidden"], adam.init(params["hidden"]))
    np.testing.assert_allclose(updates["hidden"], expected, rtol=1e-6)
    after = direct.update(jax.random.fold_in(rng_key, 0), direct.init(rng_key, params), gradients)
    np.testing.assert_allclose(params["output"] + updates["output"], after.part.position["output"], rtol=1e-6)
    samples = method.sample(rng_key, posterior_state(state), 1)
    moved = merge(samples, {"hidden": params["hidden"], "output": None})
    assert moved["output"].shape == (1, 2) and moved["hidden"].shape == (3,)


@pytest.mark.parametrize(
    ("collected", "asked", "expected"),
    [(12, 3, [5, 8, 11]), (12, 5, [4, 6, 8, 9, 11]), (12, 10, range(2, 12)), (4, 2, [1, 3]), (2, 4, [0, 0, 1, 1])],
)
def test_trace_keeps_the_newest_and_thins_evenly(collected, asked, expected):
    kept = trace.start({"a": jnp.zeros(2)}, 10)
    for value in range(collected):
        kept = trace.collect(kept, {"a": jnp.full(2, float(value))})
    drawn = trace.draw(kept, asked)["a"][:, 0]
    assert drawn[-1] == collected - 1
    assert np.ptp(np.diff(drawn)) <= 1
    if list(expected) != [4, 6, 8, 9, 11]:
        np.testing.assert_array_equal(drawn, list(expected))


def test_an_empty_trace_gives_nan_and_a_small_one_says_so(rng_key):
    method = sgld(0.1, capacity=3, burn_in=1, thinning=2)
    state = method.init(rng_key, jnp.zeros(2))
    assert np.isnan(method.sample(rng_key, state, 2)).all()
    with pytest.raises(ValueError, match="at most 3"):
        method.sample(rng_key, state, 30)
    path = []
    for _ in range(5):
        state = method.update(rng_key, state, jnp.ones(2))
        path.append(state.position)
    assert int(state.trace.count) == 2
    np.testing.assert_array_equal(method.sample(rng_key, state, 2), np.stack([path[2], path[4]]))


_TAKE_A_TREE = {
    "sgld": sgld(0.1),
    "psgld": psgld(0.1),
    "sghmc": sghmc(0.1),
    "sgnht": posterior.sgnht(0.1),
    "cyclical-sgld": posterior.cyclical_sgld(0.1, num_steps=80, num_cycles=2),
    "bbp": posterior.bbp(optimizer=optax.sgd(0.1)),
    "batch-ensemble": posterior.batch_ensemble(2, optimizer=optax.sgd(0.1)),
    "swag": posterior.swag(),
    "ensemble": posterior.ensemble(2),
    "deterministic": posterior.deterministic(),
    "mc-dropout": posterior.mc_dropout(),
}


@pytest.mark.parametrize("name", _TAKE_A_TREE)
def test_what_would_only_broadcast_to_the_parameters_is_an_error(name):
    """Gradients, or a snapshot, of a leaf in another shape, none at all of one, or of another tree."""
    method = _TAKE_A_TREE[name]
    state = method.init(jax.random.key(0), {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)})
    of_functions = name in ("bbp", "batch-ensemble")
    wrong = {
        r"\['b'\] has shape \(1,\)": {"w": jnp.ones((3, 2)), "b": jnp.ones(1)},
        r"\['w'\] has shape \(2,\)": {"w": jnp.ones(2), "b": jnp.ones(2)},
        r"\['b'\] has a float": {"w": jnp.ones((3, 2)), "b": 0.0},
        r"\['b'\] has a dict": {"w": jnp.ones((3, 2)), "b": {"c": jnp.ones(2)}},
        "the trees differ": {"w": jnp.ones((3, 2))},
    }
    for message, tree in wrong.items():
        with pytest.raises(ArrayError, match=message):
            method.update(jax.random.key(1), state, (lambda params, tree=tree: tree) if of_functions else tree)


def _without_params(optimizer):
    return optimizer.update(jnp.ones(1), optimizer.init(jnp.ones(1)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: psgld(0.1, decay=1.0), "decay is 1.0"),
        (lambda: psgld(0.1, damping=0.0), "damping is 0.0"),
        (lambda: sghmc(0.1, friction=0.0), "friction is 0.0"),
        (lambda: sghmc(0.1, noise_estimate=0.2), "noise_estimate is 0.2"),
        (lambda: sgld(0.1, capacity=-1), "capacity is -1"),
        (lambda: sgld(-0.1), "step_size is -0.1"),
        (lambda: sgld(0.1, thinning=0), "thinning is 0"),
        (lambda: sgld(0.1).as_optax(jax.random.key(0), every=2), "thinning and burn_in instead"),
        (lambda: sgld(0.1).init(jax.random.key(0), {"a": jnp.zeros(2, int)}), "no leaf of floating numbers"),
        (lambda: _without_params(sgld(0.1).as_optax(jax.random.key(0))), "parameters are missing"),
        (lambda: laplace("gaussian").as_optax(jax.random.key(0)), "observes data in this way is no optax"),
    ],
)
def test_errors_name_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
