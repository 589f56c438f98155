"""Mixtures of expert MLPs against all experts computed densely, their memory, and what cannot be adapted."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import JaxuqError
from jaxuq.experts import example_gradients
from jaxuq.language import FinetuneConfig, TokenBatch, cross_entropy, init_adapters
from jaxuq.networks import Decoder, DecoderConfig, Experts, LoraConfig, dequantize, quantize_params
from jaxuq.networks.expert_mlp import ExpertMLP, mix_experts, route_tokens

EXPERTS = Experts(6, 2, normalised=False)
LAYER = ExpertMLP(EXPERTS, 5, "silu")
X = jax.random.normal(jax.random.key(0), (2, 9, 4))
PARAMS = jax.jit(LAYER.init)(jax.random.key(1), X)["params"]


def dense(params, x):
    """Every expert for every token, as the equation says it."""
    tokens = x.reshape(-1, x.shape[-1])
    probabilities = jax.nn.softmax(tokens @ params["router"])
    rank = jnp.argsort(jnp.argsort(-probabilities, axis=1, stable=True), axis=1, stable=True)
    kept = jnp.where(rank < EXPERTS.per_token, probabilities, 0.0)
    gate, up, down = (params[name]["kernel"] for name in ("gate", "up", "down"))
    inner = jax.nn.silu(jnp.einsum("nh,ehi->nei", tokens, gate)) * jnp.einsum("nh,ehi->nei", tokens, up)
    return jnp.einsum("ne,nei,eih->nh", kept, inner, down).reshape(x.shape)


def sparse(params, x):
    return LAYER.apply({"params": params}, x)


def test_values_and_every_gradient_are_those_of_all_experts_together():
    @functools.partial(jax.jit, static_argnums=0)
    def everything(layer, params, x):
        value, gradients = jax.value_and_grad(lambda *args: jnp.sin(layer(*args)).sum(), argnums=(0, 1))(params, x)
        moved = jax.jvp(lambda x: layer(params, x), (x,), (jnp.cos(x),))[1]
        return value, gradients, moved, jax.vmap(layer, (None, 0))(params, jnp.stack([x, -x]))

    found, expected = everything(sparse, PARAMS, X), everything(dense, PARAMS, X)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=3e-6, rtol=1e-5)


@pytest.mark.parametrize("explicit", [False, True], ids=["auto", "explicit"])
def test_values_and_gradients_on_a_mesh_are_those_of_one_device(explicit):
    kind = jax.sharding.AxisType.Explicit if explicit else jax.sharding.AxisType.Auto
    mesh = jax.make_mesh((4,), ("data",), axis_types=(kind,), devices=jax.devices()[:4])
    x = jax.random.normal(jax.random.key(5), (8, 3, 4))

    def both(params, x):
        value, back = jax.vjp(sparse, params, x)
        return value, back(jnp.cos(value))

    expected = jax.jit(both)(PARAMS, x)
    with jax.set_mesh(mesh):
        found = jax.jit(both)(PARAMS, jax.device_put(x, jax.P("data")))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=3e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("tokens", "count", "per_token", "skewed"),
    [(1, 7, 3, False), (2, 1, 1, False), (37, 5, 2, False), (40, 6, 6, False), (33, 7, 2, True), (5, 64, 3, True)],
)
def test_every_token_meets_each_of_its_experts_once(tokens, count, per_token, skewed):
    rng = np.random.default_rng(tokens * 100 + count)
    chosen = np.stack([rng.permutation(count)[:per_token] for _ in range(tokens)]).astype(np.int32)
    if skewed:  # all to the same experts
        chosen = np.tile(chosen[:1], (tokens, 1))
    weights = rng.uniform(0.1, 1, chosen.shape).astype(np.float32)
    x = rng.normal(size=(tokens, 3)).astype(np.float32)
    factors = np.arange(1.0, count + 1, dtype=np.float32)
    found = mix_experts(jnp.asarray(x), jnp.asarray(weights), jnp.asarray(chosen), jnp.asarray(factors),
                        lambda factor, rows: factor * rows)  # fmt: skip
    np.testing.assert_allclose(found, x * (weights * factors[chosen]).sum(1, keepdims=True), rtol=1e-4, atol=1e-5)


def test_weights_are_the_largest_shares_in_single_precision():
    logits = jnp.asarray([[1.0, 3.0, 2.0, 3.0]], jnp.bfloat16)
    shares = np.exp([1.0, 3.0, 2.0, 3.0]) / np.exp([1.0, 3.0, 2.0, 3.0]).sum()
    weights, chosen = route_tokens(logits, Experts(4, 3, normalised=False))
    assert weights.dtype == jnp.float32 and chosen.tolist() == [[1, 3, 2]]  # of equal ones the first
    np.testing.assert_allclose(weights[0], shares[[1, 3, 2]], rtol=1e-6)
    normalised, _ = route_tokens(logits, Experts(4, 3))
    np.testing.assert_allclose(normalised[0], shares[[1, 3, 2]] / shares[[1, 3, 2]].sum(), rtol=1e-6)


def test_a_token_that_is_not_finite_stays_alone():
    run = jax.jit(sparse)
    found = run(PARAMS, X.at[0, 3].set(jnp.nan))
    assert jnp.isnan(found[0, 3]).all()
    kept = np.ones((2, 9), bool)
    kept[0, 3] = False
    np.testing.assert_allclose(found[kept], run(PARAMS, X)[kept], atol=1e-6)


@pytest.mark.parametrize("gradient", ["none", "inputs", "kernels"])
def test_memory_is_of_a_block_and_an_expert_not_of_all_experts_for_all_tokens(gradient):
    count, hidden, inner, tokens = 32, 128, 64, 1024
    layer = ExpertMLP(Experts(count, 4), inner, "silu")
    x = jax.ShapeDtypeStruct((1, tokens, hidden), jnp.float32)
    params = jax.eval_shape(layer.init, jax.random.key(0), x)["params"]

    def loss(params, x):
        return layer.apply({"params": params}, x).sum()

    wanted = {"none": loss, "inputs": jax.grad(loss, 1), "kernels": jax.grad(loss, 0)}[gradient]
    memory = jax.jit(wanted).lower(params, x).compile().memory_analysis()
    rows = 4 * tokens * hidden
    assert memory.temp_size_in_bytes < 8 * rows < 4 * tokens * count * hidden / 3  # a few times the tokens
    assert memory.temp_size_in_bytes < 4 * 3 * count * hidden * inner * 2  # no copies of kernels, block by block


CONFIG = DecoderConfig(
    13, 8, 6, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=4, experts=Experts(4, 2, shared_size=5)
)
ADAPTED = Decoder(CONFIG, lora=LoraConfig(rank=2, targets=("query", "output")))
TOKENS = jax.random.randint(jax.random.key(2), (3, 7), 0, 13)


@pytest.fixture(scope="module")
def variables():
    params = jax.jit(Decoder(CONFIG).init)(jax.random.key(3), TOKENS)["params"]
    lora = init_adapters(jax.random.key(4), ADAPTED, params)
    return params, jax.tree.map(lambda leaf: leaf + 0.1, lora)


def test_gradients_of_each_example_are_those_of_each_alone(variables):
    params, lora = variables
    positions = jnp.broadcast_to(jnp.arange(7), TOKENS.shape)
    batch = TokenBatch(TOKENS, positions, jnp.arange(3)[:, None] + 0 * positions, positions > 0)
    found = jax.jit(example_gradients, static_argnums=0)(ADAPTED, params, lora, batch)

    def loss(lora, row):
        whole = {"params": params, "lora": lora}
        hidden = ADAPTED.apply(whole, row[None]).hidden
        return cross_entropy(ADAPTED.apply(whole, hidden[:, :-1], method="logits"), row[None, 1:]).mean()

    gradient = jax.jit(jax.grad(loss))
    for row in range(3):
        alone = gradient(lora, TOKENS[row])
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(one[row], other, atol=2e-5)


def test_quantised_experts_compute_what_their_dequantised_kernels_compute(variables):
    params, _ = variables
    decoder, quantised = Decoder(CONFIG), quantize_params(params, "int8")
    kernel = quantised["layers"]["experts"]["gate"]["kernel"]
    assert kernel.values.dtype == jnp.int8 and kernel.shape == (2, 4, 8, 6)
    assert quantised["layers"]["experts"]["router"].dtype == jnp.float32
    full = jax.tree.map(
        lambda leaf: dequantize(leaf) if hasattr(leaf, "kernel_shape") else leaf,
        quantised, is_leaf=lambda leaf: hasattr(leaf, "kernel_shape"),
    )  # fmt: skip
    run = jax.jit(lambda params: decoder.apply({"params": params}, TOKENS).hidden)
    np.testing.assert_allclose(run(quantised), run(full), atol=1e-5)
    assert jnp.abs(run(quantised) - run(params)).max() > 1e-4


def test_adapters_of_experts_are_refused_by_name():
    with pytest.raises(JaxuqError, match=r"adapters of up, down: these layers belong to the experts .* among query"):
        Decoder(CONFIG, lora=LoraConfig(targets=("query", "up", "down")))
    with pytest.raises(JaxuqError, match="adapters of gate, up, down"):
        Decoder(CONFIG).clone(lora=FinetuneConfig().adapters)
    with pytest.raises(JaxuqError, match="5 experts a token are more than the 4"):
        Experts(4, 5)
    assert CONFIG.linear_layers == ("query", "key", "value", "output")
