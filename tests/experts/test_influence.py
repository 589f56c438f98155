"""Influence and selection against numbers worked out by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.experts import influence, select


def test_learning_rates_weigh_checkpoints():
    """Four checkpoints whose cosines are .4, .3, .1 and -.2."""
    cosines = np.array([0.4, 0.3, 0.1, -0.2], np.float32)
    train = 7 * np.stack([cosines, np.sqrt(1 - cosines**2)], -1)[:, None]
    validation = np.tile(np.array([3.0, 0.0], np.float32), (4, 1, 1))
    rates = jnp.array([1.6877e-5, 1.2859e-5, 7.703e-6, 2.5616e-6])
    found = influence(jnp.asarray(train), jnp.asarray(validation), rates)
    np.testing.assert_allclose(found, [[0.271658]], atol=2e-6)
    alike = influence(jnp.asarray(train), jnp.asarray(validation))
    np.testing.assert_allclose(alike, [[0.15]], atol=1e-6)


def test_without_an_axis_of_checkpoints_it_is_the_cosine(rng):
    train, validation = rng.normal(size=(5, 4)).astype(np.float32), rng.normal(size=(3, 4)).astype(np.float32)
    train[2] = 0
    lengths = np.linalg.norm(train, axis=1)[:, None] * np.linalg.norm(validation, axis=1)
    expected = train @ validation.T / np.where(lengths == 0, 1, lengths)
    np.testing.assert_allclose(influence(jnp.asarray(train), jnp.asarray(validation)), expected, atol=1e-6)


def test_selection():
    scores = jnp.array([0.3, jnp.nan, 0.9, 0.3, -1.0, 0.7, 0.1])
    assert select(scores, 0.5).tolist() == [2, 5, 0, 3]
    assert select(scores, 1.0).tolist() == [2, 5, 0, 3, 6, 4, 1]
    assert select(jnp.arange(100.0), 0.05).tolist() == [99, 98, 97, 96, 95]
    assert select(jnp.arange(10.0), 0.3).tolist() == [9, 8, 7]


def test_bad_input():
    for fraction in (0.0, 1.5):
        with pytest.raises(ValueError, match="fraction is"):
            select(jnp.ones(3), fraction)
    with pytest.raises(ValueError, match=r"axis -3 of size 2, as train has"):
        influence(jnp.ones((2, 3, 4)), jnp.ones((3, 3, 4)))
    with pytest.raises(ValueError, match=r"validation has shape \(3, 5\).* as train has"):
        influence(jnp.ones((3, 4)), jnp.ones((3, 5)))
    with pytest.raises(ValueError, match="where train has 1 checkpoints"):
        influence(jnp.ones((3, 4)), jnp.ones((3, 4)), jnp.ones(2))
