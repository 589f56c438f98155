"""The host's loop: chunks, early end, and continuing after an interruption at any point."""

import importlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxuq import JaxuqError
from jaxuq.parallel import balanced_order, mesh_of
from jaxuq.training import DivergedError, fit, load_checkpoint, minibatch_training, save_checkpoint, start_checkpoint


def _loss(weights, batch, where, rng_key):
    noise = 0.1 * jax.random.normal(rng_key, batch["x"].shape)
    return jnp.mean(((batch["x"] + noise) @ weights - batch["y"]) ** 2, where=where)


def _score(weights, validation):
    return jnp.mean((validation["x"] @ weights - validation["y"]) ** 2)


@pytest.fixture(scope="module")
def problem():
    x = jax.random.normal(jax.random.key(3), (21, 4))
    data = {"x": x, "y": x @ jnp.arange(4.0)}
    training = minibatch_training(_loss, optax.adam(3e-2), _score, batch_size=8, patience=6)
    state = jax.vmap(training.init)(jax.random.split(jax.random.key(0), 3), jnp.zeros((3, 4)))
    return training, state, data


def _run(problem, **options):
    training, state, data = problem
    return fit(training, state, data, data, num_epochs=30, strategy="map", **options)


def test_chunk_size_does_not_matter(problem):
    expected = _run(problem, chunk=30)
    for chunk in (7, 11):
        fitted = _run(problem, chunk=chunk)
        np.testing.assert_array_equal(fitted.state.best_params, expected.state.best_params)
        np.testing.assert_array_equal(fitted.history.loss, expected.history.loss)


@pytest.mark.parametrize("strategy", ["shard_map", "pmap"])
def test_members_that_change_devices_keep_their_numbers(problem, tmp_path, monkeypatch, strategy):
    training, _, data = problem
    starts = np.arange(4.0) + 3.0 * np.linspace(1.0, 0.0, 20)[:, None] ** 2  # the last stop first
    state = jax.vmap(training.init)(jax.random.split(jax.random.key(0), 20), jnp.asarray(starts, jnp.float32))
    expected = fit(training, state, data, data, num_epochs=120, strategy="map")
    orders = []

    def noted(running, **options):
        orders.append(balanced_order(running, **options))
        return orders[-1]

    monkeypatch.setattr(importlib.import_module("jaxuq.training.fit"), "balanced_order", noted)
    options = {"chunk": 10, "strategy": strategy, "checkpoint": tmp_path / "state"}
    fitted = fit(training, state, data, data, num_epochs=120, checkpoint_seconds=0.0, **options)
    assert sum(order is not None for order in orders) >= 1
    for one, other in zip(jax.tree.leaves(fitted), jax.tree.leaves(expected)):
        if one is not fitted.seconds:
            np.testing.assert_allclose(_plain(one), _plain(other), rtol=1e-5, atol=1e-6)
    again = fit(training, state, data, data, num_epochs=120, **options)  # what was saved is in order too
    np.testing.assert_array_equal(again.state.best_params, fitted.state.best_params)
    np.testing.assert_array_equal(again.history.score, fitted.history.score)


def _plain(leaf):
    return jax.random.key_data(leaf) if jnp.issubdtype(jnp.asarray(leaf).dtype, jax.dtypes.prng_key) else leaf


class _Killed(Exception):
    pass


@pytest.mark.parametrize("chunks_before_the_kill", [1, 3])
def test_killed_and_resumed_equals_uninterrupted(problem, tmp_path, chunks_before_the_kill):
    expected = _run(problem, chunk=5)
    calls = []

    def kill(progress):
        calls.append(progress)
        if len(calls) > chunks_before_the_kill:
            raise _Killed

    with pytest.raises(_Killed):
        _run(problem, chunk=5, checkpoint=tmp_path / "state", checkpoint_seconds=0.0, on_progress=kill)
    epochs = []
    resumed = _run(
        problem,
        chunk=5,
        checkpoint=tmp_path / "state",
        checkpoint_seconds=0.0,
        on_progress=lambda progress: epochs.append(progress.epoch),
    )
    assert epochs[0] == 5 * (chunks_before_the_kill + 1), "it must go on from the checkpoint, not begin again"
    jax.tree.map(np.testing.assert_array_equal, resumed.state.best_params, expected.state.best_params)
    np.testing.assert_array_equal(resumed.history.score, expected.history.score)


def test_ends_when_every_member_has_stopped(problem):
    data = problem[2]
    seen = []
    flat = minibatch_training(_loss, optax.sgd(0.0), lambda w, v: jnp.ones(()) + v, batch_size=8, patience=1)
    worsening = flat._replace(
        run=lambda state, train, validation, limit, num_epochs: flat.run(
            state, train, state.epoch.astype(jnp.float32), limit, num_epochs=num_epochs
        )
    )
    start = jax.vmap(flat.init)(jax.random.split(jax.random.key(0), 2), jnp.zeros((2, 4)))
    fitted = fit(worsening, start, data, None, num_epochs=100, chunk=1, strategy="map", on_progress=seen.append)
    assert np.asarray(fitted.state.stopped).all() and int(fitted.state.epoch[0]) == 3
    assert seen[-1].running == 0 and len(seen) == 3


