"""Laplace against exact posteriors, Hessians by automatic differentiation, and dense matrices in NumPy."""

import functools
import inspect

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxuq.posterior import (
    best_prior,
    dense,
    gaussian,
    laplace,
    log_marginal_likelihood,
    low_rank,
    nuts,
    on_part,
    output_variance,
    paths_containing,
    predict,
    predict_forecast,
)

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


def _apply(likelihood, params, features):
    """A dense layer whose outputs are arranged as the likelihood reads them."""
    outputs = dense(params, features)
    return outputs.reshape(*outputs.shape[:-1], 2, 2) if likelihood == "gaussian" else outputs


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
    elif structure == "columns":
        matrix = full * np.kron(np.ones((len(full) // m, len(full) // m)), np.eye(m))
    else:
        inputs = np.concatenate([features, np.ones((N, 1))], axis=1) if "bias" in params else np.asarray(features)
        # The bias block of H is the sum of the output curvatures; without bias, add a constant input to get it.
        with_bias = dict(params, bias=params.get("bias", jnp.zeros(m)))
        outputs = _hessian(likelihood, with_bias, features, labels)[-m:, -m:]
        matrix = np.kron(inputs.T @ inputs, outputs) / N
    return matrix + TAU * np.eye(len(matrix))


STRUCTURES = ("full", "columns", "kronecker", "diagonal")
LIKELIHOODS = pytest.mark.parametrize("likelihood", OUTPUTS)


@pytest.mark.parametrize(
    ("structure", "likelihood", "bias"),
    [(structure, likelihood, True) for structure in STRUCTURES for likelihood in OUTPUTS]
    + [("full", "categorical", False), ("kronecker", "bernoulli", False), ("columns", "gaussian", False)],
)
def test_every_structure_equals_its_dense_matrix(rng, rng_key, structure, likelihood, bias):
    params, features, labels = _problem(rng, likelihood, bias)
    apply = functools.partial(_apply, likelihood)
    method = laplace(likelihood, structure, prior_precision=TAU, linearised=False)
    state = method.init(rng_key, params)
    update = jax.jit(lambda state, x, y: method.update(rng_key, state, apply, x, y))
    for part in (slice(0, 8), slice(8, 16), slice(16, N)):
        state = update(state, features[part], labels[part])
    precision = _dense_precision(structure, likelihood, params, features, labels)
    covariance = np.linalg.inv(precision)
    m, d = OUTPUTS[likelihood], D + bias

    # The variance of every output.
    new = np.asarray(rng.normal(size=(6, D)), np.float32)
    inputs = np.concatenate([new, np.ones((6, 1))], axis=1) if bias else new
    jacobian = np.einsum("ni,ab->naib", inputs, np.eye(m)).reshape(6, m, d * m)
    variance = jax.jit(lambda state, x: output_variance(state, apply, x))(state, jnp.asarray(new)).reshape(6, m)
    np.testing.assert_allclose(variance, np.einsum("nap,pq,naq->na", jacobian, covariance, jacobian), rtol=1e-3)

    # The evidence.
    flat = np.asarray(_flat(params), np.float64)
    log_posterior = -_jitted_nll(_flat(params), likelihood, features, labels)
    log_prior = stats.norm(0, TAU**-0.5).logpdf(flat).sum()
    log_volume = 0.5 * (len(flat) * np.log(2 * np.pi) - np.linalg.slogdet(precision)[1])
    expected = log_posterior + log_prior + log_volume
    evidence = jax.jit(log_marginal_likelihood)
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


@pytest.mark.parametrize("structure", ["full", "kronecker", "columns", "low_rank"])
def test_known_noise_gives_exact_bayesian_linear_regression(regression, structure, rng_key):
    """The joint Kronecker form too, bias included: one curvature for all examples."""
    (features, labels), params, _, covariance, evidence = regression
    method = laplace(gaussian(NOISE), structure, prior_precision=TAU)
    update = jax.jit(lambda state, x, y: method.update(rng_key, state, dense, x, y))
    state = update(method.init(rng_key, params), features, labels)
    inputs = np.concatenate([features, np.ones((10, 1))], axis=1)
    variance = jax.jit(lambda state, x: output_variance(state, dense, x))(state, features)
    np.testing.assert_allclose(variance[:, 0], np.diag(inputs @ covariance @ inputs.T), rtol=1e-3)
    np.testing.assert_allclose(log_marginal_likelihood(state), evidence, rtol=1e-4)


def test_nuts_agrees_with_bayesian_linear_regression(regression, rng_key):
    from numpyro.diagnostics import effective_sample_size

    (features, labels), params, mean, covariance, _ = regression
    samples = nuts(rng_key, dense, params, features, labels, gaussian(NOISE), prior_scale=TAU**-0.5, num_warmup=300)
    draws = np.concatenate([samples["kernel"][:, :, 0], samples["bias"]], axis=1)
    assert draws.shape == (500, 3)
    for i in range(3):
        size = effective_sample_size(draws[None, :, i])
        assert size > 50
        assert abs(draws[:, i].mean() - mean[i]) < 4.5 * np.sqrt(covariance[i, i] / size)
        squares = (draws[:, i] - mean[i]) ** 2
        error = covariance[i, i] * np.sqrt(2 / effective_sample_size(squares[None]))
        assert abs(squares.mean() - covariance[i, i]) < 4.5 * error


@pytest.mark.parametrize("structure", [*STRUCTURES, "low_rank"])
@LIKELIHOODS
def test_masked_labels_count_for_nothing(rng, rng_key, structure, likelihood):
    params, features, labels = _problem(rng, likelihood)
    method = laplace(likelihood, structure)
    where = np.ones(labels.shape, bool)
    where[10:] = False
    hidden = np.where(where, labels, np.iinfo(np.int32).max if likelihood == "categorical" else np.nan)
    poisoned = np.asarray(features).copy()
    poisoned[10:] = np.nan

    @jax.jit
    def both(params, clean, known, poisoned, hidden, where):
        start, apply = method.init(rng_key, params), functools.partial(_apply, likelihood)
        states = (
            method.update(rng_key, start, apply, clean, known),
            method.update(rng_key, start, apply, poisoned, hidden, where=where),
        )
        if structure != "low_rank":
            return states
        parts = [state.curvature for state in states]
        return [(part.vectors.T * part.values[None]) @ part.vectors for part in parts]  # eigenvectors have any sign

    states = both(params, features[:10], labels[:10], poisoned, jnp.asarray(hidden, labels.dtype), where)
    jax.tree.map(_assert_equal_to_rounding, *states)


def _assert_equal_to_rounding(actual, expected):
    """Entries that are sums of large ones to 0 are rounded as those are."""
    atol = max(2e-5, 1e-6 * float(jnp.max(jnp.abs(jnp.nan_to_num(expected)))))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=atol)


def test_one_masked_task_leaves_the_other_alone(rng, rng_key):
    params, features, labels = _problem(rng, "bernoulli")
    method = laplace("bernoulli", "columns")
    where = jnp.asarray(np.stack([np.arange(N) < 9, np.ones(N, bool)], axis=1))
    start = method.init(rng_key, params)
    masked = method.update(rng_key, start, dense, features, labels, where=where).curvature.blocks[0]
    first = method.update(rng_key, start, dense, features[:9], labels[:9]).curvature.blocks[0]
    whole = method.update(rng_key, start, dense, features, labels).curvature.blocks[0]
    np.testing.assert_allclose(masked[0], first[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(masked[1], whole[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("structure", ["columns", "kronecker", "diagonal"])
def test_update_never_holds_the_jacobian_of_a_batch(structure, rng_key):
    batch, d, tasks = 512, 32, 256
    method = laplace("bernoulli", structure)
    params = {"kernel": jnp.zeros((d, tasks)), "bias": jnp.zeros(tasks)}
    shapes = jax.eval_shape(method.init, rng_key, params)
    data = [jax.ShapeDtypeStruct((batch, width), jnp.float32) for width in (d, tasks)]
    update = jax.jit(lambda state, x, y: method.update(rng_key, state, dense, x, y), donate_argnums=0)
    compiled = update.lower(shapes, *data).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 0.5 * batch * (d + 1) * tasks * 4


def _network(params, inputs, *, rng_key=None):
    """A small network of two layers: three classes."""
    return dense(params["output"], jnp.tanh(dense(params["hidden"], inputs)))


@pytest.fixture
def network(rng):
    """Parameters, inputs, labels, the Gauss-Newton matrix by loops, and the Jacobian."""
    params = {
        "hidden": {"kernel": rng.normal(size=(2, 4)), "bias": rng.normal(size=4)},
        "output": {"kernel": rng.normal(size=(4, 3)), "bias": rng.normal(size=3)},
    }
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    inputs = jnp.asarray(rng.normal(size=(12, 2)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 3, size=12))
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    jacobian = np.asarray(jax.jit(jax.jacobian(lambda v: _network(unravel(v), inputs)))(flat), np.float64)
    p = np.asarray(jax.nn.softmax(_network(params, inputs)), np.float64)
    matrix = np.zeros((len(flat), len(flat)))
    for n in range(12):
        matrix += jacobian[n].T @ (np.diag(p[n]) - np.outer(p[n], p[n])) @ jacobian[n]
    return params, inputs, labels, matrix, jacobian


def _updated(structure, network, rng_key):
    params, inputs, labels, *_ = network
    method = laplace("categorical", structure, prior_precision=TAU)
    state = method.init(rng_key, params)
    update = jax.jit(lambda state, x, y: method.update(rng_key, state, _network, x, y))
    for part in (slice(0, 6), slice(6, 12)):
        state = update(state, inputs[part], labels[part])
    return state


def test_the_whole_network_is_the_gauss_newton_matrix_formed_by_loops(network, rng_key):
    matrix, jacobian = network[3:]
    state = _updated("full", network, rng_key)
    np.testing.assert_allclose(state.curvature.matrix, matrix, rtol=1e-3, atol=1e-5)
    covariance = np.linalg.inv(matrix + TAU * np.eye(len(matrix)))
    variance = jax.jit(lambda s, x: output_variance(s, _network, x))(state, network[1])
    np.testing.assert_allclose(variance, np.einsum("nap,pq,naq->na", jacobian, covariance, jacobian), rtol=2e-3)
    diagonal = np.concatenate([leaf.ravel() for leaf in _updated("diagonal", network, rng_key).curvature.values])
    np.testing.assert_allclose(diagonal, np.diag(matrix), rtol=1e-3, atol=1e-5)


def test_low_rank_becomes_the_whole_matrix_as_the_rank_grows(network, rng_key):
    """What is lost makes the covariance too wide; at 24 = 12 examples x 2, the rank of the matrix, nothing is."""
    matrix = network[3]
    exact = np.linalg.inv(matrix + TAU * np.eye(len(matrix)))
    errors = []
    for rank in (2, 8, 24):
        curvature = _updated(low_rank(rank), network, rng_key).curvature
        basis = np.asarray(curvature.vectors, np.float64)
        np.testing.assert_allclose(basis @ basis.T, np.eye(rank), atol=1e-5)
        low = (basis.T * np.asarray(curvature.values, np.float64)) @ basis
        errors.append(np.abs(np.linalg.inv(low + TAU * np.eye(len(low))) - exact).max())
    assert errors[0] > errors[1] > 20 * errors[2]
    np.testing.assert_allclose(low, matrix, atol=1e-4 * np.abs(matrix).max())


def test_kronecker_layers_inside_a_network(network, rng_key):
    """Each layer's factors against loops over examples and classes, with gradients by automatic differentiation."""
    params, inputs, *_ = network
    state = _updated("kronecker", network, rng_key)
    p = np.asarray(jax.nn.softmax(_network(params, inputs)), np.float64)
    hidden = np.tanh(np.asarray(dense(params["hidden"], inputs)))
    for number, (name, seen) in enumerate((("hidden", np.asarray(inputs)), ("output", hidden))):

        def of_row(x, row, name=name):
            return _network({**params, name: {**params[name], "bias": row}}, x[None])[0]

        of_bias = jax.jit(jax.vmap(jax.jacobian(of_row, 1), (0, None)))(inputs, params[name]["bias"])
        factor = np.zeros((of_bias.shape[-1],) * 2)
        for n in range(12):
            for k in range(3):
                root = np.sqrt(p[n, k]) * (np.eye(3)[k] - p[n])
                gradient = root @ np.asarray(of_bias[n])
                factor += np.outer(gradient, gradient)
        with_one = np.concatenate([seen, np.ones((12, 1))], axis=1)
        found = state.curvature.factors[number]
        np.testing.assert_allclose(found.inputs, with_one.T @ with_one, rtol=1e-4)
        np.testing.assert_allclose(found.outputs, factor, rtol=1e-3, atol=1e-6)
        assert float(found.count) == 12


def test_linearised_samples_have_the_variance_of_the_jacobian(network, rng_key):
    params, inputs = network[:2]
    method = laplace("categorical", "full", prior_precision=TAU)
    state = _updated("full", network, rng_key)

    @jax.jit
    def outputs(state, x):
        samples = method.sample(rng_key, state, 8000)
        return predict(_network, samples, x, sample_chunk=500), output_variance(state, _network, x)

    drawn, variance = outputs(state, inputs[:3])
    np.testing.assert_allclose(drawn.mean(0), _network(params, inputs[:3]), atol=4.5 * np.sqrt(variance.max() / 8000))
    assert (np.abs(drawn.var(0) / variance - 1) < 4.5 * np.sqrt(2 / 8000)).all()


def test_linearised_prediction_holds_no_jacobian(rng_key):
    """Working memory stays far below the outputs x parameters of a batch."""
    n, d, width, classes = 64, 32, 256, 16
    params = {"hidden": {"kernel": jnp.zeros((d, width))}, "output": {"kernel": jnp.zeros((width, classes))}}
    method = laplace("categorical", "diagonal")
    size = d * width + width * classes

    def forecast(state, x):
        return predict_forecast(_network, method.sample(rng_key, state, 4), x, "categorical")

    state = jax.eval_shape(method.init, rng_key, params)
    compiled = jax.jit(forecast).lower(state, jax.ShapeDtypeStruct((n, d), jnp.float32)).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 0.05 * n * classes * size * 4


@pytest.mark.parametrize("structure", ["kronecker", "diagonal", "low_rank"])
def test_a_whole_network_is_updated_without_a_jacobian(structure, rng_key):
    """Nor with that of a single output; the variances form none either."""
    n, d, width, classes = 256, 32, 64, 16
    params = {"hidden": {"kernel": jnp.zeros((d, width))}, "output": {"kernel": jnp.zeros((width, classes))}}
    jacobian = n * classes * (d * width + width * classes) * 4
    method = laplace("categorical", low_rank(4) if structure == "low_rank" else structure)
    state = jax.eval_shape(method.init, rng_key, params)
    inputs, labels = jax.ShapeDtypeStruct((n, d), jnp.float32), jax.ShapeDtypeStruct((n,), jnp.int32)

    def update(state, x, y):
        return method.update(rng_key, state, _network, x, y)

    def variance(state, x):
        return output_variance(state, _network, x)

    for function, arguments in ((update, (state, inputs, labels)), (variance, (state, inputs))):
        compiled = jax.jit(function).lower(*arguments).compile()
        assert compiled.memory_analysis().temp_size_in_bytes < jacobian / classes / 2


def test_a_subnetwork_is_a_block_of_the_whole(network, rng_key):
    params, inputs, labels, matrix, _ = network
    method = on_part(laplace("categorical", "full", prior_precision=TAU), paths_containing("output"))
    update = jax.jit(lambda state, x, y: method.update(rng_key, state, _network, x, y))
    state = update(method.init(rng_key, params), inputs, labels)
    np.testing.assert_allclose(state.part.curvature.matrix, matrix[12:, 12:], rtol=1e-3, atol=1e-5)
    samples = method.sample(rng_key, state, 5)
    assert predict(_network, samples, inputs).shape == (5, 12, 3)


def test_the_evidence_prefers_the_precision_that_made_the_weights(rng, rng_key):
    """A prior precision fitted by gradient-free search lands near the one from which the weights were drawn."""
    kernel = rng.normal(size=(200, 1)) * 0.5
    features = rng.normal(size=(400, 200))
    labels = features @ kernel + 0.1 * rng.normal(size=(400, 1))
    params = {"kernel": jnp.asarray(np.linalg.lstsq(features, labels, rcond=None)[0], jnp.float32)}
    method = laplace(gaussian(0.1), "full")
    state = method.init(rng_key, params)
    data = (jnp.asarray(features, jnp.float32), jnp.asarray(labels, jnp.float32))
    state = jax.jit(lambda state, x, y: method.update(rng_key, state, dense, x, y))(state, *data)
    best = best_prior(state, jnp.logspace(-2, 3, 51)).prior_precision
    assert abs(np.log10(best) - np.log10(4.0)) < 0.25
    spoilt = method.update(rng_key, method.init(rng_key, params), dense, data[0], data[1].at[0].set(jnp.nan))
    assert jnp.isnan(best_prior(spoilt).prior_precision)  # no label has an evidence then, whatever the prior


@pytest.mark.parametrize("structure", ["full", "columns", "kronecker", "diagonal"])
def test_squares_of_large_inputs_in_half_precision_do_not_overflow(structure, rng_key):
    """1e4 squared is no number of float16: the sums are those of single precision."""
    inputs = (1e4 * jax.random.normal(rng_key, (20, 3))).astype(jnp.float16)
    labels = (inputs.sum(1, keepdims=True) > 0).astype(jnp.float16)
    found = []
    for dtype in (jnp.float16, jnp.float32):
        method = laplace("bernoulli", structure)
        state = method.init(rng_key, {"kernel": jnp.zeros((3, 1), dtype), "bias": jnp.zeros(1, dtype)})
        with jax.numpy_dtype_promotion("standard"):  # parameters are widened, the model's inputs are the caller's
            found.append(method.update(rng_key, state, dense, inputs.astype(dtype), labels.astype(dtype)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3), *(one.curvature for one in found))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.float32])
@pytest.mark.parametrize("scale", [1.0, 1e2, 1e4])
def test_variances_of_every_structure_agree_where_the_data_say_all(dtype, scale, rng_key):
    """Four directions, all of them measured: the variance is that of linear regression, in double precision.

    At inputs of 1e4 the bias has an eigenvalue of 1e-8 of the largest; what an eigenvector has of another one, 1e-7,
    is then 1e-3 of its variance.
    """
    inputs = (scale * jax.random.normal(rng_key, (20, 3))).astype(dtype)
    labels = inputs.sum(1, keepdims=True)
    params = {"kernel": jnp.zeros((3, 1), dtype), "bias": jnp.zeros(1, dtype)}
    rows = np.c_[np.asarray(inputs, np.float64), np.ones(20)]
    expected = np.einsum("ni,ij,nj->n", rows, np.linalg.inv(rows.T @ rows + np.eye(4)), rows)
    for structure, rtol in (("full", 2e-6), ("low_rank", 2e-6 + 1e-6 * scale)):
        method = laplace(gaussian(1.0), structure)
        with jax.numpy_dtype_promotion("standard"):
            state = method.update(rng_key, method.init(rng_key, params), dense, inputs, labels)
            found = output_variance(state, dense, inputs)
        np.testing.assert_allclose(found[:, 0], expected, rtol=rtol)


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        (("gaussian", "lowrank"), {}, "'lowrank'; expected one of 'full', 'columns', 'kronecker', 'diagonal'"),
        (("gaussian",), {"prior_precision": 0.0}, "prior_precision is 0.0"),
        (("gausian",), {}, "no likelihood 'gausian'"),
    ],
)
def test_errors_name_what_is_wrong(arguments, keywords, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(laplace)(*arguments, **keywords)


@pytest.mark.parametrize(
    ("params", "apply", "message"),
    [
        ({"scale": jnp.ones(2)}, lambda p, x: x * p["scale"][None], "'scale' of shape .* no matrix"),
        ({"kernel": jnp.ones((2, 2))}, lambda p, x: x, "multiplies nothing by 'kernel'"),
        ({"kernel": jnp.ones((2, 2))}, lambda p, x: x @ jnp.exp(p["kernel"]), "'kernel' goes into 'exp'"),
        ({"kernel": jnp.ones((2, 2))}, lambda p, x: x @ p["kernel"] @ p["kernel"], "'kernel' is multiplied twice"),
        ({"kernel": jnp.ones((2, 2))}, lambda p, x: x @ p["kernel"].T, r"reads 'kernel' as \[outputs, inputs\]"),
    ],
)
def test_kronecker_names_the_layer_that_it_cannot_read(params, apply, message, rng_key):
    method = laplace("bernoulli", "kronecker")
    with pytest.raises(ValueError, match=message):
        method.update(rng_key, method.init(rng_key, params), apply, jnp.ones((3, 2)), jnp.ones((3, 2)))
