"""Examples of the public functions of jaxuq.posterior for tests/test_protocol.py."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxuq import posterior
from jaxuq._arrays import as_float
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
    return posterior.dense(params, inputs).reshape(*inputs.shape[:-1], params["bias"].size // 2, 2)


def _evidential_head(params, inputs):
    return posterior.dense(params, inputs).reshape(*inputs.shape[:-1], params["bias"].size // 4, 4)


# The functions of a method are called in turn in one example: what `init` makes is what `update` and `sample` read.


def _sampler(method):
    def function(rng_key, params, gradients):
        state = method.init(rng_key, params)
        for number in range(2):
            state = method.update(jax.random.fold_in(rng_key, number), state, gradients)
        return state, method.sample(rng_key, state, 2)

    layers = ({"kernel": _normal(8, 2)}, {"kernel": _normal(8, 2)})
    return Example(function, (_KEY, *layers), differentiable=(1, 2), keeps_type=True, rows=None)


def _snapshots(method, **options):
    def function(rng_key, layer, other):
        state = method.init(rng_key, layer)
        for params in (other, layer):
            state = method.update(rng_key, state, params)
        samples = method.sample(rng_key, state, 3)
        return state, samples.varying if isinstance(samples, posterior.Draws) else samples

    return Example(function, (_KEY, _LAYER, jax.tree.map(np.square, _LAYER)), keeps_type=True, rows=None, **options)


def _laplace(likelihood, structure, linearised=True):
    method = posterior.laplace(likelihood, structure, linearised=linearised)
    apply = _gaussian_head if likelihood == "gaussian" else posterior.dense
    outputs = 4 if likelihood == "gaussian" else 2

    def function(rng_key, layer, features, labels, new, where):
        state = method.update(rng_key, method.init(rng_key, layer), apply, features, labels, where=where)
        samples = method.sample(rng_key, state, 3)
        return (
            state,
            posterior.predict(apply, samples, new),
            posterior.output_variance(state, apply, new),
            posterior.log_marginal_likelihood(state),
        )

    layer = {"kernel": _normal(3, outputs), "bias": _normal(outputs)}
    if likelihood == "categorical":
        labels, where, masked = np.arange(16) % 2, _ROWS, (2, 3)
    else:
        labels, where, masked = np.float32(_WHERE[::-1]), _WHERE, (3,)
    args = (_KEY, layer, _INPUTS, labels, _normal(8, 3))
    return Example(function, args, where=where, masked=masked, differentiable=(1, 2, 4), keeps_type=True, rows=2)


def _without_data(function):
    """Of a Laplace state whose curvature is given."""

    def of_state(params, values):
        state = posterior.laplace("bernoulli", "diagonal").init(_KEY, params)
        return function(state._replace(curvature=state.curvature._replace(values=[as_float(values)])))

    return Example(of_state, (_normal(8), np.square(_normal(8))), differentiable=(0, 1), rows=None)


def _variance(params, values, inputs):
    state = posterior.laplace("bernoulli", "diagonal").init(_KEY, params)
    state = state._replace(curvature=state.curvature._replace(values=[as_float(values)]))
    return posterior.output_variance(state, lambda w, x: x @ w, inputs)


def _bbp(rng_key, layer, features):
    method = posterior.bbp()
    state = method.init(rng_key, layer)
    noisy = posterior.noisy_dense(state, features, rng_key=rng_key)
    return state, noisy, posterior.kl_to_prior(state), method.sample(rng_key, state, 3)


def _posterior_state(layer, gradients):
    optimizer = optax.chain(optax.sgd(0.1), posterior.swag(2).as_optax(_KEY))
    _, state = optimizer.update(gradients, optimizer.init(layer), layer)
    return posterior.posterior_state(state)


def _read_draws(varying, fixed, inputs):
    draws = posterior.Draws(varying, fixed, posterior.linearised_at)
    return posterior.predict(lambda w, x: jnp.tanh(x @ w), draws, inputs)


def _on_part(rng_key, layer, other):
    method = posterior.on_part(posterior.swag(3), posterior.paths_containing("bias"))
    state = method.init(rng_key, layer)
    for params in (layer, other):
        state = method.update(rng_key, state, params)
    return posterior.predict(posterior.dense, method.sample(rng_key, state, 3), jnp.ones((2, 3), layer["bias"].dtype))


def _batch_ensemble(rng_key, layer, other):
    method = posterior.batch_ensemble(2, optimizer=optax.sgd(0.1))
    state = method.update(rng_key, method.init(rng_key, layer), lambda params: other)
    return state, method.sample(rng_key, state, 2).varying


_VBLL = posterior.VBLL(_normal(2, 3), _normal(2, 3, 3), _normal(2))
_CLASSES = np.arange(16, dtype=np.int32) % 2
_LOGITS, _VARIANCES = _normal(16), np.square(_normal(16))

EXAMPLES: dict[str, Any] = {
    "distance_to_truth": [
        Example(
            partial(posterior.distance_to_truth, _KEY, likelihood=likelihood, num_slices=3),
            (_normal(8, 5, *tail), _normal(6, 5, *tail)),
            differentiable=(0, 1),
            rows=None,
        )
        for likelihood, tail in (("bernoulli", (2,)), ("categorical", (3,)), ("gaussian", (1, 2)))
    ],
    "sliced_wasserstein": Example(
        partial(posterior.sliced_wasserstein, _KEY, num_slices=3),
        (_normal(8, 4), _normal(6, 4)),
        differentiable=(0, 1),
        rows=None,
    ),
    "batch_ensemble": Example(
        _batch_ensemble,
        (_KEY, _LAYER, jax.tree.map(np.square, _LAYER)),
        differentiable=(1, 2),
        keeps_type=True,
        rows=None,
    ),
    "cosine_features": Example(
        lambda inputs, fixed: posterior.cosine_features(fixed, inputs),
        (_INPUTS, posterior.RandomFeatures(_normal(3, 8), _normal(8))),
        differentiable=(0, 1),
        keeps_type=True,
        whole=(1,),
    ),
    "init_vbll": Example(lambda key: posterior.init_vbll(key, 4, 2), (_KEY,), rows=None),
    "mean_field_forecast": Example(posterior.mean_field_forecast, (_LOGITS, _VARIANCES), differentiable=(0, 1)),
    "mean_field_logits": Example(posterior.mean_field_logits, (_LOGITS, _VARIANCES), differentiable=(0, 1)),
    "random_features": Example(lambda key: posterior.random_features(key, 4, 8), (_KEY,), rows=None),
    "rank_one": Example(
        lambda inputs, factors, shared: posterior.rank_one(lambda w, x: x @ w["kernel"], shared)(factors, inputs),
        (_INPUTS, {"kernel": (_normal(3), _normal(8))}, {"kernel": _normal(3, 8)}),
        differentiable=(0, 1, 2),
        keeps_type=True,
        whole=(1, 2),
    ),
    "rank_one_dense": Example(
        lambda features, *layer: posterior.rank_one_dense(*layer, features),
        (_INPUTS, _normal(3, 8), _normal(3), _normal(8)),
        differentiable=(0, 1, 2, 3),
        keeps_type=True,
        whole=(1, 2, 3),
    ),
    "rank_one_member": Example(
        posterior.rank_one_member,
        (_normal(3, 8), (_normal(3), _normal(8))),
        differentiable=(0, 1),
        keeps_type=True,
        whole=(0, 1),
        rows=None,
    ),
    "vbll_binary_loss": Example(
        posterior.vbll_binary_loss,
        (_VBLL, _INPUTS, np.float32(_WHERE)),
        differentiable=(0, 1),
        whole=(0,),
        rows=1,
    ),
    "vbll_classification_loss": Example(
        lambda features, labels, layer: posterior.vbll_classification_loss(layer, features, labels),
        (_INPUTS, _CLASSES, _VBLL),
        differentiable=(0, 2),
        whole=(2,),
    ),
    "vbll_forecast": Example(
        lambda features, layer: posterior.vbll_forecast(layer, features),
        (_INPUTS, _VBLL),
        differentiable=(0, 1),
        whole=(1,),
    ),
    "vbll_moments": Example(
        lambda features, layer: posterior.vbll_moments(layer, features),
        (_INPUTS, _VBLL),
        differentiable=(0, 1),
        whole=(1,),
    ),
    "vbll_penalty": Example(lambda layer: posterior.vbll_penalty(layer, 0.5), (_VBLL,), differentiable=(0,), rows=None),
    "vbll_regression_loss": Example(
        posterior.vbll_regression_loss,
        (_VBLL, _INPUTS, _normal(16, 2)),
        differentiable=(0, 1, 2),
        whole=(0,),
        rows=1,
    ),
    "vbll_samples": Example(
        lambda key, layer: posterior.vbll_samples(key, layer, 3),
        (_KEY, _VBLL),
        differentiable=(1,),
        keeps_type=True,
        rows=None,
    ),
    "bbp": Example(_bbp, (_KEY, _LAYER, _INPUTS), differentiable=(1, 2), keeps_type=True, rows=2),
    "best_prior": _without_data(lambda state: posterior.best_prior(state, [0.5, 2.0]).prior_precision),
    "dense": Example(posterior.dense, (_LAYER, _INPUTS), differentiable=(0, 1), keeps_type=True, rows=1),
    "deterministic": _snapshots(posterior.deterministic(), differentiable=(1,)),
    "ensemble": _snapshots(posterior.ensemble(2), differentiable=(1, 2)),
    "gaussian": Example(
        lambda outputs, labels: posterior.gaussian(0.5).log_prob(outputs, labels),
        (_normal(16), _normal(16)),
        differentiable=(0, 1),
    ),
    "init_members": Example(
        lambda key: posterior.init_members(key, lambda k: {"kernel": jax.random.normal(k, (3, 2))}, 4),
        (_KEY,),
        rows=None,
    ),
    "kl_to_prior": Example(
        lambda mean, raw: posterior.kl_to_prior(posterior.BBPState(mean, raw)),
        (_normal(8), _normal(8)),
        differentiable=(0, 1),
        rows=None,
    ),
    "kronecker_factors": Example(
        posterior.kronecker_factors, (_INPUTS, _normal(16, 2)), where=_ROWS, masked=(0, 1), differentiable=(0, 1)
    ),
    "laplace": [
        _laplace("gaussian", "columns"),
        _laplace("gaussian", "kronecker"),
        _laplace("bernoulli", "diagonal"),
        _laplace("categorical", "full"),
    ],
    "linearised_at": Example(
        lambda centre, params, inputs: posterior.linearised_at(lambda w, x: jnp.tanh(x @ w), centre)(params, inputs),
        (_normal(3), _normal(3), _INPUTS),
        differentiable=(0, 1, 2),
        keeps_type=True,
        rows=2,
    ),
    "log_marginal_likelihood": _without_data(posterior.log_marginal_likelihood),
    "mc_dropout": _snapshots(posterior.mc_dropout()),
    "merge": Example(
        lambda kernel, bias: posterior.merge({"kernel": kernel, "bias": None}, {"kernel": None, "bias": bias}),
        (_LAYER["kernel"], _LAYER["bias"]),
        differentiable=(0, 1),
        keeps_type=True,
        rows=None,
    ),
    "noisy_dense": Example(
        lambda layer, features: posterior.noisy_dense(posterior.BBPState(layer, layer), features),
        (_LAYER, _INPUTS),
        differentiable=(0, 1),
        keeps_type=True,
        rows=1,
    ),
    "on_part": Example(
        _on_part, (_KEY, _LAYER, jax.tree.map(np.square, _LAYER)), differentiable=(1, 2), keeps_type=True, rows=None
    ),
    "output_variance": Example(
        _variance, (_normal(3), np.square(_normal(3)), _INPUTS), differentiable=(0, 1, 2), rows=2
    ),
    "posterior_state": Example(_posterior_state, (_LAYER, _LAYER), differentiable=(0,), keeps_type=True, rows=None),
    "predict": [
        Example(_read_draws, (_normal(5, 3), _normal(3), _INPUTS), differentiable=(0, 1, 2), keeps_type=True, rows=2),
        Example(
            partial(posterior.predict, posterior.dense),
            (_SAMPLES, _INPUTS),
            differentiable=(0, 1),
            keeps_type=True,
            rows=1,
        ),
        Example(
            partial(posterior.predict, posterior.dense, batch_size=6, sample_chunk=2),
            (_SAMPLES, _INPUTS),
            differentiable=(0, 1),
            keeps_type=True,
            rows=1,
        ),
    ],
    "predict_forecast": [
        Example(
            partial(posterior.predict_forecast, apply, likelihood=likelihood, batch_size=6, sample_chunk=chunk),
            (_SAMPLES, _INPUTS),
            differentiable=(0, 1),
            rows=1,
        )
        for apply, likelihood, chunk in (
            (_gaussian_head, "gaussian", 1),
            (posterior.dense, "bernoulli", 2),
            (posterior.dense, "categorical", 1),
            (posterior.dense, "poisson", 2),
            (_evidential_head, "evidential", 1),
        )
    ],
    "psgld": _sampler(posterior.psgld(0.1, prior_scale=0.5, capacity=3)),
    "select": Example(
        lambda layer: posterior.select(layer, posterior.paths_containing("bias")),
        (_LAYER,),
        differentiable=(0,),
        keeps_type=True,
        rows=None,
    ),
    "sghmc": _sampler(posterior.sghmc(0.1, prior_scale=0.5, capacity=3)),
    "sgnht": _sampler(posterior.sgnht(0.1, prior_scale=0.5, capacity=3)),
    "cyclical_sgld": _sampler(
        posterior.cyclical_sgld(0.1, num_steps=6, num_cycles=3, exploration=0.5, samples_per_cycle=1, prior_scale=0.5)
    ),
    "sgld": _sampler(posterior.sgld(0.1, prior_scale=0.5, capacity=3)),
    "summarise": [
        Example(
            lambda outputs: posterior.summarise(outputs, "gaussian"),
            (_normal(8, 5, 3, 2),),
            differentiable=(0,),
            rows=None,
        ),
        Example(
            lambda outputs: posterior.summarise(outputs, "bernoulli"),
            (_normal(8, 5, 3),),
            differentiable=(0,),
            rows=None,
        ),
        Example(
            lambda outputs: posterior.summarise(outputs, "categorical"),
            (_normal(8, 5, 3),),
            differentiable=(0,),
            rows=None,
        ),
    ],
    "student_t": Example(
        lambda outputs, labels: posterior.student_t(4.0).log_prob(outputs, labels),
        (_normal(16, 2), _normal(16)),
        differentiable=(0, 1),
    ),
    "swag": [
        _snapshots(posterior.swag(rank=3), differentiable=(1, 2)),
        _snapshots(posterior.swag(rank=3, count_start=True), differentiable=(1, 2)),
    ],
}
_INF = float("inf")
# Which arguments may hold which values at the edge of their range, where value and gradient are limits, not NaN.
LIMITS: dict[str, dict[int, tuple[float, ...]]] = {"summarise-1": {0: (-_INF, _INF)}, "summarise-2": {0: (-_INF, _INF)}}
LABELS: dict[str, int] = {"vbll_classification_loss": 1}
HOST: dict[str, str] = {
    "READERS": "a table",
    **dict.fromkeys(
        (
            "BBPState",
            "BatchEnsembleState",
            "RandomFeatures",
            "TruthDistance",
            "VBLL",
            "BernoulliForecast",
            "CategoricalForecast",
            "ChainState",
            "Draws",
            "Forecast",
            "GaussianForecast",
            "KroneckerFactors",
            "LaplaceState",
            "Likelihood",
            "Method",
            "Moments",
            "PoissonForecast",
            "SWAGState",
            "Spread",
            "Trace",
        ),
        "a type",
    ),
    "LIKELIHOODS": "a table",
    "likelihood_of": "looks a name up",
    "low_rank": "makes what makes an empty curvature",
    "nuts": "runs NumPyro's own compiled loop from the host",
    "paths_containing": "makes a predicate on strings",
}
