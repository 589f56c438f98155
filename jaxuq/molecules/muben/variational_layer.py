"""Variational Bayesian last layers in the benchmark: a backbone trained by the bound of its last layer."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array, Key, PyTree

from jaxuq import losses
from jaxuq._keys import named_key
from jaxuq.molecules.muben.objectives import make_optimizer, predict_one
from jaxuq.molecules.muben.problem import Arrays
from jaxuq.molecules.muben.reading import body_of, first_network
from jaxuq.molecules.muben.setting import Setting, Trained
from jaxuq.molecules.muben.starting import init_params
from jaxuq.molecules.muben.trainings import OtherTraining, score_of, train_one
from jaxuq.networks import apply_function
from jaxuq.posterior import (
    Forecast,
    init_vbll,
    mean_field_forecast,
    vbll_binary_loss,
    vbll_forecast,
    vbll_moments,
    vbll_penalty,
    vbll_regression_loss,
)

FASTER = 10  # times the recipe's rate: covariances have further to go than weights, and no weight decay
WISHART = {"regression": 0.01, "classification": 1.0}


def _features(setting: Setting, params: PyTree, inputs: PyTree, rng_key: Any = None) -> Array:
    """What the output layer sees, and a one for its bias."""
    hidden = apply_function(setting.network(1), method="features")(body_of(params), inputs, rng_key=rng_key)
    return jnp.concatenate([hidden, jnp.ones_like(hidden[:, :1])], axis=1)


def train_vbll(setting: Setting, seeds: Sequence[int], trained: OtherTraining) -> Trained:
    """A network a seed, trained on the bound of its last layer; one noise variance a task in regression.

    Args:
        setting: the run's.
        seeds: repetitions.
        trained: not needed.

    Returns:
        Parameters whose entry `output` is a `VBLL`.
    """
    num_train = setting.problem.train.labels.shape[0]
    each = vbll_regression_loss if setting.task_type == "regression" else vbll_binary_loss

    def loss_fn(params: PyTree, batch: Arrays, where: Array, rng_key: Any) -> Array:
        phi, known = _features(setting, params, batch.inputs, rng_key), batch.mask & where[:, None]
        labels = jnp.where(known, batch.labels, jnp.zeros_like(batch.labels))
        weights = None if batch.weights is None else jnp.broadcast_to(batch.weights[:, None], known.shape)
        fit = losses.mean_loss(each(params["output"], phi, labels), where=known, weights=weights)
        penalty = vbll_penalty(params["output"], 1 / phi.shape[-1], wishart_scale=WISHART[setting.task_type])
        return fit + penalty / num_train

    def outputs(params: PyTree, inputs: PyTree, rng_key: Any = None) -> Array:
        return vbll_moments(params["output"], _features(setting, params, inputs))[0]

    def init(rng_key: Key[Array, ""], pretrained: PyTree) -> PyTree:
        params = init_params(setting, 1, rng_key, pretrained)
        width = params["output"]["kernel"].shape[0]
        return {**params, "output": init_vbll(named_key(rng_key, "posterior"), width + 1, setting.num_tasks)}

    score_fn = score_of(setting, outputs, lambda means: means)
    optimizer = make_optimizer(setting, optax.adam(FASTER * setting.recipe.learning_rate))
    return train_one(setting, "vbll", seeds, init, loss_fn, score_fn, optimizer)


def forecast_vbll(
    setting: Setting, networks: Trained, rng_key: Key[Array, ""], inputs: PyTree, train: Arrays
) -> Forecast:
    """In closed form; of classes by the mean field.

    Args:
        setting: the run's.
        networks: of `train_vbll`.
        rng_key: not needed.
        inputs: of the molecules asked about.
        train: not needed.

    Returns:
        The forecast, of standardised labels in regression.
    """
    params = first_network(networks.params)
    phi = predict_one(setting, partial(_features, setting), params, inputs)
    if setting.task_type == "regression":
        return vbll_forecast(params["output"], phi)
    return mean_field_forecast(*vbll_moments(params["output"], phi))
