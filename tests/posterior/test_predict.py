import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.posterior import (
    BernoulliForecast,
    CategoricalForecast,
    GaussianForecast,
    likelihood_of,
    predict,
    predict_forecast,
    summarise,
)

WIDTHS = {"gaussian": (3, 2), "bernoulli": (4,), "categorical": (5,)}


def _model(params, inputs):
    """Inputs are a pytree; the model gets the shape of its outputs from its parameters."""
    hidden = jnp.tanh(inputs["x"] @ params["in"]) * inputs["scale"][:, None]
    return jnp.einsum("nh,h...->n...", hidden, params["out"])


def _problem(rng, likelihood, samples=7, n=11):
    params = {"in": rng.normal(size=(samples, 3, 6)), "out": 2 * rng.normal(size=(samples, 6, *WIDTHS[likelihood]))}
    inputs = {"x": rng.normal(size=(n, 3)), "scale": rng.normal(size=n)}
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (params, inputs))


@pytest.mark.parametrize("batch_size", [None, 1, 4, 11, 50])
@pytest.mark.parametrize("sample_chunk", [None, 1, 3])
def test_predict_equals_a_loop_over_samples(rng, batch_size, sample_chunk):
    params, inputs = _problem(rng, "gaussian")
    expected = np.stack([_model(jax.tree.map(lambda leaf, s=s: leaf[s], params), inputs) for s in range(7)])
    outputs = predict(_model, params, inputs, batch_size=batch_size, sample_chunk=sample_chunk)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("likelihood", WIDTHS)
@pytest.mark.parametrize(("batch_size", "sample_chunk"), [(None, 1), (4, 1), (4, 3), (3, 50)])
def test_running_moments_equal_the_summary_of_all_outputs(rng, likelihood, batch_size, sample_chunk):
    params, inputs = _problem(rng, likelihood)
    expected = summarise(predict(_model, params, inputs), likelihood)
    running = jax.jit(
        functools.partial(
            predict_forecast, _model, likelihood=likelihood, batch_size=batch_size, sample_chunk=sample_chunk
        )
    )(params, inputs)
    assert type(running) is type(expected)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), running, expected)


