"""All strategies give the same numbers, for even and uneven members, on one device, eight, and a two-axis mesh."""

import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxuq.parallel import balanced_order, map_members, resolve_strategy
from jaxuq.training import minibatch_training


def _train(rng_key, data):
    """A short real training run: a two-layer regression with adam, shuffling and early stopping."""

    def apply(params, x):
        return (jnp.tanh(x @ params["a"]) @ params["b"])[:, 0]

    def loss_fn(params, batch, where, rng_key):
        noise = 0.1 * jax.random.normal(rng_key, batch["x"].shape)
        return jnp.mean((apply(params, batch["x"] + noise) - batch["y"]) ** 2, where=where)

    def score_fn(params, validation):
        return jnp.mean((apply(params, validation["x"]) - validation["y"]) ** 2)

    a, b = (jax.random.normal(jax.random.fold_in(rng_key, i), shape) for i, shape in enumerate([(3, 8), (8, 1)]))
    training = minibatch_training(loss_fn, optax.adam(1e-2), score_fn, batch_size=16, patience=3)
    state, history = training.run(training.init(rng_key, {"a": a, "b": b}), data, data, num_epochs=12)
    return state.best_params, history.loss


@pytest.fixture(scope="module")
def problem():
    keys = jax.random.split(jax.random.key(7), 10)
    x = jax.random.normal(jax.random.key(8), (40, 3))
    data = {"x": x, "y": jnp.sin(x[:, 0])}
    return keys, data, [jax.jit(_train)(key, data) for key in keys]


def _compare(results, expected):
    for i, single in enumerate(expected):
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-5, atol=1e-5), results, single)


@pytest.mark.parametrize(
    ("strategy", "num_members"),
    [("vmap", 10), ("map", 10), ("pmap", 8), ("pmap", 10), ("shard_map", 8), ("shard_map", 10)],
)
def test_strategies_equal_members_trained_alone(problem, strategy, num_members):
    keys, data, expected = problem
    results = map_members(_train, strategy=strategy, shared_argnums=(1,))(keys[:num_members], data)
    assert results[1].shape[0] == num_members
    _compare(results, expected[:num_members])


def test_second_mesh_axis_divides_the_data_inside_a_member(problem):
    keys, data, expected = problem
    mesh = Mesh(np.array(jax.devices()[:8]).reshape(4, 2), ("member", "data"))
    divided = jax.device_put(data, NamedSharding(mesh, PartitionSpec("data")))
    results = map_members(_train, shared_argnums=(1,), mesh=mesh)(keys, divided)
    _compare(results, expected)


def _chain(x, rng_key, scale):
    """A member with a loop, randomness and a shared argument."""
    last, _ = jax.lax.scan(lambda c, _: (jnp.sin(c + x).sum() * scale + c, None), jnp.zeros(()), None, length=3)
    return {"a": last * x, "b": jax.random.normal(rng_key) * last}


def _total(function):
    return lambda *args: sum(jnp.sum(leaf) for leaf in jax.tree.leaves(function(*args)))


_TRANSFORMS = {
    "none": lambda function: function,
    "jit": jax.jit,
    "grad": lambda function: jax.grad(_total(function), argnums=(0, 2)),
    "jit grad": lambda function: jax.jit(jax.grad(_total(function), argnums=(0, 2))),
    "jit vmap grad": lambda function: jax.jit(
        jax.vmap(jax.grad(_total(function), argnums=(0, 2)), in_axes=(0, None, None))
    ),
}


@pytest.fixture(scope="module")
def chains():
    x, keys, scale = jnp.arange(20.0).reshape(10, 2) / 10, jax.random.split(jax.random.key(0), 10), jnp.float32(2)
    reference = map_members(_chain, strategy="vmap", shared_argnums=(2,))

    def arguments(name, num_members):
        part = x[:num_members]
        return jnp.stack([part, part * 2, -part]) if "vmap" in name else part, keys[:num_members], scale

    expected = {
        (name, size): transform(reference)(*arguments(name, size))
        for name, transform in _TRANSFORMS.items()
        for size in (8, 10)
    }
    return arguments, expected


def _assert_same(result, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(np.asarray(a), b, rtol=2e-5, atol=2e-5), result, expected)


