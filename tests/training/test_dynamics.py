"""Streaming statistics of a training against those of the stored epochs, and planted errors that they find."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.metrics import roc_auc_score

from jaxuq import training


def _epochs(seed=0, epochs=6, n=9, classes=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(epochs, n, classes)) * 2, rng.integers(0, classes, n)


def test_streaming_is_what_storing_gives():
    logits, labels = _epochs()
    rng, state = np.random.default_rng(1), training.init_dynamics(9)
    seen = [[] for _ in range(9)]
    for epoch in logits:
        order, kept = rng.permutation(9), rng.random(9) < 0.8
        rows = np.concatenate([order, [9, -1]])  # of padding
        state = jax.jit(training.update_dynamics)(
            state, jnp.asarray(rows), jnp.asarray(epoch[np.clip(rows, 0, 8)], jnp.float32),
            jnp.asarray(labels[np.clip(rows, 0, 8)]), where=jnp.asarray([*kept, True, True]),
        )  # fmt: skip
        for row in order[kept]:
            seen[row].append(epoch[row])
    found = training.example_dynamics(state)
    for row, epochs in enumerate(seen):
        y = labels[row]
        p = [np.exp(z[y]) / np.exp(z).sum() for z in epochs]
        right = [z[y] > np.delete(z, y).max() for z in epochs]
        lapses = sum(before and not after for before, after in itertools.pairwise(right))
        expected = np.mean(p), np.std(p), np.mean(right), lapses if any(right) else np.inf
        expected += (np.mean([z[y] - np.delete(z, y).max() for z in epochs]),)
        np.testing.assert_allclose([part[row] for part in found], expected, rtol=1e-4, atol=1e-5)


def test_worked_numbers():
    state = training.init_dynamics(1)
    for right in (0, 1, 0, 1, 1, 0):
        logits = jnp.array([[1.0, 0.0] if right else [0.0, 1.0]])
        state = training.update_dynamics(state, jnp.array([0]), logits, jnp.array([0]))
    assert training.example_dynamics(state).forgotten[0] == 2
    assert np.isnan(training.example_dynamics(training.init_dynamics(2)).confidence).all()
    assert np.isnan(training.error_norm(jnp.zeros((2, 3)), jnp.array([3, -1]))).all()
    gradients = np.random.default_rng(2).normal(size=(4, 5, 3))
    np.testing.assert_allclose(
        training.gradient_variability(jnp.asarray(gradients, jnp.float32)), gradients.std(0).mean(-1), rtol=1e-5
    )


@pytest.mark.long
def test_flipped_labels_have_low_confidence():
    """A linear model on two clouds, one label in ten flipped: each score finds the flips."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 400)
    inputs = jnp.asarray(rng.normal(size=(400, 2)) + 4 * labels[:, None], jnp.float32)
    flipped = rng.random(400) < 0.1
    given = jnp.asarray(np.where(flipped, 1 - labels, labels))
    optimiser, params = optax.adam(0.1), (jnp.zeros((2, 2)), jnp.zeros(2))

    def loss(params):
        return optax.softmax_cross_entropy_with_integer_labels(inputs @ params[0] + params[1][None], given).mean()

    def epoch(carry, _):
        params, opt_state, state = carry
        changes, opt_state = optimiser.update(jax.grad(loss)(params), opt_state)
        params = optax.apply_updates(params, changes)
        state = training.update_dynamics(state, jnp.arange(400), inputs @ params[0] + params[1][None], given)
        return (params, opt_state, state), None

    start = params, optimiser.init(params), training.init_dynamics(400)
    with jax.numpy_dtype_promotion("standard"):  # optax counts steps in integers
        (params, _, state), _ = jax.lax.scan(epoch, start, None, length=60)
    found = training.example_dynamics(state)
    norms = training.error_norm(inputs @ params[0] + params[1][None], given)
    for score in (-found.confidence, -found.margin, -found.correctness, norms):
        assert roc_auc_score(flipped, np.asarray(score)) > 0.9


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e25])
def test_gradients_of_any_scale(scale):
    gradients = np.random.default_rng(4).normal(size=(4, 5, 3)).astype(np.float32)
    found = training.gradient_variability(jnp.asarray(scale * gradients, jnp.float32))
    np.testing.assert_allclose(found / np.float32(scale), np.std(gradients, axis=0).mean(axis=-1), rtol=1e-5)
