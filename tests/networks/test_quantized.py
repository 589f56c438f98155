"""Quantised kernels against the published levels, worked numbers, a plain loop, error bounds; memory; gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from jaxuq.networks import (
    NF4_LEVELS,
    Decoder,
    DecoderConfig,
    LoraConfig,
    dequantize,
    kernel_product,
    quantize,
    quantize_params,
    unstack_layers,
)
from jaxuq.networks.quantized import _dynamic_levels


def test_levels_are_normal_quantiles():
    """The construction of section 3: quantiles at evenly spaced probabilities, divided by the largest; one is zero."""
    furthest = 1 - 0.5 * (1 / 32 + 1 / 30)
    positive = norm.ppf(np.linspace(furthest, 0.5, 9)[:-1])
    negative = -norm.ppf(np.linspace(furthest, 0.5, 8)[:-1])
    levels = np.sort(np.concatenate([positive, negative, [0.0]]))
    np.testing.assert_allclose(NF4_LEVELS, levels / levels.max(), atol=3e-7)


def test_worked_numbers():
    weights = jnp.array([0.5, -1.2, 0.03, 0.9, -0.31, 2, -2.4, 0.001])
    stored = quantize(weights[:, None], "nf4")
    np.testing.assert_array_equal(stored.values[0, :4], [162, 123, 110, 7])
    expected = [0.590670, -1.260175, 0, 0.810997, -0.218520, 1.735096, -2.4, 0]
    np.testing.assert_allclose(dequantize(stored)[:, 0], expected, atol=1e-6)


def test_worked_numbers_of_double_quantisation():
    assert len(_dynamic_levels()) == 256
    np.testing.assert_allclose(_dynamic_levels().min(), -0.992969, atol=1e-6)
    scales = np.array([2.4, 1.1, 0.7, 3.0], np.float32)
    kernel = np.zeros((256, 1), np.float32)
    kernel[::64, 0] = scales  # each block's largest weight
    stored = quantize(jnp.asarray(kernel), "nf4", double=True)
    np.testing.assert_array_equal(stored.scales, [219, 29, 5, 255])
    np.testing.assert_allclose(dequantize(stored)[::64, 0], [2.400937, 1.097812, 0.692813, 3.0], atol=1e-6)


def _loop(kernel):
    """Column by column, block by block, weight by weight."""
    flat, levels, result = kernel.T.reshape(-1), np.asarray(NF4_LEVELS), []
    for start in range(0, len(flat), 64):
        block = flat[start : start + 64]
        largest = np.abs(block).max()
        result += [largest * levels[np.argmin(np.abs(weight / largest - levels))] for weight in block]
    return np.reshape(result, kernel.T.shape).T


@pytest.mark.parametrize("double", [False, True])
def test_nf4_equals_a_plain_loop_with_a_partial_block(rng, double):
    kernel = rng.normal(size=(37, 11))
    actual = np.asarray(dequantize(quantize(jnp.asarray(kernel, jnp.float32), "nf4", double=double)))
    np.testing.assert_allclose(actual, _loop(kernel), rtol=0.02 if double else 1e-5, atol=1e-6)


@pytest.mark.parametrize(("kind", "double", "bound"), [("int8", False, 0.5 / 127), ("nf4", False, 0.152)])
def test_errors_are_bounded_by_half_a_step(rng, kind, double, bound):
    kernel = rng.normal(size=(3, 64, 20)).astype(np.float32) * rng.uniform(0.1, 10, size=(3, 1, 20)).astype(np.float32)
    kernel[1, :, 4] = 0.0
    error = np.abs(np.asarray(dequantize(quantize(jnp.asarray(kernel), kind, double=double))) - kernel)
    largest = np.abs(kernel).max(axis=1, keepdims=True)  # a column of 64 is one block
    assert np.all(error <= bound * largest * (1 + 1e-5))
    assert not error[1, :, 4].any()
    if kind == "nf4":  # normal weights: a uniform grid of 16 levels over the range would do worse
        grid = np.linspace(-1, 1, 16)
        scaled = np.where(largest > 0, kernel / np.where(largest > 0, largest, 1), 0.0)
        uniform = grid[np.argmin(np.abs(scaled[..., None] - grid), axis=-1)] * largest - kernel
        assert np.sqrt(np.mean((error / (largest + 1)) ** 2)) < 0.95 * np.sqrt(np.mean((uniform / (largest + 1)) ** 2))


def test_what_is_stored_is_small(rng):
    kernel = jnp.asarray(rng.normal(size=(256, 512)), jnp.float32)

    def bits(kind, **options):
        return 8 * sum(leaf.nbytes for leaf in jax.tree.leaves(quantize(kernel, kind, **options))) / kernel.size

    assert bits("int8") == 8 + 32 / 256
    assert bits("nf4") == 4.5
    assert abs(bits("nf4", double=True) - 4.126953) < 1e-3  # and one mean


CONFIG = DecoderConfig(31, 128, 256, num_layers=6, num_heads=2, num_kv_heads=2, head_dim=64)
LINEARS = ("query", "key", "value", "output", "gate", "up", "down")
TOKENS = jnp.arange(8)[None]


@pytest.fixture(scope="module")
def decoder():
    return Decoder(CONFIG, lora=LoraConfig(rank=2, targets=LINEARS))


@pytest.fixture(scope="module")
def variables(decoder):
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(decoder.init, jax.random.key(0), TOKENS)
    return jax.tree.map(lambda leaf: jnp.asarray(0.1 * rng.normal(size=leaf.shape), jnp.float32), shapes)


@pytest.mark.parametrize("kind", ["int8", pytest.param("nf4", marks=pytest.mark.long)])
def test_a_decoder_with_quantised_kernels_is_one_with_the_dequantised(decoder, variables, kind):
    params = jax.jit(lambda params: quantize_params(params, kind))(variables["params"])
    full = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params, is_leaf=lambda leaf: hasattr(leaf, "kind"))

    @functools.partial(jax.jit, static_argnums=0)
    def run(decoder, params, lora):
        return decoder.apply({"params": params, "lora": lora}, TOKENS).hidden

    expected = run(decoder, full, variables["lora"])
    np.testing.assert_allclose(run(decoder, params, variables["lora"]), expected, rtol=1e-3, atol=1e-4)
    if kind == "int8":
        return
    unrolled = run(decoder.clone(scan=False), unstack_layers(params, 6), unstack_layers(variables["lora"], 6))
    np.testing.assert_allclose(unrolled, expected, rtol=1e-3, atol=1e-4)


def test_gradients_reach_adapters_and_no_second_copy_of_the_model_is_held(decoder, variables):
    """The backward pass dequantises again: its temporary memory is far below that of the kernels in full."""

    def loss(lora, params):
        return jnp.sum(decoder.apply({"params": params, "lora": lora}, TOKENS).hidden ** 2)

    params = quantize_params(variables["params"], "nf4")
    step = jax.jit(jax.value_and_grad(loss)).lower(variables["lora"], params).compile()
    kernels = 4 * sum(variables["params"]["layers"][name]["kernel"].size for name in LINEARS)
    memory = step.memory_analysis()
    assert memory.temp_size_in_bytes < 0.5 * kernels, (memory.temp_size_in_bytes, kernels)
    _, gradient = step(variables["lora"], params)
    full = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params, is_leaf=lambda leaf: hasattr(leaf, "kind"))
    expected = jax.jit(jax.grad(loss))(variables["lora"], full)
    for one, other in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected)):
        np.testing.assert_allclose(one, other, atol=1e-3 * float(np.abs(other).max()))
        assert np.abs(other).max() > 0


def test_forward_derivatives_pass_through(rng):
    kernel = quantize(jnp.asarray(rng.normal(size=(64, 3)), jnp.float32), "nf4")
    x, tangent = jnp.asarray(rng.normal(size=(2, 2, 64)), jnp.float32)
    _, derivative = jax.jvp(lambda x: kernel_product(x, kernel, jnp.float32), (x,), (tangent,))
    np.testing.assert_allclose(derivative, tangent @ dequantize(kernel), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_done_is_said():
    with pytest.raises(ValueError, match="kind is 'fp4'"):
        quantize(jnp.ones((2, 2)), "fp4")
    with pytest.raises(ValueError, match="only the scales of nf4"):
        quantize(jnp.ones((2, 2)), "int8", double=True)
