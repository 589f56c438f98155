"""The documented lines, as they are written, over all methods, four kinds of model, all parameters and a last layer."""

import inspect
import typing

import equinox
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint
import pytest
from flax import nnx

from jaxuq import posterior
from jaxuq.posterior import (
    Method,
    batch_ensemble,
    bbp,
    cyclical_sgld,
    deterministic,
    ensemble,
    laplace,
    mc_dropout,
    on_part,
    paths_containing,
    predict,
    predict_forecast,
    psgld,
    sghmc,
    sgld,
    sgnht,
    swag,
)

INPUTS = jnp.asarray(np.random.default_rng(1).normal(size=(6, 3)), jnp.float32)
LABELS = jnp.asarray(np.random.default_rng(2).normal(size=(6, 1)), jnp.float32)


def _noisy(hidden, rng_key):
    if rng_key is None:
        return hidden
    return jnp.where(jax.random.bernoulli(rng_key, 0.5, hidden.shape), 2 * hidden, 0.0)


def _plain():
    rng = np.random.default_rng(3)
    params = [{"w": rng.normal(size=(d, m)), "b": rng.normal(size=m)} for d, m in ((3, 4), (4, 2))]

    def apply_fn(params, x, *, rng_key=None):
        first, last = params
        hidden = _noisy(jnp.tanh(x @ first["w"] + first["b"][None]), rng_key)
        return (hidden @ last["w"] + last["b"][None])[:, None]

    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params), apply_fn, "1/"


class _Linen(nn.Module):
    @nn.compact
    def __call__(self, x, rng_key=None):
        hidden = _noisy(jnp.tanh(nn.Dense(4, name="hidden")(x)), rng_key)
        return nn.Dense(2, name="output")(hidden)[:, None]


def _linen():
    module = _Linen()
    params = module.init(jax.random.key(0), INPUTS)
    return params, lambda p, x, *, rng_key=None: module.apply(p, x, rng_key), "output"


class _Nnx(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(3, 4, rngs=rngs)
        self.output = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x, rng_key=None):
        return self.output(_noisy(jnp.tanh(self.hidden(x)), rng_key))[:, None]


def _nnx():
    graph, params = nnx.split(_Nnx(nnx.Rngs(0)), nnx.Param)
    return params, lambda p, x, *, rng_key=None: nnx.merge(graph, p)(x, rng_key), "output"


class _Equinox(equinox.Module):
    layers: list
    activation: object  # a leaf that is no array
    rate: float = 0.5

    def __call__(self, x, rng_key=None):
        return self.layers[1](_noisy(self.activation(self.layers[0](x)), rng_key))[None]


def _equinox():
    keys = jax.random.split(jax.random.key(0))
    layers = [equinox.nn.Linear(3, 4, key=keys[0]), equinox.nn.Linear(4, 2, key=keys[1])]

    def apply_fn(module, x, *, rng_key=None):
        assert module.rate == 0.5  # passed through untouched
        return jax.vmap(lambda row: module(row, rng_key))(x)

    return _Equinox(layers, jnp.tanh), apply_fn, "layers/1"


MODELS = {"plain": _plain, "linen": _linen, "nnx": _nnx, "equinox": _equinox}
METHODS = {
    "deterministic": deterministic,
    "ensemble": ensemble,
    "mc_dropout": mc_dropout,
    "swag": lambda: swag(rank=20),
    "batch_ensemble": lambda: batch_ensemble(4, optimizer=optax.sgd(1e-3)),
    "bbp": lambda: bbp(optimizer=optax.sgd(1e-3)),
    "sgld": lambda: sgld(1e-3),
    "psgld": lambda: psgld(1e-5),
    "sghmc": lambda: sghmc(1e-3),
    "sgnht": lambda: sgnht(1e-2),
    "cyclical_sgld": lambda: cyclical_sgld(1e-3, num_steps=8, num_cycles=2, exploration=0.0, samples_per_cycle=4),
    "laplace": lambda: laplace("gaussian", "kronecker"),
    "laplace-low-rank": lambda: laplace("gaussian", "low_rank"),
    "laplace-diagonal": lambda: laplace("gaussian", "diagonal"),
    "laplace-full": lambda: laplace("gaussian", "full"),
    "laplace-columns": lambda: laplace("gaussian", "columns"),
}
LONG = {
    "batch_ensemble",
    "psgld",
    "sghmc",
    "sgnht",
    "cyclical_sgld",
    "laplace-low-rank",
    "laplace-diagonal",
    "laplace-full",
    "laplace-columns",
}


