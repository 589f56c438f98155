"""Spread over eight devices, models compute what they compute on one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jaxuq.checkpoints.safetensors
from jaxuq.language import load_model, partition_specs, shard_params
from jaxuq.networks import Decoder, KeyValueCache, unstack_layers
from tests.language.golden_decoders import load
from tests.language.tiny_checkpoints import write_folder


@pytest.fixture(scope="module")
def grid():
    """Four rows of examples, two columns of heads."""
    return Mesh(np.array(jax.devices()[:8]).reshape(4, 2), ("data", "tensor"))


def test_rules_split_heads_inner_width_and_vocabulary(grid):
    params = load("qwen3").params
    specs = partition_specs(params, grid)
    assert specs["embedding"] == PartitionSpec("tensor", "data")
    assert specs["unembedding"] == PartitionSpec(None, ("tensor", "data"))
    for name in ("query", "key", "value", "gate", "up"):
        assert specs["layers"][name]["kernel"] == PartitionSpec(None, "data", "tensor")
    for name in ("output", "down"):
        assert specs["layers"][name]["kernel"] == PartitionSpec(None, "tensor", "data")
    for name in ("attention_norm", "mlp_norm", "query_norm", "key_norm"):
        assert set(specs["layers"][name]["scale"]) <= {None}
    biased = partition_specs(unstack_layers(load("qwen2").params, 2), grid)
    assert biased["layers_1"]["key"]["bias"] == PartitionSpec("tensor")
    assert biased["layers_1"]["down"]["kernel"] == PartitionSpec("tensor", "data")


def test_axes_that_do_not_divide_or_do_not_exist_are_left_whole():
    three = Mesh(np.array(jax.devices()[:3]), ("tensor",))
    specs = partition_specs(
        {"embedding": jnp.zeros((40, 16)), "layers": {"up": {"kernel": jnp.zeros((2, 16, 24))}}}, three
    )
    assert specs["embedding"] == PartitionSpec(None, None)
    assert specs["layers"]["up"]["kernel"] == PartitionSpec(None, None, "tensor")


@pytest.mark.parametrize(("family", "scan"), [("gemma3", True), ("llama", False), ("qwen2_moe", True)])
def test_eight_devices_equal_one(family, scan, grid):
    golden = load(family)
    decoder = Decoder(golden.config, scan=scan)
    params = golden.params if scan else unstack_layers(golden.params, golden.config.num_layers)
    rows = np.tile(golden.tokens, (2, 1))
    positions = np.tile(np.where(golden.mask, np.cumsum(golden.mask, axis=1) - 1, -1), (2, 1)).astype(np.int32)

    @jax.jit
    def run(params, cache, tokens, positions):
        hidden = decoder.apply({"params": params}, tokens, positions, cache=cache).hidden
        return decoder.apply({"params": params}, hidden, method="logits")

    def empty():
        config, layers = golden.config, golden.config.num_layers
        shape = (rows.shape[0], config.num_kv_heads, rows.shape[1], config.head_dim)
        zeros = jnp.zeros((layers, *shape)) if scan else tuple(jnp.zeros(shape) for _ in range(layers))
        return KeyValueCache(zeros, zeros, jnp.full(rows.shape, -1, jnp.int32), jnp.zeros((), jnp.int32))

    expected = run(params, empty(), jnp.asarray(rows), jnp.asarray(positions))
    spread = shard_params(params, grid)
    cache = shard_params({"cache": empty()}, grid)["cache"]
    keys = cache.keys if scan else cache.keys[0]
    assert {"data", "tensor"} <= set(keys.sharding.spec)
    assert len(spread["embedding"].sharding.device_set) == 8
    assert spread["embedding"].addressable_shards[0].data.size == spread["embedding"].size // 8
    rowwise = NamedSharding(grid, PartitionSpec("data"))
    actual = run(spread, cache, jax.device_put(rows, rowwise), jax.device_put(positions, rowwise))
    mask = np.tile(golden.mask, (2, 1))
    np.testing.assert_allclose(actual[mask], expected[mask], atol=2e-5, rtol=2e-5)
    np.testing.assert_allclose(actual[:2][golden.mask], golden.logits[golden.mask], atol=1e-4, rtol=1e-4)


def test_weights_are_spread_as_they_load(grid, tmp_path):
    model = load_model(write_folder(tmp_path / "model", "qwen2"), scan=True, mesh=grid)
    expected = load("qwen2").params
    specs = partition_specs(expected, grid)
    for actual, wanted, spec in zip(
        jax.tree.leaves(model.params),
        jax.tree.leaves(expected),
        jax.tree.leaves(specs, is_leaf=lambda leaf: isinstance(leaf, PartitionSpec)),
        strict=True,
    ):
        assert actual.sharding == NamedSharding(grid, spec)
        np.testing.assert_array_equal(np.asarray(actual), np.asarray(wanted))


def test_a_process_reads_what_lies_on_its_devices(grid, tmp_path, monkeypatch):
    """As the first of two processes of four devices would: tensors that are split are read in part, others once."""
    folder, read, expected = write_folder(tmp_path / "model", "qwen2"), [], []
    make = jaxuq.checkpoints.safetensors._reader

    def counting(*given):
        reader = make(*given)

        def counted(*part):
            found = reader(*part)
            read.append(found.size)
            return found

        return counted

    def half(shape, sharding, of_device):
        places = {device.id: index for device, index in sharding.devices_indices_map(shape).items()}
        own = {str(places[number]): places[number] for number in sorted(places)[:4]}
        parts = [of_device(index) for index in own.values()]
        expected.append(sum(part.size for part in parts))
        return jnp.zeros(shape, parts[0].dtype)

    monkeypatch.setattr(jaxuq.checkpoints.safetensors, "_reader", counting)
    monkeypatch.setattr(jax, "make_array_from_callback", half)
    model = load_model(folder, scan=True, mesh=grid)
    whole = sum(leaf.size for leaf in jax.tree.leaves(model.params))
    assert sum(read) == sum(expected)
    assert 0.5 * whole <= sum(read) < 0.6 * whole
