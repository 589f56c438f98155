"""The posterior room: one file per way of getting parameter samples, and one way to predict with any of them.

A method is three functions: `init` makes its state, `update` shows it something of the training, and `sample` returns
parameter samples. So every method is used in the same lines:

    method = swag(rank=20)
    state = method.init(rng_key, params)
    for step in range(steps):
        state = method.update(jax.random.fold_in(rng_key, step), state, *observe(state, step))
    samples = method.sample(rng_key, state, 30)
    forecast = predict_forecast(apply_fn, samples, inputs, "gaussian", batch_size=256)
    forecast.mean, forecast.aleatoric, forecast.epistemic

What `observe` gives depends on the method alone, and `method.observes` says it:

- `"snapshots"`: `(params,)`, parameters as an optimiser has trained them. `deterministic` and `mc_dropout` keep the
  newest, `ensemble` the last few, `swag` their moments; each counts once, what `init` got does not count.
- `"gradients"`: `(gradient_fn,)`, where `gradient_fn(params)` is the gradient of the summed negative log likelihood at
  the place where the method wants it: `sgld`, `cyclical_sgld`, `psgld`, `sghmc`, `sgnht`, `bbp` and
  `batch_ensemble` move by themselves.
- `"data"`: `(apply_fn, inputs, labels)`, batches of the training data after the training: `laplace`.

A model is any `apply_fn(params, inputs, *, rng_key=None) -> outputs` with a pytree of parameters, from flax, nnx,
equinox or by hand; leaves that are no arrays pass through. `on_part` makes any method act on a part, such as the last
layer or the adapters; `method.as_optax(rng_key)` makes those that act in training an optax transformation. Keys are
arguments and never in a state, so a step can be made again and a state saved. States stack: `jax.vmap` any of these
functions over a leading axis of ensemble members. How outputs are read is a `Likelihood`, by name or a record of your
own.

Which one? `ensemble` when training can be repeated; `swag` or `laplace` when one run is to be used as it is; `bbp`,
`sgld`, `psgld`, `sghmc` or `sgnht` (its friction absorbs the noise of minibatches) when the last layer is to be learnt
as a distribution; `cyclical_sgld` for several modes of a whole network; `batch_ensemble` where memory holds one
network; a last layer whose training says how sure it is by `vbll_*_loss`, or one that knows distances by
`cosine_features` (SNGP); `mc_dropout` when the network has dropout and nothing else can be changed; `nuts` with
`distance_to_truth` to see how good any of them is.
"""

from jaxuq.posterior.batch_ensemble import (
    BatchEnsembleState,
    batch_ensemble,
    rank_one,
    rank_one_dense,
    rank_one_member,
)
from jaxuq.posterior.bbp import BBPState, bbp, dense, kl_to_prior, noisy_dense
from jaxuq.posterior.chain import ChainState
from jaxuq.posterior.continuous_likelihoods import gaussian, student_t
from jaxuq.posterior.curvature import low_rank
from jaxuq.posterior.cyclical_sgld import cyclical_sgld
from jaxuq.posterior.deterministic import deterministic
from jaxuq.posterior.draws import Draws
from jaxuq.posterior.ensemble import ensemble, init_members
from jaxuq.posterior.forecast import (
    BernoulliForecast,
    CategoricalForecast,
    Forecast,
    GaussianForecast,
    PoissonForecast,
)
from jaxuq.posterior.kronecker import KroneckerFactors, kronecker_factors
from jaxuq.posterior.laplace import (
    LaplaceState,
    best_prior,
    laplace,
    linearised_at,
    log_marginal_likelihood,
    output_variance,
)
from jaxuq.posterior.likelihood import Likelihood, Moments, Spread
from jaxuq.posterior.likelihoods import LIKELIHOODS, likelihood_of
from jaxuq.posterior.mc_dropout import mc_dropout
from jaxuq.posterior.method import Method
from jaxuq.posterior.moments import summarise
from jaxuq.posterior.nuts import nuts
from jaxuq.posterior.optax_form import posterior_state
from jaxuq.posterior.predict import predict, predict_forecast
from jaxuq.posterior.psgld import psgld
from jaxuq.posterior.readers import READERS
from jaxuq.posterior.sghmc import sghmc
from jaxuq.posterior.sgld import sgld
from jaxuq.posterior.sgnht import sgnht
from jaxuq.posterior.sngp import (
    RandomFeatures,
    cosine_features,
    mean_field_forecast,
    mean_field_logits,
    random_features,
)
from jaxuq.posterior.subtree import merge, on_part, paths_containing, select
from jaxuq.posterior.swag import SWAGState, swag
from jaxuq.posterior.trace import Trace
from jaxuq.posterior.truth import TruthDistance, distance_to_truth, sliced_wasserstein
from jaxuq.posterior.vbll import (
    VBLL,
    init_vbll,
    vbll_binary_loss,
    vbll_classification_loss,
    vbll_forecast,
    vbll_moments,
    vbll_penalty,
    vbll_regression_loss,
    vbll_samples,
)

__all__ = [
    "LIKELIHOODS",
    "READERS",
    "VBLL",
    "BBPState",
    "BatchEnsembleState",
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
    "RandomFeatures",
    "SWAGState",
    "Spread",
    "Trace",
    "TruthDistance",
    "batch_ensemble",
    "bbp",
    "best_prior",
    "cosine_features",
    "cyclical_sgld",
    "dense",
    "deterministic",
    "distance_to_truth",
    "ensemble",
    "gaussian",
    "init_members",
    "init_vbll",
    "kl_to_prior",
    "kronecker_factors",
    "laplace",
    "likelihood_of",
    "linearised_at",
    "log_marginal_likelihood",
    "low_rank",
    "mc_dropout",
    "mean_field_forecast",
    "mean_field_logits",
    "merge",
    "noisy_dense",
    "nuts",
    "on_part",
    "output_variance",
    "paths_containing",
    "posterior_state",
    "predict",
    "predict_forecast",
    "psgld",
    "random_features",
    "rank_one",
    "rank_one_dense",
    "rank_one_member",
    "select",
    "sghmc",
    "sgld",
    "sgnht",
    "sliced_wasserstein",
    "student_t",
    "summarise",
    "swag",
    "vbll_binary_loss",
    "vbll_classification_loss",
    "vbll_forecast",
    "vbll_moments",
    "vbll_penalty",
    "vbll_regression_loss",
    "vbll_samples",
]