def test_checkpoint_round_trip_keeps_keys_none_and_the_newest(tmp_path):
    tree = {"key": jax.random.key(5), "none": None, "values": jnp.arange(3.0)}
    save_checkpoint(tmp_path / "c", tree)
    save_checkpoint(tmp_path / "c", {**tree, "values": jnp.arange(3.0) + 1})
    loaded = load_checkpoint(tmp_path / "c", like=tree)
    assert loaded is not None and loaded["none"] is None
    np.testing.assert_array_equal(loaded["values"], jnp.arange(3.0) + 1)
    assert bool(jnp.all(jax.random.normal(loaded["key"]) == jax.random.normal(tree["key"])))
    assert len(list((tmp_path / "c").iterdir())) == 1


def test_no_checkpoint_is_none_and_a_half_written_one_does_not_count(tmp_path):
    like = {"values": jnp.zeros(3)}
    assert load_checkpoint(tmp_path / "nothing", like=like) is None
    save_checkpoint(tmp_path / "c", {"values": jnp.ones(3)})
    (tmp_path / "c" / "2.orbax-checkpoint-tmp").mkdir()
    loaded = load_checkpoint(tmp_path / "c", like=like)
    np.testing.assert_array_equal(loaded["values"], jnp.ones(3))


def test_a_failed_write_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
    import orbax.checkpoint as ocp

    save_checkpoint(tmp_path / "c", {"values": jnp.ones(3)})

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ocp.StandardCheckpointer, "save", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path / "c", {"values": jnp.zeros(3)})
    np.testing.assert_array_equal(load_checkpoint(tmp_path / "c", like={"values": jnp.zeros(3)})["values"], jnp.ones(3))


def _diverging(problem, score_fn, rate):
    """Two members, of which the second learns too fast."""
    _, _, data = problem

    def loss_fn(params, batch, where, rng_key):
        return _loss(params["weights"], batch, where, rng_key) * jax.lax.stop_gradient(params["rate"])

    training = minibatch_training(loss_fn, optax.sgd(1.0), score_fn, batch_size=8)
    params = {"weights": jnp.zeros((2, 4)), "rate": jnp.asarray([1e-3, rate])}
    return training, jax.vmap(training.init)(jax.random.split(jax.random.key(0), 2), params), data


@pytest.mark.parametrize("scored", [True, False])
def test_a_diverged_member_is_no_result(problem, scored):
    score_fn = (lambda params, data: _score(params["weights"], data)) if scored else None
    training, state, data = _diverging(problem, score_fn, 1e30)
    with pytest.raises(DivergedError, match=r"1 of 2 members; of member 1, its loss is (nan|inf) in epoch \d+ of 9"):
        fit(training, state, data, data, num_epochs=9, strategy="map")
    assert issubclass(DivergedError, JaxuqError)


def test_a_validation_score_of_infinity_is_never_the_best():
    endless = minibatch_training(_loss, optax.sgd(0.0), lambda w, v: jnp.inf + v[0], batch_size=8)
    start = jax.vmap(endless.init)(jax.random.split(jax.random.key(0), 1), jnp.zeros((1, 4)))
    data = {"x": jnp.ones((8, 4)), "y": jnp.ones(8)}
    with pytest.raises(DivergedError, match="no validation score is finite"):
        fit(endless, start, data, jnp.zeros(1), num_epochs=2, strategy="map")


def test_what_one_mesh_has_written_meanwhile_another_reads_bit_by_bit(tmp_path):
    """The old checkpoint is read until the new one is waited for; arrays may be donated at once."""
    values = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
    values[0, :2] = np.nan, -0.0
    written, read = mesh_of("data=4,tensor=2"), mesh_of("fsdp=8")

    def placed(mesh, *axes):
        return jax.device_put(values, NamedSharding(mesh, PartitionSpec(*axes)))

    save_checkpoint(tmp_path / "c", {"kernel": jnp.zeros((16, 8))})
    one = placed(written, "data", "tensor")
    finish = start_checkpoint(tmp_path / "c", {"kernel": one})
    jax.jit(lambda kernel: kernel + 1, donate_argnums=0)(one)
    finish()
    like = {"kernel": jnp.zeros_like(placed(read, "fsdp"), device=NamedSharding(read, PartitionSpec(None, "fsdp")))}
    found = load_checkpoint(tmp_path / "c", like=like)["kernel"]
    assert found.sharding == like["kernel"].sharding
    np.testing.assert_array_equal(np.asarray(found).view(np.uint32), values.view(np.uint32))
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["2"]


ELSEWHERE = """
import sys, jax
from jaxuq.training import load_checkpoint
found = load_checkpoint(sys.argv[1])
print(jax.device_count(), isinstance(found["kernel"], jax.Array), found["kernel"].tolist(), found["step"].item())
"""


@pytest.mark.long
def test_what_eight_devices_have_written_one_reads(tmp_path):
    """... without being told what there is: a run that was trained on a mesh is used elsewhere."""
    kernel = np.arange(8, dtype=np.float32)
    divided = jax.device_put(kernel, NamedSharding(mesh_of("data=8"), PartitionSpec("data")))
    save_checkpoint(tmp_path / "c", {"kernel": divided, "step": np.int64(2**40)})
    ran = subprocess.run([sys.executable, "-c", ELSEWHERE, str(tmp_path / "c")], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["1", "True", *str(kernel.tolist()).split(), str(2**40)]
