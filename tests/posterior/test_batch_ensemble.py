"""Batch ensembles against dense layers with kernels written out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxuq._errors import ArrayError, OptionError
from jaxuq.posterior import batch_ensemble, dense, predict, predict_forecast, rank_one_dense, rank_one_member

PARAMS = {"hidden": {"kernel": jnp.ones((3, 4)) * 0.3, "bias": jnp.arange(4.0)}, "output": jnp.ones((4, 1))}


def _model(params, inputs):
    return jnp.tanh(dense(params["hidden"], inputs)) @ params["output"]


def _inputs():
    return jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)), jnp.float32)


def test_the_worked_member():
    kernel = jnp.array([[1.0, 2], [3, 4]])
    rows, columns, x = jnp.array([1.0, -1]), jnp.array([0.5, 2]), jnp.array([1.0, 2])
    np.testing.assert_allclose(x @ rank_one_member(kernel, (rows, columns)), [-2.5, -12])
    np.testing.assert_allclose(rank_one_dense(kernel, rows, columns, x), [-2.5, -12])


def test_members_are_networks_with_their_kernels_written_out():
    method = batch_ensemble(3)
    state = method.init(jax.random.key(0), PARAMS)
    factors = jax.tree.map(jnp.asarray, state.factors)
    factors["hidden"]["bias"] = jnp.asarray(np.random.default_rng(1).normal(size=(3, 4)), jnp.float32)
    outputs = predict(_model, method.sample(jax.random.key(1), state._replace(factors=factors), 3), _inputs())
    for k in range(3):
        (r, s), (u, v) = factors["hidden"]["kernel"], factors["output"]
        written = {
            "hidden": {
                "kernel": PARAMS["hidden"]["kernel"] * np.outer(r[k], s[k]),
                "bias": PARAMS["hidden"]["bias"] + factors["hidden"]["bias"][k],
            },
            "output": PARAMS["output"] * np.outer(u[k], v[k]),
        }
        np.testing.assert_allclose(outputs[k], _model(written, _inputs()), rtol=1e-5, atol=1e-6)
    assert outputs.std(axis=0).min() > 0


def test_without_spread_it_is_one_network():
    method = batch_ensemble(4, spread=0.0)
    state = method.init(jax.random.key(0), PARAMS)
    forecast = predict_forecast(_model, method.sample(jax.random.key(0), state, 4), _inputs(), "bernoulli")
    np.testing.assert_allclose(forecast.epistemic, 0, atol=1e-6)
    np.testing.assert_allclose(forecast.logits, _model(PARAMS, _inputs()), rtol=1e-4, atol=1e-5)


def test_update_moves_along_the_sum_of_the_members_losses():
    """One step of plain descent is the gradient of the summed losses in shared kernels and in each factor."""
    method = batch_ensemble(3, optimizer=optax.sgd(0.1))
    start = method.init(jax.random.key(0), PARAMS)
    loss = lambda params: jnp.sum(jnp.square(_model(params, _inputs()) - 1))  # noqa: E731
    moved = jax.jit(lambda state: method.update(jax.random.key(1), state, jax.grad(loss)))(start)

    def total(shared, factors):
        members = [rank_one_member(shared, jax.tree.map(lambda leaf, k=k: leaf[k], factors)) for k in range(3)]
        return sum(loss(member) for member in members)

    slopes = jax.grad(total, argnums=(0, 1))(start.shared, start.factors)
    for before, after, slope in zip((start.shared, start.factors), (moved.shared, moved.factors), slopes):
        jax.tree.map(
            lambda a, b, g: np.testing.assert_allclose(b, a - 0.1 * g, rtol=1e-4, atol=1e-5), before, after, slope
        )


def test_training_lowers_the_loss_of_every_member_and_leaves_them_apart():
    inputs = jnp.linspace(-2, 2, 20)[:, None]
    labels = jnp.sin(2 * inputs)
    params = {"hidden": {"kernel": jnp.ones((1, 8)), "bias": jnp.linspace(-2, 2, 8)}, "output": jnp.full((8, 1), 0.1)}
    loss = lambda params: jnp.sum(jnp.square(_model(params, inputs) - labels))  # noqa: E731
    method = batch_ensemble(4, optimizer=optax.adam(0.03))
    state = method.init(jax.random.key(0), params)
    apart = lambda state: predict(_model, method.sample(jax.random.key(0), state, 4), inputs)  # noqa: E731
    before = jnp.sum((apart(state) - labels[None]) ** 2, axis=(1, 2))
    step = lambda state, key: (method.update(key, state, jax.grad(loss)), None)  # noqa: E731
    state, _ = jax.lax.scan(step, state, jax.random.split(jax.random.key(1), 300))
    after = jnp.sum((apart(state) - labels[None]) ** 2, axis=(1, 2))
    assert np.all(after < 0.3 * before) and np.all(apart(state).std(axis=0) > 0)


def test_what_cannot_be_is_said():
    method = batch_ensemble(2)
    state = method.init(jax.random.key(0), PARAMS)
    with pytest.raises(OptionError, match="there are 2 members"):
        method.sample(jax.random.key(0), state, 3)
    with pytest.raises(OptionError, match="no optimiser"):
        method.update(jax.random.key(0), state, lambda params: params)


@pytest.mark.parametrize("shapes", [((1,), (2,)), ((3,), (1,)), ((), (2,)), ((4, 3), (4, 2)), (3, 2), (2,)])
def test_factors_that_are_not_those_of_one_member_are_refused(shapes):
    pair = any(isinstance(shape, tuple) for shape in shapes)
    factors = tuple(jnp.ones(shape) for shape in shapes) if pair else jnp.ones(shapes)
    with pytest.raises(ArrayError, match=r"leaf \['kernel'\] of shape \(3, 2\).*expected \(\(3,\), \(2,"):
        rank_one_member({"kernel": jnp.ones((3, 2))}, {"kernel": factors})


def test_factors_of_another_tree_and_offsets_of_another_size_are_refused():
    with pytest.raises(ArrayError, match="no tree like"):
        rank_one_member({"bias": jnp.ones(2)}, {"offset": jnp.ones(2)})
    with pytest.raises(ArrayError, match=r"\['bias'\] of shape \(2,\)"):
        rank_one_member({"bias": jnp.ones(2)}, {"bias": jnp.ones(1)})
