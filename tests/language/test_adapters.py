"""Adapters: new ones change nothing, merging equals applying, experts share the base products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.language import init_adapters, merge_adapters, stack_adapters
from jaxuq.networks import Decoder, LoraConfig, stack_layers, unstack_layers
from tests.language.tiny_decoder import ALL_LAYERS, CONFIG, TOKENS, base_params, decoder_with, logits_of, moved_adapters

KINDS = {"lora": {}, "rslora": {"rslora": True}, "dora": {"dora": True}}


@pytest.mark.parametrize("kind", KINDS)
def test_new_adapters_change_nothing_and_do_not_depend_on_the_arrangement(kind):
    params, decoder = base_params(), decoder_with(**KINDS[kind])
    lora = jax.jit(lambda params: init_adapters(jax.random.key(1), decoder, params))(params)
    base = logits_of(decoder, params, None, TOKENS)
    np.testing.assert_allclose(logits_of(decoder, params, lora, TOKENS), base, rtol=1e-4, atol=1e-5)
    other = decoder.clone(scan=False)
    if kind == "dora":
        unrolled = jax.jit(lambda params: init_adapters(jax.random.key(1), other, params))(unstack_layers(params, 2))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), stack_layers(unrolled, 2), lora)
    a = lora["layers"]["down"]["a"]
    assert not np.allclose(a[0], a[1]) and np.abs(a).max() <= CONFIG.intermediate_size**-0.5
    assert set(lora["layers"]) == set(ALL_LAYERS)


@pytest.mark.parametrize("scan", [True, False], ids=["stacked", "unrolled"])
@pytest.mark.parametrize("kind", KINDS)
def test_merging_equals_applying(kind, scan):
    decoder = decoder_with(scan, **KINDS[kind])
    params = base_params() if scan else unstack_layers(base_params(), 2)
    lora = moved_adapters(decoder, params)
    applied = logits_of(decoder, params, lora, TOKENS)
    merged = merge_adapters(params, lora, decoder.lora)
    np.testing.assert_allclose(
        logits_of(Decoder(CONFIG, scan=scan), merged, None, TOKENS), applied, rtol=1e-4, atol=1e-5
    )
    assert np.abs(applied - logits_of(decoder, params, None, TOKENS)).max() > 0.05, "adapters that do nothing"
    assert merged["embedding"] is params["embedding"]


def _equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from _equations(inner)


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_experts_share_the_base_products(kind):
    """No array holds a kernel for each expert; a base product is one dot of all experts' tokens."""
    num_experts, params, decoder = 5, base_params(), decoder_with(**KINDS[kind])
    singles = [moved_adapters(decoder, params, seed) for seed in range(num_experts)]
    experts = stack_adapters(singles)

    def one(lora):
        return logits_of(decoder, params, lora, TOKENS)

    mapped = jax.jit(jax.vmap(one))
    loop = jax.jit(one)
    np.testing.assert_allclose(mapped(experts), jnp.stack([loop(single) for single in singles]), rtol=1e-4, atol=1e-5)

    kernels = {leaf["kernel"].shape[1:] for name, leaf in params["layers"].items() if "kernel" in leaf}
    forbidden = {(num_experts, *shape) for shape in kernels}
    tokens = num_experts * TOKENS.size

    def step(experts):
        return jax.grad(lambda experts: jnp.sum(jax.vmap(one)(experts) ** 2))(experts)

    for function, least in ((jax.vmap(one), len(ALL_LAYERS)), (step, 2 * len(ALL_LAYERS) - 3)):
        products = 0
        for equation in _equations(jax.make_jaxpr(function)(experts).jaxpr):
            shapes = [getattr(variable.aval, "shape", ()) for variable in (*equation.invars, *equation.outvars)]
            assert not forbidden.intersection(shapes), equation
            if equation.primitive.name == "dot_general" and any(s in kernels for s in shapes[:2]):
                other = shapes[1] if shapes[0] in kernels else shapes[0]
                products += np.prod(other[:-1], dtype=int) == tokens
        assert products >= least
        if kind == "dora" and function is step:
            continue  # compiled for one kind only: it takes seconds
        text = jax.jit(function).lower(experts).compile().as_text()
        for shape in forbidden:
            assert f"f32[{','.join(map(str, shape))}]" not in text


def test_experts_may_each_have_their_own_tokens():
    params, decoder = base_params(), decoder_with()
    experts = jax.vmap(init_adapters, in_axes=(0, None, None))(jax.random.split(jax.random.key(3), 2), decoder, params)
    assert experts["layers"]["query"]["a"].shape == (2, 2, 16, 3)
    tokens = jnp.stack([TOKENS, TOKENS[::-1]])
    both = jax.vmap(lambda lora, tokens: logits_of(decoder, params, lora, tokens))(experts, tokens)
    second = logits_of(decoder, params, jax.tree.map(lambda leaf: leaf[1], experts), tokens[1])
    np.testing.assert_allclose(both[1], second, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_done_is_said():
    with pytest.raises(ValueError, match="decoder has no adapters"):
        init_adapters(jax.random.key(0), Decoder(CONFIG), base_params())
    with pytest.raises(ValueError, match="no adapters to stack"):
        stack_adapters([])
    with pytest.raises(ValueError, match="adapter 1"):
        stack_adapters([{"a": jnp.zeros(2)}, {"a": jnp.zeros(3)}])
    with pytest.raises(ValueError, match="targets"):
        LoraConfig(targets=("head",))
