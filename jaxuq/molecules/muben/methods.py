"""The uncertainty methods of the benchmark: which training each needs, and how its networks become a forecast.

A method is an `Entry`; one of another package's is declared under `jaxuq.methods`, one of a program's own is put into
`METHODS`. Its functions are

    train(setting, seeds, trained) -> Trained       networks of all seeds; `trained(other)` gives those of another
                                                    training, which are made once however many methods want them
    forecast(setting, networks, rng_key, inputs, train) -> Forecast
                                                    of one seed, pure; regression in standardised label units
    calibrator() -> a calibrator of `jaxuq.calibration`, if the method is a post-hoc one: fitted to that forecast on
                                                    the validation part

and what is known about it `task_types` (where it applies; both unless said), `published` (whether MUBen has it),
`members` (`"one"` network per seed unless said, or `"all"`) and `group` (methods of one group start from the same
networks, and are computed by one process).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from jaxuq import calibration, losses
from jaxuq._entries import Entries, Entry
from jaxuq._errors import OptionError
from jaxuq.molecules.muben.batch_members import forecast_batch_ensemble, train_batch_ensemble
from jaxuq.molecules.muben.cycles import forecast_cyclical, train_cyclical
from jaxuq.molecules.muben.heads import evidential_head
from jaxuq.molecules.muben.objectives import predict_one
from jaxuq.molecules.muben.problem import Arrays, Problem
from jaxuq.molecules.muben.published_posteriors import published_swag_samples
from jaxuq.molecules.muben.random_features import forecast_sngp, train_sngp
from jaxuq.molecules.muben.reading import (
    first_network,
    laplace_state,
    last_features,
    of_last_layers,
    of_layer,
    of_samples,
    outputs_fn,
)
from jaxuq.molecules.muben.setting import Setting, Trained
from jaxuq.molecules.muben.trainings import (
    train_bbp,
    train_evidential,
    train_focal,
    train_likelihood,
    train_sgld,
    train_swag,
)
from jaxuq.molecules.muben.variational_layer import forecast_vbll, train_vbll
from jaxuq.molecules.scaling import unscale_mean, unscale_variance
from jaxuq.networks import apply_function
from jaxuq.posterior import (
    BernoulliForecast,
    Forecast,
    GaussianForecast,
    bbp,
    ensemble,
    laplace,
    mc_dropout,
    swag,
)

FULL_LAPLACE_OUTPUTS = 32  # more outputs than that, and Laplace's curvature is Kronecker-factored
NETWORK_BATCH = 512  # molecules whose curvature of a whole network is summed at once


def _networks(
    setting: Setting, networks: Trained, rng_key: Key[Array, ""], inputs: PyTree, train: Arrays, *, members: slice
) -> Forecast:
    samples = jax.tree.map(lambda leaf: leaf[members], networks.params)
    return of_samples(setting, outputs_fn(setting), samples, inputs)


_deterministic = partial(_networks, members=slice(0, 1))
_ensemble = partial(_networks, members=slice(None))


def _mc_dropout(
    setting: Setting, networks: Trained, rng_key: Key[Array, ""], inputs: PyTree, train: Arrays
) -> Forecast:
    method = mc_dropout()
    samples = method.sample(rng_key, method.init(rng_key, first_network(networks.params)), setting.samples)
    return of_samples(setting, outputs_fn(setting), samples, inputs)


def _swag(setting: Setting, networks: Trained, rng_key: Key[Array, ""], inputs: PyTree, train: Arrays) -> Forecast:
    sample = published_swag_samples if setting.muben else swag().sample
    samples = sample(rng_key, networks.observed, setting.samples)
    return of_samples(setting, outputs_fn(setting), samples, inputs)


def _sgld(setting: Setting, networks: Trained, rng_key: Key[Array, ""], inputs: PyTree, train: Arrays) -> Forecast:
    samples = ensemble(setting.samples).sample(rng_key, networks.observed, setting.samples)
    return of_samples(setting, outputs_fn(setting), samples, inputs)


def _bbp(setting: Setting, networks: Trained, rng_key: Key[Array, ""], inputs: PyTree, train: Arrays) -> Forecast:
    params = first_network(networks.params)
    return of_last_layers(setting, bbp().sample(rng_key, params["output"], setting.samples), params, inputs)


def _laplace(setting: Setting, networks: Trained, rng_key: Key[Array, ""], inputs: PyTree, train: Arrays) -> Forecast:
    """The last layer; the prior precision is the one of largest marginal likelihood among powers of ten."""
    params = first_network(networks.params)
    structure = "columns" if params["output"]["kernel"].shape[1] <= FULL_LAPLACE_OUTPUTS else "kronecker"
    method = laplace(setting.problem.likelihood, structure, linearised=False)  # a layer is linear in its weights
    seen = train._replace(inputs=last_features(setting, params, train.inputs))
    state = laplace_state(method, rng_key, params["output"], partial(of_layer, setting), seen)
    return of_last_layers(setting, method.sample(rng_key, state, setting.samples), params, inputs)


def _laplace_network(
    setting: Setting, networks: Trained, rng_key: Key[Array, ""], inputs: PyTree, train: Arrays
) -> Forecast:
    """All parameters, the network linearised at them: Kronecker factors, or a diagonal if any layer is not dense."""
    params, likelihood, apply_fn = first_network(networks.params), setting.problem.likelihood, outputs_fn(setting)
    method = laplace(likelihood, "kronecker")
    try:
        jax.eval_shape(partial(method.init, rng_key), params)
    except OptionError:
        method = laplace(likelihood, "diagonal")
    state = laplace_state(method, rng_key, params, apply_fn, train, NETWORK_BATCH)
    return of_samples(setting, apply_fn, method.sample(rng_key, state, setting.samples), inputs)


def _evidential(
    setting: Setting, networks: Trained, rng_key: Key[Array, ""], inputs: PyTree, train: Arrays
) -> Forecast:
    width = evidential_head(setting.task_type).outputs_per_task
    apply_fn = apply_function(setting.network(width))
    outputs = setting.by_task(predict_one(setting, apply_fn, first_network(networks.params), inputs), width)
    if setting.task_type == "regression":
        parameters = losses.normal_inverse_gamma_parameters(outputs)
        return GaussianForecast(parameters.gamma, parameters.aleatoric, parameters.epistemic)
    concentrations = losses.dirichlet_concentrations(outputs)
    moments = losses.dirichlet_moments(concentrations)
    logits = jnp.log(concentrations[..., 1]) - jnp.log(concentrations[..., 0])
    return BernoulliForecast(logits, moments.aleatoric, moments.epistemic)


_BOTH = ("classification", "regression")


def _method(
    name: str,
    title: str,
    style: tuple[str, str, str],
    train: Any,
    forecast: Any,
    calibrator: Any = None,
    **about: Any,
) -> Entry:
    functions = {"train": train, "forecast": forecast} | ({} if calibrator is None else {"calibrator": calibrator})
    return Entry(name, title, functions, (name,), style=dict(zip(("colour", "line", "marker"), style)), about=about)


_FROM = {"group": "network"}
_CLASSES, _VALUES = {"task_types": ("classification",)}, {"task_types": ("regression",)}
METHODS: Entries[Entry] = Entries(
    "method",
    "jaxuq.methods",
    {
        entry.name: entry
        for entry in (
            _method("deterministic", "Deterministic", ("#000000", "solid", "o"), train_likelihood, _deterministic,
                    published=True, **_FROM),
            _method("temperature", "Temperature scaling", ("#882255", "dashed", "o"), train_likelihood, _deterministic,
                    calibration.temperature_scaling, published=True, **_CLASSES, **_FROM),
            _method("focal", "Focal loss", ("#999933", "dotted", "o"), train_focal, _deterministic, published=True,
                    **_CLASSES),
            _method("mc-dropout", "MC dropout", ("#D55E00", "solid", "^"), train_likelihood, _mc_dropout,
                    published=True, **_FROM),
            _method("swag", "SWAG", ("#009E73", "solid", "D"), train_swag, _swag, published=True, **_FROM),
            _method("bbp", "Bayes by backprop", ("#CC79A7", "solid", "v"), train_bbp, _bbp, published=True),
            _method("sgld", "SGLD", ("#E69F00", "solid", "P"), train_sgld, _sgld, published=True),
            _method("ensemble", "Deep ensemble", ("#0072B2", "solid", "s"), train_likelihood, _ensemble,
                    published=True, members="all", **_FROM),
            _method("laplace", "Laplace", ("#56B4E9", "solid", "X"), train_likelihood, _laplace, **_FROM),
            _method("laplace-network", "Laplace of the network", ("#4477AA", "dashed", "X"), train_likelihood,
                    _laplace_network, **_FROM),
            _method("cyclical-sgld", "Cyclical SGLD", ("#BBAA22", "dashed", "P"), train_cyclical, forecast_cyclical,
                    **_FROM),
            _method("batch-ensemble", "Batch ensemble", ("#66CCEE", "dashed", "s"), train_batch_ensemble,
                    forecast_batch_ensemble),
            _method("sngp", "SNGP", ("#228833", "dashed", "D"), train_sngp, forecast_sngp),
            _method("vbll", "Variational last layer", ("#EE6677", "dashed", "v"), train_vbll, forecast_vbll),
            _method("evidential", "Evidential", ("#CC3311", "dotted", "s"), train_evidential, _evidential),
            _method("platt", "Platt scaling", ("#117733", "dashed", "s"), train_likelihood, _deterministic,
                    calibration.platt_scaling, **_CLASSES, **_FROM),
            _method("isotonic", "Isotonic", ("#332288", "dashed", "^"), train_likelihood, _deterministic,
                    calibration.isotonic_calibration, **_CLASSES, **_FROM),
            _method("isotonic-quantiles", "Isotonic quantiles", ("#661100", "dashed", "v"), train_likelihood,
                    _deterministic, calibration.isotonic_quantiles, **_VALUES, **_FROM),
            _method("variance-scaling", "Variance scaling", ("#AA4499", "dashed", "D"), train_likelihood,
                    _deterministic, calibration.variance_scaling, **_VALUES, **_FROM),
        )
    },
)  # fmt: skip
"""By the name that `--methods` takes."""


def task_types(method: Entry) -> tuple[str, ...]:
    """Where a method applies.

    Args:
        method: its entry.

    Returns:
        `"classification"`, `"regression"`, or both.
    """
    return tuple(method.about.get("task_types", _BOTH))


def networks_of(method: Entry, setting: Setting) -> int:
    """How many networks a seed of a method has.

    Args:
        method: its entry.
        setting: of the run.

    Returns:
        One, or all members.
    """
    return setting.members if method.about.get("members") == "all" else 1


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
