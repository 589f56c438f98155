"""The training room: minibatch training as pure functions, and the host's loop with progress and checkpoints.

`minibatch_training` builds `init` and `run`, which live on the device; `fit` calls `run` for stacked members in chunks.
"""

from jaxuq.training.checkpoint import claim_checkpoints, load_checkpoint, save_checkpoint, start_checkpoint
from jaxuq.training.dynamics import (
    DynamicsState,
    ExampleDynamics,
    error_norm,
    example_dynamics,
    gradient_variability,
    init_dynamics,
    update_dynamics,
)
from jaxuq.training.errors import DivergedError
from jaxuq.training.fit import Fitted, Progress, fit
from jaxuq.training.minibatch import History, Training, TrainState, minibatch_training

__all__ = [
    "DivergedError",
    "DynamicsState",
    "ExampleDynamics",
    "Fitted",
    "History",
    "Progress",
    "TrainState",
    "Training",
    "claim_checkpoints",
    "error_norm",
    "example_dynamics",
    "fit",
    "gradient_variability",
    "init_dynamics",
    "load_checkpoint",
    "minibatch_training",
    "save_checkpoint",
    "start_checkpoint",
    "update_dynamics",
]
