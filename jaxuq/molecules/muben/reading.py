"""Forecasts from trained networks: of whole parameters, of last layers on the features below, of Laplace's states."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from jaxuq.molecules.muben.heads import likelihood_head, read_outputs
from jaxuq.molecules.muben.objectives import predict_one
from jaxuq.molecules.muben.problem import Arrays
from jaxuq.molecules.muben.setting import Setting
from jaxuq.networks import apply_function
from jaxuq.posterior import Forecast, LaplaceState, Method, best_prior, dense, predict_forecast

BATCH = 4096  # molecules whose last features Laplace's curvature sums at once
PRIOR_PRECISIONS = tuple(10.0**exponent for exponent in range(-3, 5))


def outputs_fn(setting: Setting) -> Callable[..., Array]:
    """`(params, inputs, *, rng_key=None) -> outputs` as `predict_forecast` reads them."""
    head = likelihood_head(setting.task_type)
    apply_fn = apply_function(setting.network(head.outputs_per_task))
    return lambda params, inputs, *, rng_key=None: _read(setting, apply_fn(params, inputs, rng_key=rng_key))


def _read(setting: Setting, outputs: Float[Array, "n outputs"]) -> Float[Array, "n ..."]:
    return read_outputs(setting.task_type, setting.num_tasks, outputs)


def of_samples(setting: Setting, apply_fn: Callable[..., Array], samples: PyTree, inputs: PyTree) -> Forecast:
    """The forecast of parameter samples of a model."""
    return predict_forecast(apply_fn, samples, inputs, setting.problem.likelihood, batch_size=setting.molecules_at_once)


def first_network(tree: PyTree) -> PyTree:
    """Parameters of a seed's first network."""
    return jax.tree.map(lambda leaf: leaf[0], tree)


def last_features(setting: Setting, params: PyTree, inputs: PyTree) -> Float[Array, "n width"]:
    """What the output layer sees, without dropout."""
    head = likelihood_head(setting.task_type)
    features = apply_function(setting.network(head.outputs_per_task), method="features")
    return predict_one(setting, features, params, inputs)


def body_of(params: PyTree) -> PyTree:
    """All parameters but the output layer's, which the module's method `features` does not read."""
    return {name: part for name, part in params.items() if name != "output"}


def of_layer(setting: Setting, layer: PyTree, features: Float[Array, "n width"]) -> Float[Array, "n ..."]:
    """Outputs of a dense last layer, as `predict_forecast` reads them."""
    return _read(setting, dense(layer, features))


def of_last_layers(setting: Setting, layers: PyTree, params: PyTree, inputs: PyTree) -> Forecast:
    """The forecast of samples of the last layer, on the features of one network."""
    return of_samples(setting, partial(of_layer, setting), layers, last_features(setting, params, inputs))


def laplace_state(
    method: Method,
    rng_key: Key[Array, ""],
    params: PyTree,
    apply_fn: Callable[..., Array],
    train: Arrays,
    batch_size: int = BATCH,
) -> LaplaceState:
    """Laplace's state after the training part, with the prior precision of largest marginal likelihood.

    Args:
        method: of `laplace`.
        rng_key: of its updates.
        params: at the mode.
        apply_fn: their model.
        train: what it reads, with labels and mask; the last batch is filled with molecules that do not count.
        batch_size: molecules whose curvature is summed at once.

    Returns:
        The state.
    """
    count = len(train.labels)
    num_batches = -(-count // min(batch_size, count))
    places = jnp.arange(num_batches * -(-count // num_batches)).reshape(num_batches, -1)

    def update(state: LaplaceState, place: Array) -> tuple[LaplaceState, None]:
        batch: Any = jax.tree.map(lambda leaf: leaf[place % count], train)
        where = batch.mask & (place < count)[:, None]
        key = jax.random.fold_in(rng_key, place[0])
        return method.update(key, state, apply_fn, batch.inputs, batch.labels, where=where), None

    state, _ = jax.lax.scan(update, method.init(rng_key, params), places)
    return best_prior(state, PRIOR_PRECISIONS)
