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


def _advanced(state: Any) -> Any:
    """A state with numbers in it: zeros become small positive numbers."""
    return jax.tree.map(lambda leaf: leaf + 0.1 if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, state)


def _gaussian_head(params, inputs):
    return posterior.dense(params, inputs).reshape(*inputs.shape[:-1], 4, 2)


def _with(sampled, method, state, count=4):
    """`sample(rng_key, state)` with the static number of samples filled in."""
    del sampled
    return Example(lambda key, s: method.sample(key, s, count), (_KEY, state))


def _sampler(method):
    params = {"kernel": _normal(8, 2)}
    state, trace = method.init(_KEY, params), method.start(params)
    filled = method.collect(method.collect(trace, params), jax.tree.map(lambda leaf: 2 * leaf, params))
    gradients = {"kernel": _normal(8, 2)}
    return [
        Example(method.init, (_KEY, params)),
        Example(method.update, (gradients, _advanced(state), params), differentiable=(0, 2)),
        Example(method.start, (params,)),
        Example(method.collect, (filled, params)),
        Example(lambda key, t: method.sample(key, t, 2), (_KEY, filled)),
    ]


def _laplace(likelihood, structure):
    labels, where = (_normal(16, 2), _WHERE) if likelihood == "gaussian" else (np.float32(_WHERE[::-1]), _WHERE)
    layer = {"kernel": _normal(3, 4 if likelihood == "gaussian" else 2), "bias": _normal(4)[:None]}
    if likelihood != "gaussian":
        layer["bias"] = _normal(2)
    if likelihood == "categorical":
        labels, where = np.arange(16) % 2, _ROWS
    method = posterior.laplace(likelihood, structure)
    layer = jax.tree.map(jnp.asarray, layer)
    state = method.update(method.init(layer), jnp.asarray(_INPUTS), jnp.asarray(labels))
    masked = (1, 2) if where.ndim == 1 else (2,)
    return [
        Example(method.init, (layer,)),
        Example(method.update, (state, _INPUTS, labels), where=where, masked=masked, differentiable=(0, 1)),
        Example(lambda key, s: method.sample(key, s, 4), (_KEY, state)),
        Example(method.linearised, (state, _INPUTS), differentiable=(1,)),
        Example(method.log_marginal_likelihood, (state,), differentiable=(0,)),
    ]


def _bbp():
    method = posterior.bbp()
    state = method.init(_KEY, jax.tree.map(jnp.asarray, _LAYER))
    return [
        Example(method.init, (_KEY, _LAYER)),
        Example(method.apply, (state, _INPUTS), differentiable=(0, 1)),
        Example(lambda k, s, x: method.apply(s, x, rng_key=k), (_KEY, state, _INPUTS), differentiable=(1, 2)),
        Example(method.kl, (state,), differentiable=(0,)),
        Example(lambda key, s: method.sample(key, s, 4), (_KEY, state), differentiable=(1,)),
    ]


def _swag(convention):
    method = posterior.swag(rank=3, convention=convention)
    params = jax.tree.map(jnp.asarray, _LAYER)
    state = method.init(params)
    for factor in (0.5, 2.0):
        state = method.update(state, jax.tree.map(lambda leaf, f=factor: f * leaf, params))
    return [
        Example(method.init, (params,)),
        Example(method.update, (state, params), differentiable=(1,)),
        Example(lambda key, s: method.sample(key, s, 4), (_KEY, state)),
    ]


EXAMPLES: dict[str, Any] = {
    "bbp": _bbp(),
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
    "laplace": [
        *_laplace("gaussian", "full"),
        *_laplace("gaussian", "kronecker"),
        *_laplace("bernoulli", "diagonal"),
        *_laplace("categorical", "full"),
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
    "swag": [*_swag("paper"), *_swag("muben")],
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
