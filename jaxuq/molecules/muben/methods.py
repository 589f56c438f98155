"""The uncertainty methods of the benchmark: which training each needs, and how its networks become a forecast."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from jaxuq import calibration, losses
from jaxuq.molecules.muben.problem import Problem
from jaxuq.molecules.muben.trainings import Setting, Trained, likelihood_head
from jaxuq.molecules.scaling import unscale_mean, unscale_variance
from jaxuq.networks import apply_function
from jaxuq.posterior import (
    BernoulliForecast,
    Forecast,
    GaussianForecast,
    bbp,
    dense,
    laplace,
    mc_dropout,
    predict,
    predict_forecast,
    sgld,
    swag,
)

BATCH = 4096  # molecules that are forecast at once
FULL_LAPLACE_OUTPUTS = 32  # more outputs than that, and Laplace's curvature is Kronecker-factored
PRIOR_PRECISIONS = tuple(10.0**exponent for exponent in range(-3, 5))

ForecastFn = Callable[[Setting, Trained, int, Key[Array, ""], PyTree], Forecast]


class Method(NamedTuple):
    """One row of the benchmark's tables.

    Attributes:
        training: name of the training that it needs, see `jaxuq.molecules.muben.run`.
        forecast: `forecast(setting, trained, seed number, rng_key, inputs)`, regression in standardised label units.
        calibrator: fitted to that forecast on the validation part, if the method is a post-hoc one.
        task_types: where it applies.
        published: whether MUBen has it.
        members: `"one"` network per seed, or `"all"`.
    """

    training: str
    forecast: ForecastFn
    calibrator: Callable[[], Any] | None = None
    task_types: tuple[str, ...] = ("classification", "regression")
    published: bool = False
    members: str = "one"


def _outputs_fn(setting: Setting) -> Callable[..., Array]:
    """`(params, inputs, *, rng_key=None) -> outputs` as `predict_forecast` reads them."""
    head = likelihood_head(setting.problem.task_type)
    apply_fn = apply_function(setting.network(head.outputs_per_task))
    return lambda params, inputs, *, rng_key=None: _read(setting, apply_fn(params, inputs, rng_key=rng_key))


def _read(setting: Setting, outputs: Float[Array, "n outputs"]) -> Float[Array, "n tasks *outputs"]:
    """Two outputs a task for a Gaussian likelihood, one without an axis of its own for a Bernoulli one."""
    return setting.by_task(outputs, 2) if setting.problem.likelihood == "gaussian" else outputs


def _of_samples(setting: Setting, apply_fn: Callable[..., Array], samples: PyTree, inputs: PyTree) -> Forecast:
    forecast = partial(predict_forecast, apply_fn, likelihood=setting.problem.likelihood, batch_size=BATCH)
    return jax.jit(lambda samples, inputs: forecast(samples=samples, inputs=inputs))(samples, inputs)


def _member(tree: PyTree, seed: int, member: int | slice) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[seed, member], tree)


def _deterministic(setting: Setting, trained: Trained, seed: int, rng_key: Key[Array, ""], inputs: PyTree) -> Forecast:
    return _of_samples(setting, _outputs_fn(setting), _member(trained.params, seed, slice(0, 1)), inputs)


def _ensemble(setting: Setting, trained: Trained, seed: int, rng_key: Key[Array, ""], inputs: PyTree) -> Forecast:
    return _of_samples(setting, _outputs_fn(setting), _member(trained.params, seed, slice(None)), inputs)


def _mc_dropout(setting: Setting, trained: Trained, seed: int, rng_key: Key[Array, ""], inputs: PyTree) -> Forecast:
    method, params = mc_dropout(), _member(trained.params, seed, 0)
    samples = method.sample(rng_key, method.init(params), setting.samples)
    return _of_samples(setting, method.bind(_outputs_fn(setting), params), samples, inputs)


def _swag(setting: Setting, trained: Trained, seed: int, rng_key: Key[Array, ""], inputs: PyTree) -> Forecast:
    method = swag(convention="muben" if setting.muben else "paper")
    state = jax.tree.map(lambda leaf: leaf[seed], trained.observed)
    return _of_samples(setting, _outputs_fn(setting), method.sample(rng_key, state, setting.samples), inputs)


def _sgld(setting: Setting, trained: Trained, seed: int, rng_key: Key[Array, ""], inputs: PyTree) -> Forecast:
    trace = jax.tree.map(lambda leaf: leaf[seed], trained.observed)
    method = sgld(setting.learning_rate, capacity=setting.samples)
    return _of_samples(setting, _outputs_fn(setting), method.sample(rng_key, trace, setting.samples), inputs)


def _last_features(setting: Setting, params: PyTree, inputs: PyTree) -> Float[Array, "n width"]:
    """What the output layer sees, without dropout."""
    head = likelihood_head(setting.problem.task_type)
    features = apply_function(setting.network(head.outputs_per_task), method="features")
    body = {name: part for name, part in params.items() if name != "output"}
    return predict(features, jax.tree.map(lambda leaf: leaf[None], body), inputs, batch_size=BATCH)[0]


def _bbp(setting: Setting, trained: Trained, seed: int, rng_key: Key[Array, ""], inputs: PyTree) -> Forecast:
    params = _member(trained.params, seed, 0)
    samples = bbp().sample(rng_key, params["output"], setting.samples)
    features = _last_features(setting, params, inputs)
    return _of_samples(setting, lambda layer, phi: _read(setting, dense(layer, phi)), samples, features)


def _laplace(setting: Setting, trained: Trained, seed: int, rng_key: Key[Array, ""], inputs: PyTree) -> Forecast:
    problem, params = setting.problem, _member(trained.params, seed, 0)
    num_outputs = params["output"]["kernel"].shape[1]
    method = laplace(problem.likelihood, "full" if num_outputs <= FULL_LAPLACE_OUTPUTS else "kronecker")
    features = _last_features(setting, params, problem.train.inputs)
    update = jax.jit(method.update)
    state = method.init(params["output"])
    for begin in range(0, features.shape[0], BATCH):
        rows = slice(begin, begin + BATCH)
        state = update(state, features[rows], problem.train.labels[rows], where=problem.train.mask[rows])
    evidence = jnp.stack([method.log_marginal_likelihood(state, precision) for precision in PRIOR_PRECISIONS])
    chosen = jnp.asarray(PRIOR_PRECISIONS)[jnp.argmax(evidence)]
    samples = method.sample(rng_key, state._replace(prior_precision=chosen), setting.samples)
    features = _last_features(setting, params, inputs)
    return _of_samples(setting, lambda layer, phi: _read(setting, dense(layer, phi)), samples, features)


def _evidential(setting: Setting, trained: Trained, seed: int, rng_key: Key[Array, ""], inputs: PyTree) -> Forecast:
    width = 4 if setting.problem.likelihood == "gaussian" else 2
    apply_fn = apply_function(setting.network(width))
    samples = _member(trained.params, seed, slice(0, 1))
    outputs = setting.by_task(predict(apply_fn, samples, inputs, batch_size=BATCH)[0], width)
    if setting.problem.likelihood == "gaussian":
        parameters = losses.normal_inverse_gamma_parameters(outputs)
        return GaussianForecast(parameters.gamma, parameters.aleatoric, parameters.epistemic)
    concentrations = losses.dirichlet_concentrations(outputs)
    moments = losses.dirichlet_moments(concentrations)
    logits = jnp.log(concentrations[..., 1]) - jnp.log(concentrations[..., 0])
    return BernoulliForecast(logits, moments.aleatoric, moments.epistemic)


METHODS: dict[str, Method] = {
    "deterministic": Method("network", _deterministic, published=True),
    "temperature": Method(
        "network", _deterministic, calibration.temperature_scaling, ("classification",), published=True
    ),
    "focal": Method("focal", _deterministic, None, ("classification",), published=True),
    "mc-dropout": Method("network", _mc_dropout, published=True),
    "swag": Method("swag", _swag, published=True),
    "bbp": Method("bbp", _bbp, published=True),
    "sgld": Method("sgld", _sgld, published=True),
    "ensemble": Method("network", _ensemble, published=True, members="all"),
    "laplace": Method("network", _laplace),
    "evidential": Method("evidential", _evidential),
    "platt": Method("network", _deterministic, calibration.platt_scaling, ("classification",)),
    "isotonic": Method("network", _deterministic, calibration.isotonic_calibration, ("classification",)),
    "isotonic-quantiles": Method("network", _deterministic, calibration.isotonic_quantiles, ("regression",)),
    "variance-scaling": Method("network", _deterministic, calibration.variance_scaling, ("regression",)),
}
"""By the name that `--methods` takes."""


def label_units(problem: Problem, forecast: Forecast) -> Forecast:
    """A forecast of standardised labels in the labels' own units; classification is returned as it is.

    Args:
        problem: holds the scale.
        forecast: standardised.

    Returns:
        The forecast.
    """
    if not isinstance(forecast, GaussianForecast):
        return forecast
    return GaussianForecast(
        unscale_mean(problem.scaler, forecast.mean),
        unscale_variance(problem.scaler, forecast.aleatoric),
        unscale_variance(problem.scaler, forecast.epistemic),
    )
