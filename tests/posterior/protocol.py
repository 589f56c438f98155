"""Examples of the public functions of jaxuq.posterior for tests/test_protocol.py."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq import posterior
from tests.protocol import Example

_RNG = np.random.default_rng(7)
_KEY = jax.random.key(7)


def _normal(*shape: int) -> np.ndarray:
    return _RNG.normal(size=shape).astype(np.float32)


_INPUTS = _normal(16, 3)
_LAYER = {"kernel": _normal(3, 8), "bias": _normal(8)}
_SAMPLES = {"kernel": _normal(5, 3, 8), "bias": _normal(5, 8)}
_WHERE = np.arange(32).reshape(16, 2) % 3 > 0
_ROWS = np.arange(16) % 3 > 0


def _gaussian_head(params, inputs):
    return posterior.dense(params, inputs).reshape(*inputs.shape[:-1], 4, 2)


# The functions of a method are called in turn in one example: what `init` makes is what `update` and `sample` read.


def _sampler(method):
    def function(rng_key, params, gradients):
        state, trace = method.init(rng_key, params), method.start(params)
        for _ in range(2):
            updates, state = method.update(gradients, state, params)
            params = jax.tree.map(jnp.add, params, updates)
            trace = method.collect(trace, params)
        return state, method.sample(rng_key, trace, 2)

    layers = ({"kernel": _normal(8, 2)}, {"kernel": _normal(8, 2)})
    return Example(function, (_KEY, *layers), differentiable=(1, 2))


def _laplace(likelihood, structure):
    method = posterior.laplace(likelihood, structure)
    outputs = 4 if likelihood == "gaussian" else 2

    def function(rng_key, layer, features, labels, new, where):
        state = method.update(method.init(layer), features, labels, where=where)
        return (
            state,
            method.sample(rng_key, state, 3),
            method.linearised(state, new),
            method.log_marginal_likelihood(state),
        )

    layer = {"kernel": _normal(3, outputs), "bias": _normal(outputs)}
    if likelihood == "categorical":
        labels, where, masked = np.arange(16) % 2, _ROWS, (2, 3)
    else:
        labels, where, masked = np.float32(_WHERE[::-1]), _WHERE, (3,)
    args = (_KEY, layer, _INPUTS, labels, _normal(8, 3))
    return Example(function, args, where=where, masked=masked, differentiable=(1, 2, 4))


def _kronecker_laplace(rng_key, params, inputs, gradients, where):
    method = posterior.kronecker_laplace(prior_precision=2.0)
    state = method.init(params)
    factors = {"a": posterior.kronecker_factors(inputs, gradients, where=where)}
    state = method.update(state, factors, jnp.zeros(()))
    samples = method.sample(rng_key, state, 3)

    def apply(params, inputs):
        return jnp.tanh(inputs @ params["a"])

    read = jax.vmap(method.bind(apply, state), (0, None))(samples, jnp.ones_like(inputs))
    return state.log_likelihood, samples, method.log_marginal_likelihood(state), read


_KRONECKER = ({"a": _normal(3, 2)}, _INPUTS, _normal(16, 2))


def _bbp(convention):
    method = posterior.bbp(convention=convention)

    def function(rng_key, layer, features):
        state = method.init(rng_key, layer)
        noisy = method.apply(state, features, rng_key=rng_key)
        return state, method.apply(state, features), noisy, method.kl(state), method.sample(rng_key, state, 3)

    return Example(function, (_KEY, _LAYER, _INPUTS), differentiable=(1, 2))


def _swag(convention):
    method = posterior.swag(rank=3, convention=convention)

    def function(rng_key, layer, other):
        state = method.update(method.update(method.init(layer), other), layer)
        return state, method.sample(rng_key, state, 3)

    return Example(function, (_KEY, _LAYER, jax.tree.map(np.square, _LAYER)), differentiable=(1, 2))


EXAMPLES: dict[str, Any] = {
    "bbp": [_bbp("paper"), _bbp("muben")],
    "dense": Example(posterior.dense, (_LAYER, _INPUTS), differentiable=(0, 1)),
    "deterministic": [
        Example(posterior.deterministic().init, (_LAYER,)),
        Example(posterior.deterministic().sample, (_KEY, _LAYER), differentiable=(1,)),
    ],
    "ensemble": [
        Example(
            lambda key: posterior.ensemble().init(key, lambda k: {"kernel": jax.random.normal(k, (3, 2))}, 4), (_KEY,)
        ),
        Example(posterior.ensemble().sample, (_KEY, _SAMPLES), differentiable=(1,)),
    ],
    "kronecker_factors": Example(
        posterior.kronecker_factors, (_INPUTS, _normal(16, 2)), where=_ROWS, masked=(0, 1), differentiable=(0, 1)
    ),
    "kronecker_laplace": Example(_kronecker_laplace, (_KEY, *_KRONECKER), where=_ROWS, masked=(2, 3), vmappable=False),
    "laplace": [
        _laplace("gaussian", "full"),
        _laplace("gaussian", "kronecker"),
        _laplace("bernoulli", "diagonal"),
        _laplace("categorical", "full"),
    ],
    "mc_dropout": [
        Example(posterior.mc_dropout().init, (_LAYER,)),
        Example(lambda key, state: posterior.mc_dropout().sample(key, state, 4), (_KEY, _LAYER)),
    ],
    "merge": Example(
        lambda kernel, bias: posterior.merge({"kernel": kernel, "bias": None}, {"kernel": None, "bias": bias}),
        (_LAYER["kernel"], _LAYER["bias"]),
        differentiable=(0, 1),
    ),
    "predict": [
        Example(partial(posterior.predict, posterior.dense), (_SAMPLES, _INPUTS), differentiable=(0, 1)),
        Example(
            partial(posterior.predict, posterior.dense, batch_size=6, sample_chunk=2),
            (_SAMPLES, _INPUTS),
            differentiable=(0, 1),
        ),
    ],
    "predict_forecast": [
        Example(
            partial(posterior.predict_forecast, apply, likelihood=likelihood, batch_size=6, sample_chunk=chunk),
            (_SAMPLES, _INPUTS),
            differentiable=(0, 1),
        )
        for apply, likelihood, chunk in (
            (_gaussian_head, "gaussian", 1),
            (posterior.dense, "bernoulli", 2),
            (posterior.dense, "categorical", 1),
        )
    ],
    "psgld": _sampler(posterior.psgld(0.1, prior_scale=0.5, capacity=3)),
    "select": Example(
        lambda layer: posterior.select(layer, posterior.paths_containing("bias")), (_LAYER,), differentiable=(0,)
    ),
    "sghmc": _sampler(posterior.sghmc(0.1, prior_scale=0.5, capacity=3)),
    "sgld": _sampler(posterior.sgld(0.1, prior_scale=0.5, capacity=3)),
    "summarise": [
        Example(lambda outputs: posterior.summarise(outputs, "gaussian"), (_normal(8, 5, 3, 2),), differentiable=(0,)),
        Example(lambda outputs: posterior.summarise(outputs, "bernoulli"), (_normal(8, 5, 3),), differentiable=(0,)),
        Example(lambda outputs: posterior.summarise(outputs, "categorical"), (_normal(8, 5, 3),), differentiable=(0,)),
    ],
    "swag": [_swag("paper"), _swag("muben")],
}
HOST: dict[str, str] = {
    "BBP": "a type",
    "BBPState": "a type",
    "BernoulliForecast": "a type",
    "CategoricalForecast": "a type",
    "Deterministic": "a type",
    "Ensemble": "a type",
    "Forecast": "a type",
    "GaussianForecast": "a type",
    "KroneckerFactors": "a type",
    "KroneckerLaplace": "a type",
    "KroneckerLaplaceState": "a type",
    "Laplace": "a type",
    "LaplaceState": "a type",
    "MCDropout": "a type",
    "PSGLDState": "a type",
    "SGHMCState": "a type",
    "SGLDState": "a type",
    "SWAG": "a type",
    "SWAGState": "a type",
    "StochasticGradientMCMC": "a type",
    "Trace": "a type",
    "nuts_last_layer": "runs NumPyro's own compiled loop from the host",
    "paths_containing": "makes a predicate on strings",
}
