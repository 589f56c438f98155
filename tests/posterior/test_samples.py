"""Methods whose samples need no posterior computation: one point, members, dropout keys; and parts of a tree."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import named_key
from jaxuq.posterior import (
    deterministic,
    ensemble,
    init_members,
    mc_dropout,
    merge,
    paths_containing,
    predict,
    predict_forecast,
    select,
)
from jaxuq.posterior._draws import normal_like


def test_deterministic_is_the_model_itself(rng_key):
    method = deterministic()
    params = jax.random.normal(rng_key, (3, 2))
    state = method.update(rng_key, method.init(rng_key, 0 * params), params)
    outputs = predict(lambda p, x: x @ p, method.sample(rng_key, state, 3), jnp.eye(3))
    np.testing.assert_array_equal(outputs, np.stack([params] * 3))
    with pytest.raises(ValueError, match="num_samples is 0"):
        inspect.unwrap(method.sample)(rng_key, params, 0)


def test_a_member_does_not_depend_on_how_many_there_are(rng_key):
    def init_fn(key):
        return {"kernel": jax.random.normal(key, (4, 3))}

    three, five = init_members(rng_key, init_fn, 3), init_members(rng_key, init_fn, 5)
    np.testing.assert_array_equal(three["kernel"], five["kernel"][:3])
    np.testing.assert_array_equal(three["kernel"][2], init_fn(named_key(rng_key, "member", 2))["kernel"])
    assert len(np.unique(five["kernel"])) == five["kernel"].size


def test_an_ensemble_keeps_its_newest_members(rng_key):
    method = ensemble(3)
    state = method.init(rng_key, jnp.zeros(1))
    assert np.isnan(method.sample(rng_key, state, 2)).all()
    for value in range(4):
        state = method.update(rng_key, state, jnp.full(1, float(value)))
    np.testing.assert_array_equal(method.sample(rng_key, state, 3)[:, 0], [1, 2, 3])
    np.testing.assert_array_equal(method.sample(rng_key, state, 6)[:, 0], [1, 1, 2, 2, 3, 3])


RATE = 0.3


def _dropout_model(kernel, inputs, *, rng_key=None):
    if rng_key is None:
        return inputs @ kernel
    kept = jax.random.bernoulli(rng_key, 1 - RATE, inputs.shape)
    return jnp.where(kept, inputs / (1 - RATE), 0.0) @ kernel


def test_dropout_samples_have_the_moments_of_dropout(rng, rng_key):
    kernel, inputs = (jnp.asarray(rng.normal(size=size), jnp.float32) for size in ((6, 2), (4, 6)))
    method = mc_dropout()
    state = method.init(rng_key, kernel)
    count = 4000
    outputs = predict(_dropout_model, method.sample(rng_key, state, count), inputs)
    variance = np.asarray(inputs) ** 2 @ np.asarray(kernel) ** 2 * RATE / (1 - RATE)
    error = np.abs(outputs.mean(0) - inputs @ kernel) / np.sqrt(variance / count)
    assert error.max() < 4.5
    kurtosis = 3.0  # an upper bound near enough for a sum of six bounded terms
    assert (np.abs(outputs.var(0) / variance - 1) < 4.5 * np.sqrt(kurtosis / count)).all()


def test_dropout_keys_do_not_depend_on_how_many_there_are(rng_key):
    method = mc_dropout()
    keys = jax.random.key_data(method.sample(rng_key, jnp.ones(1), 8).varying)
    np.testing.assert_array_equal(keys[:3], jax.random.key_data(method.sample(rng_key, jnp.ones(1), 3).varying))
    assert len(np.unique(keys, axis=0)) == 8


def test_a_model_without_dropout_shows_no_epistemic_part(rng_key):
    method = mc_dropout()
    samples = method.sample(rng_key, method.init(rng_key, jnp.ones((3, 2))), 5)
    forecast = predict_forecast(lambda params, x, *, rng_key: x @ params, samples, jnp.ones((2, 3)), "bernoulli")
    np.testing.assert_allclose(forecast.epistemic, 0.0, atol=3e-7)


def _network():
    return {
        "hidden": {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": None},
        "output": [jnp.arange(3.0).reshape(3, 1), jnp.ones(1)],
    }


def test_select_and_merge_are_inverse():
    params = _network()
    last, rest = select(params, paths_containing("output"))
    assert last["hidden"] == {"kernel": None, "bias": None}
    assert rest["output"] == [None, None]
    jax.tree.map(np.testing.assert_array_equal, merge(last, rest), params)
    jax.tree.map(np.testing.assert_array_equal, merge(rest, last), params)


def test_only_the_selected_part_gets_a_sample_axis():
    params = _network()

    def apply_fn(p, x):
        return x @ p["hidden"]["kernel"] @ p["output"][0] + p["output"][1][None]

    last, rest = select(params, paths_containing("output/0"))
    samples = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf, 3 * leaf]), last)
    assert merge(samples, rest)["hidden"]["kernel"] is params["hidden"]["kernel"]
    x = jnp.ones((4, 2))
    outputs = predict(lambda part, inputs: apply_fn(merge(part, rest), inputs), samples, x)
    base = np.asarray(apply_fn(params, x) - 1)
    np.testing.assert_allclose(outputs, np.stack([base + 1, 2 * base + 1, 3 * base + 1]), rtol=1e-6)


def test_select_and_merge_refuse_what_cannot_be_meant():
    with pytest.raises(ValueError, match="no parameter path"):
        select(_network(), paths_containing("lora"))
    with pytest.raises(ValueError, match="'hidden/kernel'"):
        merge(_network(), _network())
    with pytest.raises(ValueError, match="fragments are"):
        paths_containing("")


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_noise_of_half_precision_has_the_moments_of_a_normal(dtype):
    noise = normal_like(jax.random.key(0), {"w": jnp.zeros(200_000, dtype)})["w"]
    assert noise.dtype == dtype
    wide = np.asarray(noise, np.float64)
    assert abs(wide.mean()) < 5 / np.sqrt(wide.size) and abs(wide.std() - 1) < 0.005
    assert np.abs(wide).max() > 4
