"""The decoder against transformers' models of every family, and against itself: caches, packing, blocks of queries."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.language import load_model
from jaxuq.language.architectures import decoder_config
from jaxuq.language.errors import CheckpointError
from jaxuq.language.families import FAMILIES as FAMILY_TABLE
from jaxuq.language.families import Family
from jaxuq.language.places import tensor_places
from jaxuq.networks import Decoder, Places, attention_weights, unstack_layers
from jaxuq.networks import attention as attention_module
from tests.language.golden_decoders import FAMILIES, load, read
from tests.language.tiny_checkpoints import golden_arrays, write_folder

golden = functools.cache(load)


def golden_family(name):
    return golden_arrays(name)[0]["model_type"]


def _positions(mask):
    return jnp.asarray(np.where(mask, np.cumsum(mask, axis=1) - 1, -1), jnp.int32)


def _passed(golden):
    """One scanned pass with everything kept, and the logits of an unrolled one, in one program."""
    config, params, tokens, mask, *_ = golden
    scanned, unrolled = Decoder(config), Decoder(config, scan=False)

    @jax.jit
    def run(params, tokens, positions):
        output = scanned.apply({"params": params}, tokens, positions)
        parts = {"params": unstack_layers(params, config.num_layers)}
        hidden = unrolled.apply(parts, tokens, positions).hidden
        logits = scanned.apply({"params": params}, output.hidden, method="logits")
        places = Places(positions)
        weights = [
            attention_weights(
                output.queries[layer],
                output.cache.keys[layer],
                places,
                places,
                scale=config.attention_scale,
                window=config.window(layer),
                softcap=config.attention_softcap,
            )
            for layer in range(config.num_layers)
        ]
        return logits, unrolled.apply(parts, hidden, method="logits"), jnp.stack(weights)

    return run(params, jnp.asarray(tokens), _positions(mask))


def _assert_equals_transformers(golden):
    _, _, _, mask, logits, attentions = golden
    scanned, unrolled, weights = _passed(golden)
    np.testing.assert_allclose(scanned[mask], logits[mask], atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(unrolled[mask], logits[mask], atol=1e-4, rtol=1e-4)
    rows = np.moveaxis(attentions, 3, 2)[:, mask]  # [layers, rows, heads, keys]
    np.testing.assert_allclose(np.moveaxis(np.asarray(weights), 3, 2)[:, mask], rows, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_attentions_equal_transformers(family):
    _assert_equals_transformers(golden(family))


@pytest.mark.oracle
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_attentions_equal_transformers_live(family):
    from tests.language.golden.make_decoders import make

    _assert_equals_transformers(read(make(family, seed=1)))


def test_golden_models_are_longer_than_their_windows_and_the_windows_matter():
    for family in ("mistral", "qwen2", "gemma2", "gemma3"):
        config, _, tokens, *_ = golden(family)
        assert any(window is not None and window < tokens.shape[1] for window in config.layer_windows)
    assert {config.layer_windows == () for config in (golden("llama").config, golden("qwen3").config)} == {True}


@pytest.mark.parametrize("scan", [True, False])
def test_token_by_token_with_a_cache_equals_one_pass(scan):
    config, params, tokens, mask, *_ = golden("gemma3")
    decoder = Decoder(config, scan=scan)
    variables = {"params": params if scan else unstack_layers(params, config.num_layers)}
    positions = _positions(mask)

    @jax.jit
    def run(variables, tokens, positions):
        whole = decoder.apply(variables, tokens, positions).hidden
        start = decoder.apply(variables, tokens[:, :5], positions[:, :5])

        def room(leaf):
            return jnp.pad(leaf, [(0, 0)] * (leaf.ndim - 2) + [(0, 9), (0, 0)])

        cache = start.cache._replace(
            keys=jax.tree.map(room, start.cache.keys),
            values=jax.tree.map(room, start.cache.values),
            positions=jnp.pad(start.cache.positions, ((0, 0), (0, 9)), constant_values=-1),
        )

        def step(cache, inputs):
            token, position = inputs
            output = decoder.apply(variables, token[:, None], position[:, None], cache=cache)
            return output.cache, output.hidden[:, 0]

        cache, rest = jax.lax.scan(step, cache, (tokens[:, 5:].T, positions[:, 5:].T))
        return whole, jnp.concatenate([start.hidden, rest.swapaxes(0, 1)], axis=1), cache.length

    whole, stepped, length = run(variables, jnp.asarray(tokens), positions)
    np.testing.assert_allclose(stepped[mask], whole[mask], atol=2e-5, rtol=2e-5)
    assert length == tokens.shape[1]


def test_texts_packed_into_a_row_do_not_see_each_other():
    config, params, tokens, *_ = golden("qwen2")
    decoder = Decoder(config)
    run = jax.jit(lambda *args, **kwargs: decoder.apply({"params": params}, *args, **kwargs).hidden)
    row = jnp.asarray(tokens[:1])
    positions = jnp.asarray([[0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4]])
    packed = run(row, positions, segments=jnp.asarray([[0] * 6 + [1] * 5]))
    np.testing.assert_allclose(packed[:, :6], run(row[:, :6]), atol=2e-5)
    np.testing.assert_allclose(packed[:, 6:], run(row[:, 6:]), atol=2e-5)


def test_blocks_of_queries_change_neither_values_nor_gradients(monkeypatch):
    config, params, tokens, mask, *_ = golden("gemma2")
    decoder = Decoder(config)

    def loss(params):
        hidden = decoder.apply({"params": params}, jnp.asarray(tokens), _positions(mask)).hidden
        return jnp.sum(jnp.where(jnp.asarray(mask)[..., None], jnp.sin(hidden), 0.0))

    whole, gradient = jax.jit(jax.value_and_grad(loss))(params)
    monkeypatch.setattr(attention_module, "_MAX_SCORES", 2 * 4 * 11 * 3)  # three queries fit: blocks of two
    blocks, gradient_of_blocks = jax.jit(jax.value_and_grad(lambda p: loss(p)))(params)
    np.testing.assert_allclose(blocks, whole, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(gradient_of_blocks), jax.tree.leaves(gradient)):
        np.testing.assert_allclose(a, b, atol=2e-4 * float(np.abs(b).max()))


def test_old_and_new_ways_of_writing_rotary_parameters_agree():
    scaling = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    shape = {"model_type": "llama", "max_position_embeddings": 512}
    old = decoder_config(shape | {"rope_theta": 5e5, "rope_scaling": {"type": "llama3", **scaling}})
    new = decoder_config(shape | {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, **scaling}})
    assert old == new
    assert old.rotary[0].kind == "llama3" and old.rotary[0].theta == 5e5


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "mamba"}, "architecture 'mamba' is not supported; supported are gemma, gemma2"),
        ({}, "architecture None is not supported"),
        ({"model_type": "llama", "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "of type 'dynamic'"),
        ({"model_type": "llama", "hidden_act": "relu"}, "activation 'relu' is not supported"),
        ({"model_type": "llama", "quantization_config": {"bits": 4}}, "weights are quantised"),
        ({"model_type": "gemma3_text", "use_bidirectional_attention": True}, "bidirectional attention"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(config, message):
    with pytest.raises(CheckpointError, match=message):
        decoder_config(config)


@pytest.mark.parametrize("family", FAMILIES)
def test_places_cover_the_parameters_exactly(family):
    config = golden(family).config
    shapes = jax.eval_shape(
        lambda key: Decoder(config).init(key, jnp.zeros((1, 2), jnp.int32))["params"], jax.random.key(0)
    )
    expected = {
        (tuple(key.key for key in path), leaf.shape) for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)
    }
    numbers = {}
    for places in tensor_places(config, golden_family(family)).values():
        for place in places:
            shape = place.shape[::-1] if place.transposed else place.shape
            own = numbers.setdefault((place.path, (*place.stack, *shape)), [])
            own.append(place.index)
    assert set(numbers) == expected
    for (_, shape), own in numbers.items():
        assert sorted(own) == sorted(np.ndindex(*shape[: len(own[0])])), "each part of a parameter has one place"


def test_a_family_of_ones_own_is_one_entry(tmp_path, monkeypatch):
    attention = {"attn.qkv": ("query", "key", "value")}
    names = {"output": "attn.out", "gate": "ffn.w1", "up": "ffn.w3", "down": "ffn.w2"}
    reads = ("attention_bias", "mlp_bias")
    own = Family("HouseForCausalLM", reads, names=names, fused=attention, like="llama")
    monkeypatch.setitem(FAMILY_TABLE, "house", own)
    _, theirs = golden_arrays("llama3")
    renamed = {}
    for name, array in theirs.items():
        for old, new in {"self_attn.o_proj": "attn.out", "gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}.items():
            name = name.replace(old, new)
        renamed[name.replace(".mlp.", ".ffn.")] = array
    for layer in range(2):
        for part in ("weight", "bias"):
            parts = [renamed.pop(f"model.layers.{layer}.self_attn.{one}_proj.{part}") for one in "qkv"]
            renamed[f"model.layers.{layer}.attn.qkv.{part}"] = np.concatenate(parts)
    folder = write_folder(tmp_path / "house", "llama3", config={"model_type": "house"}, tensors=renamed)
    model = load_model(folder, scan=True)
    assert model.decoder.config == golden("llama3").config
    for one, other in zip(jax.tree.leaves(model.params), jax.tree.leaves(golden("llama3").params), strict=True):
        np.testing.assert_array_equal(one, other)
    renamed.pop("model.layers.1.attn.qkv.bias")
    with pytest.raises(CheckpointError, match=r"1 missing \(model\.layers\.1\.attn\.qkv\.bias\)"):
        load_model(write_folder(tmp_path / "damaged", "llama3", config={"model_type": "house"}, tensors=renamed))
