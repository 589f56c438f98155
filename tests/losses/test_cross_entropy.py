"""Cross entropies against scipy's log densities and against hand arithmetic; the contract of every masked mean."""

import functools

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jaxuq import losses
from tests.losses.means import bernoulli_cross_entropy, categorical_cross_entropy, reduced
from tests.losses.protocol import EXAMPLES


def test_bernoulli_is_the_log_mass_of_scipy(rng):
    logits, labels = rng.normal(0, 3, (7, 2)), rng.integers(0, 2, (7, 2))
    expected = -stats.bernoulli.logpmf(labels, 1 / (1 + np.exp(-logits))).mean()
    actual = bernoulli_cross_entropy(jnp.asarray(logits, jnp.float32), jnp.asarray(labels))
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_bernoulli_stays_exact_at_large_logits():
    logits = jnp.array([200.0, -200.0])
    labels = jnp.array([0, 0])
    assert bernoulli_cross_entropy(logits, labels) == 100.0
    np.testing.assert_allclose(jax.grad(bernoulli_cross_entropy)(logits, labels), [0.5, 0.0])


def test_soft_labels_are_the_expected_loss():
    logits = jnp.array([0.7])
    both = [bernoulli_cross_entropy(logits, jnp.array([y])) for y in (0, 1)]
    np.testing.assert_allclose(
        bernoulli_cross_entropy(logits, jnp.array([0.3])), 0.7 * both[0] + 0.3 * both[1], rtol=1e-6
    )


def test_categorical_by_hand():
    probabilities = np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], np.float32)
    actual = categorical_cross_entropy(jnp.log(probabilities) + 5, jnp.array([1, 2]))
    np.testing.assert_allclose(actual, (np.log(4) + np.log(1.25)) / 2, rtol=1e-6)


def test_two_classes_are_one_binary_task(rng):
    logits = jnp.asarray(rng.normal(size=9), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 2, 9))
    two = jnp.stack([jnp.zeros_like(logits), logits], axis=-1)
    np.testing.assert_allclose(
        categorical_cross_entropy(two, labels), bernoulli_cross_entropy(logits, labels), rtol=1e-6
    )


@settings(max_examples=20, deadline=None)
@given(st.lists(st.booleans(), min_size=6, max_size=6).filter(any))
def test_a_mask_is_the_same_as_leaving_entries_out(keep):
    keep = np.array(keep)
    logits, labels = np.linspace(-2, 3, 6, dtype=np.float32), np.array([0, 1, 1, 0, 1, 0])
    masked = bernoulli_cross_entropy(jnp.asarray(logits), jnp.asarray(labels), where=jnp.asarray(keep))
    np.testing.assert_allclose(
        masked, bernoulli_cross_entropy(jnp.asarray(logits[keep]), jnp.asarray(labels[keep])), rtol=1e-6
    )


LOSSES = [name for name in EXAMPLES if name.endswith(("loss", "likelihood", "entropy")) and name != "mean_loss"]


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_unmasked_gives_zero_and_zero_gradient(name):
    example = EXAMPLES[name][0] if isinstance(EXAMPLES[name], list) else EXAMPLES[name]
    outputs, *rest = (jnp.asarray(arg) for arg in example.args)
    outputs = jnp.full_like(outputs, jnp.nan)
    both = jax.jit(jax.value_and_grad(functools.partial(reduced(example.function), **example.kwargs)))
    value, gradient = both(outputs, *rest, where=jnp.zeros(example.where.shape, bool))
    assert value == 0
    np.testing.assert_array_equal(gradient, jnp.zeros_like(outputs))


@pytest.mark.parametrize("name", [name for name in LOSSES if not name.startswith("beta")])  # beta stops a gradient
def test_gradients_agree_with_finite_differences(name):
    example = EXAMPLES[name][-1] if isinstance(EXAMPLES[name], list) else EXAMPLES[name]
    with jax.enable_x64(True):
        args = [jnp.asarray(a, jnp.float64) if a.dtype == np.float32 else jnp.asarray(a) for a in example.args]
        inputs = [args[place] for place in example.differentiable]

        @jax.jit
        def loss(*inputs):
            changed = dict(zip(example.differentiable, map(jnp.asarray, inputs)))
            full = [changed.get(place, arg) for place, arg in enumerate(args)]
            return reduced(example.function)(*full, where=jnp.asarray(example.where), **example.kwargs)

        jax.test_util.check_grads(loss, inputs, order=1, modes=["rev"], rtol=1e-5)


_OF_CLASSES = {
    "plain": losses.categorical_cross_entropy,
    "focal": losses.categorical_focal_loss,
    "entropy": losses.entropy_regularised_cross_entropy,
    "uncertainty-aware": losses.uncertainty_aware_clm_loss,
    "smoothed": functools.partial(losses.smoothed_cross_entropy, smoothing=0.1),
    "smoothed over the others": functools.partial(losses.smoothed_cross_entropy, smoothing=0.1, spread="others"),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("name", _OF_CLASSES)
def test_no_second_array_of_all_classes(name, masked, gradient):
    """Neither a one-hot array nor probabilities beside the logits: of a vocabulary each would be as large as they."""
    n, classes = 256, 20_000
    arguments = [jax.ShapeDtypeStruct((n, classes), jnp.float32), jax.ShapeDtypeStruct((n,), jnp.int32)]

    def total(logits, targets, where=None):
        return jnp.sum(_OF_CLASSES[name](logits, targets, where=where))

    function = jax.grad(total) if gradient else total
    if masked:
        arguments.append(jax.ShapeDtypeStruct((n,), bool))
    compiled = jax.jit(function).lower(*arguments).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 0.01 * n * classes * 4


def test_value_slope_and_curvature_of_a_class_are_those_of_loops(rng):
    logits, labels = rng.normal(size=(4, 5)) * 3, np.array([0, 4, 2, 2])
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)

    def loss(row, label):
        return losses.categorical_cross_entropy(row[None], label[None])[0]

    rows, numbers = jnp.asarray(logits, jnp.float32), jnp.asarray(labels)
    slopes = jax.vmap(jax.grad(loss))(rows, numbers)
    curvatures = jax.vmap(jax.hessian(loss))(rows, numbers)
    for n in range(4):
        assert abs(loss(rows[n], numbers[n]) + np.log(p[n, labels[n]])) < 1e-5
        for i in range(5):
            assert abs(slopes[n, i] - (p[n, i] - (i == labels[n]))) < 1e-6
            for j in range(5):
                assert abs(curvatures[n, i, j] - p[n, i] * ((i == j) - p[n, j])) < 1e-6
