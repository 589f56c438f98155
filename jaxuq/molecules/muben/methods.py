"""The uncertainty methods of the benchmark: which training each needs, and how its networks become a forecast."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from jaxuq import calibration, losses
from jaxuq.molecules.muben.heads import evidential_head, likelihood_head
from jaxuq.molecules.muben.objectives import predict_one
from jaxuq.molecules.muben.problem import Arrays, Problem
from jaxuq.molecules.muben.published_posteriors import published_swag_samples
from jaxuq.molecules.muben.setting import Setting, Trained
from jaxuq.molecules.scaling import unscale_mean, unscale_variance
from jaxuq.networks import apply_function
from jaxuq.posterior import (
    BernoulliForecast,
    Forecast,
    GaussianForecast,
    bbp,
    best_prior,
    dense,
    ensemble,
    laplace,
    mc_dropout,
    predict_forecast,
    swag,
)

BATCH = 4096  # molecules whose last features Laplace's curvature sums at once
FULL_LAPLACE_OUTPUTS = 32  # more outputs than that, and Laplace's curvature is Kronecker-factored
PRIOR_PRECISIONS = tuple(10.0**exponent for exponent in range(-3, 5))

ForecastFn = Callable[[Setting, Any, Key[Array, ""], PyTree, Arrays], Forecast]


class Method(NamedTuple):
    """One row of the benchmark's tables.

    Attributes:
        training: name of the training that it needs, one of `jaxuq.molecules.muben.trainings.trainer`.
        forecast: `forecast(setting, networks, rng_key, inputs, train)` for one seed, pure; `networks` is the `Trained`
            of that seed, regression comes in standardised label units.
        calibrator: fitted to that forecast on the validation part, if the method is a post-hoc one.
        task_types: where it applies.
        published: whether MUBen has it.
        members: `"one"` network per seed, or `"all"`.
        version: of its formula; another version is another cell, and is computed anew.
    """

    training: str
    forecast: ForecastFn
    calibrator: Callable[[], Any] | None = None
    task_types: tuple[str, ...] = ("classification", "regression")
    published: bool = False
    members: str = "one"
    version: int = 1


def _outputs_fn(setting: Setting) -> Callable[..., Array]:
    """`(params, inputs, *, rng_key=None) -> outputs` as `predict_forecast` reads them."""
    head = likelihood_head(setting.task_type)
    apply_fn = apply_function(setting.network(head.outputs_per_task))
    return lambda params, inputs, *, rng_key=None: _read(setting, apply_fn(params, inputs, rng_key=rng_key))


def _read(setting: Setting, outputs: Float[Array, "n outputs"]) -> Float[Array, "n ..."]:
    """Two outputs a task for a Gaussian likelihood, one without an axis of its own for a Bernoulli one."""
    return setting.by_task(outputs, 2) if setting.task_type == "regression" else outputs


def _of_samples(setting: Setting, apply_fn: Callable[..., Array], samples: PyTree, inputs: PyTree) -> Forecast:
    likelihood = "gaussian" if setting.task_type == "regression" else "bernoulli"
    return predict_forecast(apply_fn, samples, inputs, likelihood, batch_size=setting.molecules_at_once)


def _first(tree: PyTree) -> PyTree:
    """Parameters of a seed's first network."""
    return jax.tree.map(lambda leaf: leaf[0], tree)


def _networks(
    setting: Setting, networks: Trained, rng_key: Key[Array, ""], inputs: PyTree, train: Arrays, *, members: slice
) -> Forecast:
    samples = jax.tree.map(lambda leaf: leaf[members], networks.params)
    return _of_samples(setting, _outputs_fn(setting), samples, inputs)


_deterministic = partial(_networks, members=slice(0, 1))
_ensemble = partial(_networks, members=slice(None))


def _mc_dropout(
    setting: Setting, networks: Trained, rng_key: Key[Array, ""], inputs: PyTree, train: Arrays
) -> Forecast:
    method = mc_dropout()
    samples = method.sample(rng_key, method.init(rng_key, _first(networks.params)), setting.samples)
    return _of_samples(setting, _outputs_fn(setting), samples, inputs)


