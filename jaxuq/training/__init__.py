"""The training room: minibatch training as pure functions, and the host's loop with progress and checkpoints.

`minibatch_training` builds `init` and `run`, which live on the device; `fit` calls `run` for stacked members in chunks.
"""

from jaxuq.training.checkpoint import load_checkpoint, save_checkpoint
from jaxuq.training.errors import DivergedError
from jaxuq.training.fit import Fitted, Progress, fit
from jaxuq.training.minibatch import History, Training, TrainState, minibatch_training

__all__ = [
    "DivergedError",
    "Fitted",
    "History",
    "Progress",
    "TrainState",
    "Training",
    "fit",
    "load_checkpoint",
    "minibatch_training",
    "save_checkpoint",
]
