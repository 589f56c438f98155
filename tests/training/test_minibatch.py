"""Minibatch training against a hand-written optax loop, and the rules of early stopping."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxuq.training import minibatch_training
from jaxuq.training.minibatch import _shuffled_batches


def _loss(weights, batch, where, rng_key):
    return jnp.mean((batch["x"] @ weights - batch["y"]) ** 2, where=where)


@pytest.fixture(scope="module")
def data():
    x = jax.random.normal(jax.random.key(3), (21, 4))
    return {"x": x, "y": x @ jnp.arange(4.0) + 0.1 * jax.random.normal(jax.random.key(4), (21,))}


def test_full_batch_training_equals_plain_optax(data):
    """With one batch an epoch the order of rows does not matter, so a bare loop must give the same."""
    optimizer = optax.adamw(1e-2)
    training = minibatch_training(_loss, optimizer, batch_size=64)
    state, history = jax.jit(training.run, static_argnames="num_epochs")(
        training.init(jax.random.key(0), jnp.zeros(4)), data, None, num_epochs=25
    )
    weights, optimizer_state, losses = jnp.zeros(4), optimizer.init(jnp.zeros(4)), []
    for _ in range(25):
        loss, gradient = jax.value_and_grad(lambda w: jnp.mean((data["x"] @ w - data["y"]) ** 2))(weights)
        with jax.numpy_dtype_promotion("standard"):
            updates, optimizer_state = optimizer.update(gradient, optimizer_state, weights)
        weights, losses = weights + updates, [*losses, loss]
    np.testing.assert_allclose(state.params, weights, rtol=1e-5)
    np.testing.assert_allclose(history.loss, jnp.stack(losses), rtol=1e-5)


def test_each_row_is_used_once_an_epoch_and_padding_never():
    rows, real = _shuffled_batches(jax.random.key(1), num_rows=21, batch_size=8)
    assert rows.shape == (3, 8)
    assert sorted(np.asarray(rows)[np.asarray(real)].tolist()) == list(range(21))


def test_padding_of_the_last_batch_has_no_influence(data):
    """Five rows in batches of four: the gradient of the last batch is that of its one real row."""
    seen = []

    def loss_fn(weights, batch, where, rng_key):
        jax.debug.callback(lambda x, w: seen.append((np.asarray(x), np.asarray(w))), batch["x"], where)
        return _loss(weights, batch, where, rng_key)

    five = jax.tree.map(lambda leaf: leaf[:5], data)
    training = minibatch_training(loss_fn, optax.sgd(0.0), batch_size=4)
    jax.block_until_ready(training.run(training.init(jax.random.key(0), jnp.ones(4)), five, None, num_epochs=1))
    assert sorted(int(where.sum()) for _, where in seen) == [1, 4]
    used = np.concatenate([x[where] for x, where in seen])
    np.testing.assert_allclose(np.sort(used, axis=0), np.sort(np.asarray(five["x"]), axis=0))


def _scripted(scores, patience):
    """Training whose parameter counts epochs and whose validation score is read from a list."""
    table = jnp.asarray(scores)
    training = minibatch_training(
        lambda params, batch, where, rng_key: -params * jnp.mean(batch, where=where),
        optax.sgd(1.0),
        lambda params, validation: table[params.astype(int) - 1],
        batch_size=2,
        patience=patience,
    )
    state = training.init(jax.random.key(0), jnp.zeros(()))
    return training.run(state, jnp.ones(2), None, num_epochs=len(scores))


def test_stops_when_epochs_without_improvement_exceed_patience():
    state, history = _scripted([3.0, 2.0, 2.5, 2.5, 2.5, 1.0, 0.5], patience=2)
    assert int(state.epoch) == 5 and bool(state.stopped)
    assert float(state.best_params) == 2 and float(state.best_score) == 2.0 and int(state.best_epoch) == 2
    np.testing.assert_array_equal(np.isnan(history.score), [False] * 5 + [True] * 2)


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("epoch", [0, 4, 5])
def test_a_network_that_has_stopped_or_done_all_its_epochs_learns_no_more(data, epoch, stopped):
    training = minibatch_training(_loss, optax.sgd(0.1), batch_size=8)
    state = training.init(jax.random.key(0), jnp.zeros(4))._replace(epoch=jnp.int32(epoch), stopped=jnp.array(stopped))
    after, _ = jax.jit(training.run, static_argnames="num_epochs")(state, data, None, 5, num_epochs=2)
    assert int(after.epoch) == (epoch if stopped else min(epoch + 2, 5))
    assert bool((after.params == state.params).all()) == (stopped or epoch == 5)


def test_a_tie_counts_as_a_new_best():
    state, _ = _scripted([3.0, 2.0, 2.5, 2.0, 2.5, 2.5, 9.0], patience=2)
    assert int(state.best_epoch) == 4 and int(state.epoch) == 7


def test_a_nan_score_is_never_the_best():
    state, _ = _scripted([3.0, float("nan"), 2.5], patience=5)
    assert float(state.best_params) == 3 and float(state.best_score) == 2.5


def test_two_calls_equal_one(data):
    training = minibatch_training(_loss, optax.adam(1e-2), batch_size=8)
    start = training.init(jax.random.key(0), jnp.zeros(4))
    whole, _ = training.run(start, data, None, num_epochs=7)
    half, _ = training.run(start, data, None, num_epochs=4)
    rest, history = training.run(half, data, None, 7, num_epochs=4)
    np.testing.assert_array_equal(whole.params, rest.params)
    assert int(rest.epoch) == 7 and np.isnan(history.loss[-1])


def test_observe_sees_every_epoch_once(data):
    training = minibatch_training(
        _loss, optax.adam(1e-2), batch_size=8, observe=lambda seen, params, epoch: seen.at[epoch - 1].set(params)
    )
    state, _ = training.run(
        training.init(jax.random.key(0), jnp.zeros(4), observed=jnp.zeros((3, 4))), data, None, num_epochs=3
    )
    for epochs in (1, 2, 3):
        partial, _ = training.run(
            training.init(jax.random.key(0), jnp.zeros(4), observed=jnp.zeros((3, 4))), data, None, num_epochs=epochs
        )
        np.testing.assert_array_equal(state.observed[epochs - 1], partial.params)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="batch_size is 0"):
        minibatch_training(_loss, optax.sgd(0.1), batch_size=0)
    with pytest.raises(ValueError, match="patience needs a score_fn"):
        minibatch_training(_loss, optax.sgd(0.1), batch_size=2, patience=3)
    with pytest.raises(ValueError, match="patience is 0"):
        minibatch_training(_loss, optax.sgd(0.1), lambda p, v: p, batch_size=2, patience=0)
