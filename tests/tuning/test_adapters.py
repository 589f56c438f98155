"""Posteriors over adapters against exact ones and dense curvature, on models small enough for both."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import tuning
from jaxuq.networks import unstack_layers
from jaxuq.posterior import kronecker_factors, laplace, predict, predict_forecast
from tests.language.tiny_decoder import ALL_LAYERS, base_params, decoder_with, moved_adapters

DECODER = decoder_with()
PARAMS = base_params()
LORA = moved_adapters(DECODER, PARAMS)


def _prompts(tokens, lengths):
    options = jnp.broadcast_to(jnp.array([4, 9, 2], jnp.int32), (len(tokens), 3))
    return tuning.AnswerPrompts(jnp.array(tokens, jnp.int32), jnp.array(lengths), options, options > 0)


def _changed(adapter, layer, name, part):
    """The adapters with one matrix of one layer in the place of theirs."""
    stack = LORA["layers"][name][part]
    layers = LORA["layers"] | {name: LORA["layers"][name] | {part: stack.at[layer].set(adapter)}}
    return {"params": PARAMS, "lora": {"layers": layers}}


def test_an_answer_whose_token_the_model_has_not_is_undefined_and_an_absent_one_is_impossible():
    vocabulary = DECODER.config.vocab_size
    hidden = jnp.ones((1, 4, DECODER.config.hidden_size))
    options = jnp.array([[4, -1, vocabulary, 2, vocabulary]], jnp.int32)
    there = jnp.array([[True, True, True, True, False]])
    prompts = tuning.AnswerPrompts(jnp.zeros((1, 4), jnp.int32), jnp.array([4]), options, there)
    (found,) = np.asarray(tuning.option_logits(DECODER, {"params": PARAMS}, hidden, prompts))
    assert np.isfinite(found[[0, 3]]).all() and np.isnan(found[[1, 2]]).all()
    assert jax.nn.softmax(jnp.asarray(found)[jnp.array([0, 3, 4])])[2] == 0


@pytest.fixture(scope="module")
def factors():
    """Of one question with one token, of another with three (and padding), and of both."""
    compute = jax.jit(functools.partial(tuning.adapter_factors, DECODER, PARAMS))
    one, two = _prompts([[3, 0, 0, 0]], [1]), _prompts([[5, 6, 7, 0]], [3])
    both = _prompts([[3, 9, 9, 9], [5, 6, 7, 8]], [1, 3])
    return [compute(LORA, prompts, jnp.zeros(len(prompts.tokens), jnp.int32)) for prompts in (one, two, both)]


@pytest.mark.parametrize(("layer", "name", "part"), [(1, "value", "b"), (0, "down", "a")])
def test_factors_of_one_token_are_the_dense_gauss_newton_matrix(factors, layer, name, part):
    prompts = _prompts([[3, 0, 0, 0]], [1])
    matrix = LORA["layers"][name][part][layer]

    @jax.jit
    def dense(matrix):
        def logits(adapter):
            return tuning.answer_logits(DECODER, _changed(adapter, layer, name, part), prompts)[0]

        jacobian = jax.jacobian(logits)(matrix).reshape(3, -1)
        p = jax.nn.softmax(logits(matrix))
        return jacobian.T @ (jnp.diag(p) - jnp.outer(p, p)) @ jacobian

    found = jax.tree.map(lambda leaf: np.asarray(leaf[layer]), factors[0][0]["layers"][name][part])
    expected = np.asarray(dense(matrix))
    assert found.count == 1 and np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(np.kron(found.inputs, found.outputs), expected, atol=1e-5 * np.abs(expected).max())


def test_factors_add_up_and_padding_does_not_count(factors):
    (one, first), (two, second), (both, log_likelihood) = factors
    jax.tree.map(lambda a, b, c: np.testing.assert_allclose(a + b, c, rtol=2e-4, atol=1e-5), one, two, both)
    assert float(first + second) == pytest.approx(float(log_likelihood), rel=1e-5)
    assert set(both["layers"]) == set(ALL_LAYERS) and float(both["layers"]["gate"]["a"].count[0]) == 4


def test_output_factor_of_a_longer_prompt(factors):
    """In the last block only the last token's gradient counts, so the factor is a contraction of the dense matrix."""
    prompts = _prompts([[5, 6, 7, 0]], [3])
    matrix = LORA["layers"]["down"]["b"][1]

    @jax.jit
    def contracted(matrix):
        def logits(adapter):
            return tuning.answer_logits(DECODER, _changed(adapter, 1, "down", "b"), prompts)[0]

        jacobian, p = jax.jacobian(logits)(matrix), jax.nn.softmax(logits(matrix))
        return jnp.einsum("cij,cd,dil->jl", jacobian, jnp.diag(p) - jnp.outer(p, p), jacobian)

    found, expected = factors[1][0]["layers"]["down"]["b"], np.asarray(contracted(matrix))
    assert float(found.count[1]) == 3
    outputs = np.asarray(found.outputs[1])
    np.testing.assert_allclose(outputs / np.trace(outputs), expected / np.trace(expected), atol=1e-5)


