"""Last-layer Laplace against exact posteriors, Hessians by automatic differentiation, and dense matrices in NumPy."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxuq.posterior import dense, laplace, nuts_last_layer

TAU = 0.7
N, D = 24, 3
OUTPUTS = {"gaussian": 4, "bernoulli": 2, "categorical": 3}


def _problem(rng, likelihood, bias=True):
    outputs = OUTPUTS[likelihood]
    params = {"kernel": jnp.asarray(rng.normal(size=(D, outputs)), jnp.float32)}
    if bias:
        params["bias"] = jnp.asarray(rng.normal(size=outputs), jnp.float32)
    features = jnp.asarray(rng.normal(size=(N, D)), jnp.float32)
    if likelihood == "categorical":
        return params, features, jnp.asarray(rng.integers(0, 3, size=N))
    labels = rng.normal(size=(N, 2)) if likelihood == "gaussian" else rng.integers(0, 2, size=(N, 2))
    return params, features, jnp.asarray(labels, jnp.float32)


def _nll(flat, likelihood, features, labels):
    """Summed negative log likelihood of weights flattened as [inputs, outputs] row by row, written out once more."""
    weights = flat.reshape(-1, OUTPUTS[likelihood])
    outputs = (features @ weights[:-1] + weights[-1:]) if len(weights) > D else features @ weights
    if likelihood == "gaussian":
        mean, variance = outputs[:, 0::2], jnp.log1p(jnp.exp(outputs[:, 1::2])) + 1e-6
        return jnp.sum(0.5 * jnp.log(2 * jnp.pi * variance) + (labels - mean) ** 2 / (2 * variance))
    if likelihood == "bernoulli":
        return jnp.sum(jnp.log1p(jnp.exp(outputs)) - labels * outputs)
    return jnp.sum(jax.nn.logsumexp(outputs, axis=1) - outputs[jnp.arange(len(labels)), labels])


_jitted_nll = jax.jit(_nll, static_argnames="likelihood")


def _flat(params):
    return jnp.concatenate([params["kernel"], params["bias"][None]] if "bias" in params else [params["kernel"]]).ravel()


def _hessian(likelihood, params, features, labels):
    """The expected Hessian; for a Gaussian head the mean over labels one deviation above and below is exact."""
    return np.asarray(_jitted_hessian(likelihood, params, features, labels), np.float64)


@functools.partial(jax.jit, static_argnames="likelihood")
def _jitted_hessian(likelihood, params, features, labels):
    hessian = jax.hessian(functools.partial(_nll, likelihood=likelihood, features=features))
    if likelihood != "gaussian":
        return hessian(_flat(params), labels=labels)
    outputs = dense(params, features)
    deviation = jnp.sqrt(jax.nn.softplus(outputs[:, 1::2]) + 1e-6)
    both = [hessian(_flat(params), labels=outputs[:, 0::2] + sign * deviation) for sign in (1, -1)]
    return (both[0] + both[1]) / 2


def _dense_precision(structure, likelihood, params, features, labels):
    """H + tau I with the approximation made in NumPy from the brute-force Hessian."""
    full = _hessian(likelihood, params, features, labels)
    m = OUTPUTS[likelihood]
    if structure == "full":
        matrix = full
    elif structure == "diagonal":
        matrix = np.diag(np.diag(full))
    else:
        inputs = np.concatenate([features, np.ones((N, 1))], axis=1) if "bias" in params else np.asarray(features)
        # The bias block of H is the sum of the output curvatures; without bias, add a constant input to get it.
        with_bias = dict(params, bias=params.get("bias", jnp.zeros(m)))
        outputs = _hessian(likelihood, with_bias, features, labels)[-m:, -m:]
        matrix = np.kron(inputs.T @ inputs, outputs) / N
    return matrix + TAU * np.eye(len(matrix))


CASES = pytest.mark.parametrize("structure", ["full", "kronecker", "diagonal"])
LIKELIHOODS = pytest.mark.parametrize("likelihood", OUTPUTS)


@pytest.mark.parametrize(
    ("structure", "likelihood", "bias"),
    [(structure, likelihood, True) for structure in ("full", "kronecker", "diagonal") for likelihood in OUTPUTS]
    + [("full", "categorical", False), ("kronecker", "bernoulli", False)],
)
def test_every_structure_equals_its_dense_matrix(rng, rng_key, structure, likelihood, bias):
    params, features, labels = _problem(rng, likelihood, bias)
    method = laplace(likelihood, structure, prior_precision=TAU)
    state, update = method.init(params), jax.jit(method.update)
    for part in (slice(0, 8), slice(8, 16), slice(16, N)):
        state = update(state, features[part], labels[part])
    precision = _dense_precision(structure, likelihood, params, features, labels)
    covariance = np.linalg.inv(precision)
    m, d = OUTPUTS[likelihood], D + bias

    # The variance of every output.
    new = np.asarray(rng.normal(size=(6, D)), np.float32)
    inputs = np.concatenate([new, np.ones((6, 1))], axis=1) if bias else new
    jacobian = np.einsum("ni,ab->naib", inputs, np.eye(m)).reshape(6, m, d * m)
    mean, variance = jax.jit(method.linearised)(state, jnp.asarray(new))
    np.testing.assert_allclose(mean, dense(params, jnp.asarray(new)))
    np.testing.assert_allclose(variance, np.einsum("nap,pq,naq->na", jacobian, covariance, jacobian), rtol=1e-3)

    # The evidence.
    flat = np.asarray(_flat(params), np.float64)
    log_posterior = -_jitted_nll(_flat(params), likelihood, features, labels)
    log_prior = stats.norm(0, TAU**-0.5).logpdf(flat).sum()
    log_volume = 0.5 * (len(flat) * np.log(2 * np.pi) - np.linalg.slogdet(precision)[1])
    expected = log_posterior + log_prior + log_volume
    evidence = jax.jit(method.log_marginal_likelihood)
    np.testing.assert_allclose(evidence(state), expected, rtol=1e-4)
    again = evidence(state._replace(prior_precision=jnp.float32(9.0)), jnp.float32(TAU))
    np.testing.assert_allclose(again, expected, rtol=1e-4)

    # The samples.
    count = 20000
    samples = jax.jit(method.sample, static_argnums=2)(rng_key, state, count)
    drawn = np.concatenate([samples["kernel"], samples["bias"][:, None]] if bias else [samples["kernel"]], axis=1)
    drawn = drawn.reshape(count, -1)
    scale = np.sqrt(np.diag(covariance))
    assert (np.abs(drawn.mean(0) - flat) < 4.8 * scale / np.sqrt(count)).all()
    error = np.sqrt((np.outer(scale, scale) ** 2 + covariance**2) / count)
    assert (np.abs(np.cov(drawn.T) - covariance) < 4.8 * error).all()


NOISE = 0.4


@pytest.fixture
def regression(rng):
    """A linear regression with known noise: data, exact posterior, evidence and the MAP layer."""
    features = rng.normal(size=(10, 2))
    labels = features @ np.array([[1.0], [-2.0]]) + 0.5 + NOISE * rng.normal(size=(10, 1))
    inputs = np.concatenate([features, np.ones((10, 1))], axis=1)
    covariance = np.linalg.inv(inputs.T @ inputs / NOISE**2 + TAU * np.eye(3))
    mean = covariance @ inputs.T @ labels / NOISE**2
    marginal = stats.multivariate_normal(np.zeros(10), inputs @ inputs.T / TAU + NOISE**2 * np.eye(10))
    params = {"kernel": jnp.asarray(mean[:2], jnp.float32), "bias": jnp.asarray(mean[2], jnp.float32)}
    data = (jnp.asarray(features, jnp.float32), jnp.asarray(labels, jnp.float32))
    return data, params, mean[:, 0], covariance, marginal.logpdf(labels[:, 0])


@pytest.mark.parametrize("structure", ["full", "kronecker"])
def test_known_noise_gives_exact_bayesian_linear_regression(regression, structure):
    (features, labels), params, _, covariance, evidence = regression
    method = laplace("gaussian", structure, prior_precision=TAU, noise_scale=NOISE)
    state = method.update(method.init(params), features, labels)
    inputs = np.concatenate([features, np.ones((10, 1))], axis=1)
    _, variance = method.linearised(state, features)
    np.testing.assert_allclose(variance[:, 0], np.diag(inputs @ covariance @ inputs.T), rtol=1e-3)
    np.testing.assert_allclose(method.log_marginal_likelihood(state), evidence, rtol=1e-4)


def test_nuts_agrees_with_bayesian_linear_regression(regression, rng_key):
    from numpyro.diagnostics import effective_sample_size

    (features, labels), params, mean, covariance, _ = regression
    samples = nuts_last_layer(
        rng_key, params, features, labels, "gaussian", prior_scale=TAU**-0.5, noise_scale=NOISE, num_warmup=300
    )
    draws = np.concatenate([samples["kernel"][:, :, 0], samples["bias"]], axis=1)
    assert draws.shape == (500, 3)
    for i in range(3):
        size = effective_sample_size(draws[None, :, i])
        assert size > 50
        assert abs(draws[:, i].mean() - mean[i]) < 4.5 * np.sqrt(covariance[i, i] / size)
        squares = (draws[:, i] - mean[i]) ** 2
        error = covariance[i, i] * np.sqrt(2 / effective_sample_size(squares[None]))
        assert abs(squares.mean() - covariance[i, i]) < 4.5 * error


@CASES
@LIKELIHOODS
def test_masked_labels_count_for_nothing(rng, structure, likelihood):
    params, features, labels = _problem(rng, likelihood)
    method = laplace(likelihood, structure)
    where = np.ones(labels.shape, bool)
    where[10:] = False
    hidden = np.where(where, labels, np.iinfo(np.int32).max if likelihood == "categorical" else np.nan)
    poisoned = np.asarray(features).copy()
    poisoned[10:] = np.nan
    expected = method.update(method.init(params), features[:10], labels[:10])
    masked = method.update(
        method.init(params), jnp.asarray(poisoned), jnp.asarray(hidden, labels.dtype), where=jnp.asarray(where)
    )
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), masked, expected)


def test_one_masked_task_leaves_the_other_alone(rng):
    params, features, labels = _problem(rng, "bernoulli")
    method = laplace("bernoulli", "full")
    where = jnp.asarray(np.stack([np.arange(N) < 9, np.ones(N, bool)], axis=1))
    masked = method.update(method.init(params), features, labels, where=where)
    first = method.update(method.init(params), features[:9], labels[:9])
    whole = method.update(method.init(params), features, labels)
    np.testing.assert_allclose(masked.curvature[0], first.curvature[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(masked.curvature[1], whole.curvature[1], rtol=1e-5, atol=1e-6)


@CASES
def test_update_never_holds_the_jacobian_of_a_batch(structure):
    batch, d, tasks = 512, 32, 256
    method = laplace("bernoulli", structure)
    params = {"kernel": jnp.zeros((d, tasks)), "bias": jnp.zeros(tasks)}
    shapes = jax.eval_shape(method.init, params)
    data = [jax.ShapeDtypeStruct((batch, width), jnp.float32) for width in (d, tasks)]
    compiled = jax.jit(method.update, donate_argnums=0).lower(shapes, *data).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 0.5 * batch * (d + 1) * tasks * 4


def test_the_evidence_prefers_the_precision_that_made_the_weights(rng):
    """A prior precision fitted by gradient-free search lands near the one from which the weights were drawn."""
    kernel = rng.normal(size=(200, 1)) * 0.5
    features = rng.normal(size=(400, 200))
    labels = features @ kernel + 0.1 * rng.normal(size=(400, 1))
    params = {"kernel": jnp.asarray(np.linalg.lstsq(features, labels, rcond=None)[0], jnp.float32)}
    method = laplace("gaussian", "full", noise_scale=0.1)
    state = method.update(method.init(params), jnp.asarray(features, jnp.float32), jnp.asarray(labels, jnp.float32))
    grid = jnp.logspace(-2, 3, 51)
    best = grid[jnp.argmax(jax.lax.map(lambda tau: method.log_marginal_likelihood(state, tau), grid))]
    assert abs(np.log10(best) - np.log10(4.0)) < 0.25


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        (("gaussian", "lowrank"), {}, "'lowrank'; expected one of full, kronecker, diagonal"),
        (("gaussian",), {"prior_precision": 0.0}, "prior_precision is 0.0"),
        (("bernoulli",), {"noise_scale": 1.0}, "noise_scale is 1.0 for 'bernoulli'"),
    ],
)
def test_errors_name_what_is_wrong(arguments, keywords, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(laplace)(*arguments, **keywords)