def _observer(method, params, apply_fn):
    """What a training gives to a method of each kind, as the room's docstring says."""

    def loss(params):
        outputs = apply_fn(params, INPUTS)
        return jnp.sum((outputs[:, 0, :1] - LABELS) ** 2)

    return {
        "snapshots": lambda step: (
            jax.tree.map(lambda leaf: leaf + 0.1 * step if equinox.is_array(leaf) else leaf, params),
        ),
        "gradients": lambda step: (equinox.filter_grad(loss),),
        "data": lambda step: (apply_fn, INPUTS, LABELS),
    }[method.observes]


def _run(name, model, last):
    params, apply_fn, ending = MODELS[model]()
    method = METHODS[name]()
    method = on_part(method, paths_containing(ending)) if last else method
    observe = _observer(method, params, apply_fn)

    @equinox.filter_jit
    def lines(rng_key, params):
        state = method.init(rng_key, params)
        for step in range(3):
            state = method.update(jax.random.fold_in(rng_key, step), state, *observe(step))
        samples = method.sample(rng_key, state, 4)
        forecast = predict_forecast(apply_fn, samples, INPUTS, "gaussian")
        return state, samples, forecast, predict(apply_fn, samples, INPUTS)

    return method, observe, apply_fn, lines(jax.random.key(5), params)


def test_every_method_of_the_room_is_run():
    functions = [value for value in vars(posterior).values() if inspect.isfunction(value)]
    factories = {f.__name__ for f in functions if typing.get_type_hints(f).get("return") is Method}
    assert factories - {"on_part"} == {name.partition("-")[0] for name in METHODS}


@pytest.mark.parametrize("last", [False, True], ids=["all", "last layer"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name in LONG else []) for name in METHODS]
)
def test_the_documented_lines(name, model, last, tmp_path, rng_key):
    method, observe, apply_fn, (state, _, forecast, outputs) = _run(name, model, last)
    assert forecast.mean.shape == (6, 1) and outputs.shape == (4, 6, 1, 2)
    assert np.isfinite(forecast.total).all()
    np.testing.assert_allclose(forecast.mean, outputs[..., 0].mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(forecast.epistemic, outputs[..., 0].var(0), rtol=1e-3, atol=1e-5)
    assert (np.asarray(forecast.epistemic) > 1e-12).any() == (name != "deterministic")
    if (model == "plain" and not last) or name == "swag":
        _survives(method, observe, state, apply_fn, tmp_path)


def _survives(method, observe, state, apply_fn, tmp_path):
    """Arrays alone, no keys: a state goes to the host and to disk and back, and a step can be made again."""
    for leaf in jax.tree.leaves(state):
        assert not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", jax.device_get(state))
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "state", state)
    key = jax.random.key(9)
    update = equinox.filter_jit(lambda state: method.update(key, state, *observe(3)))
    jax.tree.map(np.testing.assert_array_equal, update(state), update(restored))
    read = lambda state: predict(apply_fn, method.sample(key, state, 4), INPUTS)  # noqa: E731
    np.testing.assert_allclose(read(jax.device_get(state)), read(state), rtol=1e-5, atol=1e-6)


def test_last_layer_samples_leave_the_rest_alone():
    samples, params = _run("swag", "equinox", True)[3][1], _equinox()[0]
    assert samples.varying.layers[0].weight is None
    newest = params.layers[0].weight + 0.1 * 2  # of the last snapshot
    np.testing.assert_allclose(samples.fixed.layers[0].weight, newest, rtol=1e-6)
    assert samples.varying.layers[1].weight.shape == (4, 2, 4)


def test_a_kronecker_laplace_knows_both_layouts():
    """The same network as kernels `[in, out]` and as equinox's weights `[out, in]`: one evidence, one forecast."""
    from jaxuq.posterior import log_marginal_likelihood

    module, of_module, _ = _equinox()
    params = [{"w": layer.weight.T, "b": layer.bias} for layer in module.layers]
    _, of_params, _ = _plain()
    method, found = laplace("gaussian", "kronecker"), []
    for tree, apply_fn in ((module, of_module), (params, of_params)):
        state = method.update(jax.random.key(0), method.init(jax.random.key(0), tree), apply_fn, INPUTS, LABELS)
        found.append(log_marginal_likelihood(state))
    np.testing.assert_allclose(*found, rtol=1e-5)
