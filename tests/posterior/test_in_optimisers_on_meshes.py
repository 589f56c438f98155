"""Methods that ride in an optimiser over eight devices: the states of the direct form on one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxuq.posterior import dense, on_part, paths_containing, posterior_state, predict, sgld, swag

STEPS = 9
RNG = np.random.default_rng(5)
INPUTS = jnp.asarray(RNG.normal(size=(16, 3)), jnp.float32)
LABELS = jnp.asarray(RNG.normal(size=(16, 2)), jnp.float32)
PARAMS = {
    "hidden": {"kernel": jnp.asarray(RNG.normal(size=(3, 8)), jnp.float32), "bias": jnp.zeros(8)},
    "output": {"kernel": jnp.asarray(RNG.normal(size=(8, 2)), jnp.float32), "bias": jnp.zeros(2)},
}
LABEL_OF_LAYER = {"hidden": "rest", "output": "last"}
close = functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-6)


def _apply(params, inputs):
    return dense(params["output"], jnp.tanh(dense(params["hidden"], inputs)))


def _gradient(params, inputs, labels):
    return jax.grad(lambda p: jnp.sum((_apply(p, inputs) - labels) ** 2) / 2)(params)


def _adam():
    return optax.adam(optax.cosine_decay_schedule(0.05, STEPS))


def _train(optimizer, params, inputs, labels):
    """The optimiser's state, the parameters, and those after each step."""

    @jax.jit
    def run(params, inputs, labels):
        def step(carry, _):
            params, state = carry
            updates, state = optimizer.update(_gradient(params, inputs, labels), state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), params

        (params, state), path = jax.lax.scan(step, (params, optimizer.init(params)), length=STEPS)
        return state, params, path

    with jax.numpy_dtype_promotion("standard"):  # optimisers mix integer steps with floats
        return run(params, inputs, labels)


def _on_mesh(kind, optimizer, parts):
    """The training with the batch divided over eight devices and parameters placed by `parts`, a spec a layer."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(kind,))
    of = lambda *spec: NamedSharding(mesh, PartitionSpec(*spec))  # noqa: E731
    places = {name: {"kernel": of(*kernel), "bias": of(*bias)} for name, (kernel, bias) in parts.items()}
    with jax.set_mesh(mesh):
        inputs, labels = (jax.device_put(array, of("data")) for array in (INPUTS, LABELS))
        return _train(optimizer, jax.device_put(PARAMS, places), inputs, labels)


WHOLE = {"hidden": ((), ()), "output": ((), ())}
DIVIDED = {"hidden": ((None, "data"), ("data",)), "output": (("data",), ())}
MESHES = pytest.mark.parametrize(
    ("kind", "parts"),
    [(AxisType.Auto, WHOLE), (AxisType.Explicit, WHOLE), (AxisType.Auto, DIVIDED)],
    ids=["auto", "explicit", "parameters divided"],
)


@MESHES
def test_swag_in_a_chain_with_a_schedule(kind, parts, rng_key):
    method = swag(3)
    optimizer = optax.chain(_adam(), method.as_optax(rng_key, every=2, start=1))
    state, params, _ = _on_mesh(kind, optimizer, parts)
    _, expected_params, path = _train(_adam(), PARAMS, INPUTS, LABELS)
    jax.tree.map(close, params, expected_params)
    direct = method.init(rng_key, PARAMS)
    for step in (2, 4, 6, 8):
        direct = method.update(rng_key, direct, jax.tree.map(lambda leaf, step=step: leaf[step], path))
    found = posterior_state(state)
    assert int(found.step) == 4
    jax.tree.map(close, found, direct)
    samples = [method.sample(rng_key, one, 4) for one in (jax.device_get(found), direct)]
    close(*(predict(_apply, drawn, INPUTS) for drawn in samples))


@MESHES
def test_sgld_by_labels_on_one_layer(kind, parts, rng_key):
    """The last layer a chain, the rest under Adam; directly, the chain acts on the part with Adam beside it."""
    method = sgld(0.01, prior_scale=0.5, capacity=4, thinning=2)
    optimizer = optax.multi_transform({"rest": _adam(), "last": method.as_optax(rng_key)}, LABEL_OF_LAYER)
    state, params, _ = _on_mesh(kind, optimizer, parts)

    direct, adam = on_part(method, paths_containing("output")), _adam()

    @jax.jit
    def by_hand(params):
        def step(number, carry):
            hidden, adam_state, chain = carry
            gradients = _gradient({"hidden": hidden, "output": chain.part.position["output"]}, INPUTS, LABELS)
            chain = direct.update(jax.random.fold_in(rng_key, number), chain, gradients)
            updates, adam_state = adam.update(gradients["hidden"], adam_state, hidden)
            return optax.apply_updates(hidden, updates), adam_state, chain

        hidden = params["hidden"]
        return jax.lax.fori_loop(0, STEPS, step, (hidden, adam.init(hidden), direct.init(rng_key, params)))

    with jax.numpy_dtype_promotion("standard"):
        hidden, _, chain = by_hand(PARAMS)
    jax.tree.map(close, params, {"hidden": hidden, "output": chain.part.position["output"]})
    found = posterior_state(state)
    assert int(found.trace.count) == 4
    samples = method.sample(rng_key, found, 4)
    jax.tree.map(close, samples["output"], direct.sample(rng_key, chain, 4).varying["output"])
