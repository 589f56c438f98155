"""The DNN against its published size and a NumPy forward pass; dropout masks against the binomial distribution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.networks import DNN, Dropout, apply_function, keep_mask


def test_published_parameter_count():
    params = DNN(num_outputs=1).init(jax.random.key(0), jnp.zeros((1, 200)))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 157_953
    assert params["output"]["kernel"].shape == (128, 1)
    np.testing.assert_array_equal(params["hidden_8"]["bias"], np.full(128, 0.01, np.float32))


def test_forward_pass_equals_numpy():
    module = DNN(num_outputs=3, width=7, depth=2)
    x = jax.random.normal(jax.random.key(1), (5, 4))
    params = module.init(jax.random.key(0), x)["params"]
    h = np.asarray(x)
    for name in ("hidden_0", "hidden_1", "hidden_2"):
        h = np.maximum(h @ np.asarray(params[name]["kernel"]) + np.asarray(params[name]["bias"]), 0)
    np.testing.assert_allclose(apply_function(module, method="features")(params, x), h, rtol=2e-5, atol=1e-6)
    expected = h @ np.asarray(params["output"]["kernel"]) + np.asarray(params["output"]["bias"])
    np.testing.assert_allclose(apply_function(module)(params, x), expected, rtol=2e-5, atol=1e-6)


def test_dropout_acts_only_with_a_key_and_keeps_the_mean():
    x = jnp.ones((400, 500))
    layer = Dropout(0.25)
    np.testing.assert_array_equal(layer.apply({}, x), x)
    dropped = layer.apply({}, x, rngs={"dropout": jax.random.key(0)})
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(float(dropped.mean()) - 1) < 4 * np.sqrt(0.25 / 0.75 / x.size)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_masks_have_the_rate_in_every_row_column_and_key(rate):
    keys = jax.random.split(jax.random.key(11), 64)
    masks = np.asarray(jax.vmap(lambda key: keep_mask(key, (128, 96), rate))(keys))
    for axes in ((1, 2), (0, 2), (0, 1)):
        dropped = (~masks).sum(axis=axes)
        size = masks.size // dropped.size
        chi_squared = float(((dropped - size * rate) ** 2 / (size * rate * (1 - rate))).sum())
        assert abs(chi_squared - dropped.size) < 5 * np.sqrt(2 * dropped.size)


def test_masks_of_neighbours_layers_and_consecutive_keys_are_uncorrelated():
    base = jax.random.key(12)
    masks = np.asarray([keep_mask(jax.random.fold_in(base, i), (256, 128), 0.5) for i in range(20)], np.float64) - 0.5
    size = masks[0].size
    for shifted in (
        np.roll(masks, 1, axis=0),
        np.roll(masks, 1, axis=1),
        np.roll(masks, 1, axis=2),
        np.roll(masks, 64, 2),
    ):
        correlation = (masks * shifted).sum(axis=(1, 2)) / (0.25 * size)
        assert np.abs(correlation).max() < 4.5 / np.sqrt(size)


def test_a_bad_rate_is_named():
    with pytest.raises(ValueError, match=r"rate is 1\.5"):
        keep_mask(jax.random.key(0), (3,), 1.5)
