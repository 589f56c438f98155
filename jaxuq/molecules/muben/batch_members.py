"""Batch ensembles in the benchmark: members of rank one on a whole backbone, trained together."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key, PyTree

from jaxuq._keys import named_key
from jaxuq.molecules.muben.heads import likelihood_head
from jaxuq.molecules.muben.objectives import make_loss, make_optimizer
from jaxuq.molecules.muben.problem import Arrays
from jaxuq.molecules.muben.reading import first_network, of_samples, outputs_fn
from jaxuq.molecules.muben.setting import Setting, Trained
from jaxuq.molecules.muben.starting import init_params
from jaxuq.molecules.muben.trainings import OtherTraining, score_of, train_one
from jaxuq.networks import apply_function
from jaxuq.posterior import Draws, Forecast, batch_ensemble, rank_one, rank_one_member

MEMBERS = 4
SLOWER = 0.25  # times the recipe's rate, of the members' own factors, which do not decay


def train_batch_ensemble(setting: Setting, seeds: Sequence[int], trained: OtherTraining) -> Trained:
    """Members that share their kernels, each shown every batch; the loss is the mean of theirs.

    Args:
        setting: the run's.
        seeds: repetitions.
        trained: not needed.

    Returns:
        Parameters `shared` and `own`, the latter with an axis of members.
    """
    head = likelihood_head(setting.task_type)
    network_loss = make_loss(setting, head)
    apply_fn = apply_function(setting.network(head.outputs_per_task))

    def loss_fn(params: PyTree, batch: Arrays, where: Array, rng_key: Key[Array, ""]) -> Array:
        def of_member(own: PyTree, key: Key[Array, ""]) -> Array:
            return network_loss(rank_one_member(params["shared"], own), batch, where, key)

        return jnp.mean(jax.vmap(of_member)(params["own"], jax.random.split(rng_key, MEMBERS)))

    def points(params: PyTree, inputs: PyTree) -> Array:
        outputs = jax.vmap(rank_one(apply_fn, params["shared"]), in_axes=(0, None))(params["own"], inputs)
        return jnp.mean(jax.vmap(lambda one: head.point(setting.by_task(one, head.outputs_per_task)))(outputs), axis=0)

    def init(rng_key: Key[Array, ""], pretrained: PyTree) -> PyTree:
        params = init_params(setting, head.outputs_per_task, rng_key, pretrained)
        return {"shared": params, "own": batch_ensemble(MEMBERS).init(named_key(rng_key, "members"), params).factors}

    optimizer: Any = optax.multi_transform(
        {"shared": make_optimizer(setting), "own": optax.adam(SLOWER * setting.recipe.learning_rate)},
        {"shared": "shared", "own": "own"},
    )
    return train_one(
        setting, "batch-ensemble", seeds, init, loss_fn, score_of(setting, points, lambda points: points), optimizer
    )


def forecast_batch_ensemble(
    setting: Setting, networks: Trained, rng_key: Key[Array, ""], inputs: PyTree, train: Arrays
) -> Forecast:
    """The mixture of the members.

    Args:
        setting: the run's.
        networks: of `train_batch_ensemble`.
        rng_key: not needed.
        inputs: of the molecules asked about.
        train: not needed.

    Returns:
        The forecast, of standardised labels in regression.
    """
    params = first_network(networks.params)
    return of_samples(setting, outputs_fn(setting), Draws(params["own"], params["shared"], rank_one), inputs)
