"""Optimiser, loss and validation score of a network."""

from collections.abc import Callable, Hashable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from jaxuq.molecules.muben.heads import Head
from jaxuq.molecules.muben.recipe import recipe_optimizer
from jaxuq.molecules.muben.selection import validation_score
from jaxuq.molecules.muben.setting import Setting
from jaxuq.networks import apply_function
from jaxuq.posterior import predict


def make_optimizer(
    setting: Setting, output: optax.GradientTransformation | None = None
) -> optax.GradientTransformation:
    """AdamW on the backbone (nothing, if frozen) and on the output layer, unless that has an optimiser of its own."""
    adamw = recipe_optimizer(setting.recipe, setting.problem.train.labels.shape[0])
    if output is None and not setting.frozen_backbone:
        return adamw
    parts: dict[Hashable, optax.GradientTransformation] = {
        "backbone": optax.set_to_zero() if setting.frozen_backbone else adamw,
        "output": output or adamw,
    }

    def labels(params: PyTree) -> PyTree:
        return {
            name: jax.tree.map(lambda _, name=name: "output" if name == "output" else "backbone", part)
            for name, part in params.items()
        }

    return optax.multi_transform(parts, labels)


def make_loss(setting: Setting, head: Head) -> Callable[..., Float[Array, ""]]:
    """`loss_fn(params, batch, where, rng_key)`, over all branches where a network has them."""
    network, branches = setting.network(head.outputs_per_task), setting.branches
    apply_fn = apply_function(network, method=None if branches is None else "branches")

    def loss_fn(params, batch, where, rng_key):
        def loss(outputs):
            by_task = setting.by_task(outputs, head.outputs_per_task)
            return head.loss(by_task, batch.labels, batch.mask & where[:, None], batch.weights, batch.bounds)

        outputs = apply_fn(params, batch.inputs, rng_key=rng_key)
        if branches is None:
            return loss(outputs)
        distance = jnp.mean((outputs[1:] - outputs[:1]) ** 2, where=where[None, :, None])
        return sum((loss(branch) for branch in outputs), branches * distance)

    return loss_fn


def predict_one(setting: Setting, apply_fn: Callable[..., Array], params: PyTree, inputs: PyTree) -> Array:
    """Outputs of one network without dropout, `molecules_at_once` of them at a time.

    Args:
        setting: the run's.
        apply_fn: a function of parameters and inputs.
        params: of one network.
        inputs: of any number of molecules.

    Returns:
        Outputs, molecules first.
    """
    samples = jax.tree.map(lambda leaf: leaf[None], params)
    return predict(apply_fn, samples, inputs, batch_size=setting.molecules_at_once)[0]


def make_score(setting: Setting, head: Head) -> Callable[..., Float[Array, ""]]:
    """`score_fn(params, valid)`, by which epochs are compared."""
    apply_fn = apply_function(setting.network(head.outputs_per_task))

    def score_fn(params, valid):
        outputs = setting.by_task(predict_one(setting, apply_fn, params, valid.inputs), head.outputs_per_task)
        return validation_score(setting.problem, head.point(outputs), valid)

    return score_fn