def test_gaussian_summary_is_the_mixture_of_the_samples(rng):
    outputs = rng.normal(size=(6, 5, 3, 2))
    forecast = summarise(jnp.asarray(outputs, jnp.float32), "gaussian")
    assert isinstance(forecast, GaussianForecast)
    mean, variance = outputs[..., 0], np.logaddexp(0, outputs[..., 1]) + 1e-6
    np.testing.assert_allclose(forecast.mean, mean.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(forecast.aleatoric, variance.mean(0), rtol=1e-5)
    np.testing.assert_allclose(forecast.epistemic, mean.var(0), rtol=1e-5)
    second_moment = (variance + mean**2).mean(0)  # of the mixture density itself
    np.testing.assert_allclose(forecast.total, second_moment - mean.mean(0) ** 2, rtol=1e-5)


def _entropy(probabilities):
    return -np.sum(probabilities * np.log(probabilities), axis=-1)


def test_bernoulli_summary_is_the_entropy_decomposition(rng):
    logits = 3 * rng.normal(size=(6, 5, 4))
    forecast = summarise(jnp.asarray(logits, jnp.float32), "bernoulli")
    assert isinstance(forecast, BernoulliForecast)
    p = 1 / (1 + np.exp(-logits))
    both = np.stack([p, 1 - p], axis=-1)
    np.testing.assert_allclose(forecast.probabilities, p.mean(0), rtol=1e-5)
    np.testing.assert_allclose(forecast.aleatoric, _entropy(both).mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(forecast.total, _entropy(both.mean(0)), rtol=1e-4, atol=1e-6)


def test_categorical_summary_is_the_entropy_decomposition(rng):
    logits = 3 * rng.normal(size=(6, 8, 5))
    forecast = summarise(jnp.asarray(logits, jnp.float32), "categorical")
    assert isinstance(forecast, CategoricalForecast)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(np.exp(forecast.logits), p.mean(0), rtol=1e-5)
    np.testing.assert_allclose(forecast.aleatoric, _entropy(p).mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(forecast.epistemic, _entropy(p.mean(0)) - _entropy(p).mean(0), rtol=1e-4, atol=1e-6)


def test_averaged_logits_stay_exact_where_probabilities_round_to_one():
    logits = np.array([[60.0], [50.0]])
    expected = np.log(2) - np.logaddexp(-60.0, -50.0)  # -log of the mean of 1 - p, as p is 1
    np.testing.assert_allclose(summarise(jnp.asarray(logits, jnp.float32), "bernoulli").logits, [expected], rtol=1e-6)


def test_infinite_logits_have_no_entropy():
    forecast = summarise(jnp.array([[jnp.inf, -jnp.inf], [jnp.inf, jnp.inf]]), "bernoulli")
    np.testing.assert_allclose(forecast.probabilities, [1.0, 0.5])
    np.testing.assert_allclose(forecast.aleatoric, [0.0, 0.0])
    np.testing.assert_allclose(forecast.epistemic, [0.0, np.log(2)], rtol=1e-6)


@pytest.mark.parametrize("likelihood", WIDTHS)
def test_one_sample_has_no_epistemic_part(rng, likelihood):
    outputs = jnp.asarray(rng.normal(size=(1, 9, *WIDTHS[likelihood])), jnp.float32)
    np.testing.assert_allclose(summarise(outputs, likelihood).epistemic, 0.0, atol=3e-7)


def test_small_spread_around_a_large_mean_is_not_lost():
    means = 4096.0 + np.array([-0.25, 0.25, 0.0, 0.5])

    def model(mean, x):
        return jnp.stack([mean + 0 * x, x], axis=-1)[:, None, :]

    forecast = predict_forecast(model, jnp.asarray(means, jnp.float32), jnp.zeros(3), "gaussian")
    np.testing.assert_allclose(forecast.epistemic, np.full((3, 1), means.var()), rtol=1e-5)


@pytest.mark.parametrize("likelihood", WIDTHS)
def test_memory_does_not_grow_with_the_number_of_samples(likelihood):
    n, hidden = 4096, 64
    inputs = jax.ShapeDtypeStruct((n, hidden), jnp.float32)
    width = WIDTHS[likelihood]

    def temporary_bytes(function, samples):
        params = jax.ShapeDtypeStruct((samples, hidden, *width), jnp.float32)
        return jax.jit(function).lower(params, inputs).compile().memory_analysis().temp_size_in_bytes

    def model(kernel, x):
        return jnp.einsum("nh,h...->n...", x, kernel)

    fused = functools.partial(predict_forecast, model, likelihood=likelihood, batch_size=256)

    def whole(params, x):
        return summarise(predict(model, params, x), likelihood)

    assert temporary_bytes(fused, 128) == temporary_bytes(fused, 8)
    assert temporary_bytes(fused, 128) < 2 * 2**20 < temporary_bytes(whole, 128)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"sample_chunk": -1}, "sample_chunk is -1"),
        ({"samples": {"in": jnp.zeros((7, 3, 6)), "out": jnp.zeros((6, 6, 4))}}, "samples have leaves of shapes"),
        ({"likelihood": "gaussian"}, "the last axis must hold 2 numbers"),
    ],
)
def test_errors_name_what_is_wrong_in_a_call(rng, change, message):
    params, inputs = _problem(rng, "bernoulli")
    call = {"samples": params, "inputs": inputs, "likelihood": "bernoulli"} | change
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(predict_forecast)(_model, **call)  # without the type checks of the test run


def test_an_unknown_likelihood_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="no likelihood 'gausian'; did you mean 'gaussian'"):
        likelihood_of("gausian")
    with pytest.raises(ValueError, match="likelihood is 3; expected a name"):
        inspect.unwrap(likelihood_of)(3)


@pytest.mark.parametrize("likelihood", WIDTHS)
def test_half_precision_outputs_are_summed_in_single_precision(rng, likelihood):
    outputs = jnp.asarray(rng.normal(size=(300, 4, *WIDTHS[likelihood])), jnp.bfloat16)
    expected = summarise(outputs.astype(jnp.float32), likelihood)
    jax.tree.map(np.testing.assert_array_equal, summarise(outputs, likelihood), expected)
