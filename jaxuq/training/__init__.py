"""The training room."""

from jaxuq.training.minibatch import History, Training, TrainState, minibatch_training

__all__ = ["History", "TrainState", "Training", "minibatch_training"]
