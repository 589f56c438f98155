"""Examples of the public functions of jaxuq.training for tests/test_protocol.py."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxuq import training
from jaxuq.training import minibatch_training
from tests.protocol import Example


def _loss(weights, batch, where, rng_key):
    return jnp.mean((batch["x"] @ weights - batch["y"]) ** 2, where=where)


def _score(weights, validation):
    return jnp.mean((validation["x"] @ weights - validation["y"]) ** 2)


_X = jax.random.normal(jax.random.key(0), (24, 3))
_DATA = {"x": _X, "y": _X @ jnp.array([1.0, -2.0, 0.5])}
_TRAINING = minibatch_training(_loss, optax.adam(0.1), _score, batch_size=8, patience=2)

_LOGITS = jax.random.normal(jax.random.key(2), (16, 3))
_CLASSES = jnp.arange(16, dtype=jnp.int32) % 3
_SEEN = training.update_dynamics(training.init_dynamics(16), jnp.arange(16), _LOGITS, _CLASSES)
_ROWS = jnp.arange(16, dtype=jnp.int32)[::-1]

EXAMPLES: dict[str, Any] = {
    "error_norm": Example(training.error_norm, (_LOGITS, _CLASSES), differentiable=(0,)),
    "example_dynamics": Example(training.example_dynamics, (_SEEN,)),
    "gradient_variability": Example(
        lambda gradients: training.gradient_variability(gradients.swapaxes(0, 1)),
        (jax.random.normal(jax.random.key(3), (16, 4, 2)),),
        differentiable=(0,),
    ),
    "update_dynamics": Example(training.update_dynamics, (_SEEN, _ROWS, _LOGITS, _CLASSES), rows=1),
    "minibatch_training": [
        Example(_TRAINING.init, (jax.random.key(1), jnp.zeros(3)), keeps_type=True, rows=None),
        Example(
            lambda key, weights, data: _TRAINING.run(_TRAINING.init(key, weights), data, data, num_epochs=4),
            (jax.random.key(1), jnp.zeros(3), _DATA),
            differentiable=(1,),
            keeps_type=True,
            rows=2,
        ),
    ],
}
# Where each takes classes.
LABELS: dict[str, int] = {"error_norm": 1}
HOST: dict[str, str] = {
    "DivergedError": "a type",
    "DynamicsState": "a type",
    "ExampleDynamics": "a type",
    "Fitted": "a type",
    "History": "a type",
    "Progress": "a type",
    "TrainState": "a type",
    "Training": "a type",
    "fit": "the host's loop; tests/training/test_fit.py",
    "init_dynamics": "from a number; tests/training/test_dynamics.py",
    "claim_checkpoints": "writes files",
    "load_checkpoint": "reads files",
    "save_checkpoint": "writes files",
    "start_checkpoint": "writes files",
}
