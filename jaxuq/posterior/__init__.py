"""The posterior room: one file per way of getting parameter samples, and one way to predict with any of them.

A method is a NamedTuple of pure functions: `init` makes its state, an `update` follows the training, and
`sample(rng_key, state, num_samples)` returns parameters with a leading sample axis. `bind(apply_fn, state)` is the
function that reads one sample: the model itself, except for `mc_dropout`, whose samples are keys. So every method
ends in the same lines:

    method = swag(rank=20)
    state = method.init(params)  # then, once an epoch: state = method.update(state, params)
    samples = method.sample(rng_key, state, 30)
    forecast = predict_forecast(method.bind(apply_fn, state), samples, inputs, "gaussian", batch_size=256)
    forecast.mean, forecast.aleatoric, forecast.epistemic

A model is any `apply_fn(params, inputs, *, rng_key=None) -> outputs` with a pytree of parameters. A method acts on the
tree it is given; `select` and `merge` give it a part, such as the last layer or the adapters. A function takes a key
only if it draws. States stack: `jax.vmap` any of these functions over a leading axis of ensemble members.

Which one? `ensemble` when training can be repeated; `swag` or `laplace` when one run is to be used as it is; `bbp`,
`sgld`, `psgld` or `sghmc` when the last layer is to be learnt as a distribution; `mc_dropout` when the network has
dropout and nothing else can be changed; `nuts_last_layer` to see how good any of them is.
"""

from jaxuq.posterior._curvature import KroneckerFactors
from jaxuq.posterior.bbp import BBP, BBPState, bbp, dense
from jaxuq.posterior.deterministic import Deterministic, deterministic
from jaxuq.posterior.ensemble import Ensemble, ensemble
from jaxuq.posterior.forecast import BernoulliForecast, CategoricalForecast, Forecast, GaussianForecast
from jaxuq.posterior.kronecker_laplace import (
    KroneckerLaplace,
    KroneckerLaplaceState,
    kronecker_factors,
    kronecker_laplace,
)
from jaxuq.posterior.laplace import Laplace, LaplaceState, laplace
from jaxuq.posterior.mc_dropout import MCDropout, mc_dropout
from jaxuq.posterior.moments import summarise
from jaxuq.posterior.nuts import nuts_last_layer
from jaxuq.posterior.predict import predict, predict_forecast
from jaxuq.posterior.psgld import PSGLDState, psgld
from jaxuq.posterior.sghmc import SGHMCState, sghmc
from jaxuq.posterior.sgld import SGLDState, sgld
from jaxuq.posterior.subtree import merge, paths_containing, select
from jaxuq.posterior.swag import SWAG, SWAGState, swag
from jaxuq.posterior.trace import StochasticGradientMCMC, Trace

__all__ = [
    "BBP",
    "SWAG",
    "BBPState",
    "BernoulliForecast",
    "CategoricalForecast",
    "Deterministic",
    "Ensemble",
    "Forecast",
    "GaussianForecast",
    "KroneckerFactors",
    "KroneckerLaplace",
    "KroneckerLaplaceState",
    "Laplace",
    "LaplaceState",
    "MCDropout",
    "PSGLDState",
    "SGHMCState",
    "SGLDState",
    "SWAGState",
    "StochasticGradientMCMC",
    "Trace",
    "bbp",
    "dense",
    "deterministic",
    "ensemble",
    "kronecker_factors",
    "kronecker_laplace",
    "laplace",
    "mc_dropout",
    "merge",
    "nuts_last_layer",
    "paths_containing",
    "predict",
    "predict_forecast",
    "psgld",
    "select",
    "sghmc",
    "sgld",
    "summarise",
    "swag",
]