def _swag(setting: Setting, networks: Trained, rng_key: Key[Array, ""], inputs: PyTree, train: Arrays) -> Forecast:
    sample = published_swag_samples if setting.muben else swag().sample
    samples = sample(rng_key, networks.observed, setting.samples)
    return _of_samples(setting, _outputs_fn(setting), samples, inputs)


def _sgld(setting: Setting, networks: Trained, rng_key: Key[Array, ""], inputs: PyTree, train: Arrays) -> Forecast:
    samples = ensemble(setting.samples).sample(rng_key, networks.observed, setting.samples)
    return _of_samples(setting, _outputs_fn(setting), samples, inputs)


def _last_features(setting: Setting, params: PyTree, inputs: PyTree) -> Float[Array, "n width"]:
    """What the output layer sees, without dropout."""
    head = likelihood_head(setting.task_type)
    features = apply_function(setting.network(head.outputs_per_task), method="features")
    body = {name: part for name, part in params.items() if name != "output"}
    return predict_one(setting, features, body, inputs)


def _of_last_layers(setting: Setting, layers: PyTree, params: PyTree, inputs: PyTree) -> Forecast:
    features = _last_features(setting, params, inputs)
    return _of_samples(setting, partial(_of_layer, setting), layers, features)


def _of_layer(setting: Setting, layer: PyTree, features: Float[Array, "n width"]) -> Float[Array, "n ..."]:
    return _read(setting, dense(layer, features))


def _bbp(setting: Setting, networks: Trained, rng_key: Key[Array, ""], inputs: PyTree, train: Arrays) -> Forecast:
    params = _first(networks.params)
    return _of_last_layers(setting, bbp().sample(rng_key, params["output"], setting.samples), params, inputs)


def _laplace(setting: Setting, networks: Trained, rng_key: Key[Array, ""], inputs: PyTree, train: Arrays) -> Forecast:
    """The prior precision is the one of largest marginal likelihood among powers of ten."""
    params = _first(networks.params)
    likelihood = "gaussian" if setting.task_type == "regression" else "bernoulli"
    num_outputs = params["output"]["kernel"].shape[1]
    structure = "columns" if num_outputs <= FULL_LAPLACE_OUTPUTS else "kronecker"
    method = laplace(likelihood, structure, linearised=False)  # an output layer is linear in its weights
    data = (_last_features(setting, params, train.inputs), train.labels, train.mask)
    num_batches = -(-len(train.labels) // BATCH)
    padding = -len(train.labels) % num_batches

    def batches(leaf: Array) -> Array:
        padded = jnp.pad(leaf, ((0, padding), (0, 0)))  # the mask's padding is False
        return padded.reshape(num_batches, -1, leaf.shape[1])

    def update(state, batch):
        features, labels, mask = batch
        return method.update(rng_key, state, partial(_of_layer, setting), features, labels, where=mask), None

    state, _ = jax.lax.scan(update, method.init(rng_key, params["output"]), jax.tree.map(batches, data))
    state = best_prior(state, PRIOR_PRECISIONS)
    return _of_last_layers(setting, method.sample(rng_key, state, setting.samples), params, inputs)


def _evidential(
    setting: Setting, networks: Trained, rng_key: Key[Array, ""], inputs: PyTree, train: Arrays
) -> Forecast:
    width = evidential_head(setting.task_type).outputs_per_task
    apply_fn = apply_function(setting.network(width))
    outputs = setting.by_task(predict_one(setting, apply_fn, _first(networks.params), inputs), width)
    if setting.task_type == "regression":
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
        jnp.asarray(unscale_mean(problem.scaler, forecast.mean)),
        jnp.asarray(unscale_variance(problem.scaler, forecast.aleatoric)),
        jnp.asarray(unscale_variance(problem.scaler, forecast.epistemic)),
    )