def test_linear_gaussian_adapter_has_its_exact_posterior(rng):
    """y = x A b + noise with b fixed: Kronecker Laplace, sampled and read, is Bayesian linear regression."""
    x, b = rng.normal(size=(40, 3)).astype(np.float32), np.array([[1.0], [0.0]], np.float32)
    noise, tau = 0.5, 2.0
    y = x @ np.array([0.5, -1.0, 0.3], np.float32) + noise * rng.normal(size=40).astype(np.float32)
    precision = x.T @ x / noise**2 + tau * np.eye(3)
    exact_mean = np.linalg.solve(precision, x.T @ y / noise**2)
    covariance = np.linalg.inv(precision)
    mode = {"a": jnp.asarray(np.stack([exact_mean, np.zeros(3)], 1), jnp.float32)}

    @jax.jit
    def compute(x):
        method = laplace("gaussian", prior_precision=tau)
        gradients = jnp.broadcast_to(jnp.asarray(b[:, 0]) / noise, (40, 2))  # 1 / noise: the root of the curvature
        state = method.init(jax.random.key(0), mode)
        state = state._replace(curvature=state.curvature.plus({"a": kronecker_factors(x, gradients)}))
        samples = method.sample(jax.random.key(0), state, 20_000)
        outputs = predict(lambda params, x: (x @ params["a"] @ jnp.asarray(b))[:, 0], samples, x[:4])
        return samples.varying["a"], outputs

    samples, outputs = compute(jnp.asarray(x))
    np.testing.assert_allclose(np.cov(samples[:, :, 0].T), covariance, atol=0.05 * covariance.max())
    np.testing.assert_allclose(samples[:, :, 1].std(0), tau**-0.5, rtol=0.03)  # never seen: the prior alone
    np.testing.assert_allclose(outputs.mean(0), x[:4] @ exact_mean, atol=0.02)
    np.testing.assert_allclose(outputs.var(0), np.einsum("ni,ij,nj->n", x[:4], covariance, x[:4]), rtol=0.06)


def test_flipout_adds_noise_of_the_stated_variance():
    """Through the decoder: no key, no noise; with keys, rows differ and their variance is that of sampled adapters."""
    decoder = decoder_with(targets=("value",))
    lora = {"layers": {"value": LORA["layers"]["value"]}}
    method = tuning.blob(initial_root=0.3)
    state = method.init(jax.random.key(0), lora)
    prompts = _prompts([[3, 5]] * 2, [2, 2])

    @jax.jit
    def compute(state):
        def noisy(key):
            variables = {"params": PARAMS, "lora": method.adapters(state)}
            with tuning.flipout():
                return tuning.answer_logits(decoder, variables, prompts, rng_key=key)

        drawn = jax.lax.map(noisy, jax.random.split(jax.random.key(1), 1500), batch_size=500)
        apply = tuning.bind_answers(decoder, PARAMS)
        sampled = jax.lax.map(lambda one: apply(one, prompts), method.sample(jax.random.key(2), state, 1500))
        with tuning.flipout():
            quiet = tuning.answer_logits(decoder, {"params": PARAMS, "lora": method.adapters(state)}, prompts)
        return drawn, sampled, quiet, apply(lora, prompts)

    drawn, sampled, quiet, plain = compute(state)
    np.testing.assert_allclose(quiet, plain, rtol=1e-6)
    assert (np.abs(drawn[:, 0] - drawn[:, 1]) > 1e-6).any()
    np.testing.assert_allclose(drawn.std(0), sampled.std(0), rtol=0.15)
    np.testing.assert_allclose(drawn.mean(0), plain, atol=0.15 * float(drawn.std()))


def test_samples_read_together_are_those_read_one_by_one():
    apply = tuning.bind_answers(DECODER, PARAMS)
    prompts = _prompts([[3, 5, 1, 2], [5, 6, 7, 0]], [4, 3])
    others = [moved_adapters(DECODER, PARAMS, seed=seed) for seed in (1, 2, 3)]
    samples = jax.tree.map(lambda *leaves: jnp.stack(leaves), *others)
    forecast = jax.jit(lambda s: predict_forecast(apply, s, prompts, "categorical"))(samples)
    single = jax.jit(lambda lora: jax.nn.softmax(apply(lora, prompts)))
    each = np.stack([single(lora) for lora in others])
    np.testing.assert_allclose(forecast.probabilities, each.mean(0), rtol=1e-4)
    entropy = -(each * np.log(each)).sum(-1).mean(0)
    np.testing.assert_allclose(forecast.aleatoric, entropy, rtol=1e-4)
    mean = each.mean(0)
    np.testing.assert_allclose(forecast.epistemic, -(mean * np.log(mean)).sum(-1) - entropy, atol=1e-5)


def test_stacked_and_unrolled_layers_have_the_same_factors(factors):
    unrolled = DECODER.clone(scan=False)
    params, lora = unstack_layers(PARAMS, 2), unstack_layers(LORA, 2)
    prompts = _prompts([[5, 6, 7, 0]], [3])
    found, _ = jax.jit(lambda lora: tuning.adapter_factors(unrolled, params, lora, prompts, jnp.array([0])))(lora)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, factors[1][0])