@pytest.mark.parametrize(
    "strategy",
    ["shard_map", "mesh", *(pytest.param(name, marks=pytest.mark.long) for name in ("map", "pmap", "two axes"))],
)
def test_strategies_compose_with_every_transform(chains, strategy):
    arguments, expected = chains
    meshes = {"mesh": jax.make_mesh((8,), ("member",)), "two axes": jax.make_mesh((4, 2), ("member", "data"))}
    options = {"mesh": meshes[strategy]} if strategy in meshes else {"strategy": strategy}
    mapped = map_members(_chain, shared_argnums=(2,), **options)
    for (name, size), result in expected.items():
        _assert_same(_TRANSFORMS[name](mapped)(*arguments(name, size)), result)


@pytest.mark.parametrize("strategy", ["map", "pmap", "shard_map"])
def test_strategies_use_the_mesh_that_is_in_use(chains, strategy):
    arguments, expected = chains
    mapped = map_members(_chain, strategy=strategy, shared_argnums=(2,))
    explicit = jax.make_mesh((8,), ("data",))
    rows, everywhere = (NamedSharding(explicit, spec) for spec in (PartitionSpec("data"), PartitionSpec()))
    x, keys, scale = arguments("none", 8)
    divided = jax.device_put(x, rows), jax.device_put(keys, rows), jax.device_put(scale, everywhere)
    _assert_same(jax.jit(mapped)(*divided), expected["none", 8])
    _assert_same(mapped(*divided), expected["none", 8])
    with jax.set_mesh(explicit):
        _assert_same(_TRANSFORMS["jit grad"](mapped)(*divided), expected["jit grad", 8])
        for size in (8, 10):
            _assert_same(jax.jit(mapped)(*arguments("none", size)), expected["none", size])


@pytest.mark.parametrize("strategy", ["auto", "pmap", "shard_map"])
def test_inside_shard_map_members_share_their_device(strategy):
    x = jnp.arange(32.0).reshape(16, 2)
    mapped = map_members(lambda x, scale: jnp.sin(x) * scale, strategy=strategy, shared_argnums=(1,))
    mesh = Mesh(np.array(jax.devices()[:8]), ("data",))
    specs = {"in_specs": (PartitionSpec("data"), PartitionSpec()), "out_specs": PartitionSpec("data")}
    _assert_same(jax.jit(jax.shard_map(mapped, mesh=mesh, **specs))(x, jnp.float32(2)), 2 * np.sin(x))


def test_members_land_on_different_devices():
    outputs = map_members(lambda x: x + 1, strategy="shard_map")(jnp.arange(8.0))
    assert len(outputs.sharding.device_set) == 8


def test_auto_uses_all_devices_for_many_members_and_one_for_one():
    assert resolve_strategy("auto", num_members=10) == "shard_map"
    assert resolve_strategy("auto", num_members=1) == "map"


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"threads.*vmap"):
        map_members(lambda x: x, strategy="threads")
    with pytest.raises(ValueError, match=r"lengths \[2, 3\].*shared"):
        map_members(lambda x, y: x, strategy="vmap")(jnp.zeros(2), jnp.zeros(3))
    with pytest.raises(ValueError, match="a mesh goes with"):
        map_members(lambda x: x, strategy="vmap", mesh=Mesh(np.array(jax.devices()[:1]), ("member",)))


def test_a_balanced_order_gives_every_device_its_share():
    generator = np.random.default_rng(0)
    for _ in range(50):
        running = generator.random(24) < generator.random()
        order = balanced_order(running, strategy="shard_map")  # of 8 devices
        share = -(-running.sum() // 8)
        if order is None:
            assert running.reshape(8, 3).sum(1).max() == share
        else:
            assert sorted(order) == list(range(24)) and running[order].reshape(8, 3).sum(1).max() == share


_WORKER = """
    import sys
    import jax
    rank, port = int(sys.argv[1]), sys.argv[2]
    jax.config.update("jax_num_cpu_devices", 2)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, rank)
    import jax.numpy as jnp
    import numpy as np
    from jax.experimental import multihost_utils
    from jaxuq.parallel import map_members
    assert jax.device_count() == 4 and jax.local_device_count() == 2
    outputs = map_members(lambda x, y: jnp.sin(x) * y, strategy="shard_map", shared_argnums=(1,))(
        np.arange(6.0, dtype=np.float32), np.float32(3.0))
    gathered = multihost_utils.process_allgather(outputs, tiled=True)
    np.testing.assert_allclose(gathered, 3 * np.sin(np.arange(6.0)), rtol=1e-6)
    print("equal on process", rank)
"""


def test_two_processes_share_the_members():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(_WORKER), str(rank), str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    for rank, output in enumerate(outputs):
        assert f"equal on process {rank}" in output, output
