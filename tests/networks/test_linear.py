"""The linear layer with adapters against worked numbers and dense formulas."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.networks import Linear, LoraConfig, adapted_norm, quick_adapter_gradients

# A worked example with every number small: rows of the torch layout are columns here.
_A = jnp.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]]).T
_B = jnp.array([[0.5, 0.0], [1.0, -1.0]]).T
_KERNEL = jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).T
_X = jnp.array([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("options", "extra", "expected"),
    [
        ({}, {}, [8.0, 18.0]),
        ({"rslora": True}, {}, [10.899495, 24.627417]),
        ({"dora": True}, {"magnitude": jnp.array([1.5, 2.0])}, [4.242641, 5.622255]),
    ],
    ids=["lora", "rslora", "dora"],
)
def test_worked_numbers(options, extra, expected):
    layer = Linear(2, lora=LoraConfig(rank=2, alpha=4.0, **options))
    variables = {"params": {"kernel": _KERNEL}, "lora": {"a": _A, "b": _B, **extra}}
    np.testing.assert_allclose(layer.apply(variables, _X), expected, rtol=1e-6)


def test_without_the_collection_it_is_the_base_layer():
    layer = Linear(2, lora=LoraConfig(rank=2))
    np.testing.assert_array_equal(layer.apply({"params": {"kernel": _KERNEL}}, _X), _X @ _KERNEL)


def test_dora_equals_the_dense_formula_with_a_constant_norm(rng):
    """The values and the gradients of a, b, magnitude and x; the bias stays outside the magnitude."""
    lora = LoraConfig(rank=2, alpha=3.0, dora=True)
    layer = Linear(4, use_bias=True, lora=lora)
    params = {"kernel": jnp.asarray(rng.normal(size=(5, 4)), jnp.float32), "bias": jnp.arange(4.0)}
    adapter = {
        "a": jnp.asarray(rng.normal(size=(5, 2)), jnp.float32),
        "b": jnp.asarray(rng.normal(size=(2, 4)), jnp.float32),
        "magnitude": jnp.asarray(rng.uniform(1, 2, size=4), jnp.float32),
    }
    x = jnp.asarray(rng.normal(size=(3, 5)), jnp.float32)

    def dense(adapter, x):
        whole = params["kernel"] + lora.scale * adapter["a"] @ adapter["b"]
        norm = jax.lax.stop_gradient(jnp.linalg.norm(whole, axis=0, keepdims=True))
        return x @ (adapter["magnitude"][None] * whole / norm) + params["bias"][None]

    def sparse(adapter, x):
        return layer.apply({"params": params, "lora": adapter}, x)

    np.testing.assert_allclose(sparse(adapter, x), dense(adapter, x), rtol=1e-5, atol=1e-5)
    weight = jnp.asarray(rng.normal(size=(3, 4)), jnp.float32)
    gradients = [
        jax.jit(jax.grad(lambda *a, f=f: jnp.sum(weight * f(*a) ** 2), argnums=(0, 1)))(adapter, x)
        for f in (sparse, dense)
    ]
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4), *gradients)
    expected = jnp.linalg.norm(params["kernel"] + 0.5 * adapter["a"] @ adapter["b"], axis=0)
    np.testing.assert_allclose(adapted_norm(params["kernel"], adapter["a"], adapter["b"], 0.5), expected, rtol=1e-5)


def test_a_column_of_zeros_gives_no_nan():
    layer = Linear(2, lora=LoraConfig(rank=1, dora=True))
    params = {"kernel": jnp.array([[1.0, 0.0], [2.0, 0.0]])}
    adapter = {"a": jnp.ones((2, 1)), "b": jnp.zeros((1, 2)), "magnitude": jnp.array([5.0**0.5, 1e-15])}

    def total(adapter):
        return jnp.sum(layer.apply({"params": params, "lora": adapter}, jnp.ones(2)))

    np.testing.assert_allclose(total(adapter), 3.0, rtol=1e-6)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.grad(total)(adapter)))


def test_a_new_layer_starts_at_the_base_and_dropout_needs_a_key(rng_key):
    layer = Linear(6, lora=LoraConfig(rank=3, dropout=0.5, dora=True))
    x = jax.random.normal(jax.random.key(1), (7, 16))
    variables = layer.init(rng_key, x)
    np.testing.assert_allclose(layer.apply(variables, x), x @ variables["params"]["kernel"], rtol=1e-5, atol=1e-6)
    a = variables["lora"]["a"]
    assert a.shape == (16, 3) and float(jnp.max(jnp.abs(a))) <= 0.25 and float(jnp.std(a)) > 0.1
    variables["lora"]["b"] = jnp.ones((3, 6))
    dropped = [layer.apply(variables, x, rngs={"dropout": jax.random.key(i)}) for i in (0, 0, 1)]
    np.testing.assert_array_equal(dropped[0], dropped[1])
    assert not np.allclose(dropped[0], dropped[2])
    assert isinstance(layer, nn.Module)


@pytest.mark.parametrize("shape", [(5,), (7, 5), (2, 7, 5)])
@pytest.mark.parametrize("options", [{}, {"dora": True}], ids=["lora", "dora"])
def test_quick_gradients_are_the_gradients(rng, shape, options):
    """Of the adapter and of the input, for all rows together and for each."""
    layer = Linear(4, use_bias=True, lora=LoraConfig(rank=2, alpha=3.0, **options))
    x = jnp.asarray(rng.normal(size=shape), jnp.float32)
    variables = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), dict(layer.init(jax.random.key(0), x))
    )

    def loss(lora, x):
        return (layer.apply(variables | {"lora": lora}, x) ** 3).sum()

    gradient = jax.grad(loss, (0, 1))
    each = jax.vmap(gradient, (None, 0)) if len(shape) > 1 else gradient
    expected = gradient(variables["lora"], x), each(variables["lora"], x)
    with quick_adapter_gradients():
        found = gradient(variables["lora"], x), each(variables["lora"], x)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-4)


def test_forward_mode_is_left_as_it_was():
    layer, x = Linear(3, lora=LoraConfig(rank=1)), jnp.ones((4, 2))
    variables = dict(layer.init(jax.random.key(0), x))

    def outputs(lora):
        return layer.apply(variables | {"lora": lora}, x)

    change = jax.tree.map(jnp.ones_like, variables["lora"])
    with quick_adapter_gradients(), pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(outputs, (variables["lora"],), (change,))
    value, slope = jax.jvp(outputs, (variables["lora"],), (change,))
    np.testing.assert_allclose(slope, value * 0 + (x @ variables["lora"]["a"]) * 16.0, rtol=1e-6)
