"""SNGP in the benchmark: random features of a backbone with bounded kernels, and Laplace's posterior on them."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key, PyTree

from jaxuq import losses
from jaxuq._keys import named_key
from jaxuq.molecules.muben.heads import likelihood_head
from jaxuq.molecules.muben.objectives import predict_one
from jaxuq.molecules.muben.problem import Arrays
from jaxuq.molecules.muben.reading import body_of, first_network, laplace_state, of_layer
from jaxuq.molecules.muben.recipe import recipe_optimizer
from jaxuq.molecules.muben.setting import Setting, Trained
from jaxuq.molecules.muben.starting import init_params
from jaxuq.molecules.muben.trainings import OtherTraining, score_of, train_one
from jaxuq.networks import apply_function, spectral_bound
from jaxuq.posterior import (
    Forecast,
    GaussianForecast,
    cosine_features,
    dense,
    laplace,
    mean_field_forecast,
    output_variance,
    random_features,
)

NUM_FEATURES = 256
BOUND = 2.0  # layers without a residual connection lose half of a signal to ReLU: below that nothing arrives


def _features(setting: Setting, params: PyTree, inputs: PyTree, rng_key: Any = None) -> Array:
    head = likelihood_head(setting.task_type)
    hidden = apply_function(setting.network(head.outputs_per_task), method="features")
    return cosine_features(params["random"], hidden(body_of(params["body"]), inputs, rng_key=rng_key))


def train_sngp(setting: Setting, seeds: Sequence[int], trained: OtherTraining) -> Trained:
    """A network a seed whose kernels are bounded, and an output layer on random features of its last hidden layer.

    Args:
        setting: the run's.
        seeds: repetitions.
        trained: not needed.

    Returns:
        Parameters `body`, `random` (frozen) and `output`.
    """
    head = likelihood_head(setting.task_type)

    def outputs(params: PyTree, inputs: PyTree, rng_key: Any = None) -> Array:
        phi = _features(setting, params, inputs, rng_key)
        return setting.by_task(dense(params["output"], phi), head.outputs_per_task)

    def loss_fn(params: PyTree, batch: Arrays, where: Array, rng_key: Any) -> Array:
        known = batch.mask & where[:, None]
        return head.loss(outputs(params, batch.inputs, rng_key), batch.labels, known, batch.weights)

    def init(rng_key: Key[Array, ""], pretrained: PyTree) -> PyTree:
        whole = init_params(setting, head.outputs_per_task, rng_key, pretrained)
        width, num_outputs = whole["output"]["kernel"].shape
        fixed = random_features(named_key(rng_key, "random"), width, NUM_FEATURES)
        output = {"kernel": jnp.zeros((NUM_FEATURES, num_outputs)), "bias": jnp.zeros(num_outputs)}
        return {"body": body_of(whole), "random": fixed, "output": output}

    adamw = recipe_optimizer(setting.recipe, setting.problem.train.labels.shape[0])
    bounded = optax.chain(adamw, spectral_bound(jax.random.key(0), BOUND))
    optimizer = optax.multi_transform(
        {
            "body": optax.set_to_zero() if setting.frozen_backbone else bounded,
            "random": optax.set_to_zero(),
            "output": adamw,
        },
        lambda params: {name: jax.tree.map(lambda _, name=name: name, part) for name, part in params.items()},
    )
    return train_one(setting, "sngp", seeds, init, loss_fn, score_of(setting, outputs, head.point), optimizer)


def forecast_sngp(
    setting: Setting, networks: Trained, rng_key: Key[Array, ""], inputs: PyTree, train: Arrays
) -> Forecast:
    """The output layer's posterior on the training part; closed forms for the rest.

    Args:
        setting: the run's.
        networks: of `train_sngp`.
        rng_key: not needed.
        inputs: of the molecules asked about.
        train: the training part.

    Returns:
        The forecast, of standardised labels in regression.
    """
    params = first_network(networks.params)
    features = partial(predict_one, setting, partial(_features, setting), params)
    method = laplace(setting.problem.likelihood, "columns", linearised=False)
    layer = partial(of_layer, setting)
    state = laplace_state(method, rng_key, params["output"], layer, train._replace(inputs=features(train.inputs)))
    phi = features(inputs)
    outputs, variance = layer(params["output"], phi), output_variance(state, layer, phi)
    if setting.task_type == "classification":
        return mean_field_forecast(outputs, variance)
    return GaussianForecast(outputs[..., 0], losses.softplus_variance(outputs[..., 1]), variance[..., 0])
