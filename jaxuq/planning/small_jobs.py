"""Jobs of small models as programs that can be compiled from shapes: members on molecules, a chain on sentences."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import PyTree

from jaxuq.losses import gaussian_negative_log_likelihood, mean_loss, softplus_variance
from jaxuq.networks import DNN
from jaxuq.planning.jobs import Request, Stage
from jaxuq.planning.shapes import rows_on
from jaxuq.tagging import expected_counts
from jaxuq.training import minibatch_training

INPUTS = {"dnn": 200, "morgan": 1024}
"""Networks of `molecules`, and how many descriptors or bits of a molecule they see."""
STATES = {"hmm-9": 9, "hmm-37": 37}
"""Chains of `tagging`, and their states: those of four entity types, and of eighteen (OntoNotes), begun and gone on."""
_BATCH = 256
_TASKS = 1


def _members_on(tree: PyTree, request: Request) -> PyTree:
    """Shapes with a leading axis of members, divided over all devices as far as their number allows."""
    axes, members = [], request.members
    for name, size in request.mesh.shape.items():
        if members % size == 0:
            axes, members = [*axes, name], members // size
    place = NamedSharding(request.mesh, PartitionSpec(tuple(axes) or None))
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((request.members, *leaf.shape), leaf.dtype, sharding=place), tree
    )


def molecules(request: Request) -> list[Stage]:
    """An epoch of an ensemble on `rows` molecules, members side by side; every device has all molecules."""
    network, width = DNN(num_outputs=2 * _TASKS), INPUTS[str(request.config)]

    def loss(params: PyTree, batch: Any, where: Any, rng_key: Any) -> Any:
        outputs: Any = network.apply({"params": params}, batch[0], rngs={"dropout": rng_key})
        variance = softplus_variance(outputs[:, _TASKS:])
        return mean_loss(
            gaussian_negative_log_likelihood(outputs[:, :_TASKS], variance, batch[1]), where=where[:, None]
        )

    training = minibatch_training(loss, optax.adam(1e-3), batch_size=min(_BATCH, request.rows))
    key = jax.eval_shape(lambda: jax.random.key(0))
    shapes = jax.eval_shape(lambda key: network.init(key, jnp.zeros((1, width)))["params"], key)
    state = _members_on(jax.eval_shape(training.init, key, shapes), request)
    everywhere = NamedSharding(request.mesh, PartitionSpec())
    data = tuple(
        jax.ShapeDtypeStruct((request.rows, size), jnp.float32, sharding=everywhere) for size in (width, _TASKS)
    )
    run = jax.jit(jax.vmap(lambda state, data: training.run(state, data, None, num_epochs=1), in_axes=(0, None)))
    kinds = {"weights": lambda given, _: given[0], "data": lambda given, _: given[1]}
    return [Stage("an epoch", run, (state, data), 1, kinds)]


def tagging(request: Request) -> list[Stage]:
    """The forward and backward pass of an iteration of EM over `rows` sentences, divided over the devices."""
    states, everywhere = STATES[str(request.config)], NamedSharding(request.mesh, PartitionSpec())
    initial, transition = (
        jax.ShapeDtypeStruct(shape, jnp.float32, sharding=everywhere) for shape in ((states,), (states, states))
    )
    evidence = rows_on(request.mesh, (request.rows, request.tokens, states), jnp.float32)
    lengths = rows_on(request.mesh, (request.rows,))
    kinds = {"weights": lambda given, _: given[:2], "data": lambda given, _: given[2:]}
    return [Stage("counts of a batch", jax.jit(expected_counts), (initial, transition, evidence, lengths), 1, kinds)]
